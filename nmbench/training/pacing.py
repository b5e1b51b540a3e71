"""How much to do between two looks at the clock."""

from __future__ import annotations

import time

# Seconds of training between two reports, about, and the steps of the very first piece, whose speed nobody knows.
SECONDS = 2.0
FIRST = 4


class Pace:
    """Pieces of work that take about `seconds` each, from how long the last one took."""

    def __init__(self, seconds: float = SECONDS):
        self._seconds, self._next = seconds, FIRST
        self._began = self._told = time.perf_counter()

    def steps(self, left: int) -> int:
        """Steps of the piece that begins now, at most `left`."""
        self._began = time.perf_counter()
        return min(left, self._next)

    def ran(self, steps: int) -> None:
        """That piece has ended."""
        took = max(time.perf_counter() - self._began, 1e-9)
        self._next = max(1, round(min(steps * self._seconds / took, 1e9)))

    def due(self) -> bool:
        """Whether it is time to report; then the wait begins anew."""
        now = time.perf_counter()
        due = now - self._told >= self._seconds / 2
        self._told = now if due else self._told
        return due
