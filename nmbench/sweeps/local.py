"""The executor that runs jobs as processes on this machine."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Sequence

from nmbench.support import devices, interrupts
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import worker
from nmbench.sweeps.executors import Executor
from nmbench.sweeps.jobs import Event, Job, JobOutcome


def divide_cores(workers: int) -> list[list[int]]:
    """The cores of each worker: equal parts of the cores that this process may use; one core each if there are more workers.

    The lists are empty if the platform does not list cores (macOS, Windows).
    """
    try:
        cores = sorted(os.sched_getaffinity(0))
    except AttributeError:
        return [[] for _ in range(workers)]
    if workers > len(cores):
        return [[cores[i % len(cores)]] for i in range(workers)]
    bounds = [len(cores) * i // workers for i in range(workers + 1)]
    return [cores[a:b] for a, b in itertools.pairwise(bounds)]


class LocalExecutor(Executor):
    """Runs jobs as child processes on this machine.

    Args:
      workers: number of jobs at a time; each uses its part of the cores.
      timeout_s: time limit of a job in seconds, None for no limit.
    """

    def __init__(self, workers: int = 1, timeout_s: float | None = None):
        self._workers, self._timeout_s = workers, timeout_s

    def check(self) -> None:
        most = 8 * devices.cores()
        if self._workers > most:
            raise NmbenchError(
                f"--workers={self._workers} is far more than this machine's {devices.cores()} cores; use at most {most}"
            )

    def run(self, jobs: Sequence[Job], report: Callable[[Event], None]) -> list[JobOutcome]:
        waiting, cores = deque(jobs), divide_cores(self._workers)
        running: dict[int, worker.JobProcess] = {}  # by worker
        outcomes: dict[str, JobOutcome] = {}

        def end(outcome: JobOutcome) -> None:
            outcomes[outcome.job.name] = outcome
            report(Event("ended", outcome.job, outcome))

        with interrupts.watch_signals() as watch, watch.deferred():
            try:
                while running or (waiting and not watch.signalled):
                    for free in [i for i in range(self._workers) if i not in running]:
                        if waiting and not watch.signalled:
                            job = waiting.popleft()
                            try:
                                running[free] = worker.JobProcess(job, timeout_s=self._timeout_s, cores=cores[free])
                                report(Event("started", job))
                            except NmbenchError as error:
                                end(JobOutcome(job, None, str(error)))
                    for i, process in list(running.items()):
                        if watch.signalled:
                            process.stop()
                        if process.ended():
                            del running[i]
                            end(process.outcome())
                    report(Event("waiting"))
                    time.sleep(worker.POLL_S)
            finally:
                # Processes still run here only after a second signal or an error.
                for process in running.values():
                    process.kill()
            if watch.signalled:
                done = sum(not outcome.error for outcome in outcomes.values())
                watch.raise_if_signalled(f"{done} of {len(jobs)} experiments done; run the same command again to continue")
        return [outcomes[job.name] for job in jobs]
