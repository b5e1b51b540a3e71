"""The contract of what runs the jobs of a sweep."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

from nmbench.sweeps.jobs import Event, Job, JobOutcome


class Executor(abc.ABC):
    """Runs jobs, each in a process of its own, and outlives what becomes of them."""

    @abc.abstractmethod
    def check(self) -> None:
        """Raise `NmbenchError`, before anything is started or written, if it cannot work here."""

    @abc.abstractmethod
    def run(self, jobs: Sequence[Job], tell: Callable[[Event], None]) -> list[JobOutcome]:
        """Run all jobs to their end, in this order as far as it can.

        Args:
          jobs: what to run.
          tell: called from this thread with every `Event`.

        Returns:
          one outcome per job, in the order of `jobs`.

        Raises:
          Interrupted: told to stop by SIGINT or SIGTERM; what has been done is kept.
        """
