"""Rows that test the claims: models of their default sizes, grouped by experiment and compared after equal training."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import loading, resolution
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.request import Request
from nmbench.paper.runs import Need, Recipe, value_of
from nmbench.report.text import seeds
from nmbench.results import experiment_rows, store
from nmbench.results.config_json import shared_config
from nmbench.results.schema import canonical_json
from nmbench.results.statistics import Sample, compares_logarithms
from nmbench.support.errors import NmbenchError

Row = Mapping[str, Any]


class ExperimentKey(NamedTuple):
    """A model, a task, a protocol, and what is given beside them, as in the flags `--hparams` and `--learning_rate`."""

    model: str
    task: str
    protocol: str
    hparams: tuple[tuple[str, str], ...] = ()
    learning_rate: float | None = None

    @property
    def given(self) -> str:
        """The flags for what is given, "" if nothing is."""
        hparams = ",".join("=".join(pair) for pair in self.hparams)
        rate = "" if self.learning_rate is None else f"--learning_rate={self.learning_rate:g}"
        return " ".join(filter(None, [hparams and f"--hparams={hparams}", rate]))

    def command(self, seeds: int, steps: int | None = None) -> str:
        """The shell command that trains this number of seeds, for the protocol's steps if none are given."""
        line = Recipe("results", self.protocol, steps).command(Need(self.model, self.task, seeds))
        return f"{line} {self.given}".rstrip()


@functools.cache
def resolved(key: ExperimentKey) -> Experiment:
    """The experiment of a key, resolved as `nmbench.run` resolves it."""
    hparams, rate = dict(key.hparams), key.learning_rate
    return resolution.resolve(
        Request(model=key.model, task=key.task, protocol=key.protocol, hparams=hparams, learning_rate=rate)
    )


@dataclasses.dataclass(frozen=True)
class SeedGroup:
    """All seeds of one experiment, or of several that are pooled (`Evidence.pooled`).

    Attributes:
      rows: sorted by seed.
      sources: file or folder of each row.
      steps: requested number of training steps.
      full_steps: number of training steps of the protocol.
    """

    rows: tuple[Row, ...]
    sources: tuple[str, ...]
    steps: int
    full_steps: int

    @property
    def is_full(self) -> bool:
        return self.steps == self.full_steps

    @property
    def is_short(self) -> bool:
        return self.steps < self.full_steps

    @property
    def size(self) -> str:
        """ "10 seeds", or "50 runs" if experiments with the same seeds are pooled; with the number of lost ones."""
        n, lost = len(self.rows), sum(row["status"] != "ok" for row in self.rows)
        pooled = len({row["seed"] for row in self.rows}) < n
        return (f"{n} runs" if pooled else seeds(n)) + (f" ({lost} lost)" if lost else "")

    @property
    def description(self) -> str:
        """Number of seeds and parameters, steps and learning rate."""
        tuned = "tuned " if self.rows[0]["tuning_trials"] else ""
        sizes = sorted({row["params_actual"] for row in self.rows})
        size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        rates = sorted({row["learning_rate"] for row in self.rows if row["learning_rate"] is not None})
        shown = ", ".join(f"{rate:g}" for rate in rates)
        rate = f", {tuned}learning rate{'s' * (len(rates) > 1)} {shown}" if rates else ""
        return f"{self.size}, {size} parameters, {self.steps} steps{rate}"

    @property
    def trained(self) -> str:
        """Text on the length of training."""
        return f"after {self.steps} {'of' if self.steps <= self.full_steps else 'instead of'} {self.full_steps} steps"

    @property
    def is_tuned(self) -> bool:
        """Whether the learning rate was tuned."""
        return bool(self.rows[0]["tuning_trials"])

    @property
    def priority(self) -> tuple[bool, int, int]:
        """Sorting key of groups: a tuned learning rate, then more seeds, then more tuning runs."""
        return self.is_tuned, len(self.rows), self.rows[0]["tuning_trials"] or 0

    def sample(self, metric: str, condition: str | None = None) -> Sample:
        """A metric of the task per seed, or its mean over the trials of one condition. A lost seed has the metric's floor.

        Raises:
          NmbenchError: a finished row does not have the metric.
        """
        task = TASKS.get(self.rows[0]["task"])
        (found,) = (m for m in task.metrics if m.name == metric.partition(".")[0])
        lost = np.array([row["status"] != "ok" for row in self.rows])
        of = lambda row: found.floor if row["status"] != "ok" else value_of(row, metric, condition)
        values = [of(row) for row in self.rows]
        numbers, up = [row["seed"] for row in self.rows], found.higher_is_better
        if len(set(numbers)) < len(numbers):  # pooled experiments have seeds of equal numbers
            numbers = range(len(numbers))
        return Sample(np.array(numbers), np.array(values, float), lost, up, compares_logarithms(up, found.ceiling))


