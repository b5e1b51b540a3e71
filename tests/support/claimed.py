"""Rows of the publication's models and tasks with given values, in the form in which `nmbench.run` writes them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import tuning
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, resolved
from nmbench.paper.ledger.publication import wanted
from nmbench.paper.ledger.verdicts import ClaimFinding, MeasuredValue
from nmbench.results import csv_files, schema
from nmbench.results.store import Store
from nmbench.training.parameter_files import save_params
from nmbench.training.snapshot import CurvePoint
from support.rows import diverged, make_row, make_tuning_record


def make_rows(
    model: str,
    task: str,
    values: Sequence[float | None],
    protocol: str = "matched",
    *,
    first_seed: int = 0,
    steps: int | None = None,
    settings: tuple[tuple[str, str], ...] = (),
    others: Mapping[str, float] | None = None,
    conditions: Mapping[str, Mapping[str, float]] | None = None,
    config: Mapping[str, Any] | None = None,
    **changes: Any,
) -> list[dict[str, Any]]:
    """One row for each value of the primary metric, with consecutive seeds; the value None makes a diverged run.

    The learning rate is 0.01, chosen in three tuning runs, if the protocol is tuned.

    Args:
      model, task, protocol: registered names.
      values: values of the primary metric.
      first_seed: seed of the first row.
      steps: total number of training steps; the protocol's by default.
      settings: hyperparameters, as for --hparams.
      others: values of the task's other metrics.
      conditions: for each metric, the value of each condition by its label.
      config: changes to the configuration.
      changes: changes to the columns of the rows.
    """
    experiment = resolved(ExperimentKey(model, task, protocol, settings))
    if experiment.protocol.learning_rate_grid:
        names = {"model": model, "task": task, "task_version": experiment.task.version, "protocol": protocol}
        record = make_tuning_record({0.003: [2.0], 0.01: [1.0], 0.03: [2.0]}, **names)
        experiment = dataclasses.replace(experiment, learning_rate=tuning.choice(record))
    primary, (sha256, n_test), rows = TASKS.get(task).metrics[0], _test_set(task), []
    for seed, value in enumerate(values, start=first_seed):
        configuration = {**json.loads(experiment.configuration(seed).to_json()), **(config or {})}
        if steps is not None:
            phases = configuration["protocol"]["phases"]
            for i, phase in enumerate(phases):
                phase["steps"] = steps // len(phases) + (i < steps % len(phases))
        text = schema.canonical_json(configuration)
        columns = {
            "model": model,
            "task": task,
            "protocol": protocol,
            "seed": seed,
            "run_id": f"{model}.{task}.{protocol}.s{seed}.{hashlib.sha256(text.encode()).hexdigest()[:12]}",
            "task_version": experiment.task.version,
            "testset_sha256": sha256,
            "n_test": n_test,
            "config_json": text,
            "params_target": experiment.configuration(seed).budget,
            "params_actual": experiment.sizing.actual,
            "metric": primary.name,
            "higher_is_better": primary.higher_is_better,
            "floor": primary.floor,
            "ceiling": primary.ceiling,
            "train_steps": steps or sum(phase.steps for phase in experiment.phases),
            "learning_rate": experiment.learning_rate.value,
            "tuning_trials": experiment.learning_rate.tuning_runs,
            "tuning_json": schema.canonical_json(experiment.learning_rate.record),
        }
        if value is None:
            rows.append({**diverged(**columns), "metrics.exact_match": None, **changes})
            continue
        columns["conditions_json"] = schema.canonical_json(conditions or {})
        columns |= {f"metrics.{name}": number for name, number in (others or {}).items()}
        row = make_row(**{**columns, "value": float(value), **changes})
        rows.append(row if task == "element_finder" else {**row, "metrics.exact_match": None})
    return rows


@functools.cache
def _test_set(task: str) -> tuple[str, int]:
    test = TASKS.get(task).frozen("test")
    return test.sha256, test.n


def write_csv(path: pathlib.Path, *groups: Iterable[Mapping[str, Any]]) -> str:
    """Write a results CSV of rows; return its path."""
    path.write_text(csv_files.to_csv([row for rows in groups for row in rows]), encoding="utf-8")
    return str(path)


def write_folder(path: pathlib.Path, *groups: Iterable[Mapping[str, Any]]) -> str:
    """Write a results folder of runs without parameters; return its path."""
    store = Store(path)
    store.prepare()
    for rows in groups:
        for row in rows:
            store.write(row, None, {}, [])
    return str(path)


def write_untrained(path: pathlib.Path, model: str, task: str, value: float = 0.1, **more: Any) -> dict[str, Any]:
    """Write a run with a training curve and random parameters, which need no compilation; return its row.

    Args:
      path: results folder, created if needed.
      model, task: registered names.
      value: of the primary metric.
      more: further arguments of `make_rows`.
    """
    (row,) = make_rows(model, task, [value], **more)
    key = ExperimentKey(model, task, more.get("protocol", "matched"), more.get("settings", ()))
    random, shapes = np.random.RandomState(0), jax.eval_shape(resolved(key).model.init, jax.random.key(0))
    params = jax.tree.map(lambda a: (0.3 * random.randn(*a.shape)).astype(a.dtype), shapes)
    store = Store(path)
    store.prepare()
    curve = [CurvePoint(step, 1.0, 10.0 / step) for step in (10, 20)]
    store.write(row, lambda file: save_params(file, params), {}, curve)
    return row


def read(*paths: str) -> Evidence:
    """Read the evidence for the claims from results files and folders."""
    return Evidence.read(paths, wanted())


def line_of(finding: ClaimFinding, what: str) -> MeasuredValue:
    """The measured value of this name."""
    (line,) = (line for line in finding.measured if line.what == what)
    return line
