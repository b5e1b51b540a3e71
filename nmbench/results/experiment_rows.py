"""Rows of a file or folder grouped by experiment: one sample of seeds per task, protocol, budget, model and configuration.

An `ExperimentRows` is much smaller than the rows themselves, so files of 100,000 rows can be compared.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.metrics import SMALLEST_ERROR
from nmbench.contracts.task import Task
from nmbench.results import config_json, frames, verification
from nmbench.results.frames import Results
from nmbench.results.schema import BY_NAME, METRIC_PREFIX, is_declared
from nmbench.results.statistics import Sample, sample
from nmbench.results.verification import Verifications
from nmbench.support.errors import NmbenchError, did_you_mean

# Sums of larger values would overflow, and larger integers do not fit a data frame.
LARGEST = {
    "value": 1e150,
    "floor": 1e150,
    **dict.fromkeys(("seed", "params_target", "params_actual", "n_test", "tuning_trials", "task_version"), 2**62),
}
# Columns in which two rows of one configuration and seed must agree, and all columns that are kept.
_RESULT = ("run_id", "seed", "status", "value", "floor", "ceiling", "higher_is_better")
_TRAINING = ("learning_rate", "tuning_trials", "tuning_json", "train_s", "last_value")
_KEPT = (*_RESULT, "protocol", "params_actual", "params_dev", *_TRAINING)

# Task, protocol and departures from it (`recipe`), and budget, 0 if sizes were given.
TableKey = tuple[str, str, int]


class Evaluation(NamedTuple):
    """How the rows of a task were evaluated: columns that must be equal in all compared rows."""

    schema_version: int
    task_version: int
    testset_sha256: str
    metric: str
    higher_is_better: bool
    floor: float
    ceiling: float


class EvaluatedRow(NamedTuple):
    """The evaluation of one row, with the row's run id for messages."""

    run_id: str
    evaluation: Evaluation

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> EvaluatedRow:
        return cls(row["run_id"], Evaluation(*(row[name] for name in Evaluation._fields)))


@dataclasses.dataclass(frozen=True)
class ExperimentRows:
    """All seeds of one experiment. Arrays and run ids are in the order of `sample.seeds`.

    Attributes:
      table: task, recipe (`recipe`) and parameter budget (0 if sizes were given).
      protocol: name of the protocol.
      model: registered name.
      config: configuration that the seeds have in common (`config_json.shared_config`).
      sample: primary metric per seed.
      metric: name of the primary metric.
      run_ids: `S` run ids.
      params: number of learned parameters.
      declared: whether this number is only declared, for at least one seed (`schema.is_declared`).
      deviation: (params - budget) / budget; None if sizes were given.
      learning_rate, tuning_trials: None if missing.
      tuning: the tuning record as JSON, None if the learning rate was not tuned.
      train_s: `[S]` seconds of training, NaN if missing.
      last: `[S]` primary metric after the last step, NaN if missing.
      others: the task's other metrics, name to `[S]`, NaN if missing.
      tiers: the tier of verification of each run (`nmbench.results.verification`), "" for none.
    """

    table: TableKey
    protocol: str
    model: str
    config: str
    sample: Sample
    metric: str
    run_ids: tuple[str, ...]
    params: int
    declared: bool
    deviation: float | None
    learning_rate: float | None
    tuning_trials: int | None
    tuning: str | None
    train_s: np.ndarray
    last: np.ndarray
    others: Mapping[str, np.ndarray]
    tiers: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """Contents of a file or folder.

    Attributes:
      path: as given.
      experiments: in order of table, model and configuration.
      evaluated: task to the evaluation of its first row.
      n_test: task to the number of its test trials.
      tasks, protocols: names of all tasks and protocols in the file, including those that were not requested.
    """

    path: str
    experiments: list[ExperimentRows]
    evaluated: dict[str, EvaluatedRow]
    n_test: dict[str, int]
    tasks: frozenset[str]
    protocols: frozenset[str]


def read_all(results: Results, task: str | None = None, protocol: str | None = None) -> list[Source]:
    """Experiments of results CSVs, results folders and frames, restricted to `task` and `protocol` if given.

    Raises:
      NmbenchError: a path cannot be read, a number is too large, rows of a task were evaluated differently, an experiment
        has two different results for one seed in one file, or there are no rows (of this task and protocol).
    """
    for field, wanted in (("task", task), ("protocol", protocol)):
        if wanted is not None and not isinstance(wanted, str):
            kind = type(wanted).__name__
            raise NmbenchError(f"{field} must be a name, got a value of type {kind}; give several results as a list: [a, b]")
    named = frames.named_rows(results)
    verified = Verifications(name for name, _ in named if os.path.exists(os.path.expanduser(name)))
    sources = [gather(name, rows, task, protocol, verified) for name, rows in named]
    for field, wanted, present in (
        ("task", task, {t for s in sources for t in s.tasks}),
        ("protocol", protocol, {p for s in sources for p in s.protocols}),
    ):
        if wanted is not None and wanted not in present:
            several = "; give several results as a list: [a, b]" if os.path.exists(wanted) else ""
            raise NmbenchError(f"no rows with {field} {wanted!r}{did_you_mean(wanted, present)}{several}")
    if not any(source.experiments for source in sources):
        names = ", ".join(source.path for source in sources)
        raise NmbenchError(f"no rows in {names}" + (" with this task and protocol" if task or protocol else ""))
    check_evaluations(sources)
    return sources


