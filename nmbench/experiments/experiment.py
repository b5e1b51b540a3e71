"""A resolved experiment: one model on one task under one protocol at one size, ready to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.task import Task
from nmbench.experiments import sizing
from nmbench.experiments.request import Request, run_id_of
from nmbench.results import provenance
from nmbench.training import trainer
from nmbench.training.trainer import Report, Timing, TrainedRun, TrainingRun

# Raised when a change of the engine changes what a configuration trains to.
ENGINE_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How the learning rate was chosen.

    Attributes:
      rate: the chosen rate.
      trials: number of training runs the choice took.
      record: grid, seeds and losses (see `nmbench.experiments.tuning`), or {"source": ...} for a rate that was not tuned.
    """

    rate: float
    trials: int
    record: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A resolved request: ready to train."""

    request: Request
    baseline: Baseline
    task: Task
    protocol: Protocol
    sizing: sizing.Sizing
    model: Model
    tuning: Tuning
    phases: tuple[Phase, ...]
    testset_sha256: str
    n_test: int
    validation_sha256: dict[str, str]
    training_sha256: dict[str, str]
    model_sha256: str

    def resolved_protocol(self) -> dict[str, Any]:
        """The protocol as it will run, plain data."""
        return self.protocol.resolve(self.phases, self.tuning.rate)

    def config(self, seed: int) -> dict[str, Any]:
        """Everything that determines a run; its hash ends the run id."""
        return {
            "engine": ENGINE_VERSION,
            "model": self.baseline.name,
            "model_sha256": self.model_sha256,
            "hparams": self.sizing.hparams,
            "budget": self.sizing.target,
            "task": self.task.name,
            "task_version": self.task.version,
            "testset_sha256": self.testset_sha256,
            "validation_sha256": self.validation_sha256,
            "training_sha256": self.training_sha256,
            "protocol": self.resolved_protocol(),
            "learning_rate": self.tuning.rate,
            "tuning_trials": self.tuning.trials,
            "data_seed": self.request.data_seed,
            "seed": seed,
            "x64": provenance.uses_x64(),
            # Rounding differs with it, so it belongs to the key; without it a key stays what it was.
            **({"remat": True} if self.request.remat else {}),
        }

    def run_id(self, seed: int) -> str:
        return run_id_of(self.config(seed))

    def train(self, lanes: Sequence[TrainingRun], report: Report, **options: Any) -> tuple[list[TrainedRun], Timing]:
        """Train lanes of this cell together (see `nmbench.training.trainer.train`)."""
        return trainer.train(
            self.model,
            self.task,
            self.baseline,
            self.phases,
            lanes,
            validate_every=self.protocol.validate_every,
            selection=self.protocol.selection,
            loss_limit=self.protocol.loss_limit,
            data_seed=self.request.data_seed,
            max_devices=self.request.devices,
            report=report,
            **options,
        )
