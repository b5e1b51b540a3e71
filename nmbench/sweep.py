"""Train a grid of models, tasks, budgets and seeds, each cell in a process of its own, and print the leaderboard.

  python -m nmbench.sweep --models=nmrnn,lstm --tasks=all --budgets=250,500,1000 --seeds=10

--dry_run shows what there is to do and what it will cost. What is in the results folder already is not done again: the
same command goes on after Ctrl-C, a crash or a new model. Combinations that make no sense (a budget that a model cannot
meet, a task that retrains a part which the model does not name) are left out and said so. A cell whose process crashes,
is killed or runs out of time becomes rows with status failed or timeout, and the sweep goes on; later calls take such
rows for done unless --retry_failed is given. Each cell's output is in logs/sweep/ of the results folder. With
--shard=i/n, n independent calls share the work, on any machines that share the folder. --sweep=FILE.toml (or .yaml) holds
flags by name; flags given on the command line win. --executor=slurm makes every cell a job of an array; Ctrl-C then ends
the watching and leaves the jobs, and the same command watches them again (scancel ends them). Exit codes: 0, all is there;
1, some run failed or diverged; 2, bad input; 130 and 143, told to stop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import sys
from collections.abc import Iterator

from nmbench.contracts import plugins
from nmbench.support import cli, devices, interrupts
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.sweeps.slurm import settings

FLAGS = cli.new_flags("results_dir", "plugin")
cli.string(FLAGS, "sweep", None, "TOML or YAML file that holds flags of this command by name")
cli.string(FLAGS, "models", None, "models: names that `nmbench list` shows, with commas, or all")
cli.string(FLAGS, "tasks", None, "tasks: names that `nmbench list` shows, with commas, or all")
cli.string(FLAGS, "budgets", "default", "numbers of learned parameters, with commas; default: the task's own")
cli.string(FLAGS, "protocols", "default", "training protocols, with commas; default: the task's first, matched")
cli.integer(FLAGS, "seeds", 10, "number of seeds", lower=1)
cli.integer(FLAGS, "first_seed", 0, "first seed")
cli.integer(FLAGS, "data_seed", 0, "seed of the training data, the same for all models and seeds")
cli.integer(FLAGS, "steps", None, "training steps instead of the protocol's", lower=1)
cli.boolean(FLAGS, "tune", False, "choose each cell's learning rate from its protocol's grid first, on validation data")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept models more than 5% off a budget instead of leaving them out")
cli.boolean(FLAGS, "remat", False, "bound memory on long trials, as in `nmbench run`")
cli.boolean(
    FLAGS, "retry_failed", False, "do again runs whose rows say failed or timeout, from their checkpoints if there are any"
)
cli.choice(
    FLAGS, "executor", "local", ["local", "slurm"], "what runs the cells: processes on this machine, or a Slurm cluster"
)
cli.integer(FLAGS, "workers", 1, "cells at a time on this machine; each keeps to its share of the cores", lower=1)
cli.integer(FLAGS, "devices", None, "JAX devices that a cell spreads its seeds over; all its cores by default", lower=1)
cli.string(FLAGS, "shard", None, "only part i of n, i/n with i from 1 to n; the same parts whatever is done already")
cli.number(FLAGS, "timeout_minutes", None, "time limit of a cell; its runs become rows with status timeout")
cli.number(FLAGS, "checkpoint_minutes", 5.0, "minutes between checkpoints of runs in training; 0: at every validation")
cli.boolean(FLAGS, "dry_run", False, "show what there is to do, with an estimate of core-hours, and stop")
settings.define(FLAGS)


def main() -> int:
    with interrupts.watched():
        return _sweep()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: a grid is many objects that stay; looking at them again is an eighth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _sweep() -> int:
    if FLAGS.sweep is not None:
        from nmbench.sweeps import configfile

        configfile.apply(FLAGS.sweep, FLAGS, sorted(set(FLAGS) - {"sweep", "help"}))
    _check_flags()
    devices.prepare(1)
    plugins.load_all(FLAGS.plugin)

    from nmbench.experiments.resolve_cache import ResolveCache
    from nmbench.results.store import Store
    from nmbench.sweeps import estimate, grid, standing

    with _uncollected():
        asked = request()
        executor = make_executor()
        executor.check()
        grid.shard([], FLAGS.shard)
        known = ResolveCache(many=True, quick=FLAGS.dry_run)
        cells = grid.build(asked, known)
        store = Store(asked.results_dir)
        names = store.names()
        estimator = estimate.Estimator(known)
        estimator.learn_from(store, names)
        mine = grid.shard(cells.places, FLAGS.shard)
        stand = standing.standings(mine, asked, store, names, estimator)
    if FLAGS.dry_run:
        print(standing.table(stand, cells.left_out, len(asked.seeds)))
        print(f"\n{standing.note(estimator)}")
        for one in cells.left_out:
            print(f"left out: {one}")
        return 0
    store.prepare()
    return _run(asked, executor, store, cells.left_out, stand)


def _run(asked, executor, store, left_out, stand) -> int:
    from nmbench.report import leaderboard
    from nmbench.sweeps import standing
    from nmbench.sweeps.display import Display

    for one in left_out:
        print(f"left out: {one}", file=sys.stderr)
    todo = standing.jobs_of(stand, asked)
    print(standing.summary(stand, todo), file=sys.stderr)
    cores = min(devices.cores(), FLAGS.workers * (FLAGS.devices or devices.cores())) if FLAGS.executor == "local" else None
    with Display(todo, cores) as display:
        outcomes = executor.run(todo, display) if todo else []
    store.collect()
    rows = standing.rows_of(stand, asked, store)
    if rows:
        print(leaderboard.of_rows(rows))
    problems = standing.problems(rows, outcomes)
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


def make_executor():
    """The executor that the flags ask for."""
    timeout_s = None if FLAGS.timeout_minutes is None else 60 * FLAGS.timeout_minutes
    if FLAGS.executor == "slurm":
        from nmbench.sweeps.slurm.executor import SlurmExecutor

        return SlurmExecutor(settings.parse(FLAGS), timeout_s, FLAGS.wait)
    from nmbench.sweeps.local import LocalExecutor

    return LocalExecutor(FLAGS.workers, timeout_s)


def request():
    """The `nmbench.sweeps.grid.Asked` that parsed flags of this command ask for."""
    from nmbench.contracts.catalog import BASELINES, TASKS
    from nmbench.sweeps import grid

    seeds = range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds)
    asked = grid.Asked(
        models=_names("models", BASELINES),
        tasks=_names("tasks", TASKS),
        protocols=tuple(None if name == "default" else name for name in _words("protocols")),
        budgets=tuple(_budget(word) for word in _words("budgets")),
        seeds=seeds,
        results_dir=FLAGS.results_dir,
        plugins=tuple(FLAGS.plugin),
        data_seed=FLAGS.data_seed,
        steps=FLAGS.steps,
        allow_budget_miss=FLAGS.allow_budget_miss,
        remat=FLAGS.remat,
        devices=FLAGS.devices,
        tune=FLAGS.tune,
        retry_failed=FLAGS.retry_failed,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
    )
    if FLAGS.executor == "local" and FLAGS.devices is None and not devices.can_pin():
        # Elsewhere a child takes as many devices as it has cores.
        asked = dataclasses.replace(asked, devices=max(1, devices.cores() // FLAGS.workers))
    return asked


def _check_flags() -> None:
    for name in ("models", "tasks"):
        if not getattr(FLAGS, name):
            raise NmbenchError(
                f"--{name} is missing; give --{name}=NAME,NAME or --{name}=all (`nmbench list` shows the names)"
            )
    if FLAGS.first_seed + FLAGS.seeds > 1 << 31:
        raise NmbenchError("seeds must stay below 2147483648; choose a smaller --first_seed")
    if not 0 <= FLAGS.checkpoint_minutes < math.inf:
        raise NmbenchError(f"--checkpoint_minutes must be 0 or more, got {FLAGS.checkpoint_minutes}")
    if FLAGS.timeout_minutes is not None and not 0 < FLAGS.timeout_minutes < math.inf:
        raise NmbenchError(f"--timeout_minutes must be positive, got {FLAGS.timeout_minutes}")


def _words(flag: str) -> list[str]:
    """The parts of a flag with commas, each once."""
    words = [word.strip() for word in getattr(FLAGS, flag).split(",")]
    if not all(words):
        raise NmbenchError(
            f"--{flag}={getattr(FLAGS, flag)!r} has an empty part; write names with single commas between them"
        )
    return list(dict.fromkeys(words))


def _names(flag: str, registry) -> tuple[str, ...]:
    words, known = _words(flag), [entry.name for entry in registry.entries()]
    for word in words:
        if word != "all" and word not in registry:
            raise NmbenchError(f"--{flag}: unknown {registry.kind} {word!r}{did_you_mean(word, [*known, 'all'])}")
    return tuple(known if "all" in words else words)


def _budget(word: str) -> int | None:
    if word == "default":
        return None
    if not (word.isascii() and word.isdecimal() and int(word[:20]) > 0 and len(word) < 20):
        raise NmbenchError(f"--budgets: {word!r} is not a number of parameters; write --budgets=250,500 or default")
    return int(word)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.sweep")
