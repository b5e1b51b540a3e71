"""What of a grid is done already, as one look at the results folder shows it, and what is left."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import tabulate

from nmbench.experiments import tuning
from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.sweeps.estimate import Estimator
from nmbench.sweeps.grid import Asked, LeftOut, Place, job_of
from nmbench.sweeps.jobs import Job, JobOutcome, run_ids_of


@dataclasses.dataclass(frozen=True)
class Standing:
    """A cell and its seeds.

    Attributes:
      place: the cell.
      run_ids: of all seeds; () where the rate is yet to be tuned.
      statuses: number of stored runs by status.
      missing: seeds that are to be trained.
      core_minutes: estimate for these.
    """

    place: Place
    run_ids: tuple[str, ...]
    statuses: Counter[str]
    missing: tuple[int, ...]
    core_minutes: float


def standings(places: Sequence[Place], asked: Asked, store: Store, names: set[str], estimator: Estimator) -> list[Standing]:
    """How every cell stands. names: `store.names()`; rows of runs that are not among them are not looked for."""
    return [_standing(place, asked, store, names, estimator) for place in places]


def jobs_of(standings: Sequence[Standing], asked: Asked) -> list[Job]:
    """A job for every cell that has seeds missing, the longest first."""
    left = sorted((s for s in standings if s.missing), key=lambda s: (-s.core_minutes, s.place.name))
    return [job_of(s.place, asked, s.missing, s.core_minutes) for s in left]


def table(standings: Sequence[Standing], left_out: Sequence[LeftOut], seeds: int) -> str:
    """Cells, runs and core-hours per task and in total, as a terminal's table."""
    tasks: dict[str, dict[str, Any]] = {}
    names = ("cells", "runs", "done", "lost", "left_out", "minutes")

    def new() -> dict[str, Any]:
        return dict.fromkeys(names, 0)

    for standing in standings:
        row = tasks.setdefault(standing.place.cell.task.name, new())
        row["cells"] += 1
        row["runs"] += seeds
        row["done"] += sum(n for status, n in standing.statuses.items() if status not in schema.LOST)
        row["lost"] += sum(n for status, n in standing.statuses.items() if status in schema.LOST)
        row["minutes"] += standing.core_minutes
    for one in left_out:
        tasks.setdefault(one.task, new())["left_out"] += 1
    total = {name: sum(row[name] for row in tasks.values()) for name in names}
    lines = [[name, *_cells(row)] for name, row in sorted(tasks.items())]
    headers = ("task", "cells", "runs", "done", "failed", "left out", "core-hours to go")
    return tabulate.tabulate([*lines, tabulate.SEPARATING_LINE, ["all", *_cells(total)]], headers, disable_numparse=True)


def _cells(row: dict[str, Any]) -> list[str]:
    counts = [str(row[name]) for name in ("cells", "runs", "done", "lost", "left_out")]
    return [*counts, hours(row["minutes"])]


def hours(minutes: float) -> str:
    """Hours with as many digits as an estimate is worth."""
    value = minutes / 60
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _standing(place: Place, asked: Asked, store: Store, names: set[str], estimator: Estimator) -> Standing:
    seeds = tuple(asked.seeds)
    run_ids = run_ids_of(place.cell.config(0), seeds) if place.tuned else ()
    rows = {seed: store.peek(run_id) for seed, run_id in zip(seeds, run_ids, strict=False) if run_id in names}
    statuses = Counter(row["status"] for row in rows.values() if row is not None)
    done = {seed for seed, row in rows.items() if row and not (asked.retry_failed and row["status"] in schema.LOST)}
    missing = tuple(seed for seed in seeds if seed not in done)
    minutes = (
        estimator.core_minutes(place.cell, place.work, len(missing), asked.tune and not place.tuned) if missing else 0.0
    )
    return Standing(place, run_ids, statuses, missing, minutes)


def note(estimator: Estimator) -> str:
    """What the estimates rest on, and how far off they may be."""
    if estimator.rows:
        return (
            f"core-hours are estimated from {estimator.rows} runs in the results folder; for models and tasks not among "
            "them they may be off by a factor of three"
        )
    return "core-hours may be off by a factor of three: no run in the results folder has been timed yet"


def summary(standings: Sequence[Standing], jobs: Sequence[Job]) -> str:
    """One line on what will be done."""
    runs = sum(len(job.seeds) for job in jobs)
    done = sum(sum(s.statuses.values()) for s in standings)
    lost = sum(n for s in standings for status, n in s.statuses.items() if status in schema.LOST)
    failed = f", {lost} of them failed (--retry_failed does them again)" if lost else ""
    cost = f", about {hours(sum(job.core_minutes or 0 for job in jobs))} core-hours" if jobs else ""
    return f"{len(jobs)} of {len(standings)} cells to run, {runs} runs{cost}; {done} runs are there already{failed}"


def rows_of(standings: Sequence[Standing], asked: Asked, store: Store) -> list[dict[str, Any]]:
    """The stored rows of all cells, those whose rate has been tuned meanwhile among them."""
    ids = []
    for standing in standings:
        cell = standing.place.cell
        choice = None if standing.run_ids else tuning.stored(cell, store)
        if choice is not None:
            cell = dataclasses.replace(cell, tuning=choice)
        ids += standing.run_ids or (run_ids_of(cell.config(0), tuple(asked.seeds)) if choice else ())
    return [row for run_id in ids if (row := store.row(run_id)) is not None]


def problems(rows: Sequence[dict[str, Any]], outcomes: Sequence[JobOutcome]) -> list[str]:
    """One line for every cell or run that is not all right."""
    lines = [f"{outcome.job.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    told = {run_id for outcome in outcomes for run_id in outcome.job.run_ids}
    return lines + [
        f"{r['run_id']}: {r['status']}: {r['error']}" for r in rows if r["status"] != "ok" and r["run_id"] not in told
    ]
