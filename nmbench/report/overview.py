"""Models by task: the table that stands for each task, and a panel of it for the page and for the picture of the README."""

from __future__ import annotations

import itertools
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.report.axes import use_log_scale
from nmbench.report.text import cut, number, one_decimal, size_name
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.report.model_styles import Style
    from nmbench.results.ranking import RankingEntry, Table

MOST_LINES = 30
MOST_COLUMNS = 3  # of panels in a picture
_MUTED = "#4f5965"
_LETTER = 8.0  # points from one column of letters to the next


def main_tables(tables: Sequence[Table]) -> list[Table]:
    """One table for each task, in the order of the tasks: that of the task's first protocol at its default budget.

    If there is none, or it has only one model, which compares nothing, a table with departures from the protocol, at another
    budget or of another protocol stands for the task, in this order of preference; of equal tables the one with more models.
    """
    best: dict[str, Table] = {}
    for table in tables:
        if table.task not in best or _preference(table) > _preference(best[table.task]):
            best[table.task] = table
    return list(best.values())


def _preference(table: Table) -> tuple[bool, bool, bool, bool, int]:
    protocol, _, departures = table.protocol.partition(" (")
    task = TASKS.get(table.task) if table.task in TASKS else None
    first = task is not None and protocol == task.protocols[0].name
    default = task is not None and table.budget == task.default_budget
    models = len(table.models)
    return models > 1, first, default, not departures, models


