"""What Slurm says, in few calls: a whole sweep is one squeue."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from nmbench.support.errors import NmbenchError, did_you_mean

COMMANDS = ("sbatch", "squeue", "sinfo", "scontrol", "srun")
# How the names of arrays begin.
PREFIX = "nmbench-"
# States that a job does not leave again; see "JOB STATE CODES" in squeue's manual.
ENDED = frozenset(
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"]
)
_LONGEST_S = 120.0


class SlurmError(NmbenchError):
    """A Slurm command failed; the message says which and what it said."""


def call(command: Sequence[str]) -> str:
    """Output of a Slurm command; raises `SlurmError`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} gave no answer in {_LONGEST_S:g} s") from None
    except OSError as error:
        raise SlurmError(f"{command[0]} cannot be run: {error.strerror or error}") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        raise SlurmError(f"{command[0]} failed with code {done.returncode} and said: {said[-1][:300]}")
    return done.stdout


def require() -> None:
    """Raise `NmbenchError` where Slurm's commands are missing."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise NmbenchError(
            f"--executor=slurm needs Slurm's commands, and {missing[0]} is not found; start the sweep on a login node, or "
            "choose --executor=local"
        )


def states() -> dict[str, dict[int, str]]:
    """States of this user's jobs: name of the array, then index in it; ended ones too, for some minutes (MinJobAge)."""
    command = ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%j|%K|%T"]
    return read_states(call(command))


def read_states(text: str) -> dict[str, dict[int, str]]:
    """See `states`; lines that are not about arrays of nmbench are skipped."""
    found: dict[str, dict[int, str]] = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition("|")
        index, _, state = rest.partition("|")
        if name.startswith(PREFIX) and state:
            # A job that is no part of an array shows "N/A".
            found.setdefault(name, {})[int(index) if index.isdecimal() else 0] = state.split()[0]
    return found


def longest_array() -> int:
    """How many jobs an array may have."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", call(["scontrol", "show", "config"]), re.MULTILINE)
    return max(1, int(match.group(1))) if match else 1000


def partitions() -> dict[str, tuple[float | None, bool]]:
    """Partition to (time limit in minutes, None for none; whether it is the default)."""
    found = {}
    for line in call(["sinfo", "--noheader", "--format=%P|%l"]).splitlines():
        name, _, limit = line.strip().partition("|")
        found[name.removesuffix("*")] = (minutes_of(limit), name.endswith("*"))
    return found


def minutes_of(limit: str) -> float | None:
    """Minutes of Slurm's "[days-][hours:]minutes:seconds"; None for "infinite" and the like."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", limit.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60


def check_partition(wanted: str | None, minutes: int, known: Mapping[str, tuple[float | None, bool]]) -> None:
    """Raise `NmbenchError` if a partition is not there, or a job of so many minutes may not run in any that is wanted."""
    names = wanted.split(",") if wanted else [name for name, (_, default) in known.items() if default]
    if not names:
        raise NmbenchError(
            f"this cluster has no default partition; give --slurm_partition (one of {', '.join(known) or 'none'})"
        )
    for name in names:
        if name not in known:
            raise NmbenchError(f"--slurm_partition: no partition {name!r}{did_you_mean(name, known)}")
    limits = [known[name][0] for name in names]
    finite = [limit for limit in limits if limit is not None]
    if len(finite) == len(limits) and minutes > max(finite):
        raise NmbenchError(
            f"--slurm_time={minutes} is more than partition {','.join(names)} allows; use at most {max(finite):g} minutes "
            "(jobs that reach their limit go on from a checkpoint)"
        )


def check_options(options: Mapping[str, str | bool]) -> None:
    """Ask sbatch whether it would take a job with these options, without submitting one; raises `NmbenchError`."""
    flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
    try:
        call(["sbatch", "--test-only", *flags, "--wrap=true"])
    except SlurmError as error:
        raise NmbenchError(f"Slurm would refuse the jobs: {error}") from error
