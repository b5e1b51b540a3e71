"""The cases that are timed: tasks, models and their sizes in the publication."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.support.errors import NmbenchError, did_you_mean

if TYPE_CHECKING:
    from nmbench.experiments.experiment import Experiment

SIZES: dict[str, dict[str, dict[str, int]]] = {
    "element_finder": {"nmrnn": {"M": 5, "N": 18, "K": 8}, "rnn": {"N": 16}, "lstm": {"N": 10}},
    "mwg_rank3": {"nmrnn": {"N": 100, "M": 5, "K": 3}, "rnn": {"N": 31}, "lstm": {"N": 15}},
    "multitask": {"nmrnn": {"N": 100, "M": 20, "K": 3}, "rnn": {"N": 18}, "lstm": {"N": 8}},
}
MODELS = ("nmrnn", "rnn", "lstm")
STYLES = ("nmbench", "published", "haiku", "torch")


def choose(text: str, names_allowed, flag: str) -> list[str]:
    """The names in a comma-separated flag. Raises `NmbenchError` for an unknown name and for an empty list."""
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in names_allowed:
            raise NmbenchError(f"--{flag}: unknown name {name!r}{did_you_mean(name, names_allowed)}")
    if not names:
        raise NmbenchError(f"--{flag} is empty; choose from {', '.join(names_allowed)}")
    return names


def counts(text: str, flag: str) -> list[int]:
    """The positive whole numbers in a comma-separated flag. Raises `NmbenchError` for anything else."""
    try:
        numbers = [int(n) for n in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise NmbenchError(f"--{flag} must be whole numbers of at least 1, separated by commas, got {text!r}")
    return numbers


def load(case: str, model: str, changes: dict[str, int] | None = None) -> Experiment:
    """Resolve the experiment of a case under the matched protocol. Imports JAX.

    Args:
      case: name of the task.
      model: name of the model.
      changes: new values of hyperparameters, of "T" (time steps of a trial) or of "B" (trials per training step). "T" and
        "B" replace the task's data by noise.
    """
    from nmbench.experiments.request import Request
    from nmbench.experiments.resolution import resolve

    changes = dict(changes or {})
    steps, trials = changes.pop("T", 0), changes.pop("B", 0)
    hparams: dict[str, Any] = {**SIZES[case][model], **changes}
    experiment = resolve(Request(model=model, task=case, hparams=hparams, protocol="matched", allow_budget_miss=True))
    return _synthetic(experiment, steps, trials) if steps or trials else experiment


def training_batch_size(experiment: Experiment) -> int:
    """Trials per training step."""
    phase = experiment.phases[0]
    return phase.batch_size or experiment.task.training[phase.data].arrays().targets.shape[1]


def _synthetic(experiment: Experiment, steps: int, trials: int) -> Experiment:
    """The experiment on noise: `trials` trials per training step with `steps` time steps each. 0 keeps the task's number."""
    from nmbench.contracts.task import Batch, FixedData

    trials = trials or training_batch_size(experiment)
    spec = dataclasses.replace(experiment.task.spec, steps=steps or experiment.task.spec.steps)
    validation = experiment.task.frozen(experiment.phases[0].validation).n

    def noise(n: int) -> Batch:
        random = np.random.RandomState(0)
        inputs = {name: random.randn(spec.steps, n, leaf.channels).astype(np.float32) for name, leaf in spec.inputs.items()}
        targets = random.randn(spec.steps, n, spec.output_size).astype(np.float32)
        return Batch(inputs, targets, np.ones((spec.steps, 1, 1), np.float32))

    data = {experiment.phases[0].data: FixedData(lambda: noise(trials))}
    task = dataclasses.replace(experiment.task, spec=spec, training=data, unpack=lambda arrays: noise(validation))
    phase = dataclasses.replace(experiment.phases[0], batch_size=0)
    return dataclasses.replace(
        experiment, task=task, model=experiment.baseline.build(spec, experiment.sizing.hparams), phases=(phase,)
    )
