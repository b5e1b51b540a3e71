"""The executor that runs jobs as arrays on a Slurm cluster.

submitit submits the jobs and stores their arguments and outcomes in logs/sweep/slurm/ of the results folder, which all nodes
must share. One call of squeue monitors all jobs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import pathlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nmbench.results.provenance import utc_now
from nmbench.support import files, interrupts
from nmbench.support.errors import NmbenchError, one_line
from nmbench.sweeps import lost_runs, worker
from nmbench.sweeps.executors import Executor
from nmbench.sweeps.jobs import Event, Job, JobOutcome
from nmbench.sweeps.slurm import commands
from nmbench.sweeps.slurm.job import TrainingCall
from nmbench.sweeps.slurm.settings import Settings

# Time between two calls of squeue: a fraction of the time since the start, within these limits in seconds.
SHORTEST_S, LONGEST_S, FRACTION = 2.0, 30.0, 0.02
# Seconds to wait until the files of an ended job are visible on a shared file system.
SETTLE_S = 10.0
# Final states that the job itself caused, and the status of its rows.
_LOST = {"OUT_OF_MEMORY": "failed", "TIMEOUT": "timeout", "DEADLINE": "timeout"}

Report = Callable[[Event], None]
# Job name to submitit's `SlurmJob`.
Queued = dict[str, Any]


class SlurmExecutor(Executor):
    """Runs jobs as arrays on a Slurm cluster.

    Args:
      settings: resources of each job.
      timeout_s: time limit of one training process in seconds; None for the time limit of the Slurm job alone.
      wait: whether `run` monitors the jobs to the end; otherwise it returns no outcomes as soon as all jobs are submitted.
    """

    def __init__(self, settings: Settings, timeout_s: float | None = None, wait: bool = True):
        self._settings, self._timeout_s, self._wait = settings, timeout_s, wait
        self._longest = 1000

    def check(self) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise NmbenchError("--executor=slurm needs submitit; install it with pip install 'nmbench[slurm]'")
        commands.check(self._settings.options)
        self._longest = commands.longest_array()

    def run(self, jobs: Sequence[Job], report: Report) -> list[JobOutcome]:
        if not jobs:
            return []
        folder = folder_of(jobs[0].results_dir)
        with interrupts.watch_signals() as watch, watch.deferred():
            with _lock(folder):
                queued = find(jobs, folder)
                if queued:
                    report(Event("message", text=f"{len(queued)} of {len(jobs)} experiments are in Slurm's queue already"))
                # A job may have finished since the results folder was read.
                missing = [job for job in jobs if job.name not in queued and not lost_runs.is_finished(job)]
                self._submit(missing, folder, queued, report)
            if not self._wait:
                text = f"{len(jobs)} experiments are in Slurm's queue; run the same command again to monitor them"
                report(Event("message", text=text))
                return []
            return self._monitor(jobs, folder, queued, report, watch)

    def _submit(self, jobs: Sequence[Job], folder: pathlib.Path, queued: Queued, report: Report) -> None:
        """Submit jobs in arrays that are no longer than Slurm allows, and add them to `queued`."""
        import submitit

        name = array_name(folder)
        python = shlex.join(worker.PYTHON)
        executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=self._settings.requeues, python=python)
        executor.update_parameters(**self._settings.parameters(), job_name=name)
        for start in range(0, len(jobs), self._longest):
            array = jobs[start : start + self._longest]
            try:
                submitted = executor.map_array(TrainingCall(), array, [self._timeout_s] * len(array))
            except Exception as error:  # submitit and sbatch fail in many ways
                line = (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
                kept = (
                    f"; {len(queued)} experiments are in the queue; run the same command again to continue" if queued else ""
                )
                raise NmbenchError(f"sbatch refused {len(array)} jobs: {line}{kept}") from error
            array_id = submitted[0].job_id.partition("_")[0]
            if self._settings.parallelism:  # Slurm limits each array, so arrays run one after another
                executor.update_parameters(dependency=f"afterany:{array_id}")
            queued.update({job.name: handle for job, handle in zip(array, submitted, strict=True)})
            report(Event("message", text=f"{len(array)} experiments submitted to Slurm as job {array_id}, named {name}"))

    def _monitor(self, jobs: Sequence[Job], folder, queued: Queued, report: Report, watch) -> list[JobOutcome]:
        outcomes: dict[str, JobOutcome] = {}
        ended_at: dict[str, float] = {}  # when an ended job was first seen without an outcome
        name, began, failing = array_name(folder), time.monotonic(), False

        def end(outcome: JobOutcome) -> None:
            outcomes[outcome.job.name] = outcome
            report(Event("ended", outcome.job, outcome))

        for job in jobs:
            if job.name not in queued:
                end(lost_runs.outcome_of_rows(job, 0))
        while len(outcomes) < len(jobs):
            now = time.monotonic()
            until = now + min(LONGEST_S, max(SHORTEST_S, FRACTION * (now - began)))
            while not watch.signalled and time.monotonic() < until:
                time.sleep(0.1)
            left = f"{len(jobs) - len(outcomes)} experiments continue in Slurm"
            watch.raise_if_signalled(
                f"{left}; run the same command again to monitor them, scancel --name={name} to end them"
            )
            try:
                states, failing = commands.states(name), False
            except commands.SlurmError as error:
                if not failing:
                    report(Event("message", text=f"{error}; trying again"))
                failing = True
                continue
            report(Event("waiting"))
            extended = []
            for job in [job for job in jobs if job.name not in outcomes]:
                state, now = states.get(queued[job.name].job_id), time.monotonic()
                if state is not None and state not in commands.ENDED:
                    ended_at.pop(job.name, None)
                    if state == "RUNNING":
                        report(Event("started", job))
                    continue
                outcome = stored_outcome(job, queued[job.name])
                if outcome is None and now - ended_at.setdefault(job.name, now) < SETTLE_S:
                    continue
                # A sweep with fewer seeds may have submitted the job; then the other seeds are still missing.
                if not lost_runs.is_finished(job) and set(job.seeds) - set(queued[job.name].submission().args[0].seeds):
                    extended.append(job)
                else:
                    end(outcome or without_outcome(job, state))
            if extended:
                with _lock(folder):
                    self._submit(extended, folder, queued, report)
        return [outcomes[job.name] for job in jobs]


def folder_of(results_dir: str) -> pathlib.Path:
    """Folder of submitit's files."""
    return pathlib.Path(results_dir, "logs", "sweep", "slurm")


