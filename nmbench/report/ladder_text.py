"""Ladders as text: a line per model, a column per budget, and the budget that first reaches the threshold."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from nmbench.report.text import Block, interval, number
from nmbench.results.ladders import Curve, Ladder, Point

_WIDTH = 118


def section(ladder: Ladder, wide: bool) -> tuple[str, list[Block], list[str]]:
    """Title, tables and notes. wide: also intervals and parameter counts."""
    first = ladder.tables[0]
    better = "higher" if first.higher_is_better else "lower"
    title = (
        f"{ladder.task} v{first.task_version}, protocol {ladder.protocol}, budgets {', '.join(map(str, ladder.budgets))}: "
        f"{first.metric} ({better} is better)"
    )
    kinds: list[tuple[str, Callable[[Point], str]]] = [
        ("Mean score by budget", _score),
        (f"Median {first.metric} by budget", lambda point: number(point.entry.median.value)),
    ]
    if wide:
        kinds += [
            ("95% interval of the score", _score_interval),
            (f"95% interval of the median {first.metric}", lambda point: interval(point.entry.median)),
            ("Learned parameters", lambda point: str(point.entry.params)),
        ]
    blocks = []
    for i, (name, show) in enumerate(kinds):
        columns = ["model", *map(str, ladder.budgets)]
        lines = [[curve.label, *(_cell(curve, budget, show) for budget in ladder.budgets)] for curve in ladder.curves]
        if i == 0 and ladder.threshold is not None:
            columns.append("reached at")
            lines = [[*line, reached_at(curve, ladder)] for line, curve in zip(lines, ladder.curves, strict=True)]
        blocks.append(Block(name, columns, lines))
    return title, blocks, [line for note in notes(ladder) for line in textwrap.wrap(note, _WIDTH)]


def _cell(curve: Curve, budget: int, show: Callable[[Point], str]) -> str:
    point = curve.at(budget)
    return "" if point is None else show(point)


def _score(point: Point) -> str:
    entry = point.entry
    solved = "" if entry.solved is None else f" ({entry.solved}/{len(entry.run_ids)})"
    return f"{'*' if point.reached else ''}{entry.score.value:.1f}{solved}"


def _score_interval(point: Point) -> str:
    score = point.entry.score
    return "" if score.low is None or score.high is None else f"{score.low:.1f} .. {score.high:.1f}"


def reached_at(curve: Curve, ladder: Ladder) -> str:
    """The budget that first reaches the threshold, and in brackets what is to be known about it; "none" without one.

    "<= 250" where that is the ladder's smallest.
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
    """What the tables mean, and what a reader must know of these models."""
    first = ladder.tables[0]
    said = []
    if ladder.threshold is None:
        said.append(f"{ladder.task} has no threshold to be reached, or is not the task that judged these rows.")
    else:
        sign = ">=" if first.higher_is_better else "<="
        said.append(
            f"*: the median over seeds has {first.metric} {sign} {number(ladder.threshold)}. reached at: the smallest "
            "budget run where it has; larger ones where it has not are named; <= stands before the ladder's smallest. k/n: "
            "seeds that reach it, of all."
        )
    said += [f"{c.label} was not trained alike at all budgets: {c.changed}." for c in ladder.curves if c.changed]
    if ladder.left_out:
        said.append(
            f"Not here, for nothing in their names says which configurations belong together: {', '.join(ladder.left_out)}."
        )
    return said
