"""Protocols: training recipes as plain data, which every row records in full."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np

from nmbench.support.errors import NmbenchError

# Protocol name in the rows of models that were trained outside nmbench.
EXTERNAL = "external"
OPTIMIZERS = ("adam", "sgd", "rms", "radam", "lion", "amsgrad", "belief", "yogi")
SCHEDULES = ("constant", "cosine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with a fresh optimiser, on one partition of the parameters.

    Attributes:
      steps: number of optimiser steps.
      batch_size: trials per step; 0 for the whole training set (fixed training sets only).
      relative_rate: peak learning rate as a multiple of the run's learning rate (tuned, published, or `--learning_rate`).
      schedule: "constant", or "cosine" (from the peak to 0 over the phase).
      warmup_steps: number of steps at the start in which the learning rate rises linearly.
      optimizer: name of an optimiser, one of `OPTIMIZERS`: "adam" is `optax.scale_by_adam`; "sgd" does not scale.
      optimizer_options: keyword arguments of that optax function, e.g. `{"eps": 1e-7}`.
      weight_decay: decoupled weight decay (as in AdamW), applied to the trained partition only.
      clip_value: largest absolute value of a gradient element, 0 for no limit.
      clip_norm: largest global norm of the gradient, 0 for no limit.
      partition: the partition that is trained: "learned" (all parameters that are not fixed) or one that the model declares.
        If there are several names, the first that the model has.
      data: name of the task's training data.
      validation: name of the frozen set; the loss on it selects the parameters.
      reset_optimizer_every: number of steps between two resets of the optimiser's moments, 0 for no resets.
      new_inputs: input channels that are used for the first time in this phase, and the initial value of the weights that
        multiply them, e.g. `{"context/3": 0.1}`.
      stage: a name for the parameters that this phase selects; "" for none. Metrics that list the stage also evaluate these
        parameters on the test set, and their run folders contain them as params.STAGE.safetensors.
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
        _make_plain(self)
        if self.optimizer not in OPTIMIZERS:
            raise NmbenchError(f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise NmbenchError(f"unknown schedule {self.schedule!r}; known: {', '.join(SCHEDULES)}")
        if not re.fullmatch(r"[A-Za-z0-9_\-]*", self.stage):
            raise NmbenchError(f"a stage is named by letters, digits, '_' and '-', not {self.stage!r}")
        if self.steps < 1:
            raise NmbenchError(f"a phase needs at least 1 step, got {self.steps}")
        limited = ("batch_size", "relative_rate", "warmup_steps", "weight_decay", "clip_value", "clip_norm")
        for name in (*limited, "reset_optimizer_every"):
            if getattr(self, name) < 0:
                raise NmbenchError(f"{name} cannot be negative, got {getattr(self, name)}")

    def choose_partition(self, partitions: Collection[str]) -> str:
        """The partition to train in a model that declares `partitions`: the first name that it has, else the last name."""
        names = (self.partition,) if isinstance(self.partition, str) else self.partition
        return next((name for name in names if name == "learned" or name in partitions), names[-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResolvedPhase(Phase):
    """A phase of a given model: `partition` is one name, that of the trained partition."""

    partition: str = "learned"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """A training recipe for all models. A model has its own phases only where a publication gave it some.

    Attributes:
      name: "matched", "paper", "smoke", ...
      phases: phases in order; each starts from the parameters that the previous phase selected.
      phases_by_model: phases for particular models, by their registered names.
      sizes: "budget" sizes models to a parameter budget; "published" uses the sizes in the models' `settings`.
      learning_rate: learning rate of a run, unless the model, its tuning record or the user gives another.
      learning_rate_grid: learning rates that `--tune` tries first, ascending, the same for all models; () if this protocol
        is not tuned. Tuning goes beyond them if the lowest or the highest wins (`nmbench.contracts.tuning_record`).
      tuning_seeds: seeds of the tuning runs at each learning rate; no result uses these seeds.
      validate_every: steps between evaluations on validation data.
      selection: "best" keeps the parameters with the lowest validation loss, "last" the last ones.
      loss_limit: a run diverges when its training loss is above this limit or is not a number.
      summary: one line.
    """

    name: str
    phases: tuple[Phase, ...]
    phases_by_model: dict[str, tuple[Phase, ...]] = dataclasses.field(default_factory=dict)
    sizes: str = "budget"
    learning_rate: float = 1e-2
    learning_rate_grid: tuple[float, ...] = ()
    tuning_seeds: tuple[int, ...] = tuple(range(1000, 1010))
    validate_every: int = 250
    selection: str = "best"
    loss_limit: float = 1e8
    summary: str = ""

    def __post_init__(self):
        of_models = {f"phases_by_model[{model!r}]": phases for model, phases in self.phases_by_model.items()}
        for what, phases in {"phases": self.phases, **of_models}.items():
            if isinstance(phases, Phase) or not all(isinstance(phase, Phase) for phase in phases):
                raise NmbenchError(f"protocol {self.name!r}: {what} must be a tuple such as (Phase(...),)")
        _make_plain(self)
        if self.selection not in ("best", "last"):
            raise NmbenchError(f"selection must be 'best' or 'last', got {self.selection!r}")
        if self.sizes not in ("budget", "published"):
            raise NmbenchError(f"sizes must be 'budget' or 'published', got {self.sizes!r}")
        if self.validate_every < 1 or not self.phases:
            raise NmbenchError("a protocol needs at least one phase and validate_every >= 1")
        for name in ("learning_rate", "loss_limit"):
            if not getattr(self, name) > 0:
                raise NmbenchError(f"{name} must be above 0, got {getattr(self, name)}")
        grid = self.learning_rate_grid
        if not all(0 < rate < math.inf for rate in grid) or len(set(grid)) != len(grid):
            raise NmbenchError(f"learning_rate_grid must contain finite numbers above 0, each only once; got {grid}")
        if grid and not self.tuning_seeds:
            raise NmbenchError("a protocol with a learning_rate_grid needs tuning_seeds")

    def phases_for(
        self, model: str, partitions: Collection[str] = (), steps: int | None = None
    ) -> tuple[ResolvedPhase, ...]:
        """The phases in which a model is trained, each with the one partition that it trains.

        Args:
          model: registered name.
          partitions: names of the model's partitions.
          steps: total number of training steps, divided among the phases in the protocol's proportions; None for the
            protocol's own numbers.

        Raises:
          NmbenchError: fewer steps than phases.
        """
        declared = self.phases_by_model.get(model, self.phases)
        phases = tuple(
            ResolvedPhase(**{**vars(phase), "partition": phase.choose_partition(partitions)}) for phase in declared
        )
        return phases if steps is None else _divide_steps(phases, steps)

    def resolve(self, phases: tuple[ResolvedPhase, ...], learning_rate: float) -> dict[str, Any]:
        """The protocol as plain data for a row, with the peak learning rate of every phase.

        Args:
          phases: result of `phases_for`.
          learning_rate: the run's learning rate.
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


def _make_plain(one: Phase | Protocol) -> None:
    """Turn numbers of NumPy into those of Python, which rows can record, and raise `NmbenchError` for a wrong number."""
    for field in dataclasses.fields(one):
        value = _plain(getattr(one, field.name))
        object.__setattr__(one, field.name, value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if field.type == "int" and not whole:
            raise NmbenchError(f"{field.name} must be a whole number, got {value!r}")
        if field.type == "float" and not (whole or (isinstance(value, float) and math.isfinite(value))):
            raise NmbenchError(f"{field.name} must be a finite number, got {value!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _divide_steps(phases: tuple[ResolvedPhase, ...], steps: int) -> tuple[ResolvedPhase, ...]:
    if steps < len(phases):
        raise NmbenchError(f"--steps={steps} is too few for the protocol's {len(phases)} phases")
    total, shared, used = sum(p.steps for p in phases), [], 0
    for i, phase in enumerate(phases):
        left = len(phases) - i - 1
        mine = steps - used if left == 0 else max(1, min(round(steps * phase.steps / total), steps - used - left))
        shared.append(dataclasses.replace(phase, steps=mine))
        used += mine
    return tuple(shared)
