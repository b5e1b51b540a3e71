"""Train a model on a task with several seeds, evaluate it on the frozen test set, store the rows and print the leaderboard.

  python -m nmbench.run --model=nmrnn --task=element_finder

Stored runs are not trained again. --force trains them again; --retry_failed trains runs again that a sweep lost to a crash
or a time limit. Ctrl-C and SIGTERM (which Slurm sends) stop the command: finished runs are stored, and unfinished runs write
a checkpoint. Run the same command again to resume. On the same kind of processor, a resumed run ends with exactly the
parameters of an uninterrupted one. Checkpoints are also written every --checkpoint_minutes, so a killed process loses only
the steps since the last one.

Exit code 0: all runs have status ok; 1: a run diverged or failed; 2: bad input; 130 and 143: stopped by a signal.
"""

from __future__ import annotations

import sys

from nmbench.contracts import plugin_files, plugins
from nmbench.support import cli, devices, interrupts, loggers, terminal
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("model", "task", "results_dir", "plugin")
cli.integer(
    FLAGS,
    "budget",
    None,
    "number of learned parameters; default: the task's, or the published sizes if the protocol uses them",
    lower=1,
)
cli.string(
    FLAGS, "hparams", "", "hyperparameters of the model, as K=V,K=V; giving the free size fixes the size of the model"
)
cli.string(
    FLAGS,
    "protocol",
    None,
    "training protocol, such as matched or paper; default: the first that `nmbench describe TASK` lists",
)
cli.seeds(FLAGS)
cli.integer(FLAGS, "data_seed", 0, "seed of the training data, the same for all models and seeds")
cli.integer(FLAGS, "steps", None, "training steps instead of the protocol's", lower=1)
cli.number(FLAGS, "learning_rate", None, "learning rate, instead of the tuned, published or default one")
cli.boolean(FLAGS, "tune", False, "first choose the learning rate, on validation data")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept a model more than 5% off its budget")
cli.boolean(FLAGS, "force", False, "train stored runs (with --tune also tuning runs) again, from the beginning")
cli.boolean(
    FLAGS,
    "retry_failed",
    False,
    "train runs with status failed or timeout again, from checkpoints if there are any",
)
cli.integer(FLAGS, "devices", None, "JAX devices, among which the seeds are divided; default: one per core", lower=1)
cli.boolean(
    FLAGS, "remat", False, "limit memory on long trials: recompute activations for the gradient instead of storing them"
)
cli.string(
    FLAGS, "log", "", "log training with tensorboard, wandb or both (tensorboard,wandb), in logs/ of the results folder"
)
cli.number(FLAGS, "checkpoint_minutes", 5.0, "minutes between checkpoints of runs in training; 0: at every validation")
cli.boolean(FLAGS, "collect", True, "at the end, rewrite results.csv from all run folders and print the leaderboard")
cli.boolean(FLAGS, "resolve_only", False, "print the resolved experiment and stop; nothing is trained or written")


def main() -> int:
    with interrupts.watch_signals() as watch:
        return _run(watch)


def _run(watch: interrupts.SignalWatch) -> int:
    # Check these flags before JAX starts; `request` uses them later.
    for name in ("model", "task"):
        cli.required(FLAGS, name)
    parse_hparams(FLAGS.hparams)
    if FLAGS.tune and FLAGS.learning_rate is not None:
        raise NmbenchError("--tune chooses the learning rate; give only one of --tune and --learning_rate")
    if FLAGS.first_seed + FLAGS.seeds > 1 << 31:
        raise NmbenchError("seeds must be below 2147483648; choose a smaller --first_seed")
    logged = loggers.parse(FLAGS.log)
    if not 0 <= FLAGS.checkpoint_minutes < float("inf"):
        raise NmbenchError(f"--checkpoint_minutes must be 0 or more, got {FLAGS.checkpoint_minutes}")
    devices.start(FLAGS.devices)
    plugins.load_all(FLAGS.plugin)

    from nmbench.experiments import resolution, running, tuning
    from nmbench.report import leaderboard
    from nmbench.results.store import Store
    from nmbench.support.progress import Progress
    from nmbench.training.checkpoints import Checkpoints

    asked = request(FLAGS)
    experiment = resolution.resolve(asked)
    seeds = range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds)
    if FLAGS.tune:
        tuning.check(experiment)
        tuning.check_seeds(seeds, experiment)
    store = Store(FLAGS.results_dir)
    if not FLAGS.resolve_only:
        store.prepare()
    print(describe(experiment), file=sys.stderr)
    if FLAGS.resolve_only:
        return 0
    steps = experiment.steps
    checkpoints = Checkpoints(store.checkpoints, minutes=FLAGS.checkpoint_minutes, watch=watch)
    if FLAGS.tune:
        groups = tuning.plan(experiment, store, checkpoints, force=FLAGS.force)
        say_resumed("tuning run", groups, steps)
        with Progress("tuning", steps, first_step(groups)) as progress:
            choice = tuning.tune(
                experiment,
                store,
                force=FLAGS.force,
                report=progress,
                checkpoints=checkpoints,
                planned=groups or None,
                say=lambda line: print(line, file=sys.stderr),
            )
        print(describe_tuning(choice), file=sys.stderr)
        experiment = resolution.resolve(asked, choice)
    plan = running.plan(experiment, seeds, store, checkpoints, force=FLAGS.force, retry_failed=FLAGS.retry_failed)
    if plan.stored:
        print(
            f"{len(plan.stored)} of {len(seeds)} runs are already in {store.runs} (--force trains them again)",
            file=sys.stderr,
        )
    say_resumed("run", plan.groups, steps)
    left = len(plan.missing)
    label = f"{asked.model}, {left} seed{'' if left == 1 else 's'}"
    with Progress(label, steps if left else 0, first_step(plan.groups)) as progress:
        log_to = loggers.Loggers(logged, store.root / "logs")
        rows = running.run_seeds(
            experiment, seeds, store, report=progress, loggers=log_to, checkpoints=checkpoints, planned=plan
        )
    if FLAGS.collect:
        everything = store.collect()
        mine = rows[0]
        same = ("task", "protocol", "departures", "params_target", "task_version", "testset_sha256")
        shown = [row for row in everything if all(row[name] == mine[name] for name in same)]
        print(leaderboard.of_rows(shown, terminal.width()))
        print(f"\n{len(everything)} rows in {store.csv}; run folders in {store.runs}", file=sys.stderr)
    lost = [row for row in rows if row["status"] != "ok"]
    for row in lost:
        print(f"seed {row['seed']}: {row['status']}: {row['error']}", file=sys.stderr)
    if any(row["status"] == "diverged" for row in lost):
        print(after_divergence(experiment), file=sys.stderr)
    return 1 if lost else 0


