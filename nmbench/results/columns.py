"""Columns of a result row about its task and its test results, for models trained here or elsewhere."""

from __future__ import annotations

from typing import Any

from nmbench.contracts.task import Task
from nmbench.results import schema


def task_columns(task: Task, testset_sha256: str, n_test: int) -> dict[str, Any]:
    """Columns about the task, its test set (hash and number of trials) and its primary metric."""
    return {
        "task": task.name,
        "task_version": task.version,
        "testset_sha256": testset_sha256,
        "n_test": n_test,
        "metric": task.primary.name,
        "higher_is_better": task.primary.higher_is_better,
        "floor": task.primary.floor,
        "ceiling": task.primary.ceiling,
    }


def evaluation_columns(task: Task, evaluated: dict[str, Any]) -> dict[str, Any]:
    """Columns with value, score, conditions and the other metrics. evaluated: return value of `Task.evaluate`."""
    value = evaluated["values"][task.primary.name]
    others = {schema.metric_column(name): v for name, v in evaluated["values"].items() if name != task.primary.name}
    return {
        "value": value,
        "score": task.primary.score(value),
        "conditions_json": schema.canonical_json(evaluated["conditions"]),
        **others,
    }
