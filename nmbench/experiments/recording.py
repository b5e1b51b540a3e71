"""Evaluate a trained run; make its row and its run folder."""

from __future__ import annotations

import math
import pathlib
import time
from typing import Any

import numpy as np

from nmbench.contracts.metrics import Arrays
from nmbench.contracts.task import Task
from nmbench.experiments.contract_checks import one_line_of
from nmbench.experiments.experiment import Experiment
from nmbench.results import provenance, schema
from nmbench.results.columns import evaluation_columns, task_columns
from nmbench.results.store import Store, stage_file
from nmbench.support.errors import NmbenchError, printable
from nmbench.training.parameter_files import save_params
from nmbench.training.trainer import TrainedRun


def experiment_columns(experiment: Experiment) -> dict[str, Any]:
    """Columns that the rows of all runs of an experiment share, including those of runs that failed; plain data."""
    return {
        "model": experiment.baseline.name,
        "model_origin": experiment.baseline.origin,
        "protocol": experiment.protocol.name,
        "params_target": experiment.sizing.target,
        "params_actual": experiment.sizing.actual,
        "params_dev": experiment.sizing.deviation,
        "data_seed": experiment.request.data_seed,
        "train_steps": experiment.steps,
        "learning_rate": experiment.learning_rate.value,
        "tuning_trials": experiment.learning_rate.tuning_runs,
        "tuning_json": schema.canonical_json(experiment.learning_rate.record),
        "departures": experiment.departures,
        **task_columns(experiment.task, experiment.testset_sha256, experiment.n_test),
    }


def record(
    experiment: Experiment, seed: int, trained: TrainedRun, predict, circumstances: dict[str, Any], store: Store
) -> dict[str, Any]:
    """Evaluate a trained run, store its run folder and return its row.

    Args:
      experiment: the trained experiment.
      seed: the seed of the run.
      trained: parameters and training curve.
      predict: function from parameters to predictions `[T, B, O]` on the test set.
      circumstances: columns about versions, machine and time.
      store: results folder.

    Raises:
      NmbenchError: the run folder cannot be written.
    """
    task, began = experiment.task, time.perf_counter()
    row: dict[str, Any] = dict.fromkeys((c.name for c in schema.COLUMNS), None)
    per_trial: dict[str, np.ndarray] = {}
    if trained.diverged_at is not None:
        limit = experiment.protocol.loss_limit
        row.update(
            status="diverged",
            error=f"the loss was not a number or above {limit:g} at step {trained.diverged_at}",
        )
    else:
        arrays, earlier = task.frozen("test").arrays, predictions_of_stages(task, trained, predict)
        judged, error = evaluate(task, predict(trained.params), arrays, earlier)
        last, _ = evaluate(task, predict(trained.last_params), arrays, earlier)
        last_value = math.nan if last is None else last["values"][task.primary.name]
        values = {} if judged is None else judged["values"]
        bad = [name for name, value in values.items() if not abs(value) <= schema.LARGEST_FLOAT]  # also NaN
        if judged is None:
            row.update(status="failed", error=error)
        elif bad:
            row.update(
                status="diverged", error=f"metric {bad[0]} of the predictions on the test set is not a number up to 1e300"
            )
        else:
            per_trial = judged["per_trial"]
            row.update(
                status="ok",
                last_value=last_value if abs(last_value) <= schema.LARGEST_FLOAT else None,  # also None for NaN
                validation_loss=trained.validation_loss,
                **evaluation_columns(task, judged),
            )
    row.update(
        schema_version=schema.SCHEMA_VERSION,
        run_id=experiment.run_id(seed),
        config_json=experiment.configuration(seed).to_json(),
        seed=seed,
        selected_step=trained.selected_step,
        eval_s=round(time.perf_counter() - began, 3),
        peak_rss_mb=provenance.peak_rss_mb(),
        **experiment_columns(experiment),
        **circumstances,
    )
    facts = {"run_id": row["run_id"]}

    def save(path: pathlib.Path) -> None:
        save_params(path, trained.params, facts)
        for stage, params in trained.stages.items():
            save_params(path.with_name(stage_file(stage)), params, {**facts, "stage": stage})

    store.write(row, save, per_trial, trained.curve)
    return schema.check_row(row, row["run_id"])


def evaluate(
    task: Task, predictions: np.ndarray, arrays: Arrays, earlier: dict[str, np.ndarray]
) -> tuple[dict[str, Any] | None, str]:
    """The result of `Task.evaluate` and "", or None and what a metric raised, so that other seeds are still recorded."""
    try:
        with one_line_of(task, "the evaluation on the test set failed"):
            return task.evaluate(predictions, arrays, earlier), ""
    except NmbenchError as error:
        return None, printable(str(error))[:1000]


def predictions_of_stages(task: Task, trained: TrainedRun, predict) -> dict[str, np.ndarray]:
    """Predictions `[T, B, O]` with the parameters of each earlier stage of training that a metric of the task uses."""
    used = {stage for metric in task.metrics for stage in (*metric.stages, *metric.earlier)}
    return {stage: predict(params) for stage, params in trained.stages.items() if stage in used}
