"""Finished runs for the figures: find them in a results folder, or train them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import loading
from nmbench.results import curves, experiment_rows, store
from nmbench.results.config_json import has_default_hparams, shared_config
from nmbench.results.schema import METRIC_PREFIX
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.analysis import Network
    from nmbench.contracts.task import Task

# Training steps of `--train=short`, divided among the phases: minutes instead of hours.
SHORT = 3000


class Need(NamedTuple):
    """A model, a task, and the number of seeds that a figure needs.

    rows_only: whether rows are enough. Then all seeds are shown, lost ones too; otherwise their files are needed, in run
    folders or packed beside a CSV, and the first seeds are shown. solved: show first the seeds that solve the task. most:
    largest number of seeds shown, None for no limit.
    """

    model: str
    task: str
    seeds: int
    rows_only: bool = False
    solved: bool = False
    most: int | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Where the runs are and how they are trained.

    Attributes:
      results: results folder, or a CSV or a folder of CSVs.
      protocol: name of the protocol.
      steps: runs are found if they have at least this number of training steps, and missing runs are trained for this
        number. With None, runs of any length are found, and missing runs are trained for the protocol's steps.
    """

    results: str
    protocol: str = "matched"
    steps: int | None = None

    @classmethod
    def of(cls, results: str, protocol: str, train: str) -> Recipe:
        """The recipe for a value of the flag `--train`: "smoke" sets the protocol, "short" the steps; others set neither."""
        return cls(results, "smoke" if train == "smoke" else protocol, SHORT if train == "short" else None)

    def command(self, need: Need) -> str:
        """The shell command that trains the runs of a need."""
        protocols = [p.name for p in TASKS.get(need.task).protocols]
        flags = {
            "model": need.model,
            "task": need.task,
            "protocol": None if self.protocol == protocols[0] else self.protocol,
            "steps": self.steps,
            "seeds": need.seeds,
            "results_dir": None if self.results == "results" or _has_rows_only(self.results) else self.results,
        }
        given = [shlex.quote(f"--{name}={value}") for name, value in flags.items() if value is not None]
        return " ".join(["python -m nmbench.run", *given])


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """The row of a finished run and its results folder."""

    row: Mapping[str, Any]
    results: str

    @property
    def folder(self) -> pathlib.Path:
        """The run folder, perhaps a temporary one; raises `NmbenchError` if the run's files are missing."""
        folder = loading.run_folder(self.row["run_id"], [self.results])
        if folder is None:
            raise NmbenchError(f"the files of {self.row['run_id']} are not in {self.results}")
        return folder

    @property
    def lost(self) -> bool:
        """Whether the run diverged, failed or timed out."""
        return self.row["status"] != "ok"

    def metric(self, name: str, condition: str | None = None) -> float:
        """A metric of the row, or its mean over the trials of one condition; the metric's floor for a lost run.

        Raises:
          NmbenchError: the row does not have it.
        """
        if self.lost:
            return next(metric.floor for metric in TASKS.get(self.row["task"]).metrics if metric.name == name)
        return value_of(self.row, name, condition)


def value_of(row: Mapping[str, Any], metric: str, condition: str | None = None) -> float:
    """A metric of a finished run, or its mean over the trials of one condition.

    Raises:
      NmbenchError: the row does not have it.
    """
    if condition is not None:
        value = json.loads(row["conditions_json"]).get(metric, {}).get(condition)
    else:
        value = row["value"] if metric == row["metric"] else row.get(METRIC_PREFIX + metric)
    if value is None:
        of = "" if condition is None else f" of {condition}"
        raise NmbenchError(f"{row['run_id']} has no {metric}{of}; another version of nmbench made the row: train it again")
    return value


# A figure's needs, in its order, each with the runs found for it; needs without runs are left out.
Found = Mapping[Need, Sequence[FinishedRun]]


def task_of(found: Found) -> Task:
    """The task of a figure, which all its needs share."""
    return TASKS.get(next(iter(found)).task)


def networks(runs: Sequence[FinishedRun]) -> list[Network]:
    """The trained networks of several seeds of one experiment; they share compiled functions."""
    first, *others = (_load(run.results, run.row["run_id"]) for run in runs)
    return [first, *(first.with_params(other.params) for other in others)]


@functools.cache
def _load(results: str, run_id: str) -> Network:
    """The network of a run, read once per process. A run id identifies the contents of a run folder."""
    from nmbench.analysis.loading import load_network

    return load_network(run_id, results)


