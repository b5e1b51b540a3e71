"""Rows of lost runs. If a process crashes, is killed or exceeds its time limit, its runs get rows that say so."""

from __future__ import annotations

import pathlib
from typing import Any

from nmbench.contracts import fingerprints
from nmbench.results import provenance, schema
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError, one_line, printable
from nmbench.sweeps.jobs import Job, JobOutcome


def record(job: Job, status: str, error: str, started_utc: str) -> list[int]:
    """Store a row for every unfinished seed of a job and return these seeds.

    Args:
      job: a job with run ids.
      status: "failed" or "timeout".
      error: the reason, for the column `error`.
      started_utc: start of the job's process, UTC.

    Raises:
      NmbenchError: a row cannot be written, or a file of the model or the task has changed since the sweep began, so that
        the process may have run other code than the row would name.
    """
    for path, before in job.sources.items():
        with one_line(f"cannot read {path}"):
            if fingerprints.of_module(path) != before:
                raise NmbenchError(f"{pathlib.Path(path).name} has changed since the sweep began; run the same sweep again")
    store, seeds = Store(job.results_dir), unfinished(job)
    origin = provenance.describe() if seeds else {}
    for seed in seeds:
        store.write(_row(job, seed, status, error, {**origin, "started_utc": started_utc}), None, {}, [])
    return seeds


def record_or_say(job: Job, status: str, error: str, started_utc: str) -> str:
    """As `record`, but returns "" or, after "; ", why the rows could not be stored."""
    try:
        record(job, status, error, started_utc)
    except NmbenchError as refused:
        return f"; its rows could not be stored: {refused}"
    return ""


def unfinished(job: Job) -> list[int]:
    """Seeds of a job that have no row with status ok or diverged."""
    rows = rows_of(job)
    return [seed for seed, row in zip(job.seeds, rows, strict=True) if row is None or row["status"] in schema.LOST]


def is_finished(job: Job) -> bool:
    """Whether all runs have a row with status ok or diverged; False if run ids are unknown before tuning."""
    return bool(job.run_ids) and not unfinished(job)


def outcome_of_rows(job: Job, code: int, seconds: float = 0.0) -> JobOutcome:
    """Outcome of a finished job."""
    diverged = sum(row is not None and row["status"] != "ok" for row in rows_of(job))
    return JobOutcome(job, code, f"{diverged} of {len(job.seeds)} seeds diverged" if diverged else "", seconds)


def rows_of(job: Job) -> list[dict[str, Any] | None]:
    """The stored rows of a job's runs, None for a run without a row."""
    store = Store(job.results_dir)
    return [store.row(run_id) for run_id in job.run_ids]


def _row(job: Job, seed: int, status: str, error: str, origin: dict[str, Any]) -> dict[str, Any]:
    assert job.configuration is not None
    configuration = job.configuration.with_seed(seed)
    return {
        **dict.fromkeys(column.name for column in schema.COLUMNS),
        "schema_version": schema.SCHEMA_VERSION,
        **job.columns,
        **origin,
        "run_id": configuration.run_id,
        "status": status,
        "error": printable(" ".join(error.split())),
        "config_json": configuration.to_json(),
        "seed": seed,
        "selected_step": 0,
        "compile_s": 0.0,
        "train_s": 0.0,
        "eval_s": 0.0,
        "seeds_together": len(job.seeds),
        "peak_rss_mb": 0.0,
        "n_devices": job.request.devices or 0,
    }
