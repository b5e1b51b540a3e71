"""Metrics of a table by condition of the test trials, such as interval, query or coherence, from the rows."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS

if TYPE_CHECKING:
    from nmbench.results.ranking import Table

MOST_MODELS = 12


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Medians over seeds of one metric by condition.

    Attributes:
      metric: name of the metric.
      higher_is_better: direction of the metric.
      what: name of the condition, such as "interval".
      group: what the conditions have in common, such as "motion" of "motion -0.15" and "motion 0.15"; "" for nothing.
      names: `[C]`, numbers in ascending order, or names if not all are numbers; two or more.
      medians: label of the model to its medians `[C]`, NaN if no seed has a value.
    """

    metric: str
    higher_is_better: bool
    what: str
    group: str
    names: list[float] | list[str]
    medians: Mapping[str, np.ndarray]

    @property
    def title(self) -> str:
        """Metric, condition and group in words."""
        return f"{self.metric} by {self.axis}"

    @property
    def axis(self) -> str:
        """Condition and group in words."""
        return f"{self.what} ({self.group})" if self.group else self.what


def conditions(table: Table, rows: Mapping[str, Mapping[str, Any]]) -> list[Conditions]:
    """The conditions of the first 12 models, as their rows record them. rows: run id to row.

    For each name of a condition, such as "interval", they are those of one metric: the primary one, or the first of the task
    that is recorded by this condition. If all conditions are a word and a number, each word has conditions of its own.
    """
    recorded: dict[str, list[dict[str, Any]]] = {}
    for entry in table.models[:MOST_MODELS]:
        texts = [rows[run]["conditions_json"] for run in entry.run_ids]
        recorded[entry.label] = [json.loads(text) for text in texts if text]
    names = {name for found in recorded.values() for one in found for name in one}
    task = TASKS.get(table.task) if table.task in TASKS else None
    known = {} if task is None else {metric.name: metric for metric in task.metrics}
    chosen: dict[str, str] = {}
    for name in (table.metric, *known, *sorted(names)):
        if name in names:
            chosen.setdefault(known[name].condition_name if name in known else "condition", name)
    made = []
    for what, metric in chosen.items():
        higher = known[metric].higher_is_better if metric in known else table.higher_is_better
        made += _of_metric(metric, higher, what, recorded)
    return made


def _of_metric(metric: str, higher: bool, what: str, recorded: Mapping[str, list[dict[str, Any]]]) -> list[Conditions]:
    """One for each group of the metric's conditions that has two or more."""
    values: dict[str, dict[str, list[float]]] = {label: defaultdict(list) for label in recorded}
    for label, found in recorded.items():
        for one in found:
            for condition, value in one.get(metric, {}).items():
                values[label][condition].append(float(value))
    made = []
    for group, keys in _groups(list(dict.fromkeys(key for by in values.values() for key in by))).items():
        if len(keys) < 2:
            continue
        numbers = _numbers(list(keys.values()))
        at = numbers or {}
        order = sorted(keys, key=lambda key: at.get(keys[key], 0.0))  # names keep their order
        medians = {
            label: np.array([np.median(by[key]) if by.get(key) else np.nan for key in order])
            for label, by in values.items()
            if any(key in by for key in order)
        }
        shown = [keys[key] for key in order] if numbers is None else [at[keys[key]] for key in order]
        made.append(Conditions(metric, higher, what, group, shown, medians))
    return made


def _groups(keys: list[str]) -> dict[str, dict[str, str]]:
    """Group to its keys, each with its name in the group; one group "" unless every key is a word and a number."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for key in keys:
        if found := re.fullmatch(r"([A-Za-z]\w*) (\S+)", key):
            groups[found[1]][key] = found[2]
    named = [name for group in groups.values() for name in group.values()]
    return groups if len(named) == len(keys) and _numbers(named) is not None else {"": {key: key for key in keys}}


def _numbers(keys: list[str]) -> dict[str, float] | None:
    """Each key as a finite number; None if one is not."""
    try:
        found = {key: float(key) for key in keys}
    except ValueError:
        return None
    return found if np.isfinite(list(found.values())).all() else None
