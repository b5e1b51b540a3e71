"""The metrics of each trial in a run folder, checked against the values of the row."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.results.schema import metric_column
from nmbench.results.store import PER_TRIAL
from nmbench.support.errors import NmbenchError, one_line

# Largest accepted relative difference of a mean. Values of trials that were unpacked from a pack have half precision.
TOLERANCE = 1e-3


def check(folder: pathlib.Path, row: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` if the mean of a metric over the stored trials is not the value in the row.

    A run is not checked if its file of trials is missing, its task is not installed in the row's version, or its status is
    not ok.
    """
    path = folder / PER_TRIAL
    if row["status"] != "ok" or row["task"] not in TASKS or not path.is_file():
        return
    task = TASKS.get(row["task"])
    if task.version != row["task_version"] or task.frozen("test").sha256 != row["testset_sha256"]:
        return
    with one_line(f"cannot read {path}"), np.load(path, allow_pickle=False) as file:
        stored = {name: np.asarray(file[name], np.float64) for name in file.files}
    arrays = task.frozen("test").arrays
    for metric in task.metrics:
        for name in (metric.name, *(f"{metric.name}.{stage}" for stage in metric.stages)):
            column = "value" if name == row["metric"] else metric_column(name)
            value = row.get(column)
            if name not in stored or value is None:
                continue
            if stored[name].shape != (row["n_test"],):
                raise NmbenchError(f"{path}: {name!r} has shape {stored[name].shape}, not one number for each test trial")
            mean = metric.mean(stored[name], arrays)
            if not abs(mean - value) <= TOLERANCE * max(abs(mean), abs(value)):
                raise NmbenchError(
                    f"run {row['run_id']}, column {column!r}: {value:.6g}, but the mean over the trials in {path} is "
                    f"{mean:.6g}; one of them was changed after the run"
                )
