"""A job of a sweep on the compute node: called by submitit, which passes on preemption and the end of the time limit.

Slurm stops a job in three ways. Before the time limit (and before preemption, where the cluster says so) submitit's signal
comes: `checkpoint` has the child write its checkpoint, and submitit queues the job again. SIGTERM comes with scancel, with
`scontrol requeue` and with preemption: the child writes its checkpoint, and the job ends; if Slurm still wants it to run,
which is how preemption with a grace period begins, it is queued again. SIGKILL leaves what was written last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

from nmbench.results.provenance import utc_now
from nmbench.support import files, interrupts
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import losses, worker
from nmbench.sweeps.jobs import Job, JobOutcome
from nmbench.sweeps.slurm import batches, queue

# The child gets so long to write its checkpoint; submitit's signal comes 90 s before the end.
GRACE_S = 60.0
# How long a job that has been queued again waits for Slurm to end it.
_REQUEUED_S = 180.0


class Cell:
    """What submitit calls on the node, and pickles: it holds nothing then, and its arguments are plain text."""

    def __init__(self) -> None:
        self._child: worker.Child | None = None

    def __call__(self, job_json: str, ending: str, timeout_s: float | None) -> int | None:
        """Run a job to its end and record what became of it.

        Args:
          job_json: `Job.plain` as JSON.
          ending: path of the record.
          timeout_s: time limit of the training, None for none.
        """
        path, began, began_utc = pathlib.Path(ending), time.monotonic(), utc_now()
        files.remove(path)  # of an earlier start
        job = with_devices(Job.from_plain(json.loads(job_json)))
        try:
            outcome = self._run(job, timeout_s)
        except NmbenchError as error:
            outcome = JobOutcome(job, 2, str(error), time.monotonic() - began)
        except Exception as error:
            if type(error).__name__ != "UncompletedJobError":  # raised by submitit's signal handler
                raise
            outcome = give_up(job, began_utc, time.monotonic() - began)
        if outcome.stopped and requeue():
            time.sleep(_REQUEUED_S)
            return None
        with contextlib.suppress(OSError):  # rows say the same, with fewer words
            batches.write_ending(path, outcome)
        return outcome.code

    def checkpoint(self, *arguments: Any):
        """Called by submitit's signal handler: have the child write its checkpoint; what is to be run after the requeue."""
        import submitit.helpers

        child = self._child
        if child is not None:
            child.stop()
            deadline = time.monotonic() + GRACE_S
            # Not by `Child.ended`: this interrupts the main loop, perhaps in the middle of it.
            while not _has_ended(child.pid):
                if time.monotonic() > deadline:
                    child.kill()
                time.sleep(worker.POLL_S)
        return submitit.helpers.DelayedSubmission(Cell(), *arguments)

    def _run(self, job: Job, timeout_s: float | None) -> JobOutcome:
        with interrupts.watched() as watch, watch.held():
            with _without_its_signal():
                self._child = child = worker.Child(job, timeout_s=timeout_s)
            try:
                while not child.ended():
                    if watch.asked:
                        child.stop()
                    time.sleep(worker.POLL_S)
                return child.outcome()
            finally:
                child.kill()


def with_devices(job: Job) -> Job:
    """The job with as many JAX devices as it has cores, unless it says how many: not every cluster binds jobs to theirs."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if job.request.devices is not None or not cores.isdecimal():
        return job
    return dataclasses.replace(job, argv=(*job.argv, f"--devices={cores}"))


def give_up(job: Job, started_utc: str, seconds: float) -> JobOutcome:
    """The time limit was reached once too often: rows with status timeout, and the outcome."""
    reason = "stopped at the time limit of its Slurm job, requeues included; its checkpoint is kept"
    if job.run_ids:
        losses.record(job, "timeout", reason, started_utc)
    return JobOutcome(job, worker.TIMED_OUT, reason, seconds)


def requeue() -> bool:
    """Queue this job again if nobody but Slurm's preemption wants it to stop; whether it was."""
    job_id = os.environ.get("SLURM_JOB_ID", "")
    try:
        state = queue.call(["squeue", "--noheader", f"--jobs={job_id}", "--format=%T"]).strip()
        if state != "RUNNING":  # cancelled, or being queued again already
            return False
        queue.call(["scontrol", "requeue", job_id])
    except NmbenchError as error:
        print(error, flush=True)
        return False
    return True


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


@contextlib.contextmanager
def _without_its_signal() -> Iterator[None]:
    """Processes started inside do not get submitit's signal: Slurm may send it to all of a job, and it would end them."""
    numbers = {signal.SIGUSR1, signal.SIGUSR2}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
