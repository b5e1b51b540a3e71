"""The interface of an executor, which runs the jobs of a sweep."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

from nmbench.sweeps.jobs import Event, Job, JobOutcome


class Executor(abc.ABC):
    """Runs jobs, each in its own process. A job that fails does not stop the others."""

    @abc.abstractmethod
    def check(self) -> None:
        """Raise `NmbenchError` if the executor cannot work here. Called before anything starts or is written."""

    @abc.abstractmethod
    def run(self, jobs: Sequence[Job], report: Callable[[Event], None]) -> list[JobOutcome]:
        """Run all jobs, in this order as far as possible.

        Args:
          jobs: the jobs.
          report: called with every `Event`, in the thread that calls `run`.

        Returns:
          One outcome per job, in the order of `jobs`; an empty list if the executor does not wait for the jobs.

        Raises:
          NmbenchError: the jobs cannot be started.
          Interrupted: SIGINT or SIGTERM was received; finished runs are stored.
        """
