"""The two registries. Importing this imports neither JAX nor any task or model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmbench.registry import Registry

if TYPE_CHECKING:
    from nmbench.model import Baseline
    from nmbench.task import Task

TASKS: Registry[Task] = Registry("task", register_name="register_task", package="nmbench.tasks", group="nmbench.tasks")
BASELINES: Registry[Baseline] = Registry(
    "model", register_name="register_baseline", package="nmbench.baselines", group="nmbench.baselines"
)
