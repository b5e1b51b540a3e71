"""Models by task: the table that stands for each task, and a panel of it for the page and for the picture of the README."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.metrics import scores as to_scores
from nmbench.report.axes import use_log_scale
from nmbench.report.text import cut, number, one_decimal

if TYPE_CHECKING:
    from nmbench.report.model_styles import Style
    from nmbench.results.ranking import RankingEntry, Table

MOST_LINES = 30
_MUTED = "#4f5965"
_LETTER = 8.0  # points from one column of letters to the next


def main_tables(tables: Sequence[Table]) -> list[Table]:
    """One table for each task, in the order of the tasks: that of the task's first protocol at its default budget.

    If there is none, a table with departures from the protocol, at another budget or of another protocol stands for the
    task, in this order of preference; of equal tables the one with more models.
    """
    best: dict[str, Table] = {}
    for table in tables:
        if table.task not in best or _preference(table) > _preference(best[table.task]):
            best[table.task] = table
    return list(best.values())


def _preference(table: Table) -> tuple[bool, bool, bool, int]:
    protocol, _, departures = table.protocol.partition(" (")
    task = TASKS.get(table.task) if table.task in TASKS else None
    first = task is not None and protocol == task.protocols[0].name
    default = task is not None and table.budget == task.default_budget
    return first, default, not departures, len(competitors(table))


def competitors(table: Table) -> list[RankingEntry]:
    return [entry for entry in table.entries if not entry.reference]


def yardsticks(table: Table) -> list[RankingEntry]:
    return [entry for entry in table.entries if entry.reference]


def dashed(table: Table) -> list[RankingEntry]:
    """The references that a panel of scores shows: not those near the ends of the axis, such as the perfect answer."""
    return [entry for entry in yardsticks(table) if 2 <= entry.score.value <= 98]


def draw(axis: Any, table: Table, styles: Mapping[str, Style], *, scores: bool, ink: str, muted: str = _MUTED) -> str:
    """Draw one line per model: every seed as a dot, the median with its interval, and the letters of its group.

    A thin line joins the letters of models that cannot be told apart. Dashed lines are references.

    Args:
      axis: axes of matplotlib, in a figure of its own or with others.
      table: one table of a task; only the first 30 models are drawn.
      styles: label to style.
      scores: draw scores from 0 to 100, with their numbers, instead of the primary metric.
      ink, muted: colours of the numbers and of the letters.

    Returns:
      A description of the panel.
    """
    entries = competitors(table)[:MOST_LINES]
    of = lambda entry: entry.score if scores else entry.median
    seeds = [_score(table, entry.sample.values) if scores else entry.sample.values for entry in entries]
    everything = [float(value) for values in seeds for value in values]
    least = use_log_scale(axis, "x", everything) if table.logarithmic and not scores else None
    at = lambda value: value if least is None else np.maximum(value, least)
    for line, (entry, values) in enumerate(zip(entries, seeds, strict=True)):
        look, estimate = styles[entry.label], of(entry)
        axis.plot(at(values), [line] * len(values), ".", color=look.colour, alpha=0.4, markersize=5, markeredgewidth=0)
        if estimate.low is not None:
            axis.plot(at(np.array([estimate.low, estimate.high])), [line] * 2, color=look.colour, linewidth=2)
        axis.plot([at(estimate.value)], [line], look.marker, color=look.colour, markersize=6.5, markeredgewidth=0)
        if scores:
            _beside(axis, line, 32, one_decimal(estimate.value), ink, "right")
    low, high = at(min(everything)) / 3, at(max(everything)) * 3
    near = [e for e in yardsticks(table) if low <= e.median.value <= high and e.median.value != table.ceiling]
    for entry in dashed(table) if scores else near:
        axis.axvline(of(entry).value, color=muted, alpha=0.7, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    _groups(axis, [entry.group for entry in entries], 38 if scores else 5, muted)
    axis.set_yticks(range(len(entries)), [cut(entry.label, 24) for entry in entries])
    axis.set_ylim(len(entries) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    if scores:
        axis.set_xlim(-3, 103)
    return ". ".join(_sentence(entry) for entry in entries) + "."


def _sentence(entry: RankingEntry) -> str:
    score = entry.score
    interval = "" if score.low is None or score.high is None else f" ({score.low:.1f} to {score.high:.1f})"
    tied = f", cannot be told apart from {' and '.join(entry.tied)}" if entry.tied else ""
    rank = "no rank" if entry.rank is None else f"rank {entry.rank}"
    return f"{entry.label}: {rank}, score {score.value:.1f}{interval}, median {number(entry.median.value)}{tied}"


def _score(table: Table, values: np.ndarray) -> np.ndarray:
    return np.asarray(to_scores(values, table.floor, table.ceiling), float)


def _groups(axis: Any, groups: Sequence[str], start: float, colour: str) -> None:
    """Letters to the right of the lines, a column for each letter, joined by a thin line if several models share it."""
    from matplotlib.transforms import ScaledTranslation

    for column, letter in enumerate(
        sorted({letter for group in groups for letter in group}, key=lambda c: (c.isupper(), c))
    ):
        lines = [line for line, group in enumerate(groups) if letter in group]
        points = start + _LETTER * column
        if len(lines) > 1:
            shift = ScaledTranslation((points + _LETTER / 2 - 1) / 72, 0, axis.figure.dpi_scale_trans)
            beside = axis.get_yaxis_transform() + shift
            for one, next_one in itertools.pairwise(lines):
                ends = [one + 0.36, next_one - 0.36]
                axis.plot([1, 1], ends, color=colour, linewidth=0.9, transform=beside, clip_on=False)
        for line in lines:
            _beside(axis, line, points, letter, colour)


def _beside(axis: Any, line: int, points: float, text: str, colour: str, side: str = "left") -> None:
    where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center_baseline", "ha": side}
    axis.annotate(text, (1, line), (points, 0), fontsize=9 if side == "left" else 10, color=colour, **where)
