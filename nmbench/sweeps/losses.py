"""Rows of runs that were lost: a process that crashed, was killed, or ran out of time leaves no silence."""

from __future__ import annotations

from typing import Any

from nmbench.results import provenance, schema
from nmbench.results.store import Store
from nmbench.support.errors import printable
from nmbench.sweeps.jobs import Job


def record(job: Job, status: str, error: str, started_utc: str) -> list[int]:
    """Store a row for every seed of a job that has none, or has one that says it was lost before; returns these seeds.

    Args:
      job: with its `run_ids` known.
      status: "failed" or "timeout".
      error: one line.
      started_utc: when its process was started.

    Raises:
      NmbenchError: the disk refuses.
    """
    store, seeds = Store(job.results_dir), unfinished(job)
    origin = provenance.describe() if seeds else {}
    for seed in seeds:
        store.write(_row(job, seed, status, error, {**origin, "started_utc": started_utc}), None, {}, [], ())
    return seeds


def unfinished(job: Job) -> list[int]:
    """Seeds of a job without a row that is ok or diverged."""
    rows = rows_of(job)
    return [seed for seed, row in zip(job.seeds, rows, strict=True) if row is None or row["status"] in schema.LOST]


def rows_of(job: Job) -> list[dict[str, Any] | None]:
    """The stored rows of a job's runs, None for those that there are not."""
    store = Store(job.results_dir)
    return [store.row(run_id) for run_id in job.run_ids]


def _row(job: Job, seed: int, status: str, error: str, origin: dict[str, Any]) -> dict[str, Any]:
    config = {**job.config, "seed": seed}
    return {
        **dict.fromkeys(column.name for column in schema.COLUMNS),
        "schema_version": schema.SCHEMA_VERSION,
        **job.facts,
        **origin,
        "run_id": job.run_ids[job.seeds.index(seed)],
        "status": status,
        "error": printable(" ".join(error.split())),
        "config_json": schema.canonical_json(config),
        "seed": seed,
        # Nothing is known of what it took.
        "selected_step": 0,
        "compile_s": 0.0,
        "train_s": 0.0,
        "eval_s": 0.0,
        "seeds_together": len(job.seeds),
        "peak_rss_mb": 0.0,
        "n_devices": job.request.devices or 0,
    }
