"""Sentences about results, made from tables and rows, in Markdown. They say how many seeds they count."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from nmbench.contracts.task import Task
from nmbench.report.text import number, seeds
from nmbench.results import experiment_rows
from nmbench.results.experiment_rows import ExperimentRows
from nmbench.results.ranking import RankingEntry, Table
from nmbench.results.significance import ALPHA


def enumerated(names: Iterable[str]) -> str:
    """`a`, `a and b`, or `a, b and c`, each name in code font."""
    *first, end = [f"`{name}`" for name in names]
    return f"{', '.join(first)} and {end}" if first else end


def solved(table: Table) -> str:
    """When a seed has solved the task; "" if the task has no threshold."""
    if table.threshold is None:
        return ""
    return f"Solved: `{table.metric}` {'at least' if table.higher_is_better else 'at most'} {number(table.threshold)}."


def scale(table: Table) -> str:
    """Which values of the metric score 0 and 100."""
    return f"Score: 0 at {number(table.floor)}, 100 at {number(table.ceiling)}."


def references(table: Table) -> str:
    """The references of a table, with their values; "" without references."""
    found = [f"{entry.label} {number(entry.median.value)}" for entry in table.references]
    return f"References: {', '.join(found)}." if found else ""


def other_data(table: Table) -> str:
    """A warning if models of a table were trained on different data; "" otherwise."""
    by_set: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for entry in table.models:
        hashes = json.loads(entry.config).get("training_sha256") if entry.config else None
        for name, sha256 in (hashes if isinstance(hashes, dict) else {}).items():
            by_set[name][str(sha256)].append(entry.label)
    found = [
        f"{name}: {' | '.join(', '.join(labels) for labels in sorted(each.values(), key=len, reverse=True))}"
        for name, each in by_set.items()
        if len(each) > 1
    ]
    return (
        f"Warning: training data, or the code that draws them, differ between models ({'; '.join(found)}). If the data "
        "changed, raise the task's version; processors that round differently also cause this."
        if found
        else ""
    )


def few_seeds(table: Table) -> list[str]:
    """Which models have too few seeds for a test, and whether any difference could be significant; [] for nothing to say."""
    notes = []
    if single := [entry.label for entry in table.models if entry.rank is None and not entry.external]:
        notes.append(f"No rank with one seed, which cannot be tested: {', '.join(single)}.")
    ranked = len(_ranked(table))
    if ranked > 1 and (table.least_p is None or table.least_p >= ALPHA):
        notes.append(
            f"With so few seeds of {ranked} models, even the largest difference is not significant: all models have rank 1. "
            "Train more seeds."
        )
    return notes


def letters_show_ties(table: Table) -> bool:
    """Whether a table needs the column `group` for its ties, because there are too many models for `order` to name them."""
    ranked = _ranked(table)
    return len(ranked) > 4 and any(entry.tied for entry in ranked)


def order(table: Table) -> str:
    """Which models are significantly ahead of which others, and which cannot be told apart; "" without models."""
    ranked = _ranked(table)
    if not ranked:
        return ""
    if len(ranked) == 1:
        has = "rows" if len(table.models) == 1 else "two seeds or more, so nothing is tested"
        return f"Only `{ranked[0].label}` has {has}."
    ties = sorted({letter for entry in ranked for letter in entry.group})
    groups = [[entry.label for entry in ranked if letter in entry.group] for letter in ties]
    in_order = all(
        entry.ahead_of == tuple(other.label for other in ranked[i + 1 :] if other.label not in entry.tied)
        for i, entry in enumerate(ranked)
    )
    sentences = []
    if in_order and len(ranked) > 4:
        if letters_show_ties(table):
            sentences.append("every model is ahead of all models below it that share no letter of `group` with it.")
            sentences.append("Models that share a letter cannot be told apart.")
        else:
            sentences.append("each is ahead of all below it in the table.")
    else:
        for ahead, members in itertools.groupby(ranked, lambda entry: entry.ahead_of):
            names = [entry.label for entry in members]
            if ahead:
                whom = "all others" if len(ahead) + len(names) == len(ranked) else enumerated(ahead)
                sentences.append(f"{enumerated(names)} {'is' if len(names) == 1 else 'are'} ahead of {whom}.")
        sentences += [f"{enumerated(equal)} cannot be told apart." for equal in groups if len(equal) > 1]
    numbers = sorted({len(entry.run_ids) for entry in ranked})
    count = seeds(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {seeds(numbers[-1])}"
    return f"With {count} of each model, {' '.join(sentences)}"


def below_half_of_reference(experiments: Sequence[ExperimentRows], task: Task, metric: str, reference: str) -> str:
    """In how many seeds each model's error is below half of a reference's. Lost seeds are not below it.

    Networks that imitate the reference come a few percent below its error, so the error itself would not separate them from
    networks that have learned more.

    Args:
      experiments: those of one table.
      task: the task of the table.
      metric: name of one of its errors (lower is better).
      reference: name of one of its references.
    """
    arrays = task.frozen("test").arrays
    error = task.evaluate(task.references[reference](arrays), arrays)["values"][metric]
    labels = experiment_rows.labels(experiments)
    counts = {}
    for one in experiments:
        values = one.sample.values if metric == one.metric else one.others[metric]
        below = (values < error / 2) & ~one.sample.lost
        counts[labels[one.model, one.config]] = (int(np.count_nonzero(below)), len(below))
    most_first = sorted(counts.items(), key=lambda item: (-item[1][0] / item[1][1], item[0]))
    return f"`{metric}` is below half of that of the reference ({reference}), {number(error)}, for {_counted(most_first)}."


def medians(table: Table, before: str, after: str) -> str:
    """The medians of two other metrics of every model, as a change from the first to the second."""
    parts = [
        f"from {number(entry.others[before])} to {number(entry.others[after])} for `{entry.label}`"
        for entry in _ranked(table)
        if before in entry.others and after in entry.others
    ]
    return f"From `{before}` to `{after}`, the median over seeds changes {', '.join(parts)}." if parts else ""


def _counted(counts: Iterable[tuple[str, tuple[int, int]]]) -> str:
    """`a` in 3 of 10 seeds, `b` and `c` in 0 of 10. Neighbours with equal counts share one."""
    parts = [
        f"{enumerated(name for name, _ in members)} in {count} of {of}{' seeds' * (i == 0)}"
        for i, ((count, of), members) in enumerate(itertools.groupby(counts, lambda item: item[1]))
    ]
    return ", ".join(parts)


def _ranked(table: Table) -> list[RankingEntry]:
    """The entries that the tests compare: neither references nor models trained elsewhere."""
    return [entry for entry in table.entries if entry.rank is not None]
