"""The estimated cost of an experiment, from runs that have been timed or else from a model of the cost of a step.

The model of the seconds that one core needs for one seed, summed over phases:

  steps * T * (A + B * trials * parameters)

A is the overhead of a time step, B the cost of its arithmetic. The rows that A and B were fitted to took between 0.75 and
1.8 times as long. Other models, tasks and processors may differ by a factor of three. Timed runs in the results folder
correct the estimate.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.task import FixedData, Task
from nmbench.experiments.experiment import Experiment
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError

# Seconds on one core of an AMD EPYC, fitted by `python benchmarks/cost.py results/reference.csv`.
PER_STEP = 1.8e-6
PER_PRODUCT = 1.6e-10
# Per process: imports, compilation and evaluation (the same command says that the last two take 3.3).
PER_JOB = 8.0
# Rows read per model, task and protocol.
_ROWS = 3


def work(phases: Iterable[Mapping[str, Any]], steps_per_trial: int, trials: Mapping[str, int], params: int) -> float:
    """Core-seconds of one seed by the model above.

    Args:
      phases: with "steps", "batch_size" and "data", as in a configuration.
      steps_per_trial: T.
      trials: number of trials of fixed training data by name, for phases whose batch is all of it.
      params: learned parameters.
    """
    seconds = 0.0
    for phase in phases:
        batch = phase["batch_size"] or trials.get(phase["data"], 0)
        seconds += phase["steps"] * steps_per_trial * (PER_STEP + PER_PRODUCT * batch * params)
    return seconds


def training_trials(task: Task, name: str) -> int:
    """Number of trials of fixed training data; 0 if every batch is new."""
    data = task.training[name]
    return data.arrays().targets.shape[1] if isinstance(data, FixedData) else 0


def work_of_experiment(experiment: Experiment) -> float:
    """`work` of an experiment."""
    trials = {p.data: training_trials(experiment.task, p.data) for p in experiment.phases if not p.batch_size}
    return work(experiment.resolved_protocol()["phases"], experiment.task.spec.steps, trials, experiment.sizing.actual)


def measured(row: Mapping[str, Any]) -> float | None:
    """Core-seconds that a run took to train, None if its row does not say."""
    try:
        seconds = float(row["train_s"]) * max(1, min(int(row["n_devices"]), int(row["seeds_together"])))
    except (KeyError, TypeError, ValueError):
        return None
    return seconds if row.get("status") == "ok" and 0 < seconds < math.inf else None


class Estimator:
    """Estimates costs, corrected by the durations of timed runs."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, ...], list[float]] = defaultdict(list)

    @property
    def rows(self) -> int:
        """Number of rows that the corrections are based on."""
        return len(self._ratios[()])

    def learn_from(self, store: Store, names: Iterable[str]) -> None:
        """Read a few rows of every model, task and protocol. names: of run folders."""
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names):
            groups[".".join(name.split(".")[:3])].append(name)
        for members in groups.values():
            for name in members[:: math.ceil(len(members) / _ROWS)]:
                row = store.row(name)
                if row is not None:
                    self.learn(row)

    def learn(self, row: Mapping[str, Any]) -> None:
        """Use one row; a row that cannot be read is ignored."""
        seconds = measured(row)
        try:
            config, task = json.loads(row["config_json"]), TASKS.get(row["task"])
            phases = config["protocol"]["phases"]
            trials = {p["data"]: training_trials(task, p["data"]) for p in phases if not p["batch_size"]}
            guess = work(phases, task.spec.steps, trials, int(row["params_actual"]))
        except (NmbenchError, KeyError, TypeError, ValueError, RecursionError, OverflowError):
            return
        if seconds is not None and guess > 0:
            for key in ((row["model"], row["task"]), (row["model"],), ("", row["task"]), ()):
                self._ratios[key].append(seconds / guess)

    def core_minutes(self, experiment: Experiment, work_of_seed: float, seeds: int, tune: bool) -> float:
        """Minutes of one core for a number of seeds of an experiment, and for tuning its learning rate first."""
        protocol, model, task = experiment.protocol, experiment.baseline.name, experiment.task.name
        tuning_runs = len(protocol.learning_rate_grid) * len(protocol.tuning_seeds) if tune else 0
        keys = ((model, task), (model,), ("", task), ())
        ratio = next((statistics.median(self._ratios[key]) for key in keys if self._ratios.get(key)), 1.0)
        return (PER_JOB + (seeds + tuning_runs) * work_of_seed * ratio) / 60
