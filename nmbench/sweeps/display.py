"""How a sweep is coming on: one bar on a terminal, one line per finished cell elsewhere; both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import tqdm

from nmbench.sweeps.jobs import Event, Job

_FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]"


class Display:
    """Context manager, called with every `Event` of an executor.

    Args:
      jobs: all that will be run.
      cores: how many are at work at a time, None where that is not known: then the first cells say how long it takes.
    """

    def __init__(self, jobs: Sequence[Job], cores: int | None):
        self._total, self._cores = len(jobs), cores
        self._minutes = {job.name: job.core_minutes or 1.0 for job in jobs}
        self._all, self._finished = sum(self._minutes.values()), 0.0
        self._ended = self._lost = 0
        self._running: set[str] = set()
        self._began = time.monotonic()
        self._bar = tqdm.tqdm(total=self._total, desc="sweep", bar_format=_FORM, disable=None, leave=False)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, event: Event) -> None:
        if event.kind == "said":
            self._bar.write(event.text, file=sys.stderr)
        if event.job is not None and event.kind == "started":
            self._running.add(event.job.name)
        if event.outcome is not None:
            self._end(event)
        if not self._bar.disable:
            running = f"{len(self._running)} running"
            lost = f", {self._lost} not all right" if self._lost else ""
            self._bar.set_postfix_str(f"{running}{lost}{self._left()}", refresh=False)
            self._bar.refresh()

    def left_minutes(self) -> float | None:
        """Estimate of how long the rest takes, None where nothing tells."""
        left, elapsed = self._all - self._finished, (time.monotonic() - self._began) / 60
        if self._finished:
            return elapsed * left / self._finished
        return None if self._cores is None else max(0.0, left / self._cores - elapsed)

    def _left(self) -> str:
        minutes = self.left_minutes()
        if minutes is None or self._ended == self._total:
            return ""
        return f", about {minutes / 60:.1f} h left" if minutes >= 90 else f", about {max(1, round(minutes))} min left"

    def _end(self, event: Event) -> None:
        outcome = event.outcome
        assert outcome is not None
        self._running.discard(outcome.job.name)
        self._ended += 1
        self._lost += bool(outcome.error)
        self._finished += self._minutes.get(outcome.job.name, 0.0)
        self._bar.update(1)
        seeds = f"{len(outcome.job.seeds)} seed{'' if len(outcome.job.seeds) == 1 else 's'}"
        said = outcome.error or f"{seeds} in {outcome.seconds:.0f} s"
        line = f"[{self._ended}/{self._total}] {outcome.job.name}: {said}"
        if self._bar.disable:
            print(f"{line}{self._left()}", file=sys.stderr, flush=True)
        elif outcome.error:
            self._bar.write(line, file=sys.stderr)
