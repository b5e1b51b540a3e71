"""Valid rows for tests of code that reads rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmbench.contracts import tuning_record
from nmbench.contracts.metrics import scores
from nmbench.results import experiment_rows, ranking, schema


def make_row(model: str = "nmrnn", seed: int = 0, value: Any = 1.0, **changes: Any) -> dict[str, Any]:
    """A valid row of a made-up task with floor 4 and ceiling 0, with the score of its value, whatever the changes."""
    config = {"model": model, "seed": seed, "hparams": {"N": 5}, "protocol": {"name": "matched"}}
    row = {
        "schema_version": schema.SCHEMA_VERSION,
        "run_id": f"{model}.made_up.matched.s{seed}.0123456789ab",
        "status": "ok",
        "error": None,
        "task": "made_up",
        "task_version": 1,
        "testset_sha256": "a" * 64,
        "n_test": 10,
        "model": model,
        "model_origin": f"baselines/{model}.py:1",
        "protocol": "matched",
        "config_json": schema.canonical_json(config),
        "params_target": 500,
        "params_actual": 497,
        "params_dev": None,
        "seed": seed,
        "data_seed": 0,
        "metric": "mse",
        "value": value,
        "higher_is_better": False,
        "floor": 4.0,
        "ceiling": 0.0,
        "score": None,
        "conditions_json": '{"mse":{"0":1.5}}',
        "last_value": None if value is None else value + 0.5,
        "validation_loss": value,
        "selected_step": 250,
        "train_steps": 500,
        "learning_rate": 0.01,
        "tuning_trials": 0,
        "tuning_json": '{"source":"given"}',
        "departures": None,
        "compile_s": 1.0,
        "train_s": 2.0,
        "eval_s": 0.1,
        "seeds_together": 2,
        "peak_rss_mb": 500.0,
        "nmbench_version": "0.1.0",
        "python_version": "3.11.7",
        "jax_version": "0.10.2",
        "jaxlib_version": "0.10.2",
        "haiku_version": "0.0.17",
        "optax_version": "0.2.8",
        "numpy_version": "2.4.6",
        "git_sha": None,
        "git_dirty": None,
        "platform": "Linux-x86_64",
        "device_kind": "cpu",
        "processor": "Processor 9000 (6/1)",
        "n_cpu": 2,
        "n_devices": 2,
        "x64": False,
        "prng_impl": "threefry2x32",
        "xla_flags": None,
        "started_utc": "2026-01-01T00:00:00+00:00",
        "metrics.exact_match": 0.5,
    }
    row |= changes
    if "params_dev" not in changes and row["params_target"]:
        row["params_dev"] = (row["params_actual"] - row["params_target"]) / row["params_target"]
    if "score" not in changes and isinstance(row["value"], int | float):
        one_value = row["floor"] == row["ceiling"]
        row["score"] = 0.0 if one_value else float(scores(np.asarray(row["value"]), row["floor"], row["ceiling"]))
    return row


def tuned(losses: dict[float, list[float | None]], **changes: Any) -> dict[str, Any]:
    """The columns of a tuned learning rate, for `make_row`.

    Args:
      losses: learning rate to the validation losses of its tuning runs, in ascending order; the test values are 10 times as
        large.
      changes: other entries of the tuning record.
    """
    record = make_tuning_record(losses, **changes)
    trials = len(record["grid"]) * len(record["seeds"])
    columns = {"learning_rate": record["chosen"], "tuning_trials": trials}
    return {**columns, "tuning_json": schema.canonical_json(record)}


def make_tuning_record(losses: dict[float, list[float | None]], **changes: Any) -> dict[str, Any]:
    """A valid tuning record of nmrnn on the made-up task; see `tuned` for the arguments."""
    rows = list(losses.values())
    record = {
        "engine": 1,
        "model": "nmrnn",
        "task": "made_up",
        "task_version": 1,
        "protocol": "matched",
        "hparams": {"N": 5},
        "params": 497,
        "steps": 500,
        "validation_sha256": {"validation": "b" * 64},
        "rule": tuning_record.RULE,
        "grid": list(losses),
        "seeds": list(range(1000, 1000 + len(rows[0]))),
        "validation_losses": rows,
        "failed": tuning_record.failures(rows),
        "test_values": [[None if loss is None else 10 * loss for loss in row] for row in rows],
        "chosen": tuning_record.choose(list(losses), rows),
        "train_s": 1.0,
    }
    return {**record, **changes}


def whole_config(row: dict[str, Any]) -> dict[str, Any]:
    """A complete configuration for a row of `make_row`; the one in the row itself lacks most entries."""
    names = ("model", "task", "task_version", "testset_sha256", "seed", "data_seed", "learning_rate", "tuning_trials", "x64")
    return {
        **{name: row[name] for name in names},
        "engine": 1,
        "model_sha256": "b" * 64,
        "hparams": {"N": 5},
        "budget": row["params_target"],
        "protocol": {"name": row["protocol"], "phases": [{"steps": row["train_steps"]}]},
        "validation_sha256": {},
        "training_sha256": {},
    }


def diverged(**changes: Any) -> dict[str, Any]:
    """A valid row of a run that diverged."""
    empty = dict.fromkeys(("value", "score", "conditions_json", "last_value", "validation_loss", "metrics.exact_match"))
    return make_row(**{**empty, "status": "diverged", "error": "loss was not a number at step 3", **changes})


def tables_of(*files: list[dict[str, Any]]) -> list[ranking.Table]:
    """Ranking tables of rows, as if the groups of rows came from files 1.csv, 2.csv, ..."""
    sources = [experiment_rows.gather(f"{i}.csv", rows) for i, rows in enumerate(files, start=1)]
    experiment_rows.check_evaluations(sources)  # as read_all does
    return ranking.rank_tables(sources)
