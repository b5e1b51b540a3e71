"""The part of a Slurm job that runs on the compute node.

Slurm stops a job in three ways:
- SIGUSR2, before the time limit and, if the cluster warns, before preemption. submitit handles it: it calls `checkpoint` and
  queues the job again.
- SIGTERM, by scancel, `scontrol requeue` and preemption with a grace period. The training process writes its checkpoint.
- SIGKILL. The last checkpoint remains.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from nmbench.results.provenance import utc_now
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import lost_runs, worker
from nmbench.sweeps.jobs import Job, JobOutcome
from nmbench.sweeps.slurm import commands

# Seconds that the process has to write its checkpoint; SIGUSR2 comes 90 s before the end.
GRACE_S = 60.0
# Seconds that a requeued job waits for Slurm to end it.
_REQUEUED_S = 180.0


class TrainingCall:
    """The callable that submitit pickles and calls on the node."""

    def __init__(self) -> None:
        self._process: worker.JobProcess | None = None

    def __call__(self, job: Job, timeout_s: float | None) -> JobOutcome | None:
        """Run a job; submitit stores the outcome. None if a signal stopped the job. timeout_s: time limit, None for none."""
        started_utc = utc_now()
        try:
            outcome = worker.run_job(job, timeout_s=timeout_s, on_start=self._started)
        except NmbenchError as error:
            return JobOutcome(job, 2, str(error))
        except RuntimeError as error:
            if type(error).__name__ != "UncompletedJobError":  # submitit does not queue the job again
                raise
            return record_timeout(job, started_utc)
        if not outcome.stopped:
            return outcome
        requeue_if_preempted()
        return None

    def _started(self, process: worker.JobProcess) -> None:
        self._process = process

    def checkpoint(self, *arguments: Any):
        """submitit calls this when SIGUSR2 arrives: write the checkpoint; return the call to make after the requeue."""
        import submitit.helpers

        if self._process is not None:
            self._process.stop()
            deadline = time.monotonic() + GRACE_S
            with contextlib.suppress(ChildProcessError):
                # `ended()` is not used, because the signal may have interrupted a call of it.
                while not os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    if time.monotonic() > deadline:
                        break  # `run_job` kills it
                    time.sleep(worker.POLL_S)
        return submitit.helpers.DelayedSubmission(TrainingCall(), *arguments)


def record_timeout(job: Job, started_utc: str) -> JobOutcome:
    """Store rows with status timeout for a job that has used all its requeues."""
    reason = f"stopped at the time limit of its Slurm job after all requeues; {worker.CONTINUES}"
    if job.run_ids:
        reason += lost_runs.record_or_say(job, "timeout", reason, started_utc)
    return JobOutcome(job, worker.TIMED_OUT, reason)


def requeue_if_preempted() -> None:
    """Queue this job again after SIGTERM if Slurm still counts it as running, because then preemption sent the signal."""
    job_id = os.environ.get("SLURM_JOB_ID", "")
    try:
        if commands.call("squeue", "--noheader", f"--jobs={job_id}", "--format=%T").strip() == "RUNNING":
            commands.call("scontrol", "requeue", job_id)
            time.sleep(_REQUEUED_S)
    except NmbenchError as error:
        print(error, flush=True)
