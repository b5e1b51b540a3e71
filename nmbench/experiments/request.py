"""A user's request for runs, as plain data. This module does not import JAX."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

from nmbench.support.errors import NmbenchError

# Whole numbers of a request, and the smallest value of each. None may exceed `LARGEST`: JAX counts with 32 bits.
_LEAST = {"budget": 1, "steps": 1, "data_seed": 0, "devices": 1}
LARGEST = (1 << 31) - 1
LARGEST_RATE = 1e30


def parse_hparams(text: str) -> dict[str, str]:
    """Parse "M=5,N=18" to {"M": "5", "N": "18"}; raises `NmbenchError` if the text does not have this form."""
    hparams: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise NmbenchError(f"--hparams: {part!r} is not of the form K=V; write --hparams=N=18,K=8")
        if name.strip() in hparams:
            raise NmbenchError(
                f"--hparams: {name.strip()!r} is given twice; in a sweep, each setting has an --hparams of its own"
            )
        hparams[name.strip()] = value.strip()
    return hparams


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A user's request for runs of one experiment; None stands for the default.

    Numbers of NumPy become those of Python. A value of a wrong type, or a number out of range, is an `NmbenchError`.

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

    def __post_init__(self):
        for name in ("model", "task", "protocol"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "protocol" and value is None):
                raise NmbenchError(f"--{name} must be a registered name, as text; got {_shown(value)}")
        if not isinstance(self.hparams, Mapping) or not all(isinstance(name, str) for name in self.hparams):
            raise NmbenchError(f"--hparams must be a dict, such as {{'N': 18}}; got {_shown(self.hparams)}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(name, value, least, LARGEST))
        for name in ("allow_budget_miss", "remat"):
            check_truth(name, getattr(self, name))
        rate = self.learning_rate
        if rate is not None:
            if not is_number(rate) or not 0 < rate <= LARGEST_RATE:
                raise NmbenchError(
                    f"--learning_rate must be a positive number, at most {LARGEST_RATE:g}, got {_shown(rate)}"
                )
            object.__setattr__(self, "learning_rate", float(rate))

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


def whole_number(name: str, value: Any, least: int, most: int, hint: str = "") -> int:
    """The value of an argument as an `int`.

    Raises:
      NmbenchError: it is not a whole number from `least` to `most`; the message ends in `hint`.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        whole = int(value)
        if least <= whole <= most:
            return whole
    raise NmbenchError(f"--{name} must be a whole number from {least} to {most}, got {_shown(value)}{hint}")


def check_truth(name: str, value: Any) -> None:
    """Raise `NmbenchError` unless an argument is True or False."""
    if not isinstance(value, bool):
        raise NmbenchError(f"--{name} must be True or False, got {_shown(value)}")


def is_number(value: Any) -> bool:
    """Whether this is a real number of Python or NumPy, and no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _flag_value(name: str, value: Any) -> str:
    text = str(value)
    if not text or text != text.strip() or "," in text:
        raise NmbenchError(f"the value {text!r} of {name} cannot be given with --hparams")
    return text
