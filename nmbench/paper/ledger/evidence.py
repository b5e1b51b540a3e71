"""Rows that claims are held against: of default sizes, and of networks trained equally long."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import resolution
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.request import Request
from nmbench.results import experiment_rows, store
from nmbench.results.experiment_rows import shared_config
from nmbench.results.schema import LARGEST_FLOAT, METRIC_PREFIX, canonical_json
from nmbench.results.statistics import Sample
from nmbench.support.errors import NmbenchError

Row = Mapping[str, Any]


class Key(NamedTuple):
    """A model, a task and a protocol; hparams: settings as --hparams of `nmbench.run` has them, none for the protocol's."""

    model: str
    task: str
    protocol: str
    hparams: tuple[tuple[str, str], ...] = ()


@functools.cache
def resolved(key: Key) -> Experiment:
    """What `nmbench.run` would do."""
    request = Request(model=key.model, task=key.task, protocol=key.protocol, hparams=dict(key.hparams))
    return resolution.resolve(request)


@dataclasses.dataclass(frozen=True)
class Group:
    """Seeds of one configuration.

    Attributes:
      rows: by seed.
      sources: where each row comes from, file or folder.
      steps: of training, that were asked for.
      whole: the steps that the protocol asks for.
    """

    rows: tuple[Row, ...]
    sources: tuple[str, ...]
    steps: int
    whole: int

    @property
    def is_whole(self) -> bool:
        return self.steps == self.whole

    @property
    def told(self) -> str:
        """How many seeds, how many parameters, how they were trained."""
        row, lost = self.rows[0], sum(row["status"] != "ok" for row in self.rows)
        seeds = f"{len(self.rows)} seed{'s' * (len(self.rows) > 1)}" + (f" ({lost} lost)" if lost else "")
        tuned = "tuned " if row["tuning_trials"] else ""
        rate = "" if row["learning_rate"] is None else f", {tuned}rate {row['learning_rate']:g}"
        return f"{seeds}, {row['params_actual']} parameters, {self.steps} steps{rate}"

    @property
    def is_short(self) -> bool:
        return self.steps < self.whole

    @property
    def trained(self) -> str:
        """How long."""
        return f"after {self.steps} of {self.whole} steps"

    @property
    def weight(self) -> tuple[int, int]:
        """What is preferred: more seeds, then a rate that more trials chose."""
        return len(self.rows), self.rows[0]["tuning_trials"] or 0

    def sample(self, metric: str, condition: str | None = None) -> Sample:
        """A metric of the task per seed, or its mean over the trials of one condition; its floor where a seed was lost."""
        task = TASKS.get(self.rows[0]["task"])
        (found,) = (m for m in task.metrics if m.name == metric.partition(".")[0])
        lost = np.array([row["status"] != "ok" for row in self.rows])
        values = [found.floor if gone else _value(row, metric, condition) for row, gone in zip(self.rows, lost, strict=True)]
        return Sample(np.array([row["seed"] for row in self.rows]), np.array(values, float), lost, found.higher_is_better)


