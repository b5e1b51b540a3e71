"""The grid of a sweep: the request, its experiments, and the combinations that are skipped."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import recording, resolution, tuning
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.request import Request
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.sweeps import estimate
from nmbench.sweeps.jobs import Job, name_of

T = TypeVar("T")
MOST_EXPERIMENTS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """A user's request for a grid of experiments.

    Attributes:
      models, tasks: registered names.
      protocols, budgets: names and numbers of learned parameters; None stands for the task's default.
      hparams: settings of the models, each a dict of hyperparameters that differ from the default; {} for the defaults.
      seeds: seeds of every experiment.
      results_dir: results folder.
      plugins: files that register models or tasks.
      data_seed, steps, allow_budget_miss, remat, devices: as in `nmbench.experiments.request.Request`.
      tune: tune the learning rates first.
      retry_failed: train runs with status failed or timeout again.
      checkpoint_minutes: as in `nmbench.run`.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    protocols: tuple[str | None, ...] = (None,)
    budgets: tuple[int | None, ...] = (None,)
    hparams: tuple[Mapping[str, str], ...] = ({},)
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
class GridPoint:
    """An experiment of the grid.

    Attributes:
      experiment: the experiment, with its tuned learning rate if that is stored.
      tuned: False if the learning rate must be tuned first and run ids are therefore unknown; otherwise True.
      name: name of its job.
      work: core-seconds of one seed; see `nmbench.sweeps.estimate`.
    """

    experiment: Experiment
    tuned: bool
    name: str
    work: float

    def run_ids(self, seeds: Sequence[int]) -> tuple[str, ...]:
        """Run ids of these seeds; () if the learning rate must be tuned first."""
        return tuple(self.experiment.run_id(seed) for seed in seeds) if self.tuned else ()


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A combination that cannot be trained, and the reason."""

    model: str
    task: str
    protocol: str | None
    budget: int | None
    hparams: Mapping[str, str]
    reason: str

    def __str__(self) -> str:
        protocol = f", protocol {self.protocol}" if self.protocol else ""
        budget = f", budget {self.budget}" if self.budget else ""
        hparams = "".join(f", {name}={value}" for name, value in self.hparams.items())
        return f"{self.model} on {self.task}{protocol}{budget}{hparams}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """All experiments of a request, most work first, and the skipped combinations. It does not depend on stored runs.

    `hints` names budgets that suit all models, one line each.
    """

    points: list[GridPoint]
    skipped: list[Skipped]
    hints: list[str]


def build(sweep: SweepRequest) -> Grid:
    """Resolve every combination. Impossible ones are skipped, such as a budget that a model cannot meet.

    Raises:
      NmbenchError: an unknown name, a damaged test set, a seed that tuning uses (with `tune`), or no combination can be
        trained.
    """
    _check(sweep)
    store, found, skipped = Store(sweep.results_dir), {}, []
    combinations = itertools.product(sweep.models, sweep.tasks, sweep.protocols, sweep.budgets, sweep.hparams)
    for model, task, protocol, budget, hparams in combinations:
        request = Request(
            model=model,
            task=task,
            budget=budget,
            hparams=hparams,
            protocol=protocol,
            steps=sweep.steps,
            data_seed=sweep.data_seed,
            allow_budget_miss=sweep.allow_budget_miss,
            devices=sweep.devices,
            remat=sweep.remat,
        )
        try:
            point = _point(request, sweep, store)
        except NmbenchError as error:
            skipped.append(Skipped(model, task, protocol, budget, hparams, str(error)))
        else:
            found[point.name] = point  # the same point occurs twice if a default equals another value of the request
    if not found:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise NmbenchError(f"nothing can be trained: {skipped[0]}{more}")
    return Grid(sorted(found.values(), key=lambda point: (-point.work, point.name)), skipped, _hints(sweep, skipped))


def _hints(sweep: SweepRequest, skipped: Sequence[Skipped]) -> list[str]:
    """For each task and budget at which a model was skipped, the closest budget that suits all models of the sweep."""
    models, lines = [BASELINES.get(name) for name in sweep.models], []
    for name, protocol_name, asked in dict.fromkeys((one.task, one.protocol, one.budget) for one in skipped):
        task = TASKS.get(name)
        protocol = next((p for p in task.protocols if p.name == protocol_name), task.protocols[0])
        budget = asked or task.default_budget
        other = resolution.suiting_budget(models, task, protocol, budget) if len(models) > 1 else None
        if other not in (None, budget):
            lines.append(f"on {name}, --budgets={other} suits all {len(models)} models")
    return lines


def shard(items: Sequence[T], text: str | None) -> list[T]:
    """Part i of n of `items`, for the text "i/n" with 1 <= i <= n: every n-th item from the i-th on. None gives all items.

    Raises:
      NmbenchError: the text does not have this form.
    """
    if text is None:
        return list(items)
    i, slash, n = text.partition("/")
    if not (slash and all(part.isascii() and part.isdecimal() and len(part) < 10 for part in (i, n)) and int(n)):
        raise NmbenchError(f"--shard={text!r} is not of the form i/n; write --shard=1/4 to --shard=4/4 for four shards")
    if int(i) == 0:
        raise NmbenchError(f"--shard={text}: shards are counted from 1; if your index starts at 0, add 1")
    if int(i) > int(n):
        raise NmbenchError(f"--shard={text}: there are only {n} shards; the last is --shard={n}/{n}")
    return list(items[int(i) - 1 :: int(n)])


def make_job(point: GridPoint, sweep: SweepRequest, missing: Sequence[int], core_minutes: float | None) -> Job:
    """The job that trains the missing seeds of an experiment."""
    experiment, folder, seeds = point.experiment, str(_absolute(sweep.results_dir)), tuple(missing)
    paths = (experiment.baseline.path, experiment.task.path)
    return Job(
        name=point.name,
        request=experiment.request,
        argv=_argv(experiment.request, sweep, folder),
        results_dir=folder,
        seeds=seeds,
        run_ids=point.run_ids(seeds),
        configuration=experiment.configuration(0) if point.tuned else None,
        columns=recording.experiment_columns(experiment) if point.tuned else {},
        sources={path: fingerprints.of_module(path) for path in paths if os.path.isfile(path)},
        core_minutes=core_minutes,
    )


def _check(sweep: SweepRequest) -> None:
    count = math.prod(map(len, (sweep.models, sweep.tasks, sweep.protocols, sweep.budgets, sweep.hparams)))
    if count > MOST_EXPERIMENTS:
        raise NmbenchError(
            f"{count} experiments are too many for one sweep, which can have {MOST_EXPERIMENTS}; give fewer names, "
            "budgets or hyperparameters"
        )
    for name in sweep.models:
        BASELINES.get(name)
    tasks = [TASKS.get(name) for name in sweep.tasks]
    for task in tasks:
        task.frozen("test")
    protocols = {p.name: p for task in tasks for p in task.protocols}
    for name in filter(None, sweep.protocols):
        if name not in protocols:
            raise NmbenchError(f"none of the tasks has a protocol {name!r}{did_you_mean(name, protocols)}")
    if sweep.tune:
        used = {
            seed
            for p in protocols.values()
            if p.name in sweep.protocols or None in sweep.protocols
            for seed in p.tuning_seeds
        }
        clash = sorted(used.intersection(sweep.seeds))
        if clash:
            raise NmbenchError(f"seed {clash[0]} is used for tuning; results need other seeds, so change --first_seed")


def _point(request: Request, sweep: SweepRequest, store: Store) -> GridPoint:
    experiment = resolution.resolve(request)
    if experiment.learning_rate.tuning_runs:
        tuning.check_seeds(sweep.seeds, experiment)
    # The name comes from the configuration before tuning, so that tuning does not change it.
    name = name_of(experiment.configuration(0), sweep.tune, str(_absolute(sweep.results_dir)))
    tuned = True
    if sweep.tune:
        tuning.check(experiment)
        choice = tuning.stored(experiment, store)
        tuned = choice is not None
        experiment = experiment if choice is None else dataclasses.replace(experiment, learning_rate=choice)
    return GridPoint(experiment, tuned, name, estimate.work_of_experiment(experiment))


def _argv(request: Request, sweep: SweepRequest, folder: str) -> tuple[str, ...]:
    switches = {"tune": sweep.tune, "retry_failed": sweep.retry_failed, "nocollect": True}
    return (
        *request.to_argv(),
        f"--first_seed={sweep.seeds.start}",
        f"--seeds={len(sweep.seeds)}",
        f"--checkpoint_minutes={sweep.checkpoint_minutes}",
        f"--results_dir={folder}",
        *(f"--plugin={_absolute(path)}" for path in sweep.plugins),
        *(f"--{name}" for name, on in switches.items() if on),
    )


def _absolute(path: str) -> pathlib.Path:
    return pathlib.Path(os.path.expanduser(path)).absolute()
