"""Jobs of a sweep, their outcomes, and the events that executors report."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from nmbench.experiments.configuration import Configuration
from nmbench.experiments.request import Request
from nmbench.results import schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A job trains the missing seeds of one experiment.

    Attributes:
      name: "MODEL.TASK.PROTOCOL.bBUDGET.KEY", a valid file name, with "given" for "bBUDGET" if there is no budget. KEY is a
        hash of the results folder and of the configuration without its seed, so the name does not depend on the seeds.
      request: the request for the experiment.
      argv: arguments of `python -m nmbench.run`.
      results_dir: absolute path of the results folder.
      seeds: the missing seeds.
      run_ids: their run ids; () if the learning rate must be tuned first, because run ids depend on it.
      configuration: configuration of the runs, with any seed; None if the learning rate must be tuned first.
      columns: columns that the rows of all these runs share; empty if the learning rate must be tuned first.
      sources: path of each file that defines the model or the task, to its fingerprint.
      core_minutes: estimated cost in minutes of one core, None if there is no estimate.
    """

    name: str
    request: Request
    argv: tuple[str, ...]
    results_dir: str
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    configuration: Configuration | None
    columns: Mapping[str, Any]
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    core_minutes: float | None = None

    @property
    def log(self) -> pathlib.Path:
        """File that holds the output of the job's process."""
        return pathlib.Path(self.results_dir, "logs", "sweep", f"{self.name}.log")


@dataclasses.dataclass(frozen=True)
class JobOutcome:
    """The outcome of a job.

    Attributes:
      job: the job.
      code: exit code of its process; -N if signal N killed it; None if unknown.
      error: one line; "" if all its runs have status ok.
      seconds: duration, 0 if unknown.
    """

    job: Job
    code: int | None
    error: str
    seconds: float = 0.0

    @property
    def stopped(self) -> bool:
        """Whether a signal stopped the job before its end. The same sweep resumes it from a checkpoint, if there is one."""
        return self.code in (130, 143) and bool(self.error)


@dataclasses.dataclass(frozen=True)
class Event:
    """An event that an executor reports.

    Attributes:
      kind: "started" (may be repeated for a job), "ended", "waiting" (sent regularly while jobs run), or "message".
      job: the job that started or ended.
      outcome: the outcome of a job that ended.
      text: one line for the user, for "message".
    """

    kind: str
    job: Job | None = None
    outcome: JobOutcome | None = None
    text: str = ""


def name_of(configuration: Configuration, tune: bool, results_dir: str) -> str:
    """Name of a job (see `Job.name`), whatever the seed of the configuration.

    Args:
      configuration: configuration of the runs, before tuning.
      tune: whether the sweep tunes learning rates.
      results_dir: absolute path of the results folder.
    """
    entries = {name: value for name, value in configuration.to_dict().items() if name != "seed"}
    text = schema.canonical_json({**entries, "tune": True} if tune else entries)
    key = hashlib.sha256(f"{results_dir}\n{text}".encode()).hexdigest()[:10]
    size = "given" if configuration.budget is None else f"b{configuration.budget}"
    return f"{configuration.model}.{configuration.task}.{configuration.protocol_name}.{size}.{key}"
