"""Calls of Slurm's commands. One call of squeue covers all jobs of a sweep."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping

from nmbench.support.errors import NmbenchError

_NEEDED = ("sbatch", "squeue", "sinfo", "scontrol", "srun")
# States of a job that has ended; see "JOB STATE CODES" in squeue's manual.
ENDED = frozenset(
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"]
)
_TIMEOUT_S = 120.0


class SlurmError(NmbenchError):
    """A Slurm command failed. The message quotes the last line of its output."""


def call(*command: str) -> str:
    """Output of a Slurm command; raises `SlurmError`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise SlurmError(f"{command[0]} failed with code {done.returncode}: {lines[-1][:300]}")
    return done.stdout


def check(options: Mapping[str, str | bool]) -> None:
    """Raise `NmbenchError` if Slurm is missing or does not accept a job with these options of sbatch."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        raise NmbenchError(
            f"--executor=slurm needs Slurm's commands, and {missing[0]} is not found; start the sweep on a login node or "
            "use --executor=local"
        )
    flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
    try:
        call("sbatch", "--test-only", *flags, "--wrap=true")
    except SlurmError as error:
        raise NmbenchError(f"Slurm refuses these settings: {error}") from error
    # By default, sbatch accepts a job that exceeds the limit of its partition, and the job never starts.
    partition, minutes = options.get("partition"), float(options["time"])
    lines = [line.split("|") for line in call("sinfo", "--noheader", "--format=%P|%l").splitlines()]
    names = str(partition).split(",") if partition else [name.removesuffix("*") for name, _ in lines if name.endswith("*")]
    most = max((minutes_of(limit) for name, limit in lines if name.removesuffix("*") in names), default=math.inf)
    if minutes > most:
        raise NmbenchError(
            f"--slurm_time={minutes:g} is more than partition {','.join(names)} allows; use at most {most:g} minutes (jobs "
            "that reach their limit are queued again and continue from a checkpoint)"
        )


def states(name: str) -> dict[str, str]:
    """States of this user's jobs of a name: job id ("12_3" in an array) to state.

    Slurm lists ended jobs for some minutes (MinJobAge).
    """
    lines = call("squeue", "--me", "--array", "--states=all", f"--name={name}", "--noheader", "--format=%i|%T").splitlines()
    return {job_id.strip(): state.split()[0] for job_id, _, state in (line.partition("|") for line in lines) if state}


def longest_array() -> int:
    """Largest number of jobs in an array; 1000 if Slurm does not tell it."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", call("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(match.group(1))) if match else 1000


def minutes_of(limit: str) -> float:
    """Minutes of Slurm's "[days-][hours:]minutes:seconds"; infinite for any other text, such as "infinite"."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", limit.strip())
    if match is None:
        return math.inf
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60
