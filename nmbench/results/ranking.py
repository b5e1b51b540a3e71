"""Rankings as data: one table per task, protocol and budget.

Seeds are the unit of replication. `significance.better` defines the ranks, and `significance.letters` the groups of models
that cannot be told apart.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmbench.contracts.metrics import scores
from nmbench.results import experiment_rows, significance, statistics, tuned_intervals, verification
from nmbench.results.experiment_rows import Evaluation, ExperimentRows, Source
from nmbench.results.resampling import median
from nmbench.results.schema import EXTERNAL
from nmbench.results.statistics import Estimate, Sample
from nmbench.results.tuned_intervals import TuningDraws
from nmbench.support.errors import NmbenchError, one_line

if TYPE_CHECKING:
    from nmbench.contracts.task import Task

MOST_ENTRIES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingEntry:
    """One line of a table: all seeds of a model and configuration, or a reference, which needs no training.

    Attributes:
      label: the model's name, followed by the differing settings in brackets if the table has several configurations of
        the model; the reference's name for a reference.
      model: registered name; "" for a reference.
      config: configuration that the seeds have in common, canonical JSON; "" for a reference.
      reference: whether the entry is a reference. A reference has no rank, no seeds and no intervals.
      rank: 1 + the number of models that are significantly better; None with one seed, which cannot be tested.
      group: letters; models that share a letter cannot be told apart, other models can (`significance.letters`).
      tied: labels of the models that cannot be told apart from this one, in the order of the table.
      ahead_of: labels of the models that are significantly worse, in the order of the table.
      params: number of learned parameters.
      declared: whether this number is only declared, for a model trained elsewhere (`schema.is_declared`).
      external: whether this is a model trained elsewhere in the table of a protocol; it has no rank (`with_external`).
      deviation: (params - budget) / budget; None if sizes were given.
      sample: primary metric per seed; the floor for a lost seed.
      lost: number of seeds that diverged, failed or timed out.
      median: median of the primary metric over seeds, with an interval that includes the choice of a tuned learning rate
        (`tuned_intervals.median`).
      mean: geometric mean of an error, mean of any other metric, with its interval. The tests compare these
        means, with lost seeds as the worst finished seed if that is worse than the floor.
      score: score of the median, 0 (floor) .. 100 (ceiling), with its interval.
      beats_next: probability that a seed of this entry is better than a seed of the next; None for the last.
      solved: number of seeds that reach the task's threshold; None without a threshold.
      success: their share with its Wilson interval.
      last: median of the primary metric after the last step, without lost seeds and missing values; None if none is left.
      others: the task's other metrics, name to median without lost seeds and missing values.
      train_s: median seconds of training per seed; None if missing.
      learning_rate, tuning_trials: as in the row; None if missing.
      tuning: resampled choices of the learning rate; None without tuning.
      run_ids: run ids in the order of the seeds.
      tier: the lowest tier of verification of its runs (`nmbench.results.verification`), "" if a run was not verified.
    """

    label: str
    model: str = ""
    config: str = ""
    reference: bool = False
    rank: int | None = None
    group: str = ""
    tied: tuple[str, ...] = ()
    ahead_of: tuple[str, ...] = ()
    params: int | None = None
    declared: bool = False
    external: bool = False
    deviation: float | None = None
    sample: Sample | None = None
    lost: int = 0
    median: Estimate
    mean: Estimate
    score: Estimate
    beats_next: float | None = None
    solved: int | None = None
    success: Estimate | None = None
    last: float | None = None
    others: dict[str, float]
    train_s: float | None = None
    learning_rate: float | None = None
    tuning_trials: int | None = None
    tuning: TuningDraws | None = None
    run_ids: tuple[str, ...] = ()
    tier: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """All entries that can be compared with each other.

    Attributes:
      task, task_version: what was trained.
      protocol: name of the protocol, followed by the rows' departures from it (`experiment_rows.recipe`).
      budget: parameter budget; None if sizes were given.
      metric, higher_is_better, floor, ceiling: the primary metric.
      threshold: value at which a seed has solved the task; None if the task has none or is not registered with this
        version, metric and test set.
      n_test, testset_sha256: number of trials and hash of the test set.
      logarithmic: whether models are compared by the logarithms of the metric (`statistics.compares_logarithms`).
      least_p: smallest corrected p that two models with these numbers of seeds can give. If it is not below 0.05, no models
        can be told apart. None unless two models have two or more seeds each.
      metrics: names of the entries' other metrics, in the order of the task.
      entries: in order of rank, then median; each reference is placed by its value.
    """

    task: str
    task_version: int
    protocol: str
    budget: int | None
    metric: str
    higher_is_better: bool
    floor: float
    ceiling: float
    threshold: float | None
    n_test: int
    testset_sha256: str
    logarithmic: bool
    least_p: float | None
    metrics: tuple[str, ...]
    entries: tuple[RankingEntry, ...]

    @property
    def models(self) -> list[RankingEntry]:
        """The entries of models, without references."""
        return [entry for entry in self.entries if not entry.reference]

    @property
    def references(self) -> list[RankingEntry]:
        """The entries of references."""
        return [entry for entry in self.entries if entry.reference]


def rank_tables(sources: Sequence[Source]) -> list[Table]:
    """Tables of all tasks, recipes and budgets, in that order.

    A run that is in several sources counts once, with the values of the last source. The same sources give the same tables.

    Raises:
      NmbenchError: a table has more than 200 models and configurations.
    """
    evaluations = {task: row.evaluation for source in reversed(sources) for task, row in source.evaluated.items()}
    n_test = {task: n for source in reversed(sources) for task, n in source.n_test.items()}
    groups: dict[experiment_rows.TableKey, list[ExperimentRows]] = defaultdict(list)
    for experiment in experiment_rows.merge(sources):
        groups[experiment.table].append(experiment)
    references: dict[str, list[RankingEntry]] = {}
    made = []
    for key in sorted(groups):
        name, protocol, budget = key
        evaluation = evaluations[name]
        task = experiment_rows.registered_task(name, evaluation)
        threshold = None if task is None else task.primary.threshold
        if name not in references:
            references[name] = _references(task)
        entries = _ranked(groups[key], evaluation, threshold)
        table = Table(
            task=name,
            task_version=evaluation.task_version,
            protocol=protocol,
            budget=budget or None,
            metric=evaluation.metric,
            higher_is_better=evaluation.higher_is_better,
            floor=evaluation.floor,
            ceiling=evaluation.ceiling,
            threshold=threshold,
            n_test=n_test[name],
            testset_sha256=evaluation.testset_sha256,
            logarithmic=statistics.compares_logarithms(evaluation.higher_is_better, evaluation.ceiling),
            least_p=_least_p([experiment.sample for experiment in groups[key]]),
            metrics=_in_order({metric for entry in entries for metric in entry.others}, task),
            entries=tuple(_inserted(entries, references[name], evaluation.higher_is_better)),
        )
        made.append(table)
    return made


def with_external(tables: Sequence[Table], external: Sequence[Table]) -> list[Table]:
    """The tables, with models trained elsewhere beside those of the same task and budget.

    These models have no rank, because nmbench knows neither their steps nor their tuning. Each stands before the first entry
    that is worse. Tables of rows that depart from their protocol do not change, nor do external tables.

    Args:
      tables: from `rank_tables`. Compute ladders and overall rankings before; they must not contain models without ranks.
      external: from `rank_tables`, of rows with the protocol "external".

    Raises:
      NmbenchError: no table has the task, the test set and the budget of an external table.
    """
    beside: dict[tuple, list[RankingEntry]] = defaultdict(list)
    for table in external:
        for entry in table.entries:
            if not entry.reference:
                unranked = {"rank": None, "group": "", "tied": (), "ahead_of": (), "beats_next": None}
                label = f"{entry.label} ({EXTERNAL})"
                beside[_evaluated(table)].append(dataclasses.replace(entry, label=label, external=True, **unranked))
    made, found = [], False
    for table in tables:
        added = beside.get(_evaluated(table), []) if table.protocol != EXTERNAL and " (" not in table.protocol else []
        found = found or bool(added)
        # Every entry is a new object: the page tells entries apart by identity.
        entries = _inserted(table.entries, [dataclasses.replace(entry) for entry in added], table.higher_is_better)
        made.append(dataclasses.replace(table, entries=tuple(entries)))
    if not found:
        if any(_evaluated(table) in beside for table in tables if table.protocol != EXTERNAL):
            raise NmbenchError(
                "the rows with the task and budget of the models trained elsewhere depart from their protocol; these models "
                "stand only beside rows without departures"
            )
        names = "; ".join(f"{t.task} v{t.task_version}, budget {t.budget or 'none'}" for t in external)
        raise NmbenchError(f"no other rows have the task and budget of the models trained elsewhere ({names})")
    return made


def _evaluated(table: Table) -> tuple:
    return table.task, table.budget, table.task_version, table.testset_sha256, table.metric


def _in_order(names: Iterable[str], task: Task | None) -> tuple[str, ...]:
    """Names of metrics in the order of the task; other names follow in alphabetical order."""
    order = [] if task is None else [n for m in task.metrics for n in (*(f"{m.name}.{s}" for s in m.stages), m.name)]
    return tuple(sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name)))


def _ranked(experiments: list[ExperimentRows], evaluation: Evaluation, threshold: float | None) -> list[RankingEntry]:
    """Entries of one table, in order of rank, median and label; those without a rank stand before the first worse one."""
    if len(experiments) > MOST_ENTRIES:
        raise NmbenchError(
            f"{len(experiments)} models and configurations of {experiments[0].table[0]}, protocol "
            f"{experiments[0].table[1]}: at most {MOST_ENTRIES} can be compared with each other; split the file"
        )
    labels = experiment_rows.labels(experiments)
    name = lambda one: labels[one.model, one.config]
    sign = -1 if evaluation.higher_is_better else 1
    made = {id(one): _entry(one, name(one), evaluation, threshold) for one in experiments}
    # A model with one seed is not tested.
    tested = [one for one in experiments if len(one.sample) > 1]
    better = significance.better([one.sample for one in tested])
    ranked = significance.rank_models(better, lambda i: (sign * made[id(tested[i])].median.value, name(tested[i])))
    following = {one.index: other.index for one, other in itertools.pairwise(ranked)}
    entries = [
        dataclasses.replace(
            made.pop(id(tested[i])),
            rank=rank,
            group=group,
            tied=tuple(name(tested[j]) for j in tied),
            ahead_of=tuple(name(tested[j]) for j in ahead_of),
            beats_next=_beats(tested[i].sample, tested[following[i]].sample) if i in following else None,
        )
        for i, rank, group, tied, ahead_of in ranked
    ]
    return _inserted(entries, list(made.values()), evaluation.higher_is_better)


def _least_p(samples: list[Sample]) -> float | None:
    """`Table.least_p` of a table with these samples."""
    found = [p for a, b in itertools.combinations(samples, 2) if (p := significance.least_p(a, b)) is not None]
    return min(1.0, min(found) * len(found)) if found else None


def _beats(one: Sample, other: Sample) -> float:
    other, one = significance.lost_last(other, one)
    return significance.probability_of_improvement(other.compared, one.compared, one.higher_is_better)


def _entry(experiment: ExperimentRows, label: str, evaluation: Evaluation, threshold: float | None) -> RankingEntry:
    """The entry of a model without its rank."""
    sample = experiment.sample
    solved = None if threshold is None else statistics.reached(sample, threshold)
    choices = None if experiment.tuning is None else tuned_intervals.draws(experiment.tuning)
    middle = tuned_intervals.median(sample.values, choices, evaluation.floor)
    mean, best = statistics.mean(sample.compared), min if evaluation.higher_is_better else max
    # An interval of the mean does not go beyond the value of a perfect answer.
    within = lambda value: best(value, evaluation.ceiling)
    others = {name: _median(values[~sample.lost]) for name, values in experiment.others.items()}
    return RankingEntry(
        label=label,
        model=experiment.model,
        config=experiment.config,
        params=experiment.params,
        declared=experiment.declared,
        deviation=experiment.deviation,
        sample=sample,
        lost=int(np.count_nonzero(sample.lost)),
        median=middle,
        mean=statistics.powers_of_ten(mean) if sample.logarithmic else mean.mapped(within),
        score=middle.mapped(lambda value: float(scores(np.asarray(value), evaluation.floor, evaluation.ceiling))),
        solved=None if solved is None else int(np.count_nonzero(solved)),
        success=None if solved is None else statistics.success_rate(solved),
        last=_median(experiment.last[~sample.lost]),
        others={name: value for name, value in others.items() if value is not None},
        train_s=_median(experiment.train_s[~sample.lost]),
        learning_rate=experiment.learning_rate,
        tuning_trials=experiment.tuning_trials,
        tuning=choices,
        run_ids=experiment.run_ids,
        tier=verification.lowest(experiment.tiers),
    )


def _median(values: np.ndarray) -> float | None:
    """Median of the values that are not NaN; None if all are."""
    present = values[~np.isnan(values)]
    return float(median(np.sort(present))) if len(present) else None


def _references(task: Task | None) -> list[RankingEntry]:
    """The task's references, evaluated on its frozen test set."""
    if task is None or not task.references:
        return []
    frozen = task.frozen("test")
    made = []
    for label, predict in task.references.items():
        with one_line(f"task {task.name!r}: the reference {label!r} fails"):
            values = task.evaluate(predict(frozen.arrays), frozen.arrays)["values"]
        value = values.pop(task.primary.name)
        estimate, score = Estimate(value, None, None), Estimate(task.primary.score(value), None, None)
        made.append(RankingEntry(label=label, reference=True, median=estimate, mean=estimate, score=score, others=values))
    return made


def _inserted(entries: Sequence[RankingEntry], added: list[RankingEntry], higher_is_better: bool) -> list[RankingEntry]:
    """Insert each entry without a rank before the first entry that is worse, better ones first."""
    sign = -1 if higher_is_better else 1
    together = list(entries)
    for one in sorted(added, key=lambda entry: (sign * entry.median.value, entry.label)):
        worse = (i for i, e in enumerate(together) if sign * e.median.value > sign * one.median.value)
        together.insert(next(worse, len(together)), one)
    return together
