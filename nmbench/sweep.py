"""Train a grid of models, tasks, protocols and budgets, each experiment in its own process, and print the leaderboard.

  python -m nmbench.sweep --models=nmrnn,lstm --tasks=all --budgets=250,500,1000 --seeds=10

--dry_run counts pending runs, and shows estimated core-hours and skipped combinations, such as a budget that a model cannot
meet. Stored runs are not trained again, so the same command continues after Ctrl-C or a crash. If the process of an
experiment crashes, is killed or exceeds its time limit, its runs become rows with status failed or timeout, and the sweep
continues; --retry_failed trains such runs again. If the learning rate of the experiment was not tuned before the sweep
(--tune), no such rows are written, and the same command starts it again. The output of each experiment is in logs/sweep/ of
the results folder.

With --shard=i/n, n independent calls divide the work, on any machines that share the folder. --sweep=FILE.toml (or .yaml)
names a file with flags other than --plugin; flags of the command line take precedence. With --executor=slurm every
experiment is a job of an array. Ctrl-C then stops monitoring; jobs continue, and the same command monitors them again
(scancel ends them).

Exit code 0: no failures; 1: a run failed, timed out or diverged; 2: bad input; 130 and 143: stopped by a signal.
"""

from __future__ import annotations

import math
import os
import sys

from nmbench.contracts import plugins
from nmbench.support import cli, devices, interrupts
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.sweeps.slurm import settings

FLAGS = cli.new_flags("results_dir", "plugin")
cli.string(FLAGS, "sweep", None, "TOML or YAML file with flags of this command by name")
cli.string(FLAGS, "models", None, "models, separated by commas, or all; `nmbench list` shows the names")
cli.string(FLAGS, "tasks", None, "tasks, separated by commas, or all; `nmbench list` shows the names")
cli.string(
    FLAGS,
    "budgets",
    "default",
    "numbers of learned parameters, separated by commas; 'default' means the budget of each task",
)
cli.string(
    FLAGS, "protocols", "default", "training protocols, separated by commas; 'default' means the first protocol of each task"
)
cli.strings(FLAGS, "hparams", "hyperparameters as K=V,K=V; give the flag once for each setting of the grid; empty: defaults")
cli.seeds(FLAGS)
cli.integer(FLAGS, "data_seed", 0, "seed of the training data, the same for all models and seeds")
cli.integer(FLAGS, "steps", None, "training steps instead of the protocol's", lower=1)
cli.boolean(FLAGS, "tune", False, "first choose each learning rate from its protocol's grid, on validation data")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept models more than 5% off a budget instead of skipping them")
cli.boolean(FLAGS, "remat", False, "limit memory on long trials, as in `nmbench run`")
cli.boolean(
    FLAGS, "retry_failed", False, "train runs with status failed or timeout again, from checkpoints if there are any"
)
cli.choice(
    FLAGS, "executor", "local", ["local", "slurm"], "local: train in processes on this machine; slurm: on a Slurm cluster"
)
cli.integer(FLAGS, "workers", 1, "experiments at a time on this machine; the cores are divided among them", lower=1)
cli.integer(
    FLAGS, "devices", None, "JAX devices per experiment, among which its seeds are divided; default: its cores", lower=1
)
cli.string(
    FLAGS, "shard", None, "train only part i of n, written i/n with i from 1 to n; stored runs do not change the parts"
)
cli.number(
    FLAGS, "timeout_minutes", None, "time limit of an experiment; its unfinished runs become rows with status timeout"
)
cli.number(FLAGS, "checkpoint_minutes", 5.0, "minutes between checkpoints of runs in training; 0: at every validation")
cli.boolean(FLAGS, "dry_run", False, "count pending runs, show estimated core-hours and skipped combinations, and stop")
settings.define(FLAGS)


def main() -> int:
    with interrupts.watch_signals():
        return _sweep()


def _sweep() -> int:
    from nmbench.sweeps import configfile, plan

    if FLAGS.sweep is not None:
        configfile.apply(FLAGS.sweep, FLAGS, sorted(set(FLAGS) - {"sweep", "plugin", "help"}))
    _check_flags()
    devices.start(1)
    plugins.load_all(FLAGS.plugin)
    request, executor, local = make_request(), make_executor(), FLAGS.executor == "local"
    if FLAGS.dry_run:
        print(plan.make(request, FLAGS.shard))
        _say_if_unable(executor)
        return 0
    executor.check()
    planned = plan.make(request, FLAGS.shard)
    cores = min(devices.cores(), FLAGS.workers * (FLAGS.devices or devices.cores())) if local else None
    result = plan.run(planned, executor, cores)
    if result.leaderboard:
        print(result.leaderboard)
    for line in result.problems:
        print(line, file=sys.stderr)
    return 1 if result.problems else 0


