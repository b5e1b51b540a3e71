"""Standings: what the leaderboard shows, as data. One table per task, protocol and budget; an overall ranking per protocol.

Seeds are the unit of replication. Ranks come from `stats.better`: models that cannot be told apart share a rank.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.metrics import scores
from nmbench.results import experiment_rows, statistics
from nmbench.results.experiment_rows import JUDGED_BY, ExperimentRows, Source
from nmbench.results.resampling import median
from nmbench.results.statistics import Estimate, Sample
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.contracts.task import Task

MOST_ENTRIES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingEntry:
    """One line of a table: all seeds of a model and configuration, or a reference, which needs no training.

    Attributes:
      label: the model's name, in brackets what differs where a table has several configurations of it; of a reference,
        what it is.
      model: registered name; "" of a reference.
      config: configuration that all seeds have in common, canonical JSON; "" of a reference.
      reference: whether it is one. It has no rank, no seeds and no intervals.
      rank: 1 + the number of models that are significantly better; models with the same rank share it.
      group: letters; models that share one cannot be told apart, models that share none can (`stats.letters`).
      tied: labels of the models that cannot be told apart from it, in order of the table.
      params: number of learned parameters.
      deviation: (params - budget) / budget, None where sizes were given.
      sample: primary metric per seed, the floor where a seed was lost.
      lost: number of seeds that diverged, failed or timed out.
      median, iqm: median and interquartile mean of the primary metric, with 95% bootstrap intervals over seeds.
      score: mean of the seeds' scores, 0 (floor) .. 100 (ceiling), with its interval. A lost seed scores 0.
      solved: number of seeds that reach the task's threshold, None without one.
      success: their share with its Wilson interval.
      last: median of the primary metric after the last step, over the seeds that have it; None where none has.
      others: the task's other metrics, name to median over the seeds that have it.
      train_s: median seconds of training per seed.
      learning_rate, tuning_trials: None where not known.
      run_ids: of its seeds, in their order.
    """

    label: str
    model: str = ""
    config: str = ""
    reference: bool = False
    rank: int | None = None
    group: str = ""
    tied: tuple[str, ...] = ()
    params: int | None = None
    deviation: float | None = None
    sample: Sample | None = None
    lost: int = 0
    median: Estimate
    iqm: Estimate
    score: Estimate
    solved: int | None = None
    success: Estimate | None = None
    last: float | None = None
    others: dict[str, float]
    train_s: float | None = None
    learning_rate: float | None = None
    tuning_trials: int | None = None
    run_ids: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """All entries that may be compared.

    Attributes:
      task, task_version, protocol: what was trained.
      budget: parameter budget, None where sizes were given.
      metric, higher_is_better, floor, ceiling: the primary metric.
      threshold: value at which a seed counts as having solved the task; None without one, or where the task is not known.
      n_test, testset_sha256: the test set.
      least_p: smallest p, corrected by Holm, that the seeds of any two models can give; where it is not below 0.05, no
        difference can be told. None where no two models have two seeds.
      metrics: names of the other metrics that entries have, in the task's order.
      entries: by rank, then median; references stand where their value puts them.
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
    least_p: float | None
    metrics: tuple[str, ...]
    entries: tuple[RankingEntry, ...]


@dataclasses.dataclass(frozen=True)
class OverallEntry:
    """One line of an overall ranking.

    Attributes:
      label: as in the tables.
      rank, group, tied: as in `RankingEntry`, by the weighted mean score.
      score: mean over tasks of the mean score, with its 95% bootstrap interval, seeds resampled within each table.
      scores: `[tables]` mean scores.
      seeds: `[tables]` numbers of seeds.
    """

    label: str
    rank: int
    group: str
    tied: tuple[str, ...]
    score: Estimate
    scores: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Overall:
    """One ranking over the tasks of a protocol.

    Attributes:
      protocol: its name.
      tables: those that every ranked model has. Tasks have equal weight, and so have the tables of one task.
      entries: by rank, then score.
      left_out: label to the tables that it lacks, of models that are not ranked: (task, budget).
      unused: tables, (task, budget), that are not part of the ranking.
    """

    protocol: str
    tables: tuple[Table, ...]
    entries: tuple[OverallEntry, ...]
    left_out: dict[str, tuple[tuple[str, int | None], ...]]
    unused: tuple[tuple[str, int | None], ...]


