"""Overall rankings: models compared over all tasks of a protocol."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nmbench.results import config_json, significance, statistics
from nmbench.results.ranking import RankingEntry, Table
from nmbench.results.statistics import Estimate, Sample


@dataclasses.dataclass(frozen=True)
class OverallEntry:
    """One line of an overall ranking.

    Attributes:
      label: as in the tables.
      rank, group, tied: as in `RankingEntry`, from `significance.better_over_strata`.
      score: mean over tasks of `scores`, with its bootstrap interval (`statistics.sum_of_medians`), which does not include
        the choice of the learning rate.
      scores: score of the median in each table.
      seeds: number of seeds in each table.
    """

    label: str
    rank: int
    group: str
    tied: tuple[str, ...]
    score: Estimate
    scores: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class OverallRanking:
    """One ranking over the tasks of a protocol.

    Attributes:
      protocol: its name.
      tables: tables in which every ranked model has two or more seeds. All tasks have equal weight, as do all tables of one
        task.
      entries: in order of rank, then score.
      left_out: models that are not ranked, label to the tables (task, budget) in which the model lacks two seeds.
      unused: tables (task, budget) that are not part of the ranking.
    """

    protocol: str
    tables: tuple[Table, ...]
    entries: tuple[OverallEntry, ...]
    left_out: dict[str, tuple[tuple[str, int | None], ...]]
    unused: tuple[tuple[str, int | None], ...]


def overall_rankings(tables: Sequence[Table]) -> list[OverallRanking]:
    """One ranking for each protocol in which at least two models share tables of at least two tasks.

    If models have results in different tables, the ranking uses the combination of models and tables with the most results,
    counting each task once however many budgets it has, and lists the models and tables that it leaves out. A configuration
    of a model is identified across tables by its label.
    """
    groups: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        groups[table.protocol].append(table)
    found = [_ranking(protocol, groups[protocol]) for protocol in sorted(groups)]
    return [one for one in found if one is not None]


def _ranking(protocol: str, tables: list[Table]) -> OverallRanking | None:
    entries: dict[str, dict[int, RankingEntry]] = defaultdict(dict)
    # The same number denotes unrelated configurations in different tables.
    numbered = {entry.label for table in tables for entry in table.entries if config_json.is_numbered(entry.label)}
    for i, table in enumerate(tables):
        for entry in table.entries:
            if entry.label not in numbered and entry.sample is not None and len(entry.sample) > 1:
                entries[entry.label][i] = entry
    chosen = _complete({label: frozenset(held) for label, held in entries.items()}, [t.task for t in tables])
    if chosen is None:
        return None
    labels, kept = chosen
    tasks = [tables[i].task for i in kept]
    weights = [1.0 / (len(set(tasks)) * tasks.count(task)) for task in tasks]
    samples = {label: [_scored(entries[label][i], tables[i]) for i in kept] for label in labels}
    better = significance.better_over_strata([[_sample(entries[label][i]) for i in kept] for label in labels], weights)
    averages = {label: statistics.sum_of_medians(samples[label], weights, 0.0, 100.0) for label in labels}
    made = [
        OverallEntry(
            label=labels[i],
            rank=rank,
            group=group,
            tied=tuple(labels[j] for j in tied),
            score=averages[labels[i]],
            scores=tuple(float(np.clip(np.median(s), 0.0, 100.0)) for s in samples[labels[i]]),
            seeds=tuple(len(s) for s in samples[labels[i]]),
        )
        for i, rank, group, tied, _ in significance.rank_models(better, lambda i: (-averages[labels[i]].value, labels[i]))
    ]
    name = lambda i: (tables[i].task, tables[i].budget)
    return OverallRanking(
        protocol=protocol,
        tables=tuple(tables[i] for i in kept),
        entries=tuple(made),
        left_out={
            label: tuple(name(i) for i in kept if i not in held)
            for label, held in sorted(entries.items())
            if label not in labels
        }
        | {label: tuple(map(name, kept)) for label in sorted(numbered)},
        unused=tuple(name(i) for i in range(len(tables)) if i not in kept),
    )


def _complete(held: dict[str, frozenset[int]], tasks: list[str]) -> tuple[list[str], list[int]] | None:
    """Choose two or more labels, and tables of two or more tasks in which all these labels have results.

    The candidates are the tables that two labels share and the tables that all labels share. The candidate with the most
    results (labels times tasks) is chosen, then the one with more tasks, then the one with more tables. A task counts once,
    so that a ladder of budgets with few models does not exclude the other models.

    Args:
      held: label to the indices of its tables.
      tasks: the task of each table.

    Returns:
      Labels and indices of tables; None if no candidate has two labels and two tasks.
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


def _sample(entry: RankingEntry) -> Sample:
    assert entry.sample is not None  # references are not ranked
    return entry.sample


def _scored(entry: RankingEntry, table: Table) -> np.ndarray:
    """Scores of the entry's seeds, `[S]`, not limited: the score of a median is limited afterwards."""
    with np.errstate(over="ignore"):  # an overflow is limited as well
        return 100.0 * ((_sample(entry).values - table.floor) / (table.ceiling - table.floor))
