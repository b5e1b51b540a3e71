"""Snapshots: the state from which a run can continue after a chunk of training, and the history of the run.

The data of a step are a function of the data seed, the phase and the step, so no random generator has to be stored. In a
file, a snapshot is a flat dict of arrays and a dict of facts (JSON values), with a hash of both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.frozen_sets import digest
from nmbench.contracts.parameters import Flat


class CurvePoint(NamedTuple):
    """A point of a training curve: step over all phases, mean training loss since the last point, validation loss."""

    step: int
    train_loss: float
    validation_loss: float


class PhaseOutcome(NamedTuple):
    """The result of a phase: selected and last parameters, selected step (over all phases) and its validation loss."""

    chosen: Flat
    last: Flat
    step: int
    loss: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state and the history of one run between two chunks.

    Attributes:
      phase: index of the current phase.
      step: number of steps done in this phase.
      state: leaves of the run's state by name; see `nmbench.training.state.State`.
      outcomes: results of the earlier phases.
      curve: all points of the training curve so far.
      diverged_at: see `nmbench.training.trainer.TrainedRun`.
      compile_s, train_s: the run's share of the seconds of compilation and of training so far.
    """

    phase: int
    step: int
    state: Flat
    outcomes: list[PhaseOutcome]
    curve: list[CurvePoint]
    diverged_at: int | None
    compile_s: float = 0.0
    train_s: float = 0.0


_FACTS = ("phase", "step", "diverged_at", "compile_s", "train_s")


def pack(snapshot: Snapshot) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, facts) of a snapshot; `unpack` is the inverse."""
    arrays = {f"state/{name}": np.asarray(leaf) for name, leaf in snapshot.state.items()}
    for k, outcome in enumerate(snapshot.outcomes):
        arrays.update({f"outcome{k}/chosen/{name}": np.asarray(leaf) for name, leaf in outcome.chosen.items()})
        arrays.update({f"outcome{k}/last/{name}": np.asarray(leaf) for name, leaf in outcome.last.items()})
    # Losses may be infinite, which JSON cannot represent, so they are stored in arrays.
    arrays["curve"] = np.asarray(snapshot.curve, np.float64).reshape(-1, 3)
    arrays["outcomes"] = np.asarray([(o.step, o.loss) for o in snapshot.outcomes], np.float64).reshape(-1, 2)
    return arrays, {name: getattr(snapshot, name) for name in _FACTS}


def unpack(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Snapshot:
    """The inverse of `pack`."""
    select = lambda prefix: {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    outcomes = [
        PhaseOutcome(select(f"outcome{k}/chosen/"), select(f"outcome{k}/last/"), int(step), float(loss))
        for k, (step, loss) in enumerate(arrays["outcomes"])
    ]
    curve = [CurvePoint(int(step), float(train), float(validation)) for step, train, validation in arrays["curve"]]
    return Snapshot(state=select("state/"), outcomes=outcomes, curve=curve, **{name: facts[name] for name in _FACTS})


def content_hash(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    """sha256 over all arrays and facts."""
    return hashlib.sha256(f"{digest(arrays)} {json.dumps(facts, sort_keys=True)}".encode()).hexdigest()
