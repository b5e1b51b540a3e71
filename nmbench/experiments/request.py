"""What a user asks for, and the name of a run that comes of it: plain data, for which no JAX is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from nmbench.results import schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for; None means the default.

    Attributes:
      model, task: registered names.
      budget: learned parameters; the task's default under protocols that size by budget.
      hparams: name to value or text; fixes sizes.
      protocol: name; the task's first.
      learning_rate: overrides tuned, published and default rates.
      steps: total number of training steps, shared among the phases.
      data_seed: seed of the training data.
      allow_budget_miss: accept a size more than 5% off the budget.
      devices: bound on JAX devices.
      remat: recompute activations for the gradient instead of keeping them all.
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


def run_id_of(config: Mapping[str, Any]) -> str:
    """The run id of a configuration as `Experiment.config` makes it."""
    key = hashlib.sha256(schema.canonical_json(config).encode()).hexdigest()[:12]
    return f"{config['model']}.{config['task']}.{config['protocol']['name']}.s{config['seed']}.{key}"
