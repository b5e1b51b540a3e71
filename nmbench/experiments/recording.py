"""From a trained run to its row and its run folder."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from nmbench.contracts.task import Task
from nmbench.experiments.experiment import Experiment
from nmbench.results import provenance, schema
from nmbench.results.columns import task_columns, verdict_columns
from nmbench.results.store import Store
from nmbench.training.parameter_files import save_params
from nmbench.training.snapshot import CurvePoint
from nmbench.training.trainer import TrainedRun


def experiment_columns(cell: Experiment) -> dict[str, Any]:
    """Columns of a row that are the same for all runs of a cell, however they end; plain data."""
    return {
        "model": cell.baseline.name,
        "model_origin": cell.baseline.origin,
        "protocol": cell.protocol.name,
        "params_target": cell.sizing.target,
        "params_actual": cell.sizing.actual,
        "params_dev": cell.sizing.deviation,
        "data_seed": cell.request.data_seed,
        "train_steps": sum(phase.steps for phase in cell.phases),
        "learning_rate": cell.tuning.rate,
        "tuning_trials": cell.tuning.trials,
        "tuning_json": schema.canonical_json(cell.tuning.record),
        **task_columns(cell.task, cell.testset_sha256, cell.n_test),
    }


def record(cell: Experiment, seed: int, trained: TrainedRun, predict, circumstances: dict[str, Any], store: Store):
    task, began = cell.task, time.perf_counter()
    row: dict[str, Any] = dict.fromkeys((c.name for c in schema.COLUMNS), None)
    per_trial: dict[str, np.ndarray] = {}
    if trained.diverged_at is not None:
        limit = cell.protocol.loss_limit
        row.update(
            status="diverged",
            error=f"the loss was not a number or above {limit:g} at step {trained.diverged_at}",
        )
    else:
        judged = _judge(task, trained, predict)
        if (np.abs(list(judged["values"].values())) <= schema.LARGEST_FLOAT).all():  # NaN is not
            per_trial = judged["per_trial"]
            row.update(
                status="ok",
                last_value=judged["last"],
                validation_loss=trained.validation_loss,
                **verdict_columns(task, judged),
            )
        else:
            row.update(status="diverged", error="predictions on the test set are not finite")
    row.update(
        schema_version=schema.SCHEMA_VERSION,
        run_id=cell.run_id(seed),
        config_json=schema.canonical_json(cell.config(seed)),
        seed=seed,
        selected_step=trained.selected_step,
        eval_s=round(time.perf_counter() - began, 3),
        peak_rss_mb=provenance.peak_rss_mb(),
        **experiment_columns(cell),
        **circumstances,
    )
    save = lambda path: save_params(path, trained.params, {"run_id": row["run_id"]})
    store.write(row, save, per_trial, trained.curve, CurvePoint._fields)
    return schema.check_row(row, row["run_id"])


def _judge(task: Task, trained: TrainedRun, predict) -> dict[str, Any]:
    """What `Task.evaluate` says of the selected parameters, with the stages that metrics ask for, and the "last" value."""
    arrays = task.frozen("test").arrays
    judged = task.evaluate(predict(trained.params), arrays)
    for stage, params in trained.stages.items():
        asked = [m for m in task.metrics if stage in m.stages]
        earlier = task.evaluate(predict(params), arrays) if asked else {}
        for metric in asked:
            name = f"{metric.name}.{stage}"
            judged["values"][name] = earlier["values"][metric.name]
            judged["per_trial"][name] = earlier["per_trial"][metric.name]
            if metric.conditions:
                judged["conditions"][name] = earlier["conditions"][metric.name]
    last = task.evaluate(predict(trained.last_params), arrays)["values"][task.primary.name]
    return {**judged, "last": last if abs(last) <= schema.LARGEST_FLOAT else None}