def request(flags):
    """The `nmbench.experiments.request.Request` that these parsed flags of the command make."""
    from nmbench.experiments.request import Request

    return Request(
        model=cli.required(flags, "model"),
        task=cli.required(flags, "task"),
        budget=flags.budget,
        hparams=parse_hparams(flags.hparams),
        protocol=flags.protocol,
        learning_rate=flags.learning_rate,
        steps=flags.steps,
        data_seed=flags.data_seed,
        allow_budget_miss=flags.allow_budget_miss,
        devices=flags.devices,
        remat=flags.remat,
    )


def say_resumed(what: str, groups, steps: int) -> None:
    """Print one line for each group of runs that resumes from a checkpoint."""
    for group in groups:
        if group.step:
            many = "s" if len(group.indices) > 1 else ""
            print(f"{len(group.indices)} {what}{many} resumed at step {group.step} of {steps}", file=sys.stderr)


def first_step(groups) -> int:
    """The step at which the progress bar starts: that of the first group."""
    return groups[0].step if groups else 0


def describe(experiment) -> str:
    """One line that describes the experiment: model, task, protocol, size and learning rate."""
    size, rate = experiment.sizing, experiment.learning_rate
    hparams = ", ".join(f"{name}={value}" for name, value in size.hparams.items())
    target = "" if size.target is None else f" (budget {size.target}, {size.deviation:+.1%})"
    return (
        f"{experiment.baseline.name} on {experiment.task.name}, protocol {experiment.protocol.name}: {size.actual} "
        f"parameters{target}, {hparams}; learning rate {rate.value:g} ({rate.record.get('source', '')})"
    )


def after_divergence(experiment) -> str:
    """One line on what to do about runs that diverged."""
    name, plugin = experiment.baseline.name, plugin_files.flag(experiment.baseline.path)
    tune = ", or --tune" if experiment.protocol.learning_rate_grid else ""
    return (
        f"if runs diverge, try a lower learning rate than {experiment.learning_rate.value:g} (--learning_rate{tune}); "
        f"python -m nmbench.check --model={name}{plugin} checks the model"
    )


def describe_tuning(choice) -> str:
    """One line with the validation loss (geometric mean) and the failures of each learning rate, and the chosen one."""
    from nmbench.contracts import tuning_record

    record = choice.record
    means = tuning_record.mean_logs(record["validation_losses"])
    listed = ", ".join(
        f"{rate:g}: {10**mean:.3g}" + (f" ({failed} of {len(record['seeds'])} failed)" if failed else "")
        for rate, mean, failed in zip(record["grid"], means, record["failed"], strict=True)
    )
    return (
        f"tuning, validation loss (geometric mean) by learning rate: {listed}; "
        f"chosen {choice.value:g} after {choice.tuning_runs} tuning runs"
    )


def parse_hparams(text: str) -> dict[str, str]:
    """Parse "M=5,N=18" to {"M": "5", "N": "18"}; raises `NmbenchError` if the text does not have this form."""
    hparams: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise NmbenchError(f"--hparams: {part!r} is not of the form K=V; write --hparams=N=18,K=8")
        if name.strip() in hparams:
            raise NmbenchError(f"--hparams: {name.strip()!r} is given twice")
        hparams[name.strip()] = value.strip()
    return hparams


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.run")
