"""Estimate the cost of an experiment with a formula, corrected by timed runs in the results folder.

The formula gives the seconds that one core needs for one seed, as a sum over phases of

  steps * T * trials * (A + B * parameters)

where T is the number of time steps of a trial and `trials` is the batch size. `benchmarks/cost.py` fits A and B to the rows
of the board and the ledger, and shows how far off they are: nearly nine of ten experiments took between a third and three
times as long. For other models, tasks and processors, the estimate may be worse.
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

# A and B in seconds on one core of an AMD EPYC, fitted by `python benchmarks/cost.py`.
PER_TRIAL = 2.2e-7
PER_PRODUCT = 2.8e-10
# Seconds per process for imports, compilation and evaluation; that command prints 8.6 for the last two.
PER_JOB = 12.0
# Rows read per model, task and protocol.
_ROWS = 3


def work(phases: Iterable[Mapping[str, Any]], steps_per_trial: int, trials: Mapping[str, int], params: int) -> float:
    """Core-seconds of one seed by the formula above.

    Args:
      phases: plain data with "steps", "batch_size" and "data", as in a configuration.
      steps_per_trial: T.
      trials: name of fixed training data to its number of trials, for phases with batch size 0.
      params: number of learned parameters.
    """
    seconds = 0.0
    for phase in phases:
        batch = phase["batch_size"] or trials.get(phase["data"], 0)
        seconds += phase["steps"] * steps_per_trial * batch * (PER_TRIAL + PER_PRODUCT * params)
    return seconds


def training_trials(task: Task, name: str) -> int:
    """Number of trials of fixed training data; 0 if new trials are drawn for every batch."""
    data = task.training[name]
    return data.arrays().targets.shape[1] if isinstance(data, FixedData) else 0


def work_of_experiment(experiment: Experiment) -> float:
    """`work` of an experiment."""
    trials = {p.data: training_trials(experiment.task, p.data) for p in experiment.phases if not p.batch_size}
    return work(experiment.resolved_protocol()["phases"], experiment.task.spec.steps, trials, experiment.sizing.actual)


def measured(row: Mapping[str, Any]) -> float | None:
    """Core-seconds that a run took to train; None if its status is not ok or its row has no valid time."""
    try:
        seconds = float(row["train_s"]) * max(1, min(int(row["n_devices"]), int(row["seeds_together"])))
    except (KeyError, TypeError, ValueError):
        return None
    return seconds if row.get("status") == "ok" and 0 < seconds < math.inf else None


class Estimator:
    """Estimates costs, and corrects them by the durations of timed runs."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, ...], list[float]] = defaultdict(list)

    @property
    def rows(self) -> int:
        """Number of rows that the corrections are based on."""
        return len(self._ratios[()])

    def learn_from(self, store: Store, names: Iterable[str]) -> None:
        """Use up to three rows of every model, task and protocol. names: names of run folders."""
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names):
            groups[".".join(name.split(".")[:3])].append(name)
        for members in groups.values():
            for name in members[:: math.ceil(len(members) / _ROWS)]:
                row = store.row(name)
                if row is not None:
                    self.learn(row)

    def learn(self, row: Mapping[str, Any]) -> None:
        """Use one row. A row without a valid configuration or time is ignored."""
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
        """Minutes of one core for training an experiment.

        Args:
          experiment: the experiment.
          work_of_seed: core-seconds of one seed by the formula; see `work_of_experiment`.
          seeds: number of seeds to train.
          tune: whether the learning rate must be tuned first.
        """
        protocol, model, task = experiment.protocol, experiment.baseline.name, experiment.task.name
        tuning_runs = len(protocol.learning_rate_grid) * len(protocol.tuning_seeds) if tune else 0
        keys = ((model, task), (model,), ("", task), ())
        ratio = next((statistics.median(self._ratios[key]) for key in keys if self._ratios.get(key)), 1.0)
        return (PER_JOB + (seeds + tuning_runs) * work_of_seed * ratio) / 60
