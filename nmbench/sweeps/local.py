"""Jobs as processes on this machine, a few at a time."""

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


def shares(workers: int) -> list[list[int]]:
    """Which cores each of several processes gets: equal shares of those this process may use, or one core each.

    Empty lists where the platform does not tell which cores there are.
    """
    try:
        cores = sorted(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return [[] for _ in range(workers)]
    if workers > len(cores):
        return [[cores[i % len(cores)]] for i in range(workers)]
    bounds = [len(cores) * i // workers for i in range(workers + 1)]
    return [cores[a:b] for a, b in itertools.pairwise(bounds)]


class LocalExecutor(Executor):
    """Args:
    workers: jobs at a time; each keeps to its share of the cores.
    timeout_s: time limit of a job, None for none.
    """

    def __init__(self, workers: int = 1, timeout_s: float | None = None):
        self._workers, self._timeout_s = workers, timeout_s

    def check(self) -> None:
        most = 8 * devices.cores()
        if self._workers > most:
            raise NmbenchError(
                f"--workers={self._workers} is far more than this machine's {devices.cores()} cores; use at most {most}"
            )

    def run(self, jobs: Sequence[Job], tell: Callable[[Event], None]) -> list[JobOutcome]:
        waiting = deque(enumerate(jobs))
        running: dict[int, tuple[int, worker.Child]] = {}  # place among the workers: place among the jobs, child
        outcomes: dict[int, JobOutcome] = {}
        cores = shares(self._workers)

        def end(place: int, outcome: JobOutcome) -> None:
            outcomes[place] = outcome
            tell(Event("ended", outcome.job, outcome))

        with interrupts.watched() as watch, watch.held():
            try:
                while running or (waiting and not watch.asked):
                    for free in [i for i in range(self._workers) if i not in running]:
                        if waiting and not watch.asked:
                            place, job = waiting.popleft()
                            try:
                                running[free] = place, worker.Child(job, timeout_s=self._timeout_s, cores=cores[free])
                                tell(Event("started", job))
                            except NmbenchError as error:
                                end(place, JobOutcome(job, None, str(error)))
                    for slot, (place, child) in list(running.items()):
                        if watch.asked:
                            child.stop()
                        if child.ended():
                            del running[slot]
                            end(place, child.outcome())
                    tell(Event("waiting"))
                    time.sleep(worker.POLL_S)
            finally:
                # Only a second signal, or an error of our own, finds any: none is left behind.
                for _, child in running.values():
                    child.kill()
            if watch.asked:
                done = sum(not outcome.error for outcome in outcomes.values())
                watch.heed(f"{done} of {len(jobs)} cells done; the same command goes on")
        return [outcomes[place] for place in range(len(jobs))]
