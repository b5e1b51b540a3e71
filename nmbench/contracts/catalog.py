"""The registries of tasks and of models. Importing this module imports neither JAX nor any task or model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmbench.contracts.registry import Registry

if TYPE_CHECKING:
    from nmbench.contracts.model import Baseline
    from nmbench.contracts.task import Task

TASKS: Registry[Task] = Registry("task", register_name="register_task", package="nmbench.tasks", group="nmbench.tasks")
BASELINES: Registry[Baseline] = Registry(
    "model", register_name="register_baseline", package="nmbench.baselines", group="nmbench.baselines"
)
