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

from nmbench.errors import NmbenchError
from nmbench.experiment import ENGINE_VERSION, Cell, Tuning
from nmbench.protocol import Phase
from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.training import Lane, Report


def check(cell: Cell) -> None:
    """Raise `NmbenchError` if the cell's protocol is not tuned."""
    if not cell.protocol.learning_rate_grid:
        raise NmbenchError(f"protocol {cell.protocol.name!r} of {cell.task.name} declares no grid of learning rates to tune")


def tune(cell: Cell, store: Store, *, force: bool = False, report: Report = lambda step, losses: None) -> Tuning:
    """Run the grid, or read it back if the store holds this very tuning, and return the choice.

    Raises:
      NmbenchError: no grid, every rate diverged, or the record cannot be written.
    """
    check(cell)
    grid, seeds = cell.protocol.learning_rate_grid, cell.protocol.tuning_seeds
    config = {name: value for name, value in cell.config(seed=0).items() if name not in _VARIES}
    config["protocol"] = cell.protocol.resolve(cell.phases, 1.0)
    key = hashlib.sha256(schema.canonical_json({**config, "grid": grid, "seeds": seeds}).encode()).hexdigest()[:12]
    name = f"{cell.baseline.name}.{cell.task.name}.{cell.protocol.name}.{key}"
    record = None if force else store.load_tuning(name)
    if record is None:
        lanes = [Lane(seed, rate) for rate in grid for seed in seeds]
        results, timing = cell.train(lanes, report)
        losses = [criterion(cell.phases, r.phase_losses) if r.diverged_at is None else math.inf for r in results]
        record = summarise(cell, grid, seeds, losses)
        record["train_s"] = round(timing.train_s, 1)
        store.save_tuning(name, record)
    return Tuning(float(record["chosen"]), len(grid) * len(seeds), {"source": "tuned in this results folder", **record})


def criterion(phases: Sequence[Phase], losses: Sequence[float]) -> float:
    """One number for a trial, from the selected validation loss of each phase."""
    by_set = {phase.validation: loss for phase, loss in zip(phases, losses, strict=True)}
    return sum(by_set.values()) / len(by_set)


def summarise(cell: Cell, grid, seeds, losses: list[float]) -> dict[str, Any]:
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
