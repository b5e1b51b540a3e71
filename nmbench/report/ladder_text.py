"""Ladders as tables: a line per model, a column per budget, and the first budget at which a model reaches the threshold."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from nmbench.report.tables import Section, TextTable
from nmbench.report.text import column_number, direction, interval, number, one_decimal
from nmbench.results.ladders import Curve, Ladder, Point

_WIDTH = 118


def section(ladder: Ladder, wide: bool) -> Section:
    """Tables of a ladder. wide: whether to add intervals and parameter counts."""
    first = ladder.tables[0]
    title = (
        f"{ladder.task} v{first.task_version}, protocol {ladder.protocol}, budgets {', '.join(map(str, ladder.budgets))}: "
        f"{first.metric} ({direction(first.higher_is_better)})"
    )
    estimates = [point.entry.median for curve in ladder.curves for point in curve.points]
    median_text = column_number(value for one in estimates for value in (one.value, one.low, one.high))
    kinds: list[tuple[str, Callable[[Point], str]]] = [
        ("Score by budget", score),
        (f"Median {first.metric} by budget", lambda point: median_text(point.entry.median.value)),
    ]
    if wide:
        kinds += [
            ("95% interval of the score", lambda point: interval(point.entry.score, one_decimal)),
            (f"95% interval of the median {first.metric}", lambda point: interval(point.entry.median, median_text)),
            ("Learned parameters", lambda point: str(point.entry.params)),
        ]
    tables = []
    for i, (name, show) in enumerate(kinds):
        headers = ["model", *map(str, ladder.budgets)]
        rows = [[curve.label, *(_cell(curve, budget, show) for budget in ladder.budgets)] for curve in ladder.curves]
        if i == 0 and ladder.threshold is not None:
            headers.append("reached at")
            rows = [[*row, reached_at(curve, ladder)] for row, curve in zip(rows, ladder.curves, strict=True)]
        tables.append(TextTable(headers, rows, name))
    lines = [line for note in notes(ladder) for line in textwrap.wrap(note, _WIDTH)]
    return Section(title, tables, lines, f"{ladder.task}-{ladder.protocol}-ladder")


def _cell(curve: Curve, budget: int, show: Callable[[Point], str]) -> str:
    point = curve.at(budget)
    return "" if point is None else show(point)


def score(point: Point) -> str:
    """The score, with a star if the median reaches the threshold, and the number of seeds that reach it."""
    entry = point.entry
    solved = "" if entry.solved is None else f" ({entry.solved}/{len(entry.run_ids)})"
    return f"{'*' if point.reached else ''}{one_decimal(entry.score.value)}{solved}"


def reached_at(curve: Curve, ladder: Ladder) -> str:
    """The smallest budget at which the model reaches the threshold, or "none", with remarks in brackets.

    The ladder's smallest budget is written as "<= 250". The remarks name larger budgets at which the model misses the
    threshold, and smaller budgets at which it was not trained.
    """
    remarks = []
    if curve.fell_back:
        remarks.append(f"not at {', '.join(map(str, curve.fell_back))}")
    if curve.not_run:
        remarks.append(f"{', '.join(map(str, curve.not_run))} not run")
    at_most = "<= " if curve.first == ladder.budgets[0] else ""
    text = "none" if curve.first is None else f"{at_most}{curve.first}"
    return f"{text} ({'; '.join(remarks)})" if remarks else text


def notes(ladder: Ladder) -> list[str]:
    """Explanation of the tables, and warnings about individual models."""
    first = ladder.tables[0]
    if ladder.threshold is None:
        found = [f"{ladder.task} has no threshold, or the version of these rows is not installed."]
    else:
        sign = ">=" if first.higher_is_better else "<="
        found = [
            f"*: the median {first.metric} over seeds is {sign} {number(ladder.threshold)}, the threshold. reached at: the "
            "smallest budget with a star, with <= if it is the ladder's smallest; in brackets, larger budgets that miss the "
            "threshold and smaller budgets that were not run. k/n: k of n seeds reach the threshold."
        ]
    found += [f"{c.label} was not trained in the same way at all budgets: {c.changed}." for c in ladder.curves if c.changed]
    if ladder.left_out:
        found.append(
            f"Left out, because their names do not identify a configuration across budgets: {', '.join(ladder.left_out)}."
        )
    return found