class Evidence:
    """Rows of results files and folders on models and tasks of the publication.

    Args:
      groups: from a key to groups of seeds, one group for each experiment.
    """

    def __init__(self, groups: Mapping[ExperimentKey, Sequence[SeedGroup]] | None = None):
        self._groups = groups or {}

    @classmethod
    def read(cls, paths: Sequence[str], wanted: Iterable[ExperimentKey]) -> Evidence:
        """The rows that belong to the experiments of the keys `wanted`, with their sizes and settings.

        Raises:
          NmbenchError: a missing file, an invalid row, or a row whose test set or metric differs from another row's or from
            the installed task's.
        """
        found: dict[ExperimentKey, dict[str, dict[int, tuple[Row, str]]]] = defaultdict(lambda: defaultdict(dict))
        keys = defaultdict(list)
        for key in wanted:
            keys[key[:3]].append(key)

        has_files = lambda row, path: loading.has_run_folder(row["run_id"], path)

        def rows(path: str) -> Iterator[Row]:
            for row in store.iterate(path):
                for key in keys.get((row["model"], row["task"], row["protocol"]), ()):
                    if not _steps(row, resolved(key)):
                        continue
                    # If several sources have the same run, prefer one with its files, then the last one.
                    by_seed = found[key][shared_config(row["config_json"])]
                    before = by_seed.get(row["seed"])
                    if before is None or has_files(row, path) or not has_files(*before):
                        by_seed[row["seed"]] = row, path
                    yield row

        sources = [experiment_rows.gather(path, rows(path)) for path in paths]
        experiment_rows.check_evaluations(sources)
        for source in sources:
            for name, row in source.evaluated.items():
                experiment_rows.check_installed(TASKS.get(name), source.path, row)
        groups = {}
        for key, configs in found.items():
            full_steps = sum(phase.steps for phase in resolved(key).phases)
            groups[key] = []
            for by_seed in configs.values():
                rows_, paths_ = zip(*(by_seed[seed] for seed in sorted(by_seed)), strict=True)
                groups[key].append(SeedGroup(rows_, paths_, _steps(rows_[0], resolved(key)), full_steps))
        return cls(groups)

    def equally_trained(self, protocols: Mapping[str, str], task: str) -> dict[str, SeedGroup]:
        """One group per model, all fully trained, or else all trained for the same number of steps, the largest available.

        If no length of training is available for all models, the length that most models share is used; the other models are
        missing from the result.

        Args:
          protocols: from a model to the protocol of its training.
          task: name of the task.
        """
        by_length: dict[float, dict[str, SeedGroup]] = defaultdict(dict)
        for model, protocol in protocols.items():
            for group in self._groups.get(ExperimentKey(model, task, protocol), ()):
                # Protocols may train models for different lengths, so a full training can also equal another's short one.
                for length in {float(group.steps), np.inf} if group.is_full else {float(group.steps)}:
                    before = by_length[length].get(model)
                    if before is None or group.priority > before.priority:
                        by_length[length][model] = group
        return max(by_length.items(), key=lambda item: (len(item[1]), item[0]), default=(0, {}))[1]

    def pooled(self, keys: Mapping[str, Sequence[ExperimentKey]]) -> Evidence:
        """Evidence in which the fully trained seeds of several experiments of a model count as those of one.

        A model is missing if one of its experiments was not fully trained.

        Args:
          keys: from a model to its experiments, all of one task and protocol.
        """
        groups = {}
        for parts in keys.values():
            found = [group for key in parts for group in self.longest_trained(key)[:1] if group.is_full]
            if len(found) == len(parts):
                rows, sources = (tuple(one for g in found for one in getattr(g, name)) for name in ("rows", "sources"))
                groups[ExperimentKey(*parts[0][:3])] = [dataclasses.replace(found[0], rows=rows, sources=sources)]
        return Evidence(groups)

    def longest_trained(self, key: ExperimentKey) -> list[SeedGroup]:
        """All groups of a key: fully trained ones first, then by length of training, then by number of seeds."""
        order = lambda group: (group.is_full, group.steps, group.priority)
        return sorted(self._groups.get(key, ()), key=order, reverse=True)


def _steps(row: Row, experiment: Experiment) -> int:
    """Requested training steps of a row; 0 if its hyperparameters, fixed learning rate, data or precision do not fit."""
    try:
        configuration = Configuration.from_json(row["config_json"])
    except NmbenchError:  # not written by nmbench
        return 0
    if configuration.data_seed or configuration.x64 or configuration.jax_settings:
        return 0
    if canonical_json(configuration.hparams) != canonical_json(experiment.sizing.hparams):
        return 0
    if not experiment.protocol.learning_rate_grid and row["learning_rate"] != experiment.learning_rate.value:
        return 0
    return configuration.steps
