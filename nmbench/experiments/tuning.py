"""`--tune`: choose a model's learning rate from the protocol's declared grid, on validation data alone.

Every rate gets the same number of trials, with seeds that no result uses. The rate with the lowest mean validation loss
over its seeds wins; the mean, because a rate that fails on one seed of three is not a reliable one. A trial that diverges
counts as infinite. Where phases validate on different sets, a trial's loss is the mean over these sets, each taken at the
end of the last phase that uses it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from nmbench.contracts.protocol import Phase
from nmbench.experiments import resuming
from nmbench.experiments.experiment import ENGINE_VERSION, Experiment, Tuning
from nmbench.experiments.resuming import RunGroup
from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.trainer import Report, Timing, TrainedRun, TrainingRun


def check(cell: Experiment) -> None:
    """Raise `NmbenchError` if the cell's protocol is not tuned."""
    if not cell.protocol.learning_rate_grid:
        raise NmbenchError(f"protocol {cell.protocol.name!r} of {cell.task.name} declares no grid of learning rates to tune")


def name_of(cell: Experiment) -> str:
    """Name of the cell's tuning record: all that determines it, hashed."""
    grid, seeds = cell.protocol.learning_rate_grid, cell.protocol.tuning_seeds
    config = {name: value for name, value in cell.config(seed=0).items() if name not in _VARIES}
    config["protocol"] = cell.protocol.resolve(cell.phases, 1.0)
    key = hashlib.sha256(schema.canonical_json({**config, "grid": grid, "seeds": seeds}).encode()).hexdigest()[:12]
    return f"{cell.baseline.name}.{cell.task.name}.{cell.protocol.name}.{key}"


def plan(cell: Experiment, store: Store, checkpoints: Checkpoints, *, force: bool = False) -> list[RunGroup]:
    """Which trials go on from where; none if the store holds this very tuning. With `force` they all start anew."""
    keys = [_key(name_of(cell), lane) for lane in _trials(cell)]
    if not force and store.load_tuning(name_of(cell)) is not None:
        return []
    for key in keys if force else ():
        checkpoints.discard(key)
    return resuming.stand(cell, keys, checkpoints)


def tune(
    cell: Experiment,
    store: Store,
    *,
    force: bool = False,
    report: Report = lambda step, losses: None,
    checkpoints: Checkpoints | None = None,
    planned: list[RunGroup] | None = None,
) -> Tuning:
    """Run the grid, or read it back if the store holds this very tuning, and return the choice.

    Args:
      cell: what to tune; its own rate does not matter.
      store: where the record is looked up and stored.
      force: do it again.
      report: called with the steps done and the losses of all trials.
      checkpoints: where trials that were cut short go on from; those of the store by default.
      planned: what `plan` returned, if the caller has asked for it already.

    Raises:
      NmbenchError: no grid, every rate diverged, or the record cannot be written.
      Interrupted: the command was told to stop; the trials are in the checkpoints then.
    """
    check(cell)
    grid, seeds, name = cell.protocol.learning_rate_grid, cell.protocol.tuning_seeds, name_of(cell)
    record = None if force else store.load_tuning(name)
    if record is None:
        checkpoints = checkpoints or Checkpoints(store.checkpoints)
        groups = plan(cell, store, checkpoints, force=force) if planned is None else planned
        trials = _trials(cell)
        keys = [_key(name, lane) for lane in trials]
        losses: dict[int, float] = {}
        seconds = [0.0]

        def finish(group: RunGroup, results: list[TrainedRun], timing: Timing) -> None:
            for place, r in zip(group.places, results, strict=True):
                losses[place] = criterion(cell.phases, r.phase_losses) if r.diverged_at is None else math.inf
            seconds[0] += timing.train_s + sum(s.train_s for s in group.snapshots)
            if len(losses) < len(trials):
                checkpoints.rescue()  # for the record, which needs all of them
                return
            record = summarise(cell, grid, seeds, [losses[i] for i in range(len(trials))])
            record["train_s"] = round(seconds[0], 1)
            store.save_tuning(name, record)

        resuming.train_resumably(cell, trials, keys, groups, checkpoints, report, finish)
        for key in keys:
            checkpoints.discard(key)
        record = store.load_tuning(name)
        if record is None:
            raise NmbenchError(f"the tuning record {name} was stored in {store.tuning} and is gone; run the command again")
    return _choice(cell, record)


def stored(cell: Experiment, store: Store) -> Tuning | None:
    """What `tune` would return without training, None if the store does not hold this very tuning."""
    record = store.load_tuning(name_of(cell))
    return None if record is None else _choice(cell, record)


def _choice(cell: Experiment, record: dict[str, Any]) -> Tuning:
    trials = len(cell.protocol.learning_rate_grid) * len(cell.protocol.tuning_seeds)
    return Tuning(float(record["chosen"]), trials, {"source": "tuned in this results folder", **record})


def _trials(cell: Experiment) -> list[TrainingRun]:
    """One lane per (rate, seed), rates outermost."""
    return [TrainingRun(seed, rate) for rate in cell.protocol.learning_rate_grid for seed in cell.protocol.tuning_seeds]


def _key(name: str, lane: TrainingRun) -> str:
    return f"tuning.{name}.s{lane.seed}.r{lane.learning_rate!r}"


def criterion(phases: Sequence[Phase], losses: Sequence[float]) -> float:
    """One number for a trial, from the selected validation loss of each phase."""
    by_set = {phase.validation: loss for phase, loss in zip(phases, losses, strict=True)}
    return sum(by_set.values()) / len(by_set)


def summarise(cell: Experiment, grid, seeds, losses: list[float]) -> dict[str, Any]:
    """The tuning record. losses: one per (rate, seed), rates outermost; None in the record stands for diverged."""
    n = len(seeds)
    by_rate = [losses[i * n : (i + 1) * n] for i in range(len(grid))]
    means = [sum(values) / n for values in by_rate]
    best = min(range(len(grid)), key=lambda i: (means[i], grid[i]))
    if math.isinf(means[best]):
        raise NmbenchError(f"{cell.baseline.name} diverged on {cell.task.name} at every learning rate of {list(grid)}")
    finite = lambda value: value if math.isfinite(value) else None
    return {
        "engine": ENGINE_VERSION,
        "model": cell.baseline.name,
        "task": cell.task.name,
        "task_version": cell.task.version,
        "protocol": cell.protocol.name,
        "hparams": cell.sizing.hparams,
        "params": cell.sizing.actual,
        "steps": sum(p["steps"] for p in cell.resolved_protocol()["phases"]),
        "validation_sha256": cell.validation_sha256,
        "criterion": "lowest mean over seeds of the selected validation loss; null: diverged",
        "grid": list(grid),
        "seeds": list(seeds),
        "validation_losses": [[finite(v) for v in values] for values in by_rate],
        "mean_validation_loss": [finite(v) for v in means],
        "chosen": grid[best],
    }


_VARIES = ("seed", "learning_rate", "tuning_trials", "protocol", "testset_sha256")