def find(needs: Iterable[Need], recipe: Recipe) -> dict[Need, list[FinishedRun]]:
    """The seeds of each need, all of one experiment: the first ones up to the number that it needs, or all (`rows_only`).

    Of several experiments with a model on a task, those with enough seeds are preferred, then those with the model's own
    hyperparameters and without departures from the protocol, then those trained longest, then those with the task's default
    budget, then those with most seeds.

    Raises:
      NmbenchError: there is an invalid row, or one that the installed task would evaluate differently.
    """
    rows = store.iterate(recipe.results) if Store(recipe.results).folders() or _has_rows_only(recipe.results) else ()
    wanted = {(need.model, need.task) for need in needs}
    groups: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    checked: set[experiment_rows.Evaluation] = set()
    for row in rows:
        key = row["model"], row["task"]
        if key not in wanted or row["protocol"] != recipe.protocol:
            continue
        evaluated = experiment_rows.EvaluatedRow.of(row)
        if evaluated.evaluation not in checked:
            experiment_rows.check_installed(TASKS.get(row["task"]), recipe.results, evaluated)
            checked.add(evaluated.evaluation)
        if recipe.steps is None or row["train_steps"] >= recipe.steps:
            groups[key][shared_config(row["config_json"])].append(row)
    found = {}
    for need in needs:
        budget = TASKS.get(need.task).default_budget
        rank = lambda rows, need=need, budget=budget: (
            len(rows) >= need.seeds,
            _is_default(rows[0]),
            rows[0]["train_steps"],
            rows[0]["params_target"] in (budget, None),
            len(rows),
        )
        experiments = groups[need.model, need.task].values()
        if not need.rows_only:
            has_files = lambda row: row["status"] == "ok" and loading.has_run_folder(row["run_id"], recipe.results)
            experiments = [list(filter(has_files, rows)) for rows in experiments]
        best = max(filter(None, experiments), key=rank, default=[])
        limit = need.most if need.rows_only else need.seeds
        solves = TASKS.get(need.task).primary.solved
        order = lambda row, need=need, solves=solves: (need.solved and not solves(row["value"]), row["seed"])
        found[need] = [FinishedRun(row, recipe.results) for row in sorted(best, key=order)[:limit]]
    return found


def _is_default(row: Mapping[str, Any]) -> bool:
    """Whether a row has the hyperparameters that its model has by default, and no departures from its protocol."""
    return not row["departures"] and has_default_hparams(row["config_json"], row["task"], row["protocol"])


def with_lost(need: Need, recipe: Recipe) -> Need:
    """The need, plus one seed for each lost run if lost runs cannot be shown: they would be lost again."""
    if need.rows_only:
        return need
    every = need._replace(rows_only=True, most=None)
    return need._replace(seeds=need.seeds + sum(run.lost for run in find([every], recipe)[every]))


def train(need: Need, recipe: Recipe, watch: Any) -> None:
    """Train the seeds of a need that are not in the results folder, as `Recipe.command` would.

    Raises:
      NmbenchError: the folder cannot be written.
    """
    from nmbench.experiments import resolution, running
    from nmbench.experiments.request import Request
    from nmbench.support.progress import Progress
    from nmbench.training.checkpoints import Checkpoints

    experiment = resolution.resolve(Request(model=need.model, task=need.task, protocol=recipe.protocol, steps=recipe.steps))
    results = Store(recipe.results)
    results.prepare()
    checkpoints = Checkpoints(results.checkpoints, watch=watch)
    plan = running.plan(experiment, range(need.seeds), results, checkpoints)
    steps = sum(phase.steps for phase in experiment.phases) if plan.missing else 0
    label = f"{need.model} on {need.task}, {len(plan.missing)} of {need.seeds} seeds"
    with Progress(label, steps, plan.groups[0].step if plan.groups else 0) as progress:
        running.run_seeds(experiment, range(need.seeds), results, report=progress, checkpoints=checkpoints, planned=plan)
    results.collect()


def describe(groups: Iterable[Sequence[FinishedRun]]) -> str:
    """Text on the runs of several models, each with several seeds of one experiment.

    It names models with their numbers of parameters, tasks, protocols, steps, departures from the protocol, and seeds.
    """
    models: dict[str, list[str]] = defaultdict(list)
    for runs in groups:
        row, seeds = runs[0].row, [run.row["seed"] for run in runs]
        listed = f"{seeds[0]} to {seeds[-1]}" if seeds == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2 else seeds
        departures = row["departures"] or ""
        shared = (
            f"on {row['task']}, protocol {row['protocol']}, {row['train_steps']} steps{departures and f' ({departures})'}, "
            f"seed{'s' * (len(seeds) > 1)} {str(listed).strip('[]')}"
        )
        lost = sum(run.lost for run in runs)
        shared += f" ({lost} lost)" * bool(lost)
        models[shared].append(f"{row['model']} ({row['params_actual']} parameters)")
    return "; ".join(f"{', '.join(names)} {shared}" for shared, names in models.items())


def curve(run: FinishedRun) -> np.ndarray:
    """Steps and losses of the P validations of a run, `[P, 2]`; raises `NmbenchError` if its folder has no valid curve."""
    return curves.read_curve(run.folder)[:, [0, 2]]


def check_results(results: str, train: bool) -> None:
    """Raise `NmbenchError` unless the results folder or CSV exists, or the folder will be made by training."""
    if train and _has_rows_only(results):
        raise NmbenchError(f"--results={results} has rows only; with --train, give a results folder")
    if not train and not os.path.exists(os.path.expanduser(results)):
        raise NmbenchError(f"there is no results folder {results}; --train=short creates it and trains the missing runs")


def _has_rows_only(results: str) -> bool:
    """Whether this is a CSV, or a folder with CSVs and without run folders."""
    path = pathlib.Path(os.path.expanduser(results))
    return path.is_file() or (any(path.glob("*.csv")) and not Store(path).folders())
