"""Status of every experiment of a grid: stored runs, missing runs and their estimated cost."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import tabulate

from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.support import terminal
from nmbench.sweeps.estimate import Estimator
from nmbench.sweeps.grid import GridPoint, Skipped, SweepRequest, make_job
from nmbench.sweeps.jobs import Job


@dataclasses.dataclass(frozen=True)
class ExperimentStatus:
    """Status of one experiment.

    Attributes:
      point: the experiment.
      stored: number of stored runs by status.
      missing: seeds to train.
      core_minutes: estimated cost of the missing seeds, in minutes of one core.
    """

    point: GridPoint
    stored: Counter[str]
    missing: tuple[int, ...]
    core_minutes: float

    @property
    def lost(self) -> int:
        """Number of stored runs that a crash or a time limit ended."""
        return sum(n for status, n in self.stored.items() if status in schema.LOST)


def statuses(points: Sequence[GridPoint], sweep: SweepRequest, store: Store, estimator: Estimator) -> list[ExperimentStatus]:
    """The status of every experiment."""
    return [_status(point, sweep, store, estimator) for point in points]


def make_jobs(statuses: Sequence[ExperimentStatus], sweep: SweepRequest) -> list[Job]:
    """A job for every experiment with missing seeds, longest first."""
    pending = sorted((s for s in statuses if s.missing), key=lambda s: (-s.core_minutes, s.point.name))
    return [make_job(s.point, sweep, s.missing, s.core_minutes) for s in pending]


def table(statuses: Sequence[ExperimentStatus], skipped: Sequence[Skipped], seeds: int) -> str:
    """Experiments, runs and core-hours per task and in total, as a text table. seeds: number per experiment."""
    columns = ("experiments", "runs", "done", "failed", "skipped", "minutes")
    tasks: dict[str, dict[str, float]] = {}

    def add(task: str, **values: float) -> None:
        row = tasks.setdefault(task, dict.fromkeys(columns, 0))
        for name, value in values.items():
            row[name] += value

    for s in statuses:
        done = sum(s.stored.values()) - s.lost
        task = s.point.experiment.task.name
        add(task, experiments=1, runs=seeds, done=done, failed=s.lost, minutes=s.core_minutes)
    for combination in skipped:
        add(combination.task, skipped=1)
    total = {name: sum(row[name] for row in tasks.values()) for name in columns}

    def line(name: str, row: Any) -> list[str]:
        return [name, *(str(row[column]) for column in columns[:-1]), f"{row['minutes'] / 60:.2f}"]

    lines = [*(line(name, row) for name, row in sorted(tasks.items())), tabulate.SEPARATING_LINE, line("all", total)]
    return tabulate.tabulate(lines, ("task", *columns[:-1], "core-hours to go"), disable_numparse=True)


def hours(minutes: float) -> str:
    """Minutes as hours, with fewer decimals for larger numbers."""
    value = minutes / 60
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def note(estimator: Estimator) -> str:
    """One line on the basis and the accuracy of the estimates."""
    if estimator.rows:
        return (
            f"core-hours are estimated from {estimator.rows} runs in the results folder; for other models and tasks they "
            "may be wrong by a factor of three"
        )
    return "core-hours may be wrong by a factor of three: the results folder has no timed run yet"


def summary(statuses: Sequence[ExperimentStatus], jobs: Sequence[Job]) -> str:
    """One line on the runs that will be trained."""
    runs = sum(len(job.seeds) for job in jobs)
    stored = sum(sum(s.stored.values()) for s in statuses)
    lost = sum(s.lost for s in statuses)
    failed = f", {lost} of them failed (--retry_failed trains them again)" if lost else ""
    cost = f", about {hours(sum(job.core_minutes or 0 for job in jobs))} core-hours" if jobs else ""
    return (
        f"{len(jobs)} of {len(statuses)} experiments to train, {terminal.count(runs, 'run')}{cost}; "
        f"{stored} stored already{failed}"
    )


def _status(point: GridPoint, sweep: SweepRequest, store: Store, estimator: Estimator) -> ExperimentStatus:
    seeds = tuple(sweep.seeds)
    stored = {
        seed: row["status"]
        for seed, run_id in zip(seeds, point.run_ids(seeds), strict=False)  # no run ids before tuning
        if (row := store.row(run_id)) is not None
    }
    missing = tuple(s for s in seeds if s not in stored or (sweep.retry_failed and stored[s] in schema.LOST))
    tune = sweep.tune and not point.tuned
    minutes = estimator.core_minutes(point.experiment, point.work, len(missing), tune) if missing else 0.0
    return ExperimentStatus(point, Counter(stored.values()), missing, minutes)
