"""Where a lane stands between two chunks of training: all that its future depends on, and what lies behind it.

The data of step s of a phase are a function of the data seed, the phase and s, so there is no generator to store: phase and
step say it all. As a file, a snapshot is one flat dict of arrays and a dict of texts, with a hash over both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.frozen_sets import digest
from nmbench.contracts.parameters import Flat
from nmbench.contracts.protocol import Phase
from nmbench.support.errors import NmbenchError


class CurvePoint(NamedTuple):
    """One row of a training curve: after `step` steps in all, mean training loss since the last point, validation loss."""

    step: int
    train_loss: float
    validation_loss: float


class PhaseOutcome(NamedTuple):
    """What a phase ended with: the selected and the last parameters, the step selected (over all phases) and its loss."""

    chosen: Flat
    last: Flat
    step: int
    loss: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One lane after a chunk.

    Attributes:
      phase: number of the phase that it is in.
      step: steps of that phase that are done.
      state: what the phase carries from chunk to chunk: name to array.
      outcomes: of the phases before.
      curve: all points so far.
      diverged_at: see `nmbench.training.trainer.TrainedRun`.
      compile_s, train_s: the lane's share of the seconds spent so far.
    """

    phase: int
    step: int
    state: Flat
    outcomes: list[PhaseOutcome]
    curve: list[CurvePoint]
    diverged_at: int | None
    compile_s: float = 0.0
    train_s: float = 0.0


def pack(snapshot: Snapshot) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, facts) that `unpack` turns back into the same snapshot."""
    arrays = {f"state/{name}": np.asarray(leaf) for name, leaf in snapshot.state.items()}
    for k, outcome in enumerate(snapshot.outcomes):
        arrays.update({f"outcome{k}/chosen/{name}": np.asarray(leaf) for name, leaf in outcome.chosen.items()})
        arrays.update({f"outcome{k}/last/{name}": np.asarray(leaf) for name, leaf in outcome.last.items()})
    # Losses need not be finite, so they are arrays and not JSON.
    arrays["curve"] = np.asarray(snapshot.curve, np.float64).reshape(-1, 3)
    arrays["outcomes"] = np.asarray([(o.step, o.loss) for o in snapshot.outcomes], np.float64).reshape(-1, 2)
    facts = {name: getattr(snapshot, name) for name in ("phase", "step", "diverged_at", "compile_s", "train_s")}
    return arrays, facts


def unpack(
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    phases: Sequence[Phase],
    validate_every: int,
    shapes: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
) -> Snapshot:
    """The snapshot in a file, with everything about it checked that can be.

    Args:
      arrays, facts: what `pack` made.
      phases, validate_every: of the run.
      shapes: for each phase, state leaf to something with a shape and a dtype.
      params: the same for the parameters.

    Raises:
      NmbenchError: it is not of such a run.
    """
    missing = {"phase", "step", "diverged_at", "compile_s", "train_s"} - facts.keys()
    if missing:
        raise NmbenchError(f"it does not say {', '.join(sorted(missing))}")
    phase, step, diverged = facts["phase"], facts["step"], facts["diverged_at"]
    seconds = [facts["compile_s"], facts["train_s"]]
    if not _whole(phase) or phase >= len(phases) or not _whole(step) or step > phases[phase].steps:
        raise NmbenchError(f"it is at step {step} of phase {phase}, which the run does not have")
    points = _points(phases, validate_every, phase, step)
    last = points[-1] if points else 0
    if step and last != sum(p.steps for p in phases[:phase]) + step:
        raise NmbenchError(f"it is at step {step}, between two validations")
    if not all(isinstance(s, float) and math.isfinite(s) and s >= 0 for s in seconds):
        raise NmbenchError("its times are not times")
    expected = {f"state/{name}": leaf for name, leaf in shapes[phase].items()}
    for k in range(phase):
        for kind in ("chosen", "last"):
            expected.update({f"outcome{k}/{kind}/{name}": leaf for name, leaf in params.items()})
    described = {name: (tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in expected.items()}
    described |= {"curve": ((len(points), 3), np.dtype(float)), "outcomes": ((phase, 2), np.dtype(float))}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if found != described:
        wrong = sorted(name for name in found.keys() | described.keys() if found.get(name) != described.get(name))
        raise NmbenchError(f"it does not hold this model's state: {wrong[0]} differs")
    curve = [CurvePoint(int(s), float(t), float(v)) if s == n else None for (s, t, v), n in zip(arrays["curve"], points)]
    if None in curve or not (diverged is None or (_whole(diverged) and 0 < diverged <= last)):
        raise NmbenchError("its training curve is not that of the run")
    if not all(0 <= chosen <= last and chosen == int(chosen) for chosen in arrays["outcomes"][:, 0]):
        raise NmbenchError("its earlier phases are not those of the run")
    take = lambda prefix: {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    outcomes = [
        PhaseOutcome(take(f"outcome{k}/chosen/"), take(f"outcome{k}/last/"), int(chosen), float(loss))
        for k, (chosen, loss) in enumerate(arrays["outcomes"])
    ]
    return Snapshot(
        phase=phase,
        step=step,
        state=take("state/"),
        outcomes=outcomes,
        curve=[point for point in curve if point is not None],
        diverged_at=diverged,
        compile_s=seconds[0],
        train_s=seconds[1],
    )


def seal(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    """sha256 over arrays and facts: one flipped bit anywhere changes it."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(f"{digest(arrays)}|{text}".encode()).hexdigest()


def _points(phases: Sequence[Phase], validate_every: int, phase: int, step: int) -> list[int]:
    """Steps, over all phases, after which validation has happened when `step` steps of `phase` are done."""
    points, done = [], 0
    for k, p in enumerate(phases[: phase + 1]):
        ends = [min(first + validate_every, p.steps) for first in range(0, p.steps, validate_every)]
        points += [done + end for end in ends if k < phase or end <= step]
        done += p.steps
    return points


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
