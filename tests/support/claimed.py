"""Rows on the publication's models and tasks, as `nmbench.run` would write them, with values of a test's choice."""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger.evidence import Evidence, Key, resolved
from nmbench.paper.ledger.publication import wanted
from nmbench.results import schema
from nmbench.results.store import Store
from support.rows import diverged, make_row


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
    """A row per value of the primary metric, of seeds that count up; None diverged.

    steps: of training in all, those of the protocol by default. settings: as --hparams has them. others: the task's other
    metrics. conditions: metric to label to value. config: changes to the configuration. changes: to the rows.
    """
    cell = resolved(Key(model, task, protocol, settings))
    primary, sha256, rows = TASKS.get(task).metrics[0], _sha256(task), []
    for seed, value in enumerate(values, start=first_seed):
        told = {**json.loads(schema.canonical_json(cell.config(seed))), **(config or {})}
        if steps is not None:
            phases = told["protocol"]["phases"]
            for i, phase in enumerate(phases):
                phase["steps"] = steps // len(phases) + (i < steps % len(phases))
        text = schema.canonical_json(told)
        columns = {
            "model": model,
            "task": task,
            "protocol": protocol,
            "seed": seed,
            "run_id": f"{model}.{task}.{protocol}.s{seed}.{hashlib.sha256(text.encode()).hexdigest()[:12]}",
            "task_version": cell.task.version,
            "testset_sha256": sha256,
            "config_json": text,
            "params_target": cell.task.default_budget,
            "params_actual": cell.sizing.actual,
            "metric": primary.name,
            "higher_is_better": primary.higher_is_better,
            "floor": primary.floor,
            "ceiling": primary.ceiling,
            "train_steps": 1,
            "learning_rate": cell.tuning.rate,
            "tuning_trials": cell.tuning.trials,
        }
        if value is None:
            rows.append({**diverged(**columns), "metrics.exact_match": None, **changes})
            continue
        columns["score"] = 50.0
        columns["conditions_json"] = schema.canonical_json(conditions or {})
        columns |= {f"metrics.{name}": number for name, number in (others or {}).items()}
        row = make_row(**{**columns, "value": float(value), **changes})
        rows.append(row if task == "element_finder" else {**row, "metrics.exact_match": None})
    return rows


@functools.cache
def _sha256(task: str) -> str:
    return TASKS.get(task).frozen("test").sha256


def write_csv(path: pathlib.Path, *groups: Iterable[Mapping[str, Any]]) -> str:
    """A results CSV of rows; returns its path."""
    path.write_text(schema.to_csv([row for rows in groups for row in rows]), encoding="utf-8")
    return str(path)


def write_folder(path: pathlib.Path, *groups: Iterable[Mapping[str, Any]]) -> str:
    """A results folder of runs without parameters; returns its path."""
    store = Store(path)
    store.prepare()
    for rows in groups:
        for row in rows:
            store.write(row, None, {}, [], ())
    return str(path)


def read(*paths: str) -> Evidence:
    return Evidence.read(paths, wanted())
