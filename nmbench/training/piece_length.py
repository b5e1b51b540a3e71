"""The length of a piece: the number of training steps before control returns to Python."""

from __future__ import annotations

import time

# Approximate seconds of training between two reports.
SECONDS = 2.0
# Steps of the first piece, before the speed is known.
FIRST_STEPS = 4


class PieceLength:
    """Chooses the number of steps of each piece, from the duration of the last piece, so that it takes about `seconds`."""

    def __init__(self, seconds: float = SECONDS):
        self._seconds, self._next = seconds, FIRST_STEPS
        self._began = self._reported = time.perf_counter()

    def start(self, remaining: int) -> int:
        """Number of steps of the piece that starts now, at most `remaining`."""
        self._began = time.perf_counter()
        return min(remaining, self._next)

    def finish(self, steps: int) -> None:
        """Record that a piece of `steps` steps has ended."""
        took = max(time.perf_counter() - self._began, 1e-9)
        self._next = max(1, round(min(steps * self._seconds / took, 1e9)))

    def report_due(self) -> bool:
        """Whether at least half of `seconds` has passed since the last call that returned True."""
        now = time.perf_counter()
        due = now - self._reported >= self._seconds / 2
        self._reported = now if due else self._reported
        return due