def array_name(folder: pathlib.Path) -> str:
    """Name in Slurm of all jobs of a results folder."""
    return f"nmbench-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def find(jobs: Sequence[Job], folder: pathlib.Path) -> Queued:
    """The jobs that are in Slurm's queue: job name to submitit's `SlurmJob`."""
    import submitit

    queued: Queued = {}
    for job_id, state in commands.states(array_name(folder)).items():
        if state not in commands.ENDED:
            handle = submitit.SlurmJob(folder, job_id)
            with contextlib.suppress(Exception):  # submitted by another version; it cannot run either
                queued[handle.submission().args[0].name] = handle
    return {job.name: queued[job.name] for job in jobs if job.name in queued}


def stored_outcome(job: Job, handle: Any) -> JobOutcome | None:
    """The outcome that the job has returned, or else the outcome of its rows; None if there is neither yet."""
    outcome = None
    if handle.paths.result_pickle.exists():  # otherwise `result` waits
        with contextlib.suppress(Exception):  # the call on the node raised an error
            outcome = handle.result()
    if outcome is not None:
        return dataclasses.replace(outcome, job=job)
    return lost_runs.outcome_of_rows(job, 0) if lost_runs.is_finished(job) else None


def without_outcome(job: Job, state: str | None) -> JobOutcome:
    """The outcome of a job that returned nothing. Its runs get rows if its final state says that it failed."""
    if state in (None, "CANCELLED", "COMPLETED"):
        return JobOutcome(job, None, "stopped by a signal or lost; run the same sweep again to continue from its checkpoint")
    reason = f"its Slurm job ended as {state}; see {folder_of('.').as_posix()}"
    if state in _LOST and job.run_ids:
        reason += lost_runs.record_or_say(job, _LOST[state], reason, utc_now())
    return JobOutcome(job, None, reason)


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """Only one sweep of a results folder looks at the queue and submits at a time."""
    with contextlib.ExitStack() as stack:
        with one_line(f"cannot write to {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(files.locked(folder / ".lock"))
        yield