def standings(sources: Sequence[Source]) -> list[Table]:
    """Tables of all tasks, protocols and budgets, in that order.

    A run that several sources hold counts once, as the last of them has it. The same sources give the same tables.

    Raises:
      NmbenchError: rows of one task that were judged on different test sets or task versions, or a table of more than 1000
        models and configurations.
    """
    experiment_rows.check_alike(sources)
    judges = {task: judge[1] for source in reversed(sources) for task, judge in source.judges.items()}
    trials = {task: n for source in reversed(sources) for task, n in source.trials.items()}
    groups: dict[experiment_rows.TableKey, list[ExperimentRows]] = defaultdict(list)
    for cell in experiment_rows.merge(sources):
        groups[cell.table].append(cell)
    references: dict[str, list[RankingEntry]] = {}
    made = []
    for task, protocol, budget in sorted(groups):
        judge = dict(zip(JUDGED_BY, judges[task], strict=True))
        known = _known(task, judge)
        if task not in references:
            references[task] = _references(known)
        entries = _ranked(groups[task, protocol, budget], judge, None if known is None else known.primary.threshold)
        names = _in_order({name for entry in entries for name in entry.others}, known)
        table = Table(
            task=task,
            task_version=judge["task_version"],
            protocol=protocol,
            budget=budget or None,
            metric=judge["metric"],
            higher_is_better=judge["higher_is_better"],
            floor=judge["floor"],
            ceiling=judge["ceiling"],
            threshold=None if known is None else known.primary.threshold,
            n_test=trials[task],
            testset_sha256=judge["testset_sha256"],
            least_p=_least_p([cell.sample for cell in groups[task, protocol, budget]]),
            metrics=names,
            entries=tuple(_placed(entries, references[task], judge["higher_is_better"])),
        )
        made.append(table)
    return made


def _known(name: str, judge: dict) -> Task | None:
    """The registered task that judged these rows, None if it is not there or is another version or test set."""
    task = TASKS.get(name) if name in TASKS else None
    if task is None or (task.version, task.primary.name) != (judge["task_version"], judge["metric"]):
        return None
    return task if task.frozen("test").sha256 == judge["testset_sha256"] else None


def _in_order(names: Iterable[str], task: Task | None) -> tuple[str, ...]:
    """Names of metrics in the order of the task's, those that it does not know last."""
    order = [] if task is None else [n for m in task.metrics for n in (*(f"{m.name}.{s}" for s in m.stages), m.name)]
    return tuple(sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name)))


def _ranked(members: list[ExperimentRows], judge: dict, threshold: float | None) -> list[RankingEntry]:
    """Entries of the cells of one table, by rank, median and label."""
    if len(members) > MOST_ENTRIES:
        raise NmbenchError(
            f"{len(members)} models and configurations of {members[0].table[0]}, protocol {members[0].table[1]}: at most "
            f"{MOST_ENTRIES} can be ranked, each against each; split the file"
        )
    labels = {}
    for model in {cell.model for cell in members}:
        found = experiment_rows.labels([cell for cell in members if cell.model == model])
        labels.update({(model, config): label for config, label in found.items()})
    better = statistics.better([cell.sample for cell in members])
    ranks = 1 + better.sum(axis=0)
    sign = -1 if judge["higher_is_better"] else 1
    medians = [float(median(np.sort(cell.sample.values))) for cell in members]
    named = [labels[cell.model, cell.config] for cell in members]
    order = sorted(range(len(members)), key=lambda i: (ranks[i], sign * medians[i], named[i]))
    apart = better | better.T
    group = dict(zip(order, statistics.letters(apart[np.ix_(order, order)]), strict=True))
    return [
        _entry(
            members[i],
            label=named[i],
            rank=int(ranks[i]),
            group=group[i],
            tied=tuple(named[j] for j in order if j != i and not apart[i, j]),
            judge=judge,
            threshold=threshold,
        )
        for i in order
    ]


def _least_p(samples: list[Sample]) -> float | None:
    """As `Table.least_p`."""
    found = [p for a, b in itertools.combinations(samples, 2) if (p := statistics.least_p(a, b)) is not None]
    return min(1.0, min(found) * len(found)) if found else None


def _entry(
    cell: ExperimentRows, label: str, rank: int, group: str, tied: tuple[str, ...], judge: dict, threshold: float | None
) -> RankingEntry:
    sample = cell.sample
    solved = None if threshold is None else statistics.reached(sample, threshold)
    middle, iqm = statistics.median_and_interquartile_mean(sample.values)
    return RankingEntry(
        label=label,
        model=cell.model,
        config=cell.config,
        reference=False,
        rank=rank,
        group=group,
        tied=tied,
        params=cell.params,
        deviation=cell.deviation,
        sample=sample,
        lost=int(np.count_nonzero(sample.lost)),
        median=middle,
        iqm=iqm,
        score=statistics.mean(scores(sample.values, judge["floor"], judge["ceiling"])),
        solved=None if solved is None else int(np.count_nonzero(solved)),
        success=None if solved is None else statistics.success_rate(sample.values, solved),
        last=_middle(cell.last[~sample.lost]),
        others={name: found for name, v in cell.others.items() if (found := _middle(v[~sample.lost])) is not None},
        train_s=_middle(cell.train_s),
        learning_rate=cell.learning_rate,
        tuning_trials=cell.tuning_trials,
        run_ids=cell.run_ids,
    )


def _middle(values: np.ndarray) -> float | None:
    """Median of the values that are there, None where none is."""
    there = values[~np.isnan(values)]
    return float(median(np.sort(there))) if len(there) else None