def write_picture(path: pathlib.Path, tables: Sequence[Table]) -> None:
    """Write a picture with a panel for each table; see `draw`.

    Args:
      path: ends in .png, .svg or .pdf; see `nmbench.report.pictures.check`.
      tables: tables with models, in the order of the panels.

    Raises:
      NmbenchError: there is no table, there are too many models, or the picture cannot be written.
    """
    from matplotlib.figure import Figure

    from nmbench.report import pictures

    if not tables:
        raise NmbenchError("--plot: there is no model to draw")
    models = {entry.label: entry.model for table in tables for entry in table.models}
    styles = pictures.styles(models, "plot")
    rows = -(-len(tables) // MOST_COLUMNS)
    columns = -(-len(tables) // rows)  # two rows of two rather than three and one
    # Inches of each row of panels, for the panel with most models.
    most = [max(min(len(t.models), MOST_LINES) for t in tables[i : i + columns]) for i in range(0, len(tables), columns)]
    heights = [1.1 + 0.27 * n for n in most]
    with pictures.look():
        figure = Figure(figsize=(3.6 * columns, sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=most).ravel()
        for axis in axes[len(tables) :]:
            axis.set_axis_off()
        for axis, table in zip(axes, tables, strict=False):
            draw(axis, table, styles, ink="black")
            axis.tick_params(labelsize=8)
            axis.tick_params(axis="y", labelsize=9)
            axis.xaxis.label.set_fontsize(8)
            title = _title(table)
            size = 10 if title == table.task else 7.5
            axis.set_title(textwrap.fill(title, 48), fontsize=size, loc="left", fontweight="bold")
        pictures.write(path, figure)


def _title(table: Table) -> str:
    """The task, and what is not the default of the table: protocol, departures from it, and budget."""
    protocol, _, departures = table.protocol.partition(" (")
    task = TASKS.get(table.task) if table.task in TASKS else None
    parts = [table.task]
    parts += [] if task is not None and protocol == task.protocols[0].name else [protocol]
    parts += [] if task is not None and table.budget == task.default_budget else [size_name(table.budget)]
    return ", ".join(parts) + (f" ({departures}" if departures else "")


def dashed(table: Table) -> list[RankingEntry]:
    """The references that a panel shows: those in or near the range of the seeds, without the perfect answer."""
    values = [float(value) for entry in table.models[:MOST_LINES] for value in _values(entry)]
    low, high = min(values) / 3, max(values) * 3
    return [e for e in table.references if low <= e.median.value <= high and e.median.value != table.ceiling]


def draw(
    axis: Any, table: Table, styles: Mapping[str, Style], *, ink: str, muted: str = _MUTED, scores: bool = False
) -> str:
    """Draw one line per model: every seed as a dot, the median with its interval, and the letters of its group.

    The axis shows the primary metric, with better values on the right. It is logarithmic for errors that differ by more than
    a factor of 10, because scores would all be close to 100. Otherwise it reaches from chance to the perfect answer. A thin
    line joins the letters of models that cannot be told apart. Dashed lines are references.

    Args:
      axis: axes of matplotlib, in a figure of its own or with others.
      table: one table of a task; only the first 30 models are drawn.
      styles: label to style.
      ink, muted: colours of the numbers and of the letters.
      scores: write the score of each median beside its line.

    Returns:
      A description of the panel.
    """
    entries = table.models[:MOST_LINES]
    everything = [float(value) for entry in entries for value in _values(entry)]
    least = use_log_scale(axis, "x", everything) if table.logarithmic else None
    at = lambda value: value if least is None else np.maximum(value, least)
    for line, entry in enumerate(entries):
        look, estimate, values = styles[entry.label], entry.median, _values(entry)
        axis.plot(at(values), [line] * len(values), ".", color=look.colour, alpha=0.4, markersize=5, markeredgewidth=0)
        if estimate.low is not None:
            axis.plot(at(np.array([estimate.low, estimate.high])), [line] * 2, color=look.colour, linewidth=2)
        axis.plot([at(estimate.value)], [line], look.marker, color=look.colour, markersize=6.5, markeredgewidth=0)
        if scores:
            _beside(axis, line, 32, one_decimal(entry.score.value), ink, "right")
    if scores:
        _beside(axis, -0.85, 32, "score", muted, "right")
    for entry in dashed(table):
        axis.axvline(entry.median.value, color=muted, alpha=0.7, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    _groups(axis, [entry.group for entry in entries], 38 if scores else 5, muted)
    axis.set_yticks(range(len(entries)), [cut(entry.label, 24) for entry in entries])
    axis.set_ylim(len(entries) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    axis.set_xlabel(f"{table.metric}{'' if least is None else ', logarithmic'} (better \N{RIGHTWARDS ARROW})")
    if least is None:
        ends = (*everything, table.floor, table.ceiling)
        margin = 0.03 * (max(ends) - min(ends))
        axis.set_xlim(min(ends) - margin, max(ends) + margin)
    if not table.higher_is_better:
        axis.invert_xaxis()
    return ". ".join(_sentence(entry) for entry in entries) + "."


def _values(entry: RankingEntry) -> np.ndarray:
    assert entry.sample is not None
    return entry.sample.values


def _sentence(entry: RankingEntry) -> str:
    score = entry.score
    interval = "" if score.low is None or score.high is None else f" ({score.low:.1f} to {score.high:.1f})"
    tied = f", cannot be told apart from {' and '.join(entry.tied)}" if entry.tied else ""
    rank = "no rank" if entry.rank is None else f"rank {entry.rank}"
    return f"{entry.label}: {rank}, score {score.value:.1f}{interval}, median {number(entry.median.value)}{tied}"


def _groups(axis: Any, groups: Sequence[str], start: float, colour: str) -> None:
    """Letters to the right of the lines, joined by a thin line if several models share it.

    A letter stands in the first column whose letters have ended above it.
    """
    from matplotlib.transforms import ScaledTranslation

    ends: list[int] = []  # the last line of each column
    for letter in sorted({letter for group in groups for letter in group}, key=lambda c: (c.isupper(), c)):
        lines = [line for line, group in enumerate(groups) if letter in group]
        column = next((i for i, end in enumerate(ends) if end < lines[0]), len(ends))
        ends[column : column + 1] = [lines[-1]]
        points = start + _LETTER * column
        if len(lines) > 1:
            shift = ScaledTranslation((points + _LETTER / 2 - 1) / 72, 0, axis.figure.dpi_scale_trans)
            beside = axis.get_yaxis_transform() + shift
            for one, next_one in itertools.pairwise(lines):
                axis.plot(
                    [1, 1], [one + 0.36, next_one - 0.36], color=colour, linewidth=0.9, transform=beside, clip_on=False
                )
        for line in lines:
            _beside(axis, line, points, letter, colour)


def _beside(axis: Any, line: float, points: float, text: str, colour: str, side: str = "left") -> None:
    where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center_baseline", "ha": side}
    axis.annotate(text, (1, line), (points, 0), fontsize=9 if side == "left" else 10, color=colour, **where)
