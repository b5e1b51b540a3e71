"""The page's figures of tables: seeds with intervals, score against learned parameters, ladders, and training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmbench.report import ladder_figures
from nmbench.report.axes import MARKERS, Style, use_log_scale
from nmbench.report.page.svg import GRID, INK, MUTED, series
from nmbench.report.text import number
from nmbench.results.ladders import Ladder
from nmbench.results.ranking import RankingEntry, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 330
WIDE = 400
ROW = 48
MOST_STRIPS = 30
# Colours repeat after eight models and markers after seven, so 56 models have different combinations.
COLOURS = 8
_LONGEST = 44


def style(index: int) -> Style:
    """Style of the model with this index."""
    return Style(series(index % COLOURS), MARKERS[index % len(MARKERS)])


def strips(table: Table, styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """One row for each of the first 30 entries: all seeds, and below them the median with its interval.

    Returns:
      The figure and its description.
    """
    shown = table.entries[:MOST_STRIPS]
    figure = _figure(ROW * len(shown) + 44)
    axis = figure.subplots()
    values = [v for e in shown for v in ([e.median.value] if e.sample is None else e.sample.values)]
    least = use_log_scale(axis, "x", values)
    at = lambda value: value if least is None else np.maximum(value, least)
    sentences = []
    for row, entry in enumerate(shown):
        y = -float(row)
        axis.axhline(y - 0.5, color=GRID, linewidth=0.7)
        zero = " = 0" if entry.reference and entry.median.value == 0 else ""
        axis.text(0, y + 0.42, cut(entry.label) + zero, transform=axis.get_yaxis_transform(), fontsize=12, va="top")
        if entry.sample is None:
            # A logarithmic axis has no 0. An arrow at its end points towards 0.
            off = least is not None and entry.median.value < least
            axis.plot(
                [at(entry.median.value)], [y - 0.2], "<" if off else "d", color=MUTED, markerfacecolor="none", markersize=7
            )
            sentences.append(f"{entry.label}, a reference: {number(entry.median.value)}")
            continue
        look = styles[entry.label]
        values, lost = at(entry.sample.values), entry.sample.lost
        jitter = y + 0.02 + 0.05 * (np.arange(len(values)) % 3 - 1)
        axis.plot(values[~lost], jitter[~lost], look.marker, color=look.colour, alpha=0.55, markersize=6, markeredgewidth=0)
        axis.plot(values[lost], jitter[lost], "x", color=look.colour, markersize=6, markeredgewidth=1.5)
        if entry.median.low is not None and entry.median.high is not None:
            axis.plot(at(np.array([entry.median.low, entry.median.high])), [y - 0.3] * 2, color=look.colour, linewidth=2.5)
        axis.plot([at(entry.median.value)], [y - 0.3], look.marker, color=look.colour, markersize=8, markeredgewidth=0)
        sentences.append(f"{entry.label}: {_description(entry)}")
    axis.set_ylim(-len(shown) + 0.45, 0.55)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    better = "higher" if table.higher_is_better else "lower"
    axis.set_xlabel(f"{table.metric} ({better} is better{', logarithmic' if least is not None else ''})")
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    return figure, ". ".join(sentences) + "."


def scores(tables: Sequence[Table], styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """Score with its interval against learned parameters. tables: tables of one task and protocol.

    Returns:
      The figure and its description.
    """
    figure = _figure(240)
    axis = figure.subplots()
    found = [(e, e.params) for t in tables for e in t.entries if not e.reference and e.params is not None]
    use_log_scale(axis, "x", [params for _, params in found], ratio=3)
    sentences = []
    for entry, params in found:
        look, score = styles[entry.label], entry.score
        if score.low is not None and score.high is not None:
            axis.plot([params] * 2, [score.low, score.high], color=look.colour, linewidth=1.8, alpha=0.75)
        axis.plot([params], [score.value], look.marker, color=look.colour, markersize=8, markeredgewidth=0)
        interval = "" if score.low is None else f" ({score.low:.1f} to {score.high:.1f})"
        sentences.append(f"{entry.label}: {params} parameters, score {score.value:.1f}{interval}")
    for budget in {table.budget for table in tables if table.budget is not None}:
        axis.axvline(budget, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    axis.margins(0.12)
    low, high = axis.get_ylim()
    if high - low < 4:  # do not magnify negligible differences
        axis.set_ylim((low + high) / 2 - 2, (low + high) / 2 + 2)
    if axis.get_xscale() == "linear":
        axis.locator_params(axis="x", nbins=5, integer=True)
    axis.set_xlabel("learned parameters; dashed: budget" if tables[0].budget else "learned parameters")
    axis.set_ylabel("score")
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    return figure, ". ".join(sentences) + "."


def ladder(of: Ladder, styles: Mapping[str, Style]) -> list[tuple[Figure, str]]:
    """Figures of score and of median metric against learned parameters, each with its description."""
    drawn = []
    for draw in (ladder_figures.draw_scores, ladder_figures.draw_medians):
        figure = _figure(280, WIDE)
        drawn.append((figure, draw(figure.subplots(), of, styles)))
    return drawn


def curves(found: Mapping[str, Sequence[np.ndarray]], styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """Validation loss during training.

    Args:
      found: label of an entry to one `[P, 3]` array per seed: step, training loss, validation loss.
      styles: label to style.

    Returns:
      The figure and its description.
    """
    figure = _figure(240)
    axis = figure.subplots()
    sentences, everything = [], []
    for label, lines in found.items():
        look = styles[label]
        for line in lines:
            step, loss = line[:, 0], line[:, 2]
            axis.plot(step, loss, color=look.colour, linewidth=1.1, alpha=0.6)
            everything.append(loss[np.isfinite(loss)])
        # Markers at the ends of the lines, because models must differ in more than colour.
        ends = np.array([line[-1, [0, 2]] for line in lines if np.isfinite(line[-1, 2])]).reshape(-1, 2)
        axis.plot(ends[:, 0], ends[:, 1], look.marker, color=look.colour, markersize=5, markeredgewidth=0, clip_on=False)
        lowest = [float(np.nanmin(line[:, 2])) for line in lines if np.isfinite(line[:, 2]).any()]
        if lowest:
            reached = f"lowest validation loss {number(min(lowest))}, of the worst seed {number(max(lowest))}"
            sentences.append(f"{label}: {len(lines)} seeds, {reached}")
    use_log_scale(axis, "y", np.concatenate([*everything, np.zeros(0)]).tolist(), ratio=10)
    axis.set_xlabel("training step")
    axis.set_ylabel("validation loss")
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    return figure, ". ".join(sentences) + "."


def cut(label: str) -> str:
    """The label, shortened to at most 44 characters."""
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _description(entry: RankingEntry) -> str:
    assert entry.sample is not None
    low, high = entry.median.low, entry.median.high
    interval = "" if low is None or high is None else f", 95% interval {number(low)} to {number(high)}"
    values = entry.sample.values
    lost = f", {entry.lost} lost" if entry.lost else ""
    seeds = f"{len(values)} seeds from {number(values.min())} to {number(values.max())}{lost}"
    return f"median {number(entry.median.value)}{interval}; {seeds}"


def _figure(height: int, width: int = WIDTH) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained", edgecolor=INK)
