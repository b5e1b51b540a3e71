"""A resolved experiment: one model on one task under one protocol at one size, ready to train."""

from __future__ import annotations

import dataclasses
from typing import Any

from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.protocol import Protocol, ResolvedPhase
from nmbench.contracts.task import Task
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.request import Request
from nmbench.experiments.sizing import Sizing
from nmbench.results import provenance
from nmbench.training.trainer import TrainingSetup

# Increase it if a change of the training code changes the parameters that a configuration trains to.
ENGINE_VERSION = 1


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """The learning rate of an experiment and how it was chosen.

    Attributes:
      value: the learning rate.
      tuning_runs: number of tuning runs, 0 if the learning rate was not tuned.
      record: the tuning record (see `nmbench.experiments.tuning`), or `{"source": ...}` if it was not tuned.
    """

    value: float
    tuning_runs: int
    record: dict[str, Any]


def departures(run: Configuration, protocol: Protocol, baseline: Baseline) -> str:
    """How a run departs from its protocol, for example "steps 300, not 20000"; "" if it does not."""
    expected = sum(phase.steps for phase in protocol.phases_for(run.model, baseline.partitions))
    usual = baseline.learning_rates.get(f"{run.task}/{protocol.name}", protocol.learning_rate)
    found = []
    if run.steps != expected:
        found.append(f"steps {run.steps}, not {expected}")
    if run.data_seed:
        found.append(f"data_seed {run.data_seed}, not 0")
    if protocol.learning_rate_grid and not run.tuning_trials:
        found.append("learning rate not tuned")
    elif not protocol.learning_rate_grid and run.learning_rate != usual:
        found.append(f"learning rate {run.learning_rate:g}, not {usual:g}")
    if run.x64:
        found.append("64-bit floats")
    if run.jax_settings:
        found.append("other settings of JAX")
    return "; ".join(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A resolved request: model, task, protocol, size and learning rate. A run is one seed of an experiment.

    Attributes:
      request: the request of the user.
      baseline, task, protocol: the registered objects.
      sizing: all hyperparameters and the number of learned parameters.
      model: pure functions of this size.
      learning_rate: its value and origin.
      phases: the protocol's phases for this model and number of steps.
      testset_sha256, n_test: hash and number of trials of the frozen test set.
      validation_sha256, training_sha256: hashes of the sets that the phases use, by name.
      model_sha256: fingerprint of the model's source, part of the configuration.
    """

    request: Request
    baseline: Baseline
    task: Task
    protocol: Protocol
    sizing: Sizing
    model: Model
    learning_rate: LearningRate
    phases: tuple[ResolvedPhase, ...]
    testset_sha256: str
    n_test: int
    validation_sha256: dict[str, str]
    training_sha256: dict[str, str]
    model_sha256: str

    @property
    def steps(self) -> int:
        """Number of training steps of all phases together."""
        return sum(phase.steps for phase in self.phases)

    @property
    def departures(self) -> str:
        """How the experiment departs from its protocol, for example "steps 300, not 20000"; "" if it does not.

        Rows rank together only if their departures are equal. They follow from the configuration: runs with one run id have
        the same departures, however the user asked for them.
        """
        return departures(self.configuration(0), self.protocol, self.baseline)

    def resolved_protocol(self) -> dict[str, Any]:
        """The protocol with the learning rate of every phase filled in; plain data."""
        return self.protocol.resolve(self.phases, self.learning_rate.value)

    def configuration(self, seed: int) -> Configuration:
        """The configuration of one run."""
        return Configuration(
            engine=ENGINE_VERSION,
            model=self.baseline.name,
            model_sha256=self.model_sha256,
            hparams=self.sizing.hparams,
            budget=self.sizing.target,
            task=self.task.name,
            task_version=self.task.version,
            testset_sha256=self.testset_sha256,
            validation_sha256=self.validation_sha256,
            training_sha256=self.training_sha256,
            protocol=self.resolved_protocol(),
            learning_rate=self.learning_rate.value,
            tuning_trials=self.learning_rate.tuning_runs,
            data_seed=self.request.data_seed,
            seed=seed,
            x64=provenance.uses_x64(),
            remat=self.request.remat,
            jax_settings=provenance.jax_settings(),
            loss=self.task.loss,
        )

    def run_id(self, seed: int) -> str:
        """Run id of one seed."""
        return self.configuration(seed).run_id

    def training_setup(self) -> TrainingSetup:
        """The part of the experiment that the trainer needs."""
        return TrainingSetup(
            model=self.model,
            task=self.task,
            baseline=self.baseline,
            phases=self.phases,
            validate_every=self.protocol.validate_every,
            selection=self.protocol.selection,
            loss_limit=self.protocol.loss_limit,
            data_seed=self.request.data_seed,
            max_devices=self.request.devices,
        )
