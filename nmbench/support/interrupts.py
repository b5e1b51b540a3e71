"""Ctrl-C and SIGTERM (as Slurm sends) without losing work: while something is held, they are noted and heeded later."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by SIGINT or SIGTERM.

    Attributes:
      code: exit code, 128 plus the signal's number: 130 or 143.
    """

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message)
        self.code = 128 + signum


class Watch:
    """Notes signals. See `watched`."""

    def __init__(self) -> None:
        self._signum = 0
        self._held = False

    def heed(self, message: str = "") -> None:
        """Raise `Interrupted` if a signal has come."""
        if self._signum:
            raise Interrupted(self._signum, message)

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._signum != 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, a first signal is only noted, for `heed`; a second one raises at once."""
        self.heed()
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def note(self, signum: int, frame: object = None) -> None:
        """The signal handler."""
        del frame
        again, self._signum = self.asked, signum
        # Noted in any case: where third-party code swallows the exception, the next `heed` raises it again.
        if again or not self._held:
            raise Interrupted(signum)


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Have a `Watch` handle SIGINT and SIGTERM; signals that are ignored stay so. In the main thread only."""
    watch, before = Watch(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, watch.note)
    try:
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
