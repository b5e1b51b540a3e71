"""A job as a child process: start it, stop it, and determine its outcome.

Meaning of the child's exit codes:
- 0 and 1: as in `nmbench.run`, if every run has a row. Otherwise the child has trained other runs (0) or crashed (1).
- 2: it cannot work (for example on a full disk). The next call of the sweep trains its runs.
- 130 and 143: a signal stopped it. The next call of the sweep resumes its runs.
- any other code: it has crashed.

After a crash, every unfinished run gets a row with status "failed", or "timeout" after the time limit, unless a file of the
model or the task has changed since the sweep began (see `nmbench.sweeps.lost_runs`).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import nmbench
from nmbench.results.provenance import utc_now
from nmbench.support import devices, files, interrupts
from nmbench.support.errors import NmbenchError, printable
from nmbench.sweeps import lost_runs
from nmbench.sweeps.jobs import Job, JobOutcome

# With -P, a child does not import from the current folder, where a file such as jax.py would replace a library. Without an
# installation, however, nmbench itself is found through the folder in which Python started: the checkout, or the one above.
_PACKAGE = pathlib.Path(nmbench.__file__).resolve().parent
_STARTED_BESIDE_IT = pathlib.Path(sys.path[0], "nmbench").resolve() in (_PACKAGE, _PACKAGE.parent)
PYTHON = (sys.executable,) if _STARTED_BESIDE_IT and not sys.flags.safe_path else (sys.executable, "-P")
COMMAND = (*PYTHON, "-m", "nmbench.run")
CONTINUES = "--retry_failed continues from the last checkpoint, if there is one"
# Exit code of a job that exceeded its time limit, as in timeout(1).
TIMED_OUT = 124
# Seconds that a child has to write its checkpoint after the time limit.
GRACE_S = 120.0
POLL_S = 0.1
_KILLED = -9  # on Windows, too, which has no signal.SIGKILL
_STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


class JobProcess:
    """A process `python -m nmbench.run` for one job, started by the constructor. Its output is appended to the job's log.

    The process has its own session, so Ctrl-C at the terminal does not reach it; use `stop`.

    Args:
      job: the job.
      timeout_s: seconds after which the process is stopped, and killed if it does not stop; None for no limit.
      cores: processor cores to use, if the platform supports this; empty for all.

    Raises:
      NmbenchError: the log cannot be written, the process cannot be started, or another process trains this job.
    """

    def __init__(self, job: Job, *, timeout_s: float | None = None, cores: Collection[int] = ()):
        self.job, self.timed_out = job, False
        self._timeout_s, self._started_utc, self._stopped_at = timeout_s, utc_now(), 0.0
        command = [*COMMAND, *job.argv]
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with open(job.log, "ab") as log, _inherited(cores):
                # The child inherits the open log, and with it the lock, so that the lock lasts as long as the child lives,
                # even if this process is killed.
                if not files.lock_at_once(log.fileno()):
                    raise NmbenchError(
                        f"{job.name} is already being trained by another process in this results folder; wait until it "
                        f"ends, or stop it; then run this sweep again"
                    )
                log.write(f"== {self._started_utc} {shlex.join(command)}\n".encode(errors="backslashreplace"))
                log.flush()
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=devices.environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise NmbenchError(f"cannot start {job.name}: {error.strerror or error}") from error
        self._began = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        """Whether the process has ended. Also enforces the time limit, so call it several times a second."""
        if self._process.poll() is not None:
            return True
        now = time.monotonic()
        if self._timeout_s is not None and now - self._began > self._timeout_s and not self._stopped_at:
            self.timed_out = True
            self.stop()
        if self.timed_out and now - self._stopped_at > GRACE_S:
            self.kill()
        return False

    def stop(self) -> None:
        """Make it write a checkpoint and exit. Only the first call sends a signal; a second would prevent the checkpoint."""
        if not self._stopped_at and self._process.poll() is None:
            self._stopped_at = time.monotonic()
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and the processes that it has started."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait()

    def outcome(self) -> JobOutcome:
        """Wait for the end of the process, store rows of lost runs and return the outcome."""
        code = self._process.wait()
        seconds = time.monotonic() - self._began
        if self.timed_out:
            code = TIMED_OUT
        elif self._stopped_at and code in (*_STOPPED, _KILLED):  # a second signal to this process kills the child
            code = 128 + signal.SIGTERM
        if lost_runs.is_finished(self.job):
            return lost_runs.outcome_of_rows(self.job, code, seconds)
        if not self.job.run_ids and code == 0:
            return JobOutcome(self.job, code, "", seconds)
        error = self._reason(code)
        if self.job.run_ids and code not in (0, 2, 130, 143):
            status = "timeout" if self.timed_out else "failed"
            error += lost_runs.record_or_say(self.job, status, error, self._started_utc)
        return JobOutcome(self.job, code, error, seconds)

    def _reason(self, code: int) -> str:
        if self.timed_out:
            assert self._timeout_s is not None
            how = CONTINUES if self.job.run_ids else "run the same sweep again to continue from its checkpoint"
            return f"stopped at the time limit of {self._timeout_s / 60:g} minutes; {how}"
        if code in (130, 143):
            return "stopped by a signal; run the same sweep again to continue from its checkpoint"
        # Relative to the results folder, because rows do not contain names of a machine's folders.
        log = self.job.log.relative_to(self.job.results_dir).as_posix()
        if code < 0 or code > 128:
            number = -code if code < 0 else code - 128
            name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
            memory = ", perhaps because memory ran out" if number == signal.SIGKILL else ""
            return f"its process was killed by {name}{memory}; see {log}"
        line = last_line(self.job.log)
        return f"its process ended with exit code {code}{f': {line}' if line else ''}; see {log}"


def run_job(
    job: Job, *, timeout_s: float | None = None, on_start: Callable[[JobProcess], None] = lambda process: None
) -> JobOutcome:
    """Run one job to the end. Call it in the main thread.

    The first SIGTERM or SIGINT makes the child write a checkpoint, and the outcome's code is 143. A second one kills it.

    Args:
      job: the job.
      timeout_s: time limit in seconds, None for no limit.
      on_start: called with the process when it has started.

    Raises:
      NmbenchError: the process cannot be started.
    """
    with interrupts.watch_signals() as watch, watch.deferred():
        process = JobProcess(job, timeout_s=timeout_s)
        try:
            on_start(process)
            while not process.ended():
                if watch.signalled:
                    process.stop()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            pass
        finally:
            process.kill()
        return process.outcome()


def last_line(path: pathlib.Path) -> str:
    """The last non-blank line of a job's output, at most 200 characters; "" if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("== ")]
    return printable(lines[-1])[:200] if lines else ""


@contextlib.contextmanager
def _inherited(cores: Collection[int]) -> Iterator[None]:
    """Processes started inside run on these cores, and SIGUSR1 and SIGUSR2 do not end them.

    A child inherits both settings. If they were set after its start, threads that already run would not have them. The
    signals are blocked because Slurm may send its warning signal to all processes of a job.
    """
    before: Any = None
    masked = hasattr(signal, "pthread_sigmask")
    if masked:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    if cores and hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