def _say_if_unable(executor) -> None:
    """After a dry run, say what this machine lacks to start the sweep."""
    try:
        executor.check()
    except NmbenchError as error:
        print(f"nmbench.sweep: the sweep cannot start on this machine: {error}", file=sys.stderr)


def make_executor():
    """The executor that the flags ask for."""
    timeout_s = None if FLAGS.timeout_minutes is None else 60 * FLAGS.timeout_minutes
    if FLAGS.executor == "slurm":
        from nmbench.sweeps.slurm.executor import SlurmExecutor

        return SlurmExecutor(settings.parse(FLAGS), timeout_s, FLAGS.wait)
    from nmbench.sweeps.local import LocalExecutor

    return LocalExecutor(FLAGS.workers, timeout_s)


def make_request():
    """The `nmbench.sweeps.grid.SweepRequest` that the flags ask for."""
    from nmbench.contracts.catalog import BASELINES, TASKS
    from nmbench.experiments.request import parse_hparams
    from nmbench.sweeps import grid

    return grid.SweepRequest(
        models=_names("models", BASELINES),
        tasks=_names("tasks", TASKS),
        protocols=tuple(None if name == "default" else name for name in _words("protocols")),
        budgets=tuple(_budget(word) for word in _words("budgets")),
        hparams=tuple(map(parse_hparams, FLAGS.hparams)) or ({},),
        seeds=range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds),
        results_dir=FLAGS.results_dir,
        plugins=tuple(FLAGS.plugin),
        data_seed=FLAGS.data_seed,
        steps=FLAGS.steps,
        allow_budget_miss=FLAGS.allow_budget_miss,
        remat=FLAGS.remat,
        devices=FLAGS.devices or _default_devices(),
        tune=FLAGS.tune,
        retry_failed=FLAGS.retry_failed,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
    )


def _default_devices() -> int | None:
    """Devices per experiment; None: as many as the cores of its process."""
    if FLAGS.executor == "slurm":  # not every cluster restricts a job to its cores
        return FLAGS.slurm_cpus
    return None if devices.can_pin() else max(1, devices.cores() // FLAGS.workers)


def _check_flags() -> None:
    for name in ("models", "tasks"):
        if not getattr(FLAGS, name):
            raise NmbenchError(
                f"--{name} is missing; give --{name}=NAME,NAME or --{name}=all (`nmbench list` shows the names)"
            )
    if os.path.lexists(FLAGS.results_dir) and not os.path.isdir(FLAGS.results_dir):
        raise NmbenchError(f"--results_dir={FLAGS.results_dir} cannot be written, since it is not a folder; choose another")
    if FLAGS.first_seed + FLAGS.seeds > 1 << 31:
        raise NmbenchError("seeds must be below 2147483648; choose a smaller --first_seed")
    if not 0 <= FLAGS.checkpoint_minutes < math.inf:
        raise NmbenchError(f"--checkpoint_minutes must be 0 or more, got {FLAGS.checkpoint_minutes}")
    if FLAGS.timeout_minutes is not None and not 0 < FLAGS.timeout_minutes < math.inf:
        raise NmbenchError(f"--timeout_minutes must be positive, got {FLAGS.timeout_minutes}")


def _words(flag: str) -> list[str]:
    """The values of a flag, separated by commas, without repetitions; raises `NmbenchError` if one is empty."""
    words = [word.strip() for word in getattr(FLAGS, flag).split(",")]
    if not all(words):
        raise NmbenchError(f"--{flag}={getattr(FLAGS, flag)!r} has an empty part; separate the names by single commas")
    return list(dict.fromkeys(words))


def _names(flag: str, registry) -> tuple[str, ...]:
    words, names = _words(flag), [entry.name for entry in registry.entries()]
    for word in words:
        if word != "all" and word not in registry:
            raise NmbenchError(f"--{flag}: unknown {registry.kind} {word!r}{did_you_mean(word, [*names, 'all'])}")
    return tuple(names if "all" in words else words)


def _budget(word: str) -> int | None:
    if word == "default":
        return None
    if not (word.isascii() and word.isdecimal() and int(word[:20]) > 0 and len(word) < 20):
        raise NmbenchError(f"--budgets: {word!r} is not a number of parameters; write --budgets=250,500 or default")
    return int(word)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.sweep")