def _references(task: Task | None) -> list[RankingEntry]:
    """Rows that need no training, computed on the test set that the other rows were judged on."""
    if task is None or not task.references:
        return []
    frozen = task.frozen("test")
    made = []
    for label, predict in task.references.items():
        values = task.evaluate(predict(frozen.arrays), frozen.arrays)["values"]
        value = values.pop(task.primary.name)
        estimate, score = Estimate(value, None, None), Estimate(task.primary.score(value), None, None)
        made.append(RankingEntry(label=label, reference=True, median=estimate, iqm=estimate, score=score, others=values))
    return made


def _placed(entries: list[RankingEntry], references: list[RankingEntry], higher_is_better: bool) -> list[RankingEntry]:
    """Entries with each reference before the first one that is worse than it; among references the better first."""
    sign = -1 if higher_is_better else 1
    placed = list(entries)
    for reference in sorted(references, key=lambda r: (sign * r.median.value, r.label)):
        worse = (i for i, e in enumerate(placed) if sign * e.median.value > sign * reference.median.value)
        placed.insert(next(worse, len(placed)), reference)
    return placed


def overall(tables: Sequence[Table]) -> list[Overall]:
    """One ranking per protocol, over two tasks or more that two models or more have all results of.

    Where models have different tables, those models and tasks are taken that hold the most results, a task counting once
    whatever its budgets; what is left out is named. Configurations of a model are followed from table to table by their
    label.
    """
    groups: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        groups[table.protocol].append(table)
    found = [_overall(protocol, groups[protocol]) for protocol in sorted(groups)]
    return [one for one in found if one is not None]


def _overall(protocol: str, tables: list[Table]) -> Overall | None:
    entries: dict[str, dict[int, RankingEntry]] = defaultdict(dict)
    for i, table in enumerate(tables):
        for entry in table.entries:
            # A number that tells apart two configurations in one table says nothing about those of another.
            if not entry.reference and not is_numbered(entry.label):
                entries[entry.label][i] = entry
    chosen = _complete({label: frozenset(held) for label, held in entries.items()}, [t.task for t in tables])
    if chosen is None:
        return None
    labels, kept = chosen
    tasks = [tables[i].task for i in kept]
    weights = [1.0 / (len(set(tasks)) * tasks.count(task)) for task in tasks]
    samples = {label: [_scored(entries[label][i], tables[i]) for i in kept] for label in labels}
    better = statistics.better_over_strata([samples[label] for label in labels], weights)
    means = {label: statistics.mean_of_means([s.values for s in samples[label]], weights) for label in labels}
    ranks = 1 + better.sum(axis=0)
    order = sorted(range(len(labels)), key=lambda i: (ranks[i], -means[labels[i]].value, labels[i]))
    apart = better | better.T
    group = dict(zip(order, statistics.letters(apart[np.ix_(order, order)]), strict=True))
    made = [
        OverallEntry(
            label=labels[i],
            rank=int(ranks[i]),
            group=group[i],
            tied=tuple(labels[j] for j in order if j != i and not apart[i, j]),
            score=means[labels[i]],
            scores=tuple(float(np.mean(s.values)) for s in samples[labels[i]]),
            seeds=tuple(len(s) for s in samples[labels[i]]),
        )
        for i in order
    ]
    name = lambda i: (tables[i].task, tables[i].budget)
    return Overall(
        protocol=protocol,
        tables=tuple(tables[i] for i in kept),
        entries=tuple(made),
        left_out={
            label: tuple(name(i) for i in kept if i not in held)
            for label, held in sorted(entries.items())
            if label not in labels
        },
        unused=tuple(name(i) for i in range(len(tables)) if i not in kept),
    )


def is_numbered(label: str) -> bool:
    """Whether a number tells the configuration apart, which says nothing about the labels of other tables."""
    return re.search(r" #\d+\]$", label) is not None


def _complete(held: dict[str, frozenset[int]], tasks: list[str]) -> tuple[list[str], list[int]] | None:
    """Labels and tables that together hold the most results: two labels or more, each with all of two tasks or more.

    Results of a task at several budgets count as one here, so that a ladder of budgets that few models climbed does not turn
    the others out; of equal choices, the one with more tasks is taken, then the one with more tables.

    held: label to the numbers of its tables; tasks: that of each table. None where there are no such labels and tables.
    """
    sets = set(held.values())
    best = None
    for candidate in {a & b for a in sets for b in sets} | ({frozenset.intersection(*sets)} if sets else set()):
        labels = sorted(label for label, tables in held.items() if tables >= candidate)
        different = len({tasks[i] for i in candidate})
        if len(labels) >= 2 and different >= 2:
            better = (-len(labels) * different, -different, -len(candidate), sorted(candidate), labels)
            best = better if best is None else min(best, better)
    return None if best is None else (best[-1], best[-2])


def _scored(entry: RankingEntry, table: Table) -> Sample:
    """The entry's sample in scores."""
    assert entry.sample is not None
    values = scores(entry.sample.values, table.floor, table.ceiling)
    return dataclasses.replace(entry.sample, values=values, higher_is_better=True)
