"""The grid of a sweep: what is asked for, which cells it makes, and which of them make no sense and are left out."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, TypeVar

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import recording, resolution, tuning
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.request import Request
from nmbench.experiments.resolve_cache import ResolveCache
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.sweeps import estimate, jobs

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user asks for.

    Attributes:
      models, tasks: registered names.
      protocols, budgets: None among them stands for a task's own.
      seeds: of every cell.
      results_dir: folder of results.
      plugins: files that register models or tasks.
      data_seed, steps, allow_budget_miss, remat, devices: as in `nmbench.experiments.experiment.Request`.
      tune: choose learning rates first.
      retry_failed: do again runs that were lost to a crash or a time limit.
      checkpoint_minutes: as of `nmbench.run`.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    protocols: tuple[str | None, ...] = (None,)
    budgets: tuple[int | None, ...] = (None,)
    seeds: range = range(10)
    results_dir: str = "results"
    plugins: tuple[str, ...] = ()
    data_seed: int = 0
    steps: int | None = None
    allow_budget_miss: bool = False
    remat: bool = False
    devices: int | None = None
    tune: bool = False
    retry_failed: bool = False
    checkpoint_minutes: float = 5.0


@dataclasses.dataclass(frozen=True)
class Place:
    """A cell of the grid.

    Attributes:
      cell: resolved; with the rate that was tuned, if it was.
      tuned: False where the learning rate is yet to be chosen, so that run ids are not known.
      name: of its job.
      work: see `nmbench.sweeps.estimate`; of one seed.
    """

    cell: Experiment
    tuned: bool
    name: str
    work: float


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A combination that cannot be run, and why."""

    model: str
    task: str
    protocol: str | None
    budget: int | None
    reason: str

    def __str__(self) -> str:
        protocol = f", protocol {self.protocol}" if self.protocol else ""
        budget = f", budget {self.budget}" if self.budget else ""
        return f"{self.model} on {self.task}{protocol}{budget}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """All cells, the most work first, and what is left out. The same for the same request, whatever has been run."""

    places: list[Place]
    left_out: list[LeftOut]


def build(asked: Asked, known: ResolveCache) -> Grid:
    """Resolve every combination. What does not fit (a budget that cannot be met, a partition that is lacking) is left out.

    Raises:
      NmbenchError: an unknown name, a damaged test set, or nothing that can be run.
    """
    _check(asked, known)
    store, found, left_out = Store(asked.results_dir), {}, []
    for model, task, protocol, budget in itertools.product(asked.models, asked.tasks, asked.protocols, asked.budgets):
        request = Request(
            model=model,
            task=task,
            budget=budget,
            protocol=protocol,
            steps=asked.steps,
            data_seed=asked.data_seed,
            allow_budget_miss=asked.allow_budget_miss,
            devices=asked.devices,
            remat=asked.remat,
        )
        try:
            place = _place(request, asked, known, store)
        except NmbenchError as error:
            left_out.append(LeftOut(model, task, protocol, budget, str(error)))
        else:
            found[place.name] = place  # the default budget may be among the others
    if not found:
        rest = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
        raise NmbenchError(f"nothing can be run: {left_out[0]}{rest}")
    return Grid(sorted(found.values(), key=lambda place: (-place.work, place.name)), left_out)


def shard(items: Sequence[T], text: str | None) -> list[T]:
    """Part i of n of `items`, for `text` "i/n" with 1 <= i <= n: every n-th from the i-th on.

    The parts have no item in common and hold all of them together. Shards are counted from 1.

    Raises:
      NmbenchError: not of this form.
    """
    if text is None:
        return list(items)
    i, slash, n = text.partition("/")
    if not (slash and all(part.isascii() and part.isdecimal() and len(part) < 10 for part in (i, n)) and int(n)):
        raise NmbenchError(f"--shard={text!r} is not of the form i/n; write --shard=1/4 to --shard=4/4 for four shards")
    if int(i) == 0:
        raise NmbenchError(f"--shard={text}: shards are counted from 1, so add 1 to an index that is counted from 0")
    if int(i) > int(n):
        raise NmbenchError(f"--shard={text}: there are only {n} shards; the last is --shard={n}/{n}")
    return list(items[int(i) - 1 :: int(n)])


def job_of(place: Place, asked: Asked, missing: Sequence[int], core_minutes: float | None) -> jobs.Job:
    """The job that trains the missing seeds of a cell."""
    cell, folder, seeds = place.cell, str(pathlib.Path(os.path.expanduser(asked.results_dir)).absolute()), tuple(missing)
    config = {name: value for name, value in cell.config(0).items() if name != "seed"} if place.tuned else {}
    return jobs.Job(
        name=place.name,
        request=cell.request,
        argv=_argv(cell.request, asked, folder),
        results_dir=folder,
        seeds=seeds,
        run_ids=jobs.run_ids_of(config, seeds) if place.tuned else (),
        config=config,
        facts=recording.experiment_columns(cell) if place.tuned else {},
        core_minutes=core_minutes,
    )


def _check(asked: Asked, known: ResolveCache) -> None:
    for name in asked.models:
        BASELINES.get(name)
    tasks = [TASKS.get(name) for name in asked.tasks]
    for task in tasks:
        known.test_set(task)
    protocols = {p.name: p for task in tasks for p in task.protocols}
    for name in filter(None, asked.protocols):
        if name not in protocols:
            raise NmbenchError(f"none of the tasks has a protocol {name!r}{did_you_mean(name, protocols)}")
    if asked.tune:
        used = {
            seed
            for p in protocols.values()
            if p.name in asked.protocols or None in asked.protocols
            for seed in p.tuning_seeds
        }
        clash = sorted(used.intersection(asked.seeds))
        if clash:
            raise NmbenchError(f"seed {clash[0]} is one that tuning uses; results need others, so change --first_seed")


def _place(request: Request, asked: Asked, known: ResolveCache, store: Store) -> Place:
    cell = resolution.resolve(request, known=known)
    # What a job is called must not change when its rate has been tuned.
    config, tuned = cell.config(0), True
    if asked.tune:
        tuning.check(cell)
        choice = tuning.stored(cell, store)
        config, tuned = {**config, "tune": True}, choice is not None
        cell = cell if choice is None else dataclasses.replace(cell, tuning=choice)
    folder = str(pathlib.Path(os.path.expanduser(asked.results_dir)).absolute())
    return Place(cell, tuned, jobs.name_of(config, folder), estimate.work_of_cell(cell, known))


def _argv(request: Request, asked: Asked, folder: str) -> tuple[str, ...]:
    flags: dict[str, Any] = {
        "model": request.model,
        "task": request.task,
        "budget": request.budget,
        "protocol": request.protocol,
        "steps": request.steps,
        "data_seed": request.data_seed,
        "devices": request.devices,
        "first_seed": asked.seeds.start,
        "seeds": len(asked.seeds),
        "checkpoint_minutes": asked.checkpoint_minutes,
        "results_dir": folder,
    }
    switches = {
        "allow_budget_miss": asked.allow_budget_miss,
        "remat": asked.remat,
        "tune": asked.tune,
        "retry_failed": asked.retry_failed,
        "nocollect": True,
    }
    return (
        *(f"--{name}={value}" for name, value in flags.items() if value is not None),
        *(f"--plugin={pathlib.Path(os.path.expanduser(path)).absolute()}" for path in asked.plugins),
        *(f"--{name}" for name, on in switches.items() if on),
    )
