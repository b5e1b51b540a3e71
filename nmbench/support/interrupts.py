"""Handle Ctrl-C, SIGTERM (which Slurm sends) and a closed terminal without loss of work: a signal can be deferred."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

# SIGHUP, which a closed terminal sends, is treated as SIGTERM. Windows does not have it.
_HANG_UP = getattr(signal, "SIGHUP", None)
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((_HANG_UP,) if _HANG_UP else ()))


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by SIGINT, SIGTERM or SIGHUP.

    Attributes:
      code: exit code, 128 plus the signal's number: 130 or 143. SIGHUP counts as SIGTERM.
    """

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message)
        self.code = 128 + signum


class SignalWatch:
    """Records signals; `watch_signals` installs it as the handler."""

    def __init__(self) -> None:
        self._signum = 0
        self._deferring = False

    def raise_if_signalled(self, message: str = "") -> None:
        """Raise `Interrupted` with this message if a signal has arrived."""
        if self._signum:
            raise Interrupted(self._signum, message)

    @property
    def signalled(self) -> bool:
        """Whether a signal has arrived."""
        return self._signum != 0

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer signals: inside this context the first signal is only recorded, for `raise_if_signalled`.

        Raises:
          Interrupted: a signal had arrived before, or a second one arrives.
        """
        self.raise_if_signalled()
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def handle(self, signum: int, frame: object = None) -> None:
        """The signal handler; raises `Interrupted` unless the signal is the first one and is deferred."""
        del frame
        signum = signal.SIGTERM if signum == _HANG_UP else signum
        repeated, self._signum = self.signalled, signum
        # The signal is recorded in any case: if third-party code swallows the exception, the next check raises it again.
        if repeated or not self._deferring:
            raise Interrupted(signum)


@contextlib.contextmanager
def watch_signals() -> Iterator[SignalWatch]:
    """Handle `SIGNALS` with a `SignalWatch`. Signals that are ignored stay ignored.

    In other threads than the main thread, no handler is installed.
    """
    watch, before = SignalWatch(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, watch.handle)
    try:
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
