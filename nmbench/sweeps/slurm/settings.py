"""Resources of a Slurm job: the flags --slurm_*, and their values for sbatch and submitit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from absl import flags

from nmbench.support import cli
from nmbench.support.errors import NmbenchError

# Options of sbatch that have a flag of their own, and options that the sweep needs for its own purposes.
_OWN_FLAGS = {
    "partition": "slurm_partition",
    "account": "slurm_account",
    "time": "slurm_time",
    "mem": "slurm_mem",
    "cpus-per-task": "slurm_cpus",
    "gpus-per-node": "slurm_gpus",
}
_TAKEN = ["array", "chdir", "error", "job-name", "no-requeue", "open-mode", "output", "requeue", "signal", "wrap"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Resources of a job.

    Attributes:
      options: options of sbatch, name to value; True for an option without a value.
      requeues: how often a job is queued again after its time limit, to continue from its checkpoint.
      parallelism: largest number of jobs at a time, None for no limit.
      setup: shell command at the start of a job, "" for none.
    """

    options: Mapping[str, str | bool]
    requeues: int = 3
    parallelism: int | None = None
    setup: str = ""

    def parameters(self) -> dict[str, Any]:
        """Parameters of submitit's `SlurmExecutor.update_parameters`."""
        return {
            "time": int(self.options["time"]),  # submitit compares it with the run time to tell a time limit from preemption
            "array_parallelism": self.parallelism or 1_000_000,
            "setup": [self.setup] if self.setup else None,
            "stderr_to_stdout": True,
            # Since Slurm 22.05, srun does not take this from sbatch.
            "srun_args": [f"--cpus-per-task={self.options['cpus-per-task']}"],
            "additional_parameters": {"requeue": True, **self.options},
        }


def define(values: flags.FlagValues) -> None:
    """Add the flags that `parse` reads."""
    cli.string(values, "slurm_partition", None, "Slurm partition; by default the cluster's")
    cli.string(values, "slurm_account", None, "Slurm account; by default the user's")
    cli.integer(values, "slurm_time", 60, "time limit of a Slurm job, in minutes", lower=1)
    cli.integer(values, "slurm_requeues", 3, "how often a Slurm job is queued again after its time limit")
    cli.string(values, "slurm_mem", None, "memory of a Slurm job, such as 4G; by default the cluster's")
    cli.integer(values, "slurm_cpus", 1, "cores of a Slurm job", lower=1)
    cli.integer(values, "slurm_gpus", 0, "GPUs of a Slurm job")
    cli.integer(values, "slurm_parallelism", None, "largest number of Slurm jobs at a time; by default no limit", lower=1)
    cli.string(values, "slurm_setup", "", "shell command that every Slurm job runs first, such as 'module load cuda'")
    cli.string(
        values, "slurm_extra", "", "other options of sbatch as K=V,K=V, such as qos=low,constraint=a100,exclusive=true"
    )
    cli.boolean(values, "wait", True, "monitor the Slurm jobs to the end; --nowait only submits them")


def parse(values: flags.FlagValues) -> Settings:
    """The settings in the flags; raises the errors of `parse_extra`."""
    options = {
        "partition": values.slurm_partition,
        "account": values.slurm_account,
        "time": str(values.slurm_time),
        "mem": values.slurm_mem,
        "cpus-per-task": str(values.slurm_cpus),
        "gpus-per-node": str(values.slurm_gpus) if values.slurm_gpus else None,
        **parse_extra(values.slurm_extra),
    }
    return Settings(
        options={name: value for name, value in options.items() if value is not None},
        requeues=values.slurm_requeues,
        parallelism=values.slurm_parallelism,
        setup=values.slurm_setup,
    )


def parse_extra(text: str) -> dict[str, str | bool]:
    """ "K=V,K=V" as options of sbatch. A part without "=" belongs to the value before it: "exclude=n1,n2,qos=low".

    Raises:
      NmbenchError: a part is not K=V, or names an option that nmbench or submitit sets.
    """
    options: dict[str, str | bool] = {}
    for part in re.split(r",(?=[^,]*=)", text) if text else ():
        name, _, value = (piece.strip() for piece in part.partition("="))
        name = name.removeprefix("--").replace("_", "-")
        if not value or not re.fullmatch("[a-z][a-z0-9-]*", name):
            raise NmbenchError(f"--slurm_extra: {part!r} is not an option of sbatch; write K=V,K=V, such as qos=low")
        if name in _OWN_FLAGS:
            raise NmbenchError(f"--slurm_extra: use --{_OWN_FLAGS[name]} instead of {name}")
        if name in _TAKEN:
            raise NmbenchError(f"--slurm_extra cannot set {name}, which the sweep sets itself")
        options[name] = value == "true" or value
    return options
