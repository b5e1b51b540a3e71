"""Training lanes with checkpoints: which of them stand where, those that stand alike together."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nmbench.training import snapshot, state
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.snapshot import Snapshot
from nmbench.training.trainer import Report, Timing, TrainedRun, TrainingRun

if TYPE_CHECKING:
    from nmbench.experiments.experiment import Experiment


class RunGroup(NamedTuple):
    """Lanes that are trained together: which ones, where each stands (empty if they start), and after how many steps."""

    places: list[int]
    snapshots: list[Snapshot]
    step: int


def train_resumably(
    cell: Experiment,
    lanes: Sequence[TrainingRun],
    keys: Sequence[str],
    groups: Sequence[RunGroup],
    checkpoints: Checkpoints,
    report: Report,
    finish: Callable[[RunGroup, list[TrainedRun], Timing], None],
    log: Callable[[Sequence[int], int, np.ndarray, np.ndarray], None] = lambda places, step, losses, validation: None,
) -> None:
    """Train lanes, one group after the other, with checkpoints.

    Args:
      cell: what they are runs of.
      lanes: the runs.
      keys: names of their checkpoints.
      groups: what `stand` says of them.
      checkpoints: where they are kept.
      report: see `nmbench.training.trainer.train`; its losses are those of all `lanes`, not a number for those of other groups.
      finish: called with each group when it is trained, to store what is of worth; it discards the checkpoints.
      log: called with the places of a group's lanes, then as in `nmbench.training.trainer.train`; of lanes that go on from a
        checkpoint it hears what lies behind them first.
    """
    for group in groups:

        def spread(step: int, losses: np.ndarray, places: list[int] = group.places) -> None:
            everyone = np.full((len(lanes),), np.nan)
            everyone[places] = losses
            report(step, everyone)

        for place, behind in zip(group.places, group.snapshots, strict=False):
            for point in behind.curve:
                log([place], point.step, np.array([point.train_loss]), np.array([point.validation_loss]))
        mine = [lanes[i] for i in group.places]
        with checkpoints.training([keys[i] for i in group.places], _checkpoint_bytes(cell)):
            logged = functools.partial(log, group.places)
            results, timing = cell.train(mine, spread, log=logged, keep=checkpoints.keep, resume=group.snapshots)
            finish(group, results, timing)


def stand(cell: Experiment, keys: Sequence[str], checkpoints: Checkpoints) -> list[RunGroup]:
    """Lanes by how far they are: those at the same step are trained together, those that are furthest first."""
    shapes = functools.cache(lambda: state.shapes(cell.model, cell.baseline, cell.phases))
    read = lambda arrays, facts: snapshot.unpack(arrays, facts, cell.phases, cell.protocol.validate_every, *shapes())
    found = [checkpoints.load(key, read) for key in keys]
    places: dict[tuple[int, int], list[int]] = {}
    for i, one in enumerate(found):
        places.setdefault((one.phase, one.step) if one else (-1, 0), []).append(i)
    groups = []
    for (phase, step), members in sorted(places.items(), reverse=True):
        done = sum(p.steps for p in cell.phases[: max(phase, 0)]) + step
        groups.append(RunGroup(members, [one for i in members if (one := found[i]) is not None], done))
    return groups


def _checkpoint_bytes(cell: Experiment) -> int:
    """A bound on the size of one lane's checkpoint."""
    states, params = state.shapes(cell.model, cell.baseline, cell.phases)
    size = lambda leaves: sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize + 300 for leaf in leaves.values())
    points = sum(math.ceil(phase.steps / cell.protocol.validate_every) for phase in cell.phases)
    total = max(map(size, states)) + 2 * len(cell.phases) * size(params) + 24 * points + 4096
    return 4096 * math.ceil(total / 4096)
