"""The primary metric of a table by condition of the test trials, such as interval or query, from the rows."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.report.overview import competitors

if TYPE_CHECKING:
    from nmbench.results.ranking import Table

MOST_MODELS = 12


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Medians over seeds of one metric by condition.

    Attributes:
      metric: the primary metric, or the first metric of the task with conditions.
      higher_is_better: direction of the metric.
      what: name of the condition, such as "interval".
      names: `[C]`, numbers in ascending order, or names if not all are numbers; two or more.
      medians: label of the model to its medians `[C]`, NaN if no seed has a value.
    """

    metric: str
    higher_is_better: bool
    what: str
    names: list[float] | list[str]
    medians: Mapping[str, np.ndarray]


def conditions(table: Table, rows: Mapping[str, Mapping[str, Any]]) -> Conditions | None:
    """The conditions of the first 12 models; None if their rows record fewer than two. rows: run id to row."""
    recorded: dict[str, list[dict[str, Any]]] = {}
    for entry in competitors(table)[:MOST_MODELS]:
        texts = [rows[run]["conditions_json"] for run in entry.run_ids]
        parsed = [json.loads(text) for text in texts if text]
        recorded[entry.label] = [one for one in parsed if isinstance(one, dict)]
    names = {name for found in recorded.values() for one in found for name, by in one.items() if isinstance(by, dict)}
    task = TASKS.get(table.task) if table.task in TASKS else None
    known = {} if task is None else {metric.name: metric for metric in task.metrics}
    order = [name for name in (table.metric, *known, *sorted(names)) if name in names]
    if not order:
        return None
    metric = order[0]
    values: dict[str, dict[str, list[float]]] = {label: defaultdict(list) for label in recorded}
    for label, found in recorded.items():
        for one in found:
            by = one.get(metric)
            for condition, value in by.items() if isinstance(by, dict) else ():
                if isinstance(value, int | float) and abs(value) < 1e300:
                    values[label][condition].append(float(value))
    keys = list(dict.fromkeys(condition for by in values.values() for condition in by))
    if len(keys) < 2:
        return None
    numbers = _numbers(keys)
    if numbers is not None:
        keys = sorted(keys, key=lambda key: numbers[key])
    medians = {
        label: np.array([np.median(by[key]) if by.get(key) else np.nan for key in keys])
        for label, by in values.items()
        if by
    }
    about = known.get(metric)
    higher = table.higher_is_better if about is None else about.higher_is_better
    what = "condition" if about is None else about.condition_name
    return Conditions(metric, higher, what, keys if numbers is None else [numbers[key] for key in keys], medians)


def _numbers(keys: list[str]) -> dict[str, float] | None:
    """Each key as a finite number; None if one is not."""
    try:
        found = {key: float(key) for key in keys}
    except ValueError:
        return None
    return found if np.isfinite(list(found.values())).all() else None
