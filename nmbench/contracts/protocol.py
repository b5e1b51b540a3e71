"""Protocols: how a model is trained, as data. Everything here ends up in a result row, so a row can be re-run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from nmbench.support.errors import NmbenchError

# Protocol of rows whose model was trained outside nmbench.
EXTERNAL = "external"
OPTIMIZERS = ("adam", "sgd", "rms", "radam", "lion", "amsgrad", "belief", "yogi")
SCHEDULES = ("constant", "cosine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one optimiser, started afresh, on one part of the parameters.

    Attributes:
      steps: number of optimiser steps.
      batch_size: trials per step; 0 takes the whole training set (fixed training sets only).
      relative_rate: peak rate as a multiple of the run's rate (tuned, published, or `--learning_rate`).
      schedule: "constant", or "cosine" (from the peak to 0 over the phase).
      warmup_steps: linear rise of the rate at the start.
      optimizer: name of an `optax.scale_by_*`.
      optimizer_options: keyword arguments of it, e.g. `{"eps": 1e-7}`.
      weight_decay: decoupled (AdamW), applied to the trained partition only.
      clip_value: bound on each gradient element, 0 for none.
      clip_norm: bound on the global gradient norm, 0 for none.
      partition: which parameters move; "learned" (all that are not fixed) or a partition the model names; of several names,
        the first that the model has.
      data: name of the task's training data.
      validation: name of the frozen set whose loss selects parameters.
      reset_optimizer_every: start the optimiser's moments afresh every so many steps, 0 for never.
      new_inputs: input channels that carry something for the first time in this phase, e.g. `{"context/3": 0.1}`: the
        weights that read them start the phase at the value given.
      stage: a name, for a phase whose outcome is of interest in itself: the parameters that it selects are judged on the
        test set too, by the metrics that ask for this stage.
    """

    steps: int
    batch_size: int = 0
    relative_rate: float = 1.0
    schedule: str = "constant"
    warmup_steps: int = 0
    optimizer: str = "adam"
    optimizer_options: dict[str, float] = dataclasses.field(default_factory=dict)
    weight_decay: float = 0.0
    clip_value: float = 0.0
    clip_norm: float = 0.0
    partition: str | tuple[str, ...] = "learned"
    data: str = "train"
    validation: str = "validation"
    reset_optimizer_every: int = 0
    new_inputs: dict[str, float] = dataclasses.field(default_factory=dict)
    stage: str = ""

    def __post_init__(self):
        if self.optimizer not in OPTIMIZERS:
            raise NmbenchError(f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise NmbenchError(f"unknown schedule {self.schedule!r}; known: {', '.join(SCHEDULES)}")
        if self.steps < 1:
            raise NmbenchError(f"a phase needs at least 1 step, got {self.steps}")
        for name in ("batch_size", "warmup_steps", "weight_decay", "clip_value", "clip_norm", "reset_optimizer_every"):
            if getattr(self, name) < 0:
                raise NmbenchError(f"{name} cannot be negative, got {getattr(self, name)}")

    def choose_partition(self, partitions: Collection[str]) -> str:
        """The partition that moves in a model with these; one that it lacks if it has none of those named."""
        names = (self.partition,) if isinstance(self.partition, str) else self.partition
        return next((name for name in names if name == "learned" or name in partitions), names[-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """A training recipe: one for all models, except where a publication gave a model phases of its own.

    Attributes:
      name: "matched", "paper", "smoke", ...
      phases: run one after another, each from the parameters that the one before selected.
      phases_by_model: phases for particular models, by their registered names.
      sizes: "budget" sizes models to a parameter budget; "published" takes the sizes that baselines declare.
      learning_rate: the run's rate unless the model, its tuning or the user says otherwise.
      learning_rate_grid: what `--tune` tries, the same for every model; () when this protocol is not tuned.
      tuning_seeds: seeds per rate while tuning, disjoint from those of results.
      validate_every: steps between evaluations on validation data.
      selection: "best" keeps the parameters with the lowest validation loss, "last" the last ones.
      loss_limit: a training loss above it, or one that is not a number, is recorded as diverged.
      summary: one line.
    """

    name: str
    phases: tuple[Phase, ...]
    phases_by_model: dict[str, tuple[Phase, ...]] = dataclasses.field(default_factory=dict)
    sizes: str = "budget"
    learning_rate: float = 1e-2
    learning_rate_grid: tuple[float, ...] = ()
    tuning_seeds: tuple[int, ...] = (1000, 1001, 1002)
    validate_every: int = 250
    selection: str = "best"
    loss_limit: float = 1e8
    summary: str = ""

    def __post_init__(self):
        if self.selection not in ("best", "last"):
            raise NmbenchError(f"selection is 'best' or 'last', not {self.selection!r}")
        if self.sizes not in ("budget", "published"):
            raise NmbenchError(f"sizes is 'budget' or 'published', not {self.sizes!r}")
        if self.validate_every < 1 or not self.phases:
            raise NmbenchError("a protocol needs at least one phase and validate_every >= 1")

    def phases_for(self, model: str, partitions: Collection[str] = (), steps: int | None = None) -> tuple[Phase, ...]:
        """Phases of a model, each with one partition; `steps`, if given, is their total, shared in proportion.

        Args:
          model: registered name.
          partitions: names of the partitions that it has.
          steps: total number of training steps.
        """
        phases = self.phases_by_model.get(model, self.phases)
        phases = tuple(dataclasses.replace(p, partition=p.choose_partition(partitions)) for p in phases)
        return phases if steps is None else _share_steps(phases, steps)

    def resolve(self, phases: tuple[Phase, ...], learning_rate: float) -> dict[str, Any]:
        """What will be run, as plain data for a result row: the phases of a model with their peak rates filled in.

        Args:
          phases: what `phases_for` returned.
          learning_rate: the run's rate.
        """
        filled = []
        for phase in phases:
            plain = dataclasses.asdict(phase)
            filled.append({"learning_rate": learning_rate * plain.pop("relative_rate"), **plain})
        return {
            "name": self.name,
            "phases": filled,
            "validate_every": self.validate_every,
            "selection": self.selection,
            "loss_limit": self.loss_limit,
        }


def _share_steps(phases: tuple[Phase, ...], steps: int) -> tuple[Phase, ...]:
    if steps < len(phases):
        raise NmbenchError(f"--steps={steps} is too few for the protocol's {len(phases)} phases")
    total, shared, used = sum(p.steps for p in phases), [], 0
    for i, phase in enumerate(phases):
        left = len(phases) - i - 1
        mine = steps - used if left == 0 else max(1, min(round(steps * phase.steps / total), steps - used - left))
        shared.append(dataclasses.replace(phase, steps=mine))
        used += mine
    return tuple(shared)
