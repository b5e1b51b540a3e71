"""Progress of a sweep on stderr: a bar in a terminal, otherwise a line per finished experiment and every minute.

A second line shows how far one of the running experiments is: the first that has reported progress.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import sys
import time
from collections.abc import Sequence

import tqdm

from nmbench.support.errors import printable
from nmbench.support.progress import about
from nmbench.sweeps.jobs import Event, Job, JobOutcome

LINE_EVERY_S = 60.0
_READ_LOG_EVERY_S = 5.0
_MOST_LOGS = 20  # a Slurm sweep may have thousands of running experiments
_END_OF_LOG = 4000  # bytes
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} experiments [{elapsed}{postfix}]"


class Display:
    """Context manager, called with every `Event` of an executor.

    Args:
      jobs: all jobs of the sweep.
      cores: number of cores that work at a time, None if unknown. The remaining time is estimated from it until the first
        job ends, and from the finished jobs afterwards.
    """

    def __init__(self, jobs: Sequence[Job], cores: int | None):
        self._total, self._cores = len(jobs), cores
        self._minutes = {job.name: job.core_minutes or 1.0 for job in jobs}
        self._all_minutes, self._finished_minutes = sum(self._minutes.values()), 0.0
        self._ended = self._with_errors = 0
        self._running: dict[str, Job] = {}
        self._began = self._said = self._last_end = time.monotonic()
        self._bar = tqdm.tqdm(total=self._total, desc="sweep", bar_format=_FORMAT, disable=None, leave=False)
        self._details = tqdm.tqdm(position=1, bar_format="{desc}", disable=None, leave=False)
        self._read_log = self._began

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        self._details.close()
        self._bar.close()

    def __call__(self, event: Event) -> None:
        if event.kind == "message":
            self._bar.write(event.text, file=sys.stderr)
        if event.job is not None and event.kind == "started":
            self._running[event.job.name] = event.job
        if event.outcome is not None:
            self._end(event.outcome)
        running = f"{len(self._running)} running"
        errors = f", {self._with_errors} with errors" if self._with_errors else ""
        if not self._bar.disable:
            self._bar.set_postfix_str(f"{running}{errors}{self._remaining()}", refresh=False)
            self._bar.refresh()
            if time.monotonic() - self._read_log >= _READ_LOG_EVERY_S:
                self._read_log = time.monotonic()
                self._details.set_description_str(self._progress())
        elif time.monotonic() - self._said >= LINE_EVERY_S:
            line = f"[{self._ended}/{self._total}] {running}{errors}{self._remaining()}"
            self._say("\n  ".join(filter(None, [line, self._progress()])))

    def remaining_minutes(self) -> float | None:
        """Estimate of the remaining time in minutes, renewed when a job ends; None if there is none, or if it has passed."""
        left, elapsed = self._all_minutes - self._finished_minutes, (time.monotonic() - self._began) / 60
        if self._finished_minutes:
            until_end = (self._last_end - self._began) / 60
            guess = until_end * left / self._finished_minutes - (elapsed - until_end)
        else:
            guess = 0.0 if self._cores is None else left / self._cores - elapsed
        return guess if guess > 0 else None

    def _remaining(self) -> str:
        minutes = self.remaining_minutes()
        if minutes is None or self._ended == self._total:
            return ""
        return f", {about(60 * minutes)}"

    def _progress(self) -> str:
        """Progress of the first running experiment that has reported any: "mwg_rank3: tuning lstm: step 900 of 20000"."""
        jobs = itertools.islice(self._running.values(), _MOST_LOGS)
        found = ((job.request.task, newest_progress(job.log)) for job in jobs)
        return next((f"{task}: {progress}" for task, progress in found if progress), "")

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        print(line, file=sys.stderr, flush=True)

    def _end(self, outcome: JobOutcome) -> None:
        job = outcome.job
        self._running.pop(job.name, None)
        self._last_end = time.monotonic()
        self._ended += 1
        self._with_errors += bool(outcome.error)
        self._finished_minutes += self._minutes.get(job.name, 0.0)
        self._bar.update(1)
        seeds = f"{len(job.seeds)} seed{'' if len(job.seeds) == 1 else 's'}"
        line = f"[{self._ended}/{self._total}] {job.name}: {outcome.error or f'{seeds} in {outcome.seconds:.0f} s'}"
        if self._bar.disable:
            self._say(f"{line}{self._remaining()}")
        elif outcome.error:
            self._bar.write(line, file=sys.stderr)


def newest_progress(log: pathlib.Path) -> str:
    """The last line of `nmbench.support.progress` in the log of a job.

    "" if its process, whose output begins with a line "== ...", has not written one, or if there is no such file.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END_OF_LOG))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        if ": step " in line:
            return printable(line)
        if line.startswith("== "):
            break
    return ""
