"""Plan a sweep (stored runs, missing runs, costs) and run it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from nmbench.experiments import tuning
from nmbench.report import leaderboard
from nmbench.results.store import Store
from nmbench.support import terminal
from nmbench.sweeps import grid, status
from nmbench.sweeps.display import Display
from nmbench.sweeps.estimate import Estimator
from nmbench.sweeps.executors import Executor
from nmbench.sweeps.grid import Skipped, SweepRequest
from nmbench.sweeps.jobs import JobOutcome
from nmbench.sweeps.status import ExperimentStatus


@dataclasses.dataclass(frozen=True)
class SweepPlan:
    """A sweep, before it is run.

    Attributes:
      sweep: the request.
      statuses: status of every experiment of this shard.
      skipped: combinations that cannot be trained.
      hints: budgets that suit all models, where some were skipped; one line each.
      estimator: estimator of core-hours.
    """

    sweep: SweepRequest
    statuses: Sequence[ExperimentStatus]
    skipped: Sequence[Skipped]
    hints: Sequence[str]
    estimator: Estimator

    def __str__(self) -> str:
        """Pending runs, estimated core-hours and skipped combinations."""
        table = status.table(self.statuses, self.skipped, len(self.sweep.seeds))
        return "\n".join([table, "", status.note(self.estimator), *self.skipped_lines()])

    def skipped_lines(self) -> list[str]:
        return [*(f"skipped: {combination}" for combination in self.skipped), *self.hints]


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
      leaderboard: leaderboard of the stored rows of all its experiments, "" if there are none.
      problems: one line for every job or run that failed or diverged.
    """

    leaderboard: str
    problems: list[str]


def make(sweep: SweepRequest, shard: str | None = None) -> SweepPlan:
    """Resolve the grid and read the rows of its stored runs. Nothing is written.

    Raises:
      NmbenchError: a shard that is not of the form i/n, or an error of `nmbench.sweeps.grid.build`.
    """
    grid.shard([], shard)
    built = grid.build(sweep)
    store, estimator = Store(sweep.results_dir), Estimator()
    estimator.learn_from(store, store.names())
    found = status.statuses(grid.shard(built.points, shard), sweep, store, estimator)
    return SweepPlan(sweep, found, built.skipped, built.hints, estimator)


def run(plan: SweepPlan, executor: Executor, cores: int | None) -> SweepResult:
    """Train the missing runs of a plan, and show progress on stderr.

    Args:
      plan: the result of `make`.
      executor: runs the jobs.
      cores: number of cores that work at a time, for the estimate of the remaining time; None if unknown.

    Raises:
      NmbenchError: the results folder cannot be written, or the executor cannot start the jobs.
      Interrupted: SIGINT or SIGTERM was received.
    """
    store, jobs = Store(plan.sweep.results_dir), status.make_jobs(plan.statuses, plan.sweep)
    store.prepare()
    store.check_rows()
    print("\n".join([*plan.skipped_lines(), status.summary(plan.statuses, jobs)]), file=sys.stderr)
    with Display(jobs, cores) as display:
        outcomes = executor.run(jobs, display) if jobs else []
    store.collect()
    rows = _rows(plan, store)
    return SweepResult(leaderboard.of_rows(rows, terminal.width()) if rows else "", _problems(rows, outcomes))


def _rows(plan: SweepPlan, store: Store) -> list[dict[str, Any]]:
    """The stored rows of all experiments, including experiments with a learning rate that this sweep has tuned."""
    run_ids: list[str] = []
    for found in plan.statuses:
        point = found.point
        choice = None if point.tuned else tuning.stored(point.experiment, store)
        if choice is not None:
            point = dataclasses.replace(
                point, experiment=dataclasses.replace(point.experiment, learning_rate=choice), tuned=True
            )
        run_ids += point.run_ids(plan.sweep.seeds)
    return [row for run_id in run_ids if (row := store.row(run_id)) is not None]


def _problems(rows: Sequence[dict[str, Any]], outcomes: Sequence[JobOutcome]) -> list[str]:
    lines = [f"{outcome.job.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    reported = {run_id for outcome in outcomes for run_id in outcome.job.run_ids}
    lines += [
        f"{r['run_id']}: {r['status']}: {r['error']}" for r in rows if r["status"] != "ok" and r["run_id"] not in reported
    ]
    if any(row["status"] == "diverged" for row in rows):
        lines.append("if runs diverge, --tune finds a lower learning rate, and python -m nmbench.check checks a model")
    return lines
