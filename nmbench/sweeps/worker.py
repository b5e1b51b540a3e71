"""One job as a child process: started, watched, stopped, and accounted for when it ends.

Exit codes of the child that mean something: 0 and 1 as of `nmbench.run`; 2, it found no conditions to work under, say no
room on the disk, so its runs are left for the next call of the sweep; 130 and 143, told to stop, likewise. Anything else,
and any end without a row, is a crash: every run of the job that has no row gets one with status "failed", or "timeout".
"""

from __future__ import annotations

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any

from nmbench.results.provenance import utc_now
from nmbench.support import devices, interrupts
from nmbench.support.errors import NmbenchError, printable
from nmbench.sweeps import losses
from nmbench.sweeps.jobs import Job, JobOutcome

COMMAND = (sys.executable, "-m", "nmbench.run")
# Exit code of a job that ran out of time, as of timeout(1).
TIMED_OUT = 124
# How long a child that is out of time may take to write its checkpoint.
GRACE_S = 120.0
POLL_S = 0.1
_STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


class Child:
    """`python -m nmbench.run` for one job, started at once; its output is appended to the job's log.

    It has a session of its own, so that Ctrl-C at the terminal reaches it through `stop` alone.

    Args:
      job: what to run.
      timeout_s: told to stop after so many seconds, killed if it then goes on; None for never.
      cores: processor cores to keep to, where the platform can; all for none.

    Raises:
      NmbenchError: its log cannot be written, or no process can be started.
    """

    def __init__(self, job: Job, *, timeout_s: float | None = None, cores: Collection[int] = ()):
        self.job, self.timed_out = job, False
        self._timeout_s, self._started_utc, self._asked_at = timeout_s, utc_now(), 0.0
        command = [*COMMAND, *job.argv]
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with open(job.log, "ab") as log:
                log.write(f"== {self._started_utc} {shlex.join(command)}\n".encode(errors="backslashreplace"))
                log.flush()
                self._process = _start(command, log, cores)
        except OSError as error:
            raise NmbenchError(f"cannot start {job.name}: {error.strerror or error}") from error
        self._began = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        """Whether it has; enforces the time limit, so it is to be called a few times a second."""
        if self._process.poll() is not None:
            return True
        now = time.monotonic()
        if self._timeout_s is not None and now - self._began > self._timeout_s and not self._asked_at:
            self.timed_out = True
            self.stop()
        if self.timed_out and now - self._asked_at > GRACE_S:
            self.kill()
        return False

    def stop(self) -> None:
        """Tell it to write a checkpoint and to exit, once: a second signal would make it leave without one."""
        if not self._asked_at and self._process.poll() is None:
            self._asked_at = time.monotonic()
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, and whatever processes it has started."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait()

    def outcome(self) -> JobOutcome:
        """What became of it, once it has ended; runs that it lost have their rows then."""
        code = self._process.wait()
        seconds = time.monotonic() - self._began
        stopped = code in _STOPPED and bool(self._asked_at) and not self.timed_out
        code = 128 + signal.SIGTERM if stopped else TIMED_OUT if self.timed_out else code
        try:
            error = self._account(code)
        except NmbenchError as refused:
            error = f"{self._reason(code)}; its rows could not be stored: {refused}"
        return JobOutcome(self.job, code, error, seconds)

    def _account(self, code: int) -> str:
        """One line on what is wrong, "" for nothing."""
        if self.job.run_ids and not losses.unfinished(self.job):
            return _unsuccessful(self.job)
        if not self.job.run_ids and code in (0, 1):
            return "" if code == 0 else self._reason(code)
        reason = self._reason(code)
        if self.job.run_ids and code not in (2, 130, 143):
            losses.record(self.job, "timeout" if self.timed_out else "failed", reason, self._started_utc)
        return reason

    def _reason(self, code: int) -> str:
        if self.timed_out:
            assert self._timeout_s is not None
            return f"stopped after {self._timeout_s / 60:g} minutes, the time limit; its checkpoint is kept"
        if code in (130, 143):
            return "told to stop; the same sweep goes on from its checkpoint"
        if code < 0 or code > 128:
            number = -code if code < 0 else code - 128
            name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
            memory = ", perhaps for want of memory" if number == signal.SIGKILL else ""
            return f"its process was killed by {name}{memory}; see {self._log_name()}"
        said = last_line(self.job.log)
        return f"its process ended with exit code {code}{f': {said}' if said else ''}; see {self._log_name()}"

    def _log_name(self) -> str:
        """The log below the results folder: a row names no folders of its machine."""
        return self.job.log.relative_to(self.job.results_dir).as_posix()


def run_job(job_plain: Mapping[str, Any], *, timeout_s: float | None = None) -> JobOutcome:
    """Run one job (`Job.plain`) to its end, in the main thread of this process.

    SIGTERM and SIGINT are passed on: the child writes a checkpoint, and the outcome's code is 143. A second one kills it.
    """
    with interrupts.watched() as watch, watch.held():
        child = Child(Job.from_plain(job_plain), timeout_s=timeout_s)
        try:
            while not child.ended():
                if watch.asked:
                    child.stop()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            child.kill()
        return child.outcome()


def last_line(path: pathlib.Path) -> str:
    """The last line of a log that says something, at most 200 characters of it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip() and not line.startswith("== ")]
    return printable(said[-1])[:200] if said else ""


def _unsuccessful(job: Job) -> str:
    lost = [row for row in losses.rows_of(job) if row is not None and row["status"] != "ok"]
    return f"{len(lost)} of {len(job.seeds)} seeds diverged" if lost else ""


def _start(command: list[str], log: Any, cores: Collection[int]) -> subprocess.Popen:
    before = None
    if cores and hasattr(os, "sched_setaffinity"):
        # A child inherits them; set from outside, threads that it has started by then would keep theirs.
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=devices.environment(),
            start_new_session=True,
        )
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
