"""Train a model on a task with several seeds, evaluate it on the frozen test set, record it, print the leaderboard.

  python -m nmbench.run --model=nmrnn --task=element_finder

Runs that are already in the results folder are not done again (--force does them again, --retry_failed those that a sweep
lost to a crash or a time limit). Ctrl-C (or SIGTERM, as Slurm sends) stops; what is finished is kept, runs in training leave
a checkpoint, and the same command goes on from there and ends with the very same parameters. Checkpoints are written every
few minutes as well, so a killed process loses no more than that.
"""

from __future__ import annotations

import sys

from nmbench.contracts import plugins
from nmbench.support import cli, devices, interrupts, loggers
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("model", "task", "results_dir", "plugin")
cli.integer(FLAGS, "budget", None, "number of learned parameters; the task's own by default", lower=1)
cli.string(FLAGS, "hparams", "", "sizes and settings of the model instead of a budget, as K=V,K=V")
cli.string(FLAGS, "protocol", None, "training protocol: matched (default), paper, ...; see `nmbench describe TASK`")
cli.integer(FLAGS, "seeds", 10, "number of seeds", lower=1)
cli.integer(FLAGS, "first_seed", 0, "first seed")
cli.integer(FLAGS, "data_seed", 0, "seed of the training data, the same for all models and seeds")
cli.integer(FLAGS, "steps", None, "training steps instead of the protocol's", lower=1)
cli.number(FLAGS, "learning_rate", None, "learning rate instead of the tuned or published one")
cli.boolean(FLAGS, "tune", False, "choose the learning rate from the protocol's grid first, on validation data")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept a model more than 5% off its budget")
cli.boolean(FLAGS, "force", False, "train again what is already in the results folder")
cli.boolean(
    FLAGS,
    "retry_failed",
    False,
    "train again runs whose rows say failed or timeout; from their checkpoints, if there are any",
)
cli.integer(FLAGS, "devices", None, "JAX devices to spread the seeds over; all cores by default", lower=1)
cli.boolean(
    FLAGS, "remat", False, "bound memory on long trials: recompute activations for the gradient instead of keeping them"
)
cli.string(
    FLAGS, "log", "", "log training to tensorboard, wandb or both (tensorboard,wandb), into logs/ of the results folder"
)
cli.number(FLAGS, "checkpoint_minutes", 5.0, "minutes between checkpoints of runs in training; 0: at every validation")
cli.boolean(FLAGS, "collect", True, "make results.csv anew from all run folders and print the leaderboard at the end")
cli.boolean(FLAGS, "resolve_only", False, "print what would be run and stop")


def main() -> int:
    with interrupts.watch_signals() as watch:
        return _run(watch)


def _run(watch: interrupts.SignalWatch) -> int:
    # Checked before JAX is started; `request` takes them later.
    for name in ("model", "task"):
        cli.required(FLAGS, name)
    parse_hparams(FLAGS.hparams)
    if FLAGS.tune and FLAGS.learning_rate is not None:
        raise NmbenchError("--tune chooses the learning rate; give one of --tune and --learning_rate")
    if FLAGS.first_seed + FLAGS.seeds > 1 << 31:
        raise NmbenchError("seeds must stay below 2147483648; choose a smaller --first_seed")
    logged = loggers.parse(FLAGS.log)
    if not 0 <= FLAGS.checkpoint_minutes < float("inf"):
        raise NmbenchError(f"--checkpoint_minutes must be 0 or more, got {FLAGS.checkpoint_minutes}")
    devices.prepare(FLAGS.devices)
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
                experiment, store, force=FLAGS.force, report=progress, checkpoints=checkpoints, planned=groups or None
            )
        print(describe_tuning(choice), file=sys.stderr)
        experiment = resolution.resolve(asked, choice)
    plan = running.plan(experiment, seeds, store, checkpoints, force=FLAGS.force, retry_failed=FLAGS.retry_failed)
    if plan.stored:
        print(
            f"{len(plan.stored)} of {len(seeds)} runs are in {store.runs} already (--force trains them again)",
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
        same = ("task", "protocol", "params_target", "task_version", "testset_sha256")
        shown = [row for row in everything if all(row[name] == mine[name] for name in same)]
        print(leaderboard.of_rows(shown))
        print(f"\n{len(everything)} rows in {store.csv}; run folders in {store.runs}", file=sys.stderr)
    lost = [row for row in rows if row["status"] != "ok"]
    for row in lost:
        print(f"seed {row['seed']}: {row['status']}: {row['error']}", file=sys.stderr)
    return 1 if lost else 0


def request(flags):
    """The `nmbench.experiments.request.Request` of parsed flags of this command."""
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
    """The step at which the progress bar starts."""
    return groups[0].step if groups else 0


def describe(experiment) -> str:
    """One line on what will be trained."""
    size, rate = experiment.sizing, experiment.learning_rate
    hparams = ", ".join(f"{name}={value}" for name, value in size.hparams.items())
    target = "" if size.target is None else f" (budget {size.target}, {size.deviation:+.1%})"
    return (
        f"{experiment.baseline.name} on {experiment.task.name}, protocol {experiment.protocol.name}: {size.actual} "
        f"parameters{target}, {hparams}; learning rate {rate.value:g} ({rate.record.get('source', '')})"
    )


def describe_tuning(choice) -> str:
    """The grid with its mean validation losses, and the choice."""
    losses = zip(choice.record["grid"], choice.record["mean_validation_loss"], strict=True)
    listed = ", ".join(f"{rate:g}: {'diverged' if loss is None else format(loss, '.4g')}" for rate, loss in losses)
    return f"tuning, mean validation loss by rate: {listed}; chosen {choice.value:g} after {choice.tuning_runs} tuning runs"


def parse_hparams(text: str) -> dict[str, str]:
    """ "M=5,N=18" to {"M": "5", "N": "18"}; raises `NmbenchError` on anything else."""
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
