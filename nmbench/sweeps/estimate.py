"""What a cell will cost, before it is run: from runs that have been timed, else from a model of the cost of a step.

The seconds that one core needs for one seed are taken to be

  steps * T * (A + B * trials * parameters)

summed over phases: what a time step costs in itself, and what its arithmetic costs. The rows it was
fitted to took between 0.75 and 1.8 times as long; other models and tasks may take a third or three times as long, and other
processors differ by as much again. Where runs of the results folder tell how far it is off, it is corrected.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from nmbench.contracts.catalog import TASKS
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.resolve_cache import ResolveCache
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError

# Seconds on one core of an AMD EPYC, fitted by `python benchmarks/cost.py results/reference.csv`.
PER_STEP = 1.8e-6
PER_PRODUCT = 1.6e-10
# Of one process: imports, and compilation and evaluation, of which the same command says that they take 3.3.
PER_JOB = 8.0
# Rows looked at per model, task and protocol.
_ENOUGH = 3


def work(phases: Iterable[Mapping[str, Any]], steps_per_trial: int, trials: Mapping[str, int], params: int) -> float:
    """Core-seconds of one seed by the model above.

    Args:
      phases: with "steps", "batch_size" and "data", as in a configuration.
      steps_per_trial: T.
      trials: number of trials of fixed training data by name, for phases whose batch is the whole of it.
      params: learned parameters.
    """
    seconds = 0.0
    for phase in phases:
        batch = phase["batch_size"] or trials.get(phase["data"], 0)
        seconds += phase["steps"] * steps_per_trial * (PER_STEP + PER_PRODUCT * batch * params)
    return seconds


def work_of_cell(cell: Experiment, known: ResolveCache) -> float:
    """`work` of a resolved cell."""
    trials = {p.data: known.training_trials(cell.task, p.data) for p in cell.phases if not p.batch_size}
    return work(cell.resolved_protocol()["phases"], cell.task.spec.steps, trials, cell.sizing.actual)


def measured(row: Mapping[str, Any]) -> float | None:
    """Core-seconds that training took a run, None where its row does not tell."""
    try:
        seconds = float(row["train_s"]) * max(1, min(int(row["n_devices"]), int(row["seeds_together"])))
    except (KeyError, TypeError, ValueError):
        return None
    return seconds if row.get("status") == "ok" and 0 < seconds < math.inf else None


class Estimator:
    """Estimates, corrected by what runs took.

    Args:
      known: as resolving uses it.
    """

    def __init__(self, known: ResolveCache):
        self._known = known
        self._ratios: dict[tuple[str, ...], list[float]] = defaultdict(list)

    @property
    def rows(self) -> int:
        """Number of rows that corrections rest on."""
        return len(self._ratios[()])

    def learn_from(self, store: Store, names: Iterable[str]) -> None:
        """Look at a few runs of every model, task and protocol. names: of run folders."""
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names):
            groups[".".join(name.split(".")[:3])].append(name)
        for members in groups.values():
            for name in members[:: math.ceil(len(members) / _ENOUGH)]:
                row = store.peek(name)
                if row is not None:
                    self.learn(row)

    def learn(self, row: Mapping[str, Any]) -> None:
        """Take one row into account; one that makes no sense is passed over."""
        seconds = measured(row)
        try:
            config, task = json.loads(row["config_json"]), TASKS.get(row["task"])
            phases = config["protocol"]["phases"]
            trials = {p["data"]: self._known.training_trials(task, p["data"]) for p in phases if not p["batch_size"]}
            guess = work(phases, task.spec.steps, trials, int(row["params_actual"]))
        except (NmbenchError, KeyError, TypeError, ValueError, RecursionError, OverflowError):
            return
        if seconds is not None and guess > 0:
            for key in ((row["model"], row["task"]), (row["model"],), ("", row["task"]), ()):
                self._ratios[key].append(seconds / guess)

    def core_minutes(self, cell: Experiment, work_of_seed: float, seeds: int, tune: bool) -> float:
        """Minutes of one core for so many seeds of a cell, and for the tuning of its rate before."""
        trials = len(cell.protocol.learning_rate_grid) * len(cell.protocol.tuning_seeds) if tune else 0
        keys = ((cell.baseline.name, cell.task.name), (cell.baseline.name,), ("", cell.task.name), ())
        ratio = next((statistics.median(self._ratios[key]) for key in keys if self._ratios.get(key)), 1.0)
        return (PER_JOB + (seeds + trials) * work_of_seed * ratio) / 60
