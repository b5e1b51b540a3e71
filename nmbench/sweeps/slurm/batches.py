"""Records of what was submitted, in the results folder: which job is which place of which array, and what became of it.

`logs/sweep/slurm/ARRAY.json` is written before the array is submitted, so squeue, which tells arrays by name and index, can
always be understood: a second start of a sweep finds its jobs. `logs/sweep/slurm/ARRAY/INDEX.json` is written by the job.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from nmbench.support import files
from nmbench.support.errors import NmbenchError
from nmbench.sweeps.jobs import Job, JobOutcome
from nmbench.sweeps.slurm.queue import PREFIX


@dataclasses.dataclass(frozen=True)
class Batch:
    """An array.

    Attributes:
      folder: where records lie.
      name: of the array in Slurm.
      jobs: name and run ids of each, by index.
    """

    folder: pathlib.Path
    name: str
    jobs: tuple[tuple[str, tuple[str, ...]], ...]

    def ending(self, index: int) -> pathlib.Path:
        """Where the job of an index says what became of it."""
        return self.folder / self.name / f"{index}.json"


def folder_of(results_dir: str) -> pathlib.Path:
    """Where the records of a results folder lie."""
    return pathlib.Path(results_dir, "logs", "sweep", "slurm")


def new(folder: pathlib.Path, jobs: Sequence[Job]) -> Batch:
    """Record a batch that is about to be submitted.

    Raises:
      NmbenchError: the disk refuses.
    """
    batch = Batch(folder, PREFIX + os.urandom(6).hex(), tuple((job.name, job.run_ids) for job in jobs))
    plain = {"jobs": [{"name": name, "run_ids": list(run_ids)} for name, run_ids in batch.jobs]}
    try:
        (folder / batch.name).mkdir(parents=True)
        files.replace(folder / f"{batch.name}.json", (json.dumps(plain, indent=1) + "\n").encode())
    except OSError as error:
        raise NmbenchError(f"cannot write to {folder}: {error.strerror or error}") from error
    return batch


def load(folder: pathlib.Path, name: str) -> Batch | None:
    """The batch of that name, None where this results folder has none (or an unreadable one)."""
    plain = _read(folder / f"{name}.json")
    try:
        jobs = tuple((str(job["name"]), tuple(map(str, job["run_ids"]))) for job in plain["jobs"])
    except (KeyError, TypeError):
        return None
    return Batch(folder, name, jobs)


def write_ending(path: pathlib.Path, outcome: JobOutcome) -> None:
    """Record what became of a job; raises `OSError`."""
    plain = {"code": outcome.code, "error": outcome.error, "seconds": outcome.seconds}
    files.replace(path, (json.dumps(plain) + "\n").encode())


def read_ending(path: pathlib.Path, job: Job) -> JobOutcome | None:
    """What a job has recorded, None for nothing (yet)."""
    plain = _read(path)
    try:
        return JobOutcome(job, int(plain["code"]), str(plain["error"]), float(plain["seconds"]))
    except (KeyError, TypeError, ValueError):
        return None


def _read(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
