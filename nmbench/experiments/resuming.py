"""Train runs with checkpoints. Runs with checkpoints at the same step are trained together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nmbench.experiments.experiment import Experiment
from nmbench.support.loggers import Log
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.snapshot import Snapshot
from nmbench.training.trainer import Trainer, TrainingRun

# Called with the number of steps done and the losses of all runs, `[runs]`.
Report = Callable[[int, np.ndarray], None]


class RunGroup(NamedTuple):
    """Runs that are trained together.

    Attributes:
      indices: positions of these runs among all runs of the command.
      snapshots: one per run, empty if the runs start from the beginning.
      step: number of steps that the runs have done.
    """

    indices: list[int]
    snapshots: list[Snapshot]
    step: int


def group_runs(experiment: Experiment, keys: Sequence[str], checkpoints: Checkpoints) -> list[RunGroup]:
    """Group runs by the step of their checkpoints, most advanced group first. keys: names of the checkpoints."""
    found = [checkpoints.load(key) for key in keys]
    members: dict[tuple[int, int], list[int]] = {}
    for i, one in enumerate(found):
        members.setdefault((one.phase, one.step) if one else (-1, 0), []).append(i)
    return [
        RunGroup(
            indices=indices,
            snapshots=[one for i in indices if (one := found[i]) is not None],
            step=sum(p.steps for p in experiment.phases[: max(phase, 0)]) + step,
        )
        for (phase, step), indices in sorted(members.items(), reverse=True)
    ]


def new_trainer(experiment: Experiment, runs: Sequence[TrainingRun], group: RunGroup) -> Trainer:
    """The trainer of one group."""
    return Trainer(experiment.training_setup(), [runs[i] for i in group.indices], group.snapshots)


def train_group(
    trainer: Trainer, group: RunGroup, count: int, checkpoints: Checkpoints, report: Report, log: Log | None = None
) -> None:
    """Train one group to the end. Call it inside `checkpoints.training`.

    Args:
      trainer: the trainer of the group.
      group: the runs.
      count: number of all runs of the command.
      checkpoints: updated between chunks.
      report: called with the step and the losses of all runs; losses of other groups are NaN.
      log: receives the losses at every validation. Resumed runs first repeat the losses from before the interruption.
    """
    for i, snapshot in zip(group.indices, group.snapshots, strict=False):
        for point in snapshot.curve if log else ():
            log.step([i], point.step, np.array([point.train_loss]), np.array([point.validation_loss]))
    for piece in trainer:
        if piece.train_losses is not None:
            losses = np.full(count, np.nan)
            losses[group.indices] = piece.train_losses
            report(piece.step, losses)
            if piece.validation_losses is None:
                continue
            if log:
                log.step(group.indices, piece.step, piece.train_losses, piece.validation_losses)
        checkpoints.update()
