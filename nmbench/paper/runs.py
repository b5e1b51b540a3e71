"""The runs that figures need: found in a results folder, or trained."""

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
from nmbench.results import store
from nmbench.results.experiment_rows import shared_config
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.analysis import Network
    from nmbench.contracts.task import Task

# Steps of `--train=short`, shared among the phases: minutes, not hours.
SHORT = 3000
TRAIN = ("smoke", "short", "full")


class Need(NamedTuple):
    """Trained networks of a model on a task: how many seeds a figure shows."""

    model: str
    task: str
    seeds: int


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the needed runs are, or were, trained.

    Attributes:
      results: results folder.
      protocol: its name.
      steps: training steps at least (when looking) or exactly (when training); None for any, or for the protocol's.
    """

    results: str
    protocol: str = "matched"
    steps: int | None = None

    @classmethod
    def of(cls, results: str, protocol: str, train: str) -> Recipe:
        """That of `--train`: "smoke" is a protocol of its own; "" trains nothing."""
        return cls(results, "smoke" if train == "smoke" else protocol, SHORT if train == "short" else None)

    def command(self, need: Need) -> str:
        """The line for a shell that trains them."""
        protocols = [p.name for p in TASKS.get(need.task).protocols]
        flags = {
            "model": need.model,
            "task": need.task,
            "protocol": None if self.protocol == protocols[0] else self.protocol,
            "steps": self.steps,
            "seeds": need.seeds,
            "results_dir": None if self.results == "results" else self.results,
        }
        given = [shlex.quote(f"--{name}={value}") for name, value in flags.items() if value is not None]
        return " ".join(["python -m nmbench.run", *given])


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its row, and what it left."""

    row: Mapping[str, Any]
    results: str

    @property
    def folder(self) -> pathlib.Path:
        return Store(self.results).runs / self.row["run_id"]

    def condition(self, metric: str) -> dict[str, float]:
        """A metric by condition, label to mean."""
        return json.loads(self.row["conditions_json"]).get(metric, {})

    def metric(self, name: str) -> float:
        """A metric of the row; NaN if it has none of that name."""
        value = self.row["value"] if name == self.row["metric"] else self.row.get(f"metrics.{name}")
        return float("nan") if value is None else float(value)


# The needs of a figure that have runs, in the figure's order.
Found = Mapping[Need, Sequence[Run]]


def task_of(found: Found) -> Task:
    """The task that all needs of a figure share."""
    return TASKS.get(next(iter(found)).task)


def networks(runs: Sequence[Run]) -> list[Network]:
    """The trained networks of runs of one configuration; what is compiled for one serves all."""
    first, *others = (_load(run.results, run.row["run_id"]) for run in runs)
    return [first, *(first.with_params(other.params) for other in others)]


@functools.cache
def _load(results: str, run_id: str) -> Network:
    """Read once for all figures of a process: a run id names what the run holds."""
    from nmbench.analysis import load

    return load(results, run_id)


def find(needs: Iterable[Need], recipe: Recipe) -> dict[Need, list[Run]]:
    """For each need its runs by seed, as many as asked for or as there are, all of one configuration.

    Of several configurations of a model on a task, the one that has enough seeds, then the one trained longest, then the one
    of the task's default budget, then the one with most seeds is taken.

    Raises:
      NmbenchError: a row in the folder is not valid.
    """
    wanted = {(need.model, need.task) for need in needs}
    groups: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in store.iterate(recipe.results) if Store(recipe.results).folders() else ():
        key = row["model"], row["task"]
        enough = recipe.steps is None or row["train_steps"] >= recipe.steps
        if key in wanted and row["protocol"] == recipe.protocol and row["status"] == "ok" and enough:
            groups[key][shared_config(row["config_json"])].append(row)
    found = {}
    for need in needs:
        budget = TASKS.get(need.task).default_budget
        rank = lambda rows, need=need, budget=budget: (
            len(rows) >= need.seeds,
            rows[0]["train_steps"],
            rows[0]["params_target"] in (budget, None),
            len(rows),
        )
        rows = max(groups[need.model, need.task].values(), key=rank, default=[])
        found[need] = [Run(row, recipe.results) for row in sorted(rows, key=lambda row: row["seed"])[: need.seeds]]
    return found


def train(need: Need, recipe: Recipe, watch: Any) -> None:
    """Do what the command of the need does; runs that are in the folder already are not done again.

    Raises:
      NmbenchError: the folder cannot be written.
    """
    from nmbench.experiments import resolution, running
    from nmbench.experiments.request import Request
    from nmbench.support.progress import Progress
    from nmbench.training.checkpoints import Checkpoints

    cell = resolution.resolve(Request(model=need.model, task=need.task, protocol=recipe.protocol, steps=recipe.steps))
    kept = Store(recipe.results)
    kept.prepare()
    checkpoints = Checkpoints(kept.checkpoints, watch=watch)
    plan = running.plan(cell, range(need.seeds), kept, checkpoints)
    steps = sum(phase.steps for phase in cell.phases) if plan.missing else 0
    label = f"{need.model} on {need.task}, {len(plan.missing)} of {need.seeds} seeds"
    with Progress(label, steps, plan.groups[0].step if plan.groups else 0) as progress:
        running.run_seeds(cell, range(need.seeds), kept, report=progress, checkpoints=checkpoints, planned=plan)
    kept.collect()


def told(runs: Sequence[Run]) -> str:
    """One line on networks of one configuration."""
    row, seeds = runs[0].row, [run.row["seed"] for run in runs]
    listed = f"{seeds[0]} to {seeds[-1]}" if seeds == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2 else seeds
    return (
        f"{row['model']} on {row['task']}, {row['params_actual']} parameters, protocol {row['protocol']}, "
        f"{row['train_steps']} steps, seed{'s' * (len(seeds) > 1)} {str(listed).strip('[]')}"
    )


def curve(run: Run) -> np.ndarray:
    """`[P, 2]`: step and validation loss; raises `NmbenchError` if the folder holds no curve."""
    from nmbench.report.page.runs import curve as read

    return read(run.folder)[:, [0, 2]]


def check_folder(results: str, train: str) -> None:
    """Raise `NmbenchError` unless there are runs to draw or some will be trained."""
    if not train and not os.path.isdir(os.path.expanduser(results)):
        raise NmbenchError(f"there is no results folder {results}; --train=short trains what the figures need into it")
