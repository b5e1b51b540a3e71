"""A user's request for runs, as plain data. This module does not import JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nmbench.support.errors import NmbenchError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A user's request for runs of one experiment; None stands for the default.

    Attributes:
      model, task: registered names.
      budget: number of learned parameters; by default the task's, or none if the protocol uses the model's published sizes.
      hparams: hyperparameter to value or text; if it gives the free size, the budget does not determine the size.
      protocol: name of the protocol; by default the task's first.
      learning_rate: replaces the tuned, published or default learning rate.
      steps: total number of training steps, divided among the phases in proportion.
      data_seed: seed of the training data.
      allow_budget_miss: accept a size more than 5% off the budget.
      devices: largest number of JAX devices to use.
      remat: recompute activations for the gradient instead of storing them all.
    """

    model: str
    task: str
    budget: int | None = None
    hparams: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    protocol: str | None = None
    learning_rate: float | None = None
    steps: int | None = None
    data_seed: int = 0
    allow_budget_miss: bool = False
    devices: int | None = None
    remat: bool = False

    def to_argv(self) -> list[str]:
        """Flags of `nmbench run` for all values that differ from the default.

        Raises:
          NmbenchError: a hyperparameter has a value that a flag cannot carry.
        """
        values = {
            "model": self.model,
            "task": self.task,
            "protocol": self.protocol,
            "budget": self.budget,
            "hparams": ",".join(f"{name}={_flag_value(name, value)}" for name, value in self.hparams.items()) or None,
            "steps": self.steps,
            "learning_rate": None if self.learning_rate is None else repr(self.learning_rate),
            "data_seed": self.data_seed or None,
            "devices": self.devices,
        }
        switches = {"remat": self.remat, "allow_budget_miss": self.allow_budget_miss}
        return [
            *(f"--{name}={value}" for name, value in values.items() if value is not None),
            *(f"--{name}" for name, on in switches.items() if on),
        ]


def _flag_value(name: str, value: Any) -> str:
    text = str(value)
    if not text or text != text.strip() or "," in text:
        raise NmbenchError(f"the value {text!r} of {name} cannot be given with --hparams")
    return text
