"""Handle Ctrl-C, SIGTERM (which Slurm sends) and a closed terminal without loss of work: a signal can be deferred."""

from __future__ import annotations

import contextlib
import os
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
        self._deferring, self._notice = False, ""

    def raise_if_signalled(self, message: str = "") -> None:
        """Raise `Interrupted` with this message if a signal has arrived."""
        if self._signum:
            raise Interrupted(self._signum, message)

    @property
    def signalled(self) -> bool:
        """Whether a signal has arrived."""
        return self._signum != 0

    @contextlib.contextmanager
    def deferred(self, notice: str = "") -> Iterator[None]:
        """Defer signals: inside this context the first signal is only recorded, for `raise_if_signalled`.

        Args:
          notice: a line on stderr at the first Ctrl-C, because the command goes on for a while.

        Raises:
          Interrupted: a signal had arrived before, or a second one arrives.
        """
        self.raise_if_signalled()
        self._deferring, self._notice = True, notice
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
        if self._notice and signum == signal.SIGINT:
            with contextlib.suppress(OSError):
                os.write(2, f"\n{self._notice}\n".encode())  # unlike `print`, it may interrupt another output


@contextlib.contextmanager
def watch_signals() -> Iterator[SignalWatch]:
    """Handle `SIGNALS` with a `SignalWatch`. Signals that are ignored stay ignored.

    Inside another such context it is the same watch, which knows of signals whose exception third-party code has swallowed.
    In other threads than the main thread, no handler is installed.
    """
    watch, before = SignalWatch(), {}
    if threading.current_thread() is threading.main_thread():
        for present in map(signal.getsignal, SIGNALS):
            if isinstance(outer := getattr(present, "__self__", None), SignalWatch):
                yield outer
                return
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, watch.handle)
    try:
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
