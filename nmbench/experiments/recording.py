"""Evaluate a trained run; make its row and its run folder."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from nmbench.contracts.task import Task
from nmbench.experiments.experiment import Experiment
from nmbench.results import provenance, schema
from nmbench.results.columns import evaluation_columns, task_columns
from nmbench.results.store import Store, stage_file
from nmbench.training.parameter_files import save_params
from nmbench.training.snapshot import CurvePoint
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
        judged = judge(task, trained, predict)
        if (np.abs(list(judged["values"].values())) <= schema.LARGEST_FLOAT).all():  # False for NaN
            per_trial = judged["per_trial"]
            row.update(
                status="ok",
                last_value=_last_value(task, trained, predict),
                validation_loss=trained.validation_loss,
                **evaluation_columns(task, judged),
            )
        else:
            row.update(status="diverged", error="predictions on the test set are not finite")
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

    store.write(row, save, per_trial, trained.curve, CurvePoint._fields)
    return schema.check_row(row, row["run_id"])


def judge(task: Task, trained: TrainedRun, predict) -> dict[str, Any]:
    """Results of `Task.evaluate` for the selected parameters, including those of earlier stages."""
    return _evaluated(task, trained.params, trained.stages, predict)


def _last_value(task: Task, trained: TrainedRun, predict) -> float | None:
    """The primary metric of the parameters after the last step; None if it is not finite or too large."""
    value = _evaluated(task, trained.last_params, trained.stages, predict)["values"][task.primary.name]
    return value if abs(value) <= schema.LARGEST_FLOAT else None


def _evaluated(task: Task, params: Any, stages: Mapping[str, Any], predict) -> dict[str, Any]:
    needed = {stage for metric in task.metrics for stage in (*metric.stages, *metric.earlier)}
    earlier = {stage: predict(params) for stage, params in stages.items() if stage in needed}
    return task.evaluate(predict(params), task.frozen("test").arrays, earlier)