def _value(row: Row, metric: str, condition: str | None) -> float:
    """A metric of a finished run; raises `NmbenchError` if its row lacks it."""
    if condition is not None:
        by_condition = json.loads(row["conditions_json"]).get(metric)
        value = by_condition.get(condition) if isinstance(by_condition, dict) else None
    else:
        value = row["value"] if metric == row["metric"] else row.get(METRIC_PREFIX + metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LARGEST_FLOAT:
        of = "" if condition is None else f" of {condition}"
        raise NmbenchError(f"{row['run_id']} has no {metric}{of}, which a claim is about; it was not made by this nmbench")
    return value


class Evidence:
    """Rows of results files and folders on models and tasks of the publication.

    Args:
      groups: what was asked for to groups of seeds, one for each configuration.
    """

    def __init__(self, groups: Mapping[Key, Sequence[Group]] | None = None):
        self._groups = groups or {}

    @classmethod
    def read(cls, paths: Sequence[str], wanted: Iterable[Key]) -> Evidence:
        """Rows of these models, tasks and protocols, with the sizes and settings that the keys ask for.

        Raises:
          NmbenchError: no such file, a row is not valid, or rows of a task were not judged alike or not by the test set that
            is here.
        """
        kept: dict[Key, dict[str, dict[int, tuple[Row, str]]]] = defaultdict(lambda: defaultdict(dict))
        keys = defaultdict(list)
        for key in wanted:
            keys[key[:3]].append(key)

        def rows(path: str) -> Iterator[Row]:
            for row in store.iterate(path):
                for key in keys.get((row["model"], row["task"], row["protocol"]), ()):
                    if not _steps(row, resolved(key)):
                        continue
                    # Of several sources the one with the run's own folder counts, where its parameters are, else the last.
                    there = kept[key][shared_config(row["config_json"])]
                    before = there.get(row["seed"])
                    if before is None or has_folder(path, row) or not has_folder(before[1], before[0]):
                        there[row["seed"]] = row, path
                    yield row

        sources = [experiment_rows.gather(path, rows(path)) for path in paths]
        experiment_rows.check_alike(sources)
        _check_test_sets(sources)
        groups = {}
        for key, configs in kept.items():
            whole = sum(phase.steps for phase in resolved(key).phases)
            groups[key] = []
            for by_seed in configs.values():
                rows_, paths_ = zip(*(by_seed[seed] for seed in sorted(by_seed)), strict=True)
                groups[key].append(Group(rows_, paths_, _steps(rows_[0], resolved(key)), whole))
        return cls(groups)

    def alike(self, protocols: Mapping[str, str], task: str) -> dict[str, Group]:
        """A group of each model, all trained in full, or, failing that, all for the same number of steps, the largest.

        Models of which there is no such group are missing; if no length is that of all models, the one that most share.

        protocols: model to the protocol it was trained under.
        """
        by_length: dict[float, dict[str, Group]] = defaultdict(dict)
        for model, protocol in protocols.items():
            for group in self._groups.get(Key(model, task, protocol), ()):
                length = np.inf if group.is_whole else group.steps
                before = by_length[length].get(model)
                if before is None or group.weight > before.weight:
                    by_length[length][model] = group
        return max(by_length.items(), key=lambda item: (len(item[1]), item[0]), default=(0, {}))[1]

    def longest(self, key: Key) -> list[Group]:
        """All groups: those trained in full, then those trained longest, those with more seeds first."""
        return sorted(self._groups.get(key, ()), key=lambda group: (group.is_whole, group.steps, group.weight), reverse=True)


def has_folder(path: str, row: Row) -> bool:
    """Whether a source is a results folder that holds the run of a row, and not only the row."""
    return (store.Store(path).runs / row["run_id"] / store.ROW).is_file()


def _steps(row: Row, cell: Experiment) -> int:
    """Steps that a row's run was asked for; 0 if its model has other sizes than the protocol gives it by default.

    So it is with a run of another learning rate than that of a protocol whose rates are fixed.
    """
    config = json.loads(row["config_json"])
    if canonical_json(config.get("hparams")) != canonical_json(cell.sizing.hparams):
        return 0
    if not cell.protocol.learning_rate_grid and row["learning_rate"] != cell.tuning.rate:
        return 0
    try:
        steps = [phase["steps"] for phase in config["protocol"]["phases"]]
    except (KeyError, TypeError):  # a configuration that nmbench did not write
        return 0
    return sum(steps) if all(type(n) is int and 0 <= n < 2**53 for n in steps) else 0


def _check_test_sets(sources: Sequence[experiment_rows.Source]) -> None:
    """Refuse rows that were judged otherwise than the tasks here would judge them; raises `NmbenchError`."""
    for source in sources:
        for name, judge in source.judges.items():
            task = TASKS.get(name)
            primary, here = task.metrics[0], dict(zip(experiment_rows.JUDGED_BY, judge[1], strict=True))
            here |= {
                "task_version": task.version,
                "testset_sha256": task.frozen("test").sha256,
                "metric": primary.name,
                "higher_is_better": primary.higher_is_better,
                "floor": primary.floor,
                "ceiling": primary.ceiling,
            }
            expected = "the task", tuple(here[column] for column in experiment_rows.JUDGED_BY)
            experiment_rows.check_judges(name, source.path, judge, "this nmbench", expected)