def gather(
    path: str,
    rows: Iterable[Mapping[str, Any]],
    task: str | None = None,
    protocol: str | None = None,
    verified: Verifications | None = None,
) -> Source:
    """Experiments of these rows, restricted to `task` and `protocol` if given; `path` is their name in messages.

    verified: the records of verification from which their tiers are taken.

    Raises:
      NmbenchError: a number is too large, rows of a task were evaluated differently, or an experiment has two different
        results for one seed.
    """
    groups: dict[tuple[TableKey, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    evaluated: dict[str, EvaluatedRow] = {}
    n_test: dict[str, int] = {}
    configs = config_json.SharedConfigs()
    texts: dict[str | None, str | None] = {}  # every tuning record is kept once, not with each of its rows
    tasks, protocols = set(), set()
    for row in rows:
        tasks.add(row["task"])
        protocols.add(row["protocol"])
        if task not in (None, row["task"]) or protocol not in (None, row["protocol"]):
            continue
        _check_sizes(path, row)
        this = EvaluatedRow.of(row)
        first = evaluated.setdefault(row["task"], this)
        if this.evaluation != first.evaluation:
            check_evaluation(row["task"], path, this, path, first)
        n_test.setdefault(row["task"], row["n_test"])
        table = row["task"], recipe(row), row["params_target"] or 0
        seeds = groups[table, row["model"], configs.of(row["config_json"], row["seed"])]
        kept = {name: row[name] for name in _KEPT}
        kept["declared"] = is_declared(row)
        kept["tuning_json"] = texts.setdefault(row["tuning_json"], row["tuning_json"])
        kept["tier"] = "" if verified is None else verified.tier(row)
        kept |= {name: row[name] for name in row.keys() - BY_NAME.keys() if row[name] is not None}
        before = seeds.setdefault(row["seed"], kept)
        if any(before[name] != kept[name] for name in _RESULT):
            raise NmbenchError(
                f"{path}: {before['run_id']} and {row['run_id']} are two results of one configuration with one seed "
                f"({row['seed']}); keep one of them"
            )
    known = {name: registered_task(name, row.evaluation) for name, row in evaluated.items()}
    smallest = {name: SMALLEST_ERROR if found is None else found.smallest_error() for name, found in known.items()}
    experiments = []
    for key in sorted(groups):
        task = key[0][0]
        seeds = list(groups[key].values())
        experiments.append(_experiment(*key, seeds, evaluated[task].evaluation.metric, smallest[task]))
    return Source(path, experiments, evaluated, n_test, frozenset(tasks), frozenset(protocols))


def registered_task(name: str, evaluation: Evaluation) -> Task | None:
    """The registered task of this name; None if there is none, or if its version, metric or test set differs."""
    task = TASKS.get(name) if name in TASKS else None
    if task is None or (task.version, task.primary.name) != (evaluation.task_version, evaluation.metric):
        return None
    return task if task.frozen("test").sha256 == evaluation.testset_sha256 else None


def registered_tasks(sources: Iterable[Source]) -> dict[str, Task | None]:
    """`registered_task` of every task in the sources, by name."""
    return {name: registered_task(name, row.evaluation) for s in sources for name, row in s.evaluated.items()}


def recipe(row: Mapping[str, Any]) -> str:
    """The protocol of a row, followed by the row's departures from it in brackets, if there are any.

    Only rows of one recipe rank together: a model trained for 300 steps is not compared with models trained for 20,000.
    """
    return f"{row['protocol']} ({row['departures']})" if row["departures"] else row["protocol"]


def _experiment(
    table: TableKey, model: str, config: str, rows: list[dict[str, Any]], metric: str, smallest: float
) -> ExperimentRows:
    rows.sort(key=lambda row: row["seed"])
    names = sorted({name for row in rows for name in row if name.startswith(METRIC_PREFIX)})
    return ExperimentRows(
        table=table,
        protocol=rows[0]["protocol"],
        model=model,
        config=config,
        sample=sample(rows, smallest),
        metric=metric,
        run_ids=tuple(row["run_id"] for row in rows),
        params=rows[0]["params_actual"],
        declared=any(row["declared"] for row in rows),
        deviation=rows[0]["params_dev"],
        learning_rate=rows[0]["learning_rate"],
        tuning_trials=rows[0]["tuning_trials"],
        tuning=rows[0]["tuning_json"] if rows[0]["tuning_trials"] else None,
        train_s=_column(rows, "train_s"),
        last=_column(rows, "last_value"),
        others={name.removeprefix(METRIC_PREFIX): _column(rows, name) for name in names},
        tiers=tuple(row["tier"] for row in rows),
    )


def _column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([math.nan if row.get(name) is None else row[name] for row in rows], float)


def _check_sizes(path: str, row: Mapping[str, Any]) -> None:
    for name, largest in LARGEST.items():
        if row[name] is not None and abs(row[name]) > largest:
            raise NmbenchError(f"{path}: {row['run_id']} has a {name} beyond +-{largest:.3g}, which cannot be compared")


def of_tier(sources: Sequence[Source], tier: str) -> list[Source]:
    """The same sources without the experiments that have not reached this tier of verification, or a higher one.

    Raises:
      NmbenchError: no experiment has reached it.
    """
    least = verification.rank(tier)
    reached = lambda one: verification.rank(verification.lowest(one.tiers)) >= least
    left = [
        dataclasses.replace(source, experiments=[one for one in source.experiments if reached(one)]) for source in sources
    ]
    if not any(source.experiments for source in left):
        raise NmbenchError(f"no rows are {tier}; python -m nmbench.verify verifies submissions and the board")
    return left


def check_evaluations(sources: Sequence[Source]) -> None:
    """Raise `NmbenchError` if rows of one task were evaluated differently in these sources."""
    first: dict[str, tuple[str, EvaluatedRow]] = {}
    for source in sources:
        for task, row in source.evaluated.items():
            path, other = first.setdefault(task, (source.path, row))
            check_evaluation(task, source.path, row, path, other)


def check_evaluation(task: str, path: str, row: EvaluatedRow, other_path: str, other: EvaluatedRow) -> None:
    """Check that two rows of `task` were evaluated in the same way.

    Raises:
      NmbenchError: they were not; the message names files, rows and the column that differs.
    """
    for name, value, expected in zip(Evaluation._fields, row.evaluation, other.evaluation, strict=True):
        if value != expected:
            raise NmbenchError(
                f"{path}: {row.run_id} has {name} {value}, but {other.run_id} in {other_path} has {expected}; "
                f"rows of {task} can be compared only if {name} is the same"
            )


def check_installed(task: Task, path: str, row: EvaluatedRow) -> None:
    """Raise `NmbenchError`, as `check_evaluation` does, if the installed `task` would evaluate a row in another way."""
    today = Evaluation(
        schema_version=row.evaluation.schema_version,
        task_version=task.version,
        testset_sha256=task.frozen("test").sha256,
        metric=task.primary.name,
        higher_is_better=task.primary.higher_is_better,
        floor=task.primary.floor,
        ceiling=task.primary.ceiling,
    )
    check_evaluation(task.name, path, row, "this nmbench", EvaluatedRow("the task", today))


def merge(sources: Sequence[Source]) -> list[ExperimentRows]:
    """Experiments of all sources, in order of table, model and configuration. If several have a seed, the last counts."""
    groups: dict[tuple[TableKey, str, str], list[ExperimentRows]] = defaultdict(list)
    for source in sources:
        for one in source.experiments:
            groups[one.table, one.model, one.config].append(one)
    return [_merged(groups[key]) for key in sorted(groups)]


def _merged(parts: list[ExperimentRows]) -> ExperimentRows:
    """One experiment from the seeds of several parts of it."""
    last = parts[-1]
    if len(parts) == 1:
        return last
    seeds = np.concatenate([part.sample.seeds for part in parts])
    latest = {int(seed): i for i, seed in enumerate(seeds)}
    index = np.array([latest[seed] for seed in sorted(latest)])
    pick = lambda arrays: np.concatenate(list(arrays))[index]
    missing = lambda part: np.full(len(part.sample), math.nan)
    ids = [name for part in parts for name in part.run_ids]
    tiers = [tier for part in parts for tier in part.tiers]
    return dataclasses.replace(
        last,
        sample=dataclasses.replace(
            last.sample,
            seeds=seeds[index],
            values=pick(part.sample.values for part in parts),
            lost=pick(part.sample.lost for part in parts),
        ),
        declared=any(part.declared for part in parts),
        run_ids=tuple(ids[i] for i in index),
        tiers=tuple(tiers[i] for i in index),
        train_s=pick(part.train_s for part in parts),
        last=pick(part.last for part in parts),
        others={
            name: pick(part.others[name] if name in part.others else missing(part) for part in parts)
            for name in sorted({name for part in parts for name in part.others})
        },
    )


def labels(experiments: Iterable[ExperimentRows]) -> dict[tuple[str, str], str]:
    """Map (model, configuration) to label, for the experiments of one table."""
    configs: dict[str, list[str]] = defaultdict(list)
    for one in experiments:
        configs[one.model].append(one.config)
    return {
        (model, config): label
        for model, found in configs.items()
        for config, label in config_json.labels(model, found).items()
    }
