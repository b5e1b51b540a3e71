"""Tier re-scored: score predictions again, and compare with the stored values of trials and with the values of the row.

The predictions come from stored parameters. On one kind of processor they are the same to the bit; elsewhere rounding
differs and changes a score slightly. `difference` is therefore taken over all trials together, and its tolerance is
`TOLERANCE`: 0.001. The half precision of stored values makes up to 0.0005 of it (see `nmbench.results.packs`). Rows trained
on an Intel processor and scored on one by AMD differed by less than 1e-6; the parameters of another seed give differences
near 1. Of a metric with whole numbers, such as 1 for a wrong trial, one trial may differ, because rounding can decide it.
"""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nmbench.contracts.metrics import Metric
from nmbench.contracts.task import Task
from nmbench.exchange import external_rows
from nmbench.experiments import reproduction
from nmbench.results import per_trial, schema
from nmbench.results.store import PER_TRIAL
from nmbench.submissions import probe
from nmbench.support.errors import NmbenchError

TOLERANCE = reproduction.SCORED_ELSEWHERE
# Mean scores below this share of the metric's range are rounding errors.
_SMALLEST = 1e-9


def difference(found: np.ndarray, stored: np.ndarray, least: float) -> float:
    """sum |found - stored| / max(sum |found|, sum |stored|) over trials: 0 if they are equal, about 1 if they are unrelated.

    Args:
      found, stored: `[B]`. Trials that both sides leave out (NaN) do not count.
      least: the smallest mean score that matters; the divisor is at least `B` times as large.
    """
    left_out = np.isnan(found) & np.isnan(stored)
    found, stored = found[~left_out].astype(np.float64), stored[~left_out].astype(np.float64)
    if not np.isfinite(found).all() or not np.isfinite(stored).all():
        return 1.0
    largest = max(np.abs(found).sum(), np.abs(stored).sum(), least * len(found))
    return float(np.abs(found - stored).sum() / largest) if largest else 0.0


def rescore(task: Task, row: Mapping[str, Any], folder: pathlib.Path, predictions: Mapping[str, np.ndarray]) -> float:
    """Compare the scores of predictions with those of a run and of its row; returns the largest difference.

    Args:
      task: the task.
      row: a row with status ok.
      folder: run folder with the stored values of trials.
      predictions: stage of training to `[T, B, O]` on the test set; "" for the final one.

    Raises:
      NmbenchError: a difference is above the tolerance; the message names the column or the values of trials.
    """
    arrays = task.frozen("test").arrays
    earlier = {stage: array for stage, array in predictions.items() if stage}
    judged = task.evaluate(predictions[""], arrays, earlier)
    by_condition = json.loads(row["conditions_json"])
    metrics = {metric.name: metric for metric in task.metrics}
    worst = 0.0

    def compare(what: str, found: Any, stored: Any, least: float) -> None:
        nonlocal worst
        new, old = (np.atleast_1d(np.asarray(one, np.float64)) for one in (found, stored))
        seen = difference(new, old, least) if new.shape == old.shape else 1.0
        worst = max(worst, seen)
        if not seen <= TOLERANCE:
            raise NmbenchError(
                f"run {row['run_id']}: its parameters give {_shown(new)} for {what}, but it says {_shown(old)} (difference "
                f"{seen:.3g}, tolerance {TOLERANCE:g}); they are not the parameters of this row, or its scores were edited"
            )

    for name, values in judged["per_trial"].items():
        metric, column = metrics[name.partition(".")[0]], schema.metric_column(name)
        chosen = metric.chosen(arrays, len(values))
        if name == task.primary.name:
            compare("the values of trials", values, stored_values(folder, row), _least(metric, values, len(values)))
            column = "value"
        stored = row.get(column)
        least = _least(metric, values, int(chosen.sum()))
        compare(f"column {column!r}", judged["values"][name], math.nan if stored is None else stored, least)
        means = judged["conditions"].get(name, {})
        if means.keys() != by_condition.get(name, {}).keys():
            raise NmbenchError(f"run {row['run_id']}, column 'conditions_json': it has other conditions than the task")
        labels = [] if metric.conditions is None else np.asarray(metric.conditions(arrays))[chosen]
        trials = {str(label): int(n) for label, n in zip(*np.unique(labels, return_counts=True), strict=True)}
        for label, mean in means.items():
            least = _least(metric, values, trials[label])
            compare(f"{name} of condition {label}", mean, by_condition[name][label], least)
    return worst


def _least(metric: Metric, values: np.ndarray, trials: int) -> float:
    """The smallest mean that matters in a comparison; for whole numbers so large that one trial of `trials` may differ."""
    finite = np.abs(values[np.isfinite(values)])
    if (finite != np.rint(finite)).any():
        return _SMALLEST * abs(metric.floor - metric.ceiling)
    most = max(1.0, abs(metric.floor), abs(metric.ceiling), finite.max(initial=0.0))  # that one trial can change
    return 1.01 * most / (TOLERANCE * trials)


def stored_values(folder: pathlib.Path, row: Mapping[str, Any]) -> np.ndarray:
    """The stored primary metric of every test trial, float64 `[B]`; raises `NmbenchError`."""
    try:
        with np.load(folder / PER_TRIAL, allow_pickle=False) as stored:
            scores = np.asarray(stored[row["metric"]], np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise NmbenchError(f"run {row['run_id']}: its values of trials cannot be read ({error})") from None
    if scores.shape != (row["n_test"],):
        raise NmbenchError(f"run {row['run_id']}: {scores.shape} values of trials for {row['n_test']} test trials")
    return scores


def read_predictions(folder: pathlib.Path, task: Task, stages: list[str]) -> dict[str, np.ndarray]:
    """The predictions that `probe` wrote into a folder, by stage; raises `NmbenchError` if they are not valid."""
    shape = (task.spec.steps, task.frozen("test").n, task.spec.output_size)
    path = lambda stage: str(folder / probe.predictions_file(stage))
    return {stage: external_rows.read_predictions(path(stage), shape) for stage in stages}


def conditions_differ(task: Task, row: Mapping[str, Any], scores: np.ndarray) -> bool:
    """Whether the row's primary metric by condition is not the mean of the stored values of trials."""
    metric = task.primary
    found = metric.by_condition(scores, task.frozen("test").arrays)
    stored = json.loads(row["conditions_json"]).get(metric.name, {})
    return found.keys() != stored.keys() or not all(
        np.isclose(stored[name], value, rtol=per_trial.TOLERANCE, atol=1e-12) for name, value in found.items()
    )


def _shown(values: np.ndarray) -> str:
    return f"{values[0]:.6g}" if values.size == 1 else f"a mean of {np.nanmean(values):.6g}"
