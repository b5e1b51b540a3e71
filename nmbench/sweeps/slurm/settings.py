"""What Slurm is asked for: the flags --slurm_*, checked, and as sbatch and submitit take them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from absl import flags

from nmbench.support import cli
from nmbench.support.errors import NmbenchError

# One word, as names of partitions, accounts and options of sbatch are; nothing that would end a line of a job script.
_WORD = re.compile(r"[A-Za-z0-9][\w.,:+@%/-]*", re.ASCII)
_MEMORY = re.compile(r"[1-9][0-9]{0,9}([KMGT]B?)?", re.ASCII)
# Options of sbatch that are set by nmbench, and the flag to use instead.
_OWN = {
    "partition": "--slurm_partition",
    "account": "--slurm_account",
    "time": "--slurm_time",
    "mem": "--slurm_mem",
    "cpus-per-task": "--slurm_cpus",
    "gpus-per-node": "--slurm_gpus",
    "array": "--slurm_parallelism",
    **dict.fromkeys(
        ("job-name", "output", "error", "nodes", "ntasks", "ntasks-per-node", "signal", "requeue", "no-requeue"), ""
    ),
    **dict.fromkeys(("open-mode", "wrap", "chdir", "export", "test-only", "parsable", "wait", "dependency", "wckey"), ""),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a job gets.

    Attributes:
      partition, account: None for the cluster's defaults.
      minutes: time limit of a job.
      requeues: how often a job that reaches its time limit is queued again, to go on from its checkpoint.
      mem: as `sbatch --mem` takes it, None for the cluster's default.
      cpus, gpus: per job.
      parallelism: jobs at a time, None for no bound.
      setup: a line of shell that a job runs first, "" for none.
      extra: other options of sbatch; True for one without a value.
    """

    partition: str | None = None
    account: str | None = None
    minutes: int = 60
    requeues: int = 3
    mem: str | None = None
    cpus: int = 1
    gpus: int = 0
    parallelism: int | None = None
    setup: str = ""
    extra: Mapping[str, str | bool] = dataclasses.field(default_factory=dict)

    def options(self) -> dict[str, str | bool]:
        """As options of sbatch, in the order in which they are given."""
        given = {
            "partition": self.partition,
            "account": self.account,
            "time": str(self.minutes),
            "mem": self.mem,
            "cpus-per-task": str(self.cpus),
            "gpus-per-node": str(self.gpus) if self.gpus else None,
            **self.extra,
        }
        return {name: value for name, value in given.items() if value is not None}

    def parameters(self) -> dict[str, Any]:
        """As submitit's `SlurmExecutor.update_parameters` takes them."""
        return {
            **({"partition": self.partition} if self.partition else {}),
            **({"account": self.account} if self.account else {}),
            "time": self.minutes,
            **({"mem": self.mem} if self.mem else {}),
            "cpus_per_task": self.cpus,
            **({"gpus_per_node": self.gpus} if self.gpus else {}),
            "array_parallelism": self.parallelism or 1_000_000,
            **({"setup": [self.setup]} if self.setup else {}),
            "stderr_to_stdout": True,
            # A job step takes its cores from these alone since Slurm 22.05.
            "srun_args": [f"--cpus-per-task={self.cpus}"],
            "additional_parameters": {"requeue": True, **self.extra},
        }


def define(values: flags.FlagValues) -> None:
    """Add the flags that `parse` reads."""
    cli.string(values, "slurm_partition", None, "Slurm partition; the cluster's default")
    cli.string(values, "slurm_account", None, "Slurm account; your default")
    cli.integer(values, "slurm_time", 60, "time limit of a Slurm job, in minutes", lower=1)
    cli.integer(values, "slurm_requeues", 3, "how often a Slurm job goes on from its checkpoint after its time limit")
    cli.string(values, "slurm_mem", None, "memory of a Slurm job, such as 4G; the cluster's default")
    cli.integer(values, "slurm_cpus", 1, "cores of a Slurm job", lower=1)
    cli.integer(values, "slurm_gpus", 0, "GPUs of a Slurm job")
    cli.integer(values, "slurm_parallelism", None, "Slurm jobs at a time; unbounded by default", lower=1)
    cli.string(values, "slurm_setup", "", "a line of shell that every Slurm job runs first, such as 'module load cuda'")
    cli.string(
        values, "slurm_extra", "", "other options of sbatch as K=V,K=V, such as qos=low,constraint=a100,exclusive=true"
    )
    cli.boolean(values, "wait", True, "watch the Slurm jobs to their end; --nowait submits and leaves")


def parse(values: flags.FlagValues) -> Settings:
    """The settings that flags ask for.

    Raises:
      NmbenchError: names the flag and says what is right.
    """
    for name in ("partition", "account"):
        value = getattr(values, f"slurm_{name}")
        if value is not None and not _WORD.fullmatch(value):
            raise NmbenchError(f"--slurm_{name}={value!r} is not the name of a Slurm {name}")
    if values.slurm_mem is not None and not _MEMORY.fullmatch(values.slurm_mem):
        raise NmbenchError(f"--slurm_mem={values.slurm_mem!r} is not an amount of memory; write one as 4G or 500M")
    for name, most in (
        ("time", 525_600),
        ("requeues", 1000),
        ("cpus", 100_000),
        ("gpus", 10_000),
        ("parallelism", 1_000_000),
    ):
        value = getattr(values, f"slurm_{name}")
        if value is not None and value > most:
            raise NmbenchError(f"--slurm_{name}={value} is too large; use at most {most}")
    if not values.slurm_setup.isprintable():
        raise NmbenchError("--slurm_setup must be one line of shell; join commands with && or ;")
    return Settings(
        partition=values.slurm_partition,
        account=values.slurm_account,
        minutes=values.slurm_time,
        requeues=values.slurm_requeues,
        mem=values.slurm_mem,
        cpus=values.slurm_cpus,
        gpus=values.slurm_gpus,
        parallelism=values.slurm_parallelism,
        setup=values.slurm_setup,
        extra=parse_extra(values.slurm_extra),
    )


def parse_extra(text: str) -> dict[str, str | bool]:
    """ "K=V,K=V" as options of sbatch. A part without "=" belongs to the value before it: "exclude=n1,n2,qos=low".

    Raises:
      NmbenchError: a part is not K=V, or nmbench sets that option itself.
    """
    options: dict[str, str] = {}
    latest = None
    for part in text.split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and latest is not None:
            options[latest] += f",{name}"
            continue
        name = latest = name.removeprefix("--").replace("_", "-")
        if not equals or not re.fullmatch("[a-z][a-z0-9-]*", name):
            raise NmbenchError(f"--slurm_extra: {part!r} is not an option of sbatch; write K=V,K=V, such as qos=low")
        if name in _OWN:
            instead = f"use {_OWN[name]}" if _OWN[name] else "nmbench sets it"
            raise NmbenchError(f"--slurm_extra: {name} cannot be given here; {instead}")
        if name in options:
            raise NmbenchError(f"--slurm_extra: {name} is given twice")
        options[name] = value
    for name, value in options.items():
        if not value or not value.isascii() or not value.isprintable() or value.startswith("-"):
            raise NmbenchError(f"--slurm_extra: {name}={value!r} has no good value; {name}=true is an option without one")
    return {name: True if value == "true" else value for name, value in options.items()}
