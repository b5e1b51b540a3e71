"""What a sweep hands out: one cell of its grid, with the seeds that are missing, as plain data; and what became of it."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from nmbench.experiments.request import Request, run_id_of
from nmbench.results import schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """The missing seeds of one cell.

    Attributes:
      name: "MODEL.TASK.PROTOCOL.bBUDGET.KEY", safe as the name of a file. KEY is a hash of the configuration without its
        seed and of the results folder: a cell has the same name however many of its seeds are missing.
      request: what is run.
      argv: arguments of `python -m nmbench.run`.
      results_dir: absolute path of the results folder.
      seeds: those that are missing.
      run_ids: of these seeds. () where the learning rate is yet to be tuned: then they are not known.
      config: the configuration of the runs but for the seed; empty where `run_ids` is.
      facts: columns that every row of these runs has, whatever becomes of it; empty where `run_ids` is.
      core_minutes: estimate, None where there is none.
    """

    name: str
    request: Request
    argv: tuple[str, ...]
    results_dir: str
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    core_minutes: float | None = None

    @property
    def log(self) -> pathlib.Path:
        """Where its process's output goes."""
        return pathlib.Path(self.results_dir, "logs", "sweep", f"{self.name}.log")

    def plain(self) -> dict[str, Any]:
        """Everything as JSON can hold it; `from_plain` reads it."""
        return {
            **dataclasses.asdict(self),
            "argv": list(self.argv),
            "seeds": list(self.seeds),
            "run_ids": list(self.run_ids),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Job:
        lists = {name: tuple(plain[name]) for name in ("argv", "seeds", "run_ids")}
        return cls(**{**plain, **lists, "request": Request(**plain["request"])})


@dataclasses.dataclass(frozen=True)
class JobOutcome:
    """What became of a job.

    Attributes:
      job: which.
      code: exit code of its process; negative: the signal that killed it; None: it was never seen to end.
      error: one line, "" when all its seeds have rows with status ok.
      seconds: from its start to its end, 0 where that is not known.
    """

    job: Job
    code: int | None
    error: str
    seconds: float = 0.0

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop before its end, by a signal: what it has done is kept and the same sweep goes on."""
        return self.code in (130, 143) and bool(self.error)


@dataclasses.dataclass(frozen=True)
class Event:
    """What an executor tells while it works.

    Attributes:
      kind: "started", "ended" (with `outcome`), "waiting" (nothing new, now and then), or "said" (`text`, one line that a
        user should see).
      job: which job it is about, None for none.
      outcome, text: see `kind`.
    """

    kind: str
    job: Job | None = None
    outcome: JobOutcome | None = None
    text: str = ""


def name_of(config: Mapping[str, Any], results_dir: str) -> str:
    """A job's name. config: of its runs, with or without a seed."""
    shared = {name: value for name, value in config.items() if name != "seed"}
    key = hashlib.sha256(f"{results_dir}\n{schema.canonical_json(shared)}".encode()).hexdigest()[:10]
    size = "given" if config["budget"] is None else f"b{config['budget']}"
    return f"{config['model']}.{config['task']}.{config['protocol']['name']}.{size}.{key}"


def run_ids_of(config: Mapping[str, Any], seeds: tuple[int, ...]) -> tuple[str, ...]:
    """Run ids of seeds of one configuration."""
    return tuple(run_id_of({**config, "seed": seed}) for seed in seeds)
