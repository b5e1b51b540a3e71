"""The page's figures of tables: models by task, seeds, sizes, ladders, training curves, and errors by condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmbench.report import ladder_figures, overview
from nmbench.report.axes import use_log_scale
from nmbench.report.model_styles import Style
from nmbench.report.page.by_condition import Conditions
from nmbench.report.page.svg import GRID, INK, MUTED
from nmbench.report.text import cut, number, seeds
from nmbench.results.ladders import Ladder
from nmbench.results.ranking import RankingEntry, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 330
WIDE = 400
ROW = 48
MOST_STRIPS = 30
MOST_LINES = 60  # curves of seeds in one figure


def models(table: Table, styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """All models on one task, with ties (see `nmbench.report.overview.draw`): the figure and its description."""
    figure = _figure(21 * min(len(table.models), overview.MOST_LINES) + 48, WIDE)
    axis = figure.subplots()
    said = overview.draw(axis, table, styles, scores=True, ink=INK, muted=MUTED)
    return figure, said


def strips(table: Table, styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """One row for each of the first 30 lines: all seeds, and below them the median with its interval; references last.

    Returns:
      The figure and its description.
    """
    shown = [*table.models, *table.references][:MOST_STRIPS]
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


def scores(table: Table, styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """Score with its interval against learned parameters, for a table of models with given sizes.

    Returns:
      The figure and its description.
    """
    figure = _figure(240)
    axis = figure.subplots()
    found = [(e, e.params) for e in table.entries if e.params is not None]
    use_log_scale(axis, "x", [params for _, params in found], ratio=3)
    sentences = []
    for entry, params in found:
        look, score = styles[entry.label], entry.score
        if score.low is not None and score.high is not None:
            axis.plot([params] * 2, [score.low, score.high], color=look.colour, linewidth=1.8, alpha=0.75)
        axis.plot([params], [score.value], look.marker, color=look.colour, markersize=8, markeredgewidth=0)
        interval = "" if score.low is None else f" ({score.low:.1f} to {score.high:.1f})"
        sentences.append(f"{entry.label}: {params} parameters, score {score.value:.1f}{interval}")
    axis.margins(0.12)
    low, high = axis.get_ylim()
    if high - low < 4:  # do not magnify negligible differences
        axis.set_ylim((low + high) / 2 - 2, (low + high) / 2 + 2)
    if axis.get_xscale() == "linear":
        axis.locator_params(axis="x", nbins=5, integer=True)
    axis.set_xlabel("learned parameters")
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
    """Validation loss during training: the median of each model, and all seeds, or the quartiles if there are many seeds.

    Args:
      found: label of an entry to one `[P, 3]` array per seed: step, training loss, validation loss. At least one validation
        loss is finite.
      styles: label to style.

    Returns:
      The figure and its description.
    """
    figure = _figure(240)
    axis = figure.subplots()
    each = sum(map(len, found.values())) <= MOST_LINES
    sentences, everything, starts = [], [], []
    for label, lines in found.items():
        look = styles[label]
        steps, losses = _aligned(lines)
        some = np.isfinite(losses).any(axis=0)
        steps, losses = steps[some], losses[:, some]
        low, middle, high = np.nanquantile(losses, [0.25, 0.5, 0.75], axis=0)
        if each:
            axis.plot(steps, losses.T, color=look.colour, linestyle=look.dashes, linewidth=0.8, alpha=0.45)
        else:
            axis.fill_between(steps, low, high, color=look.colour, alpha=0.18, linewidth=0)
        drawn = losses if each else np.stack([low, high])
        everything += drawn[np.isfinite(drawn)].tolist()
        starts.append(middle[0])
        axis.plot(steps, middle, color=look.colour, linestyle=look.dashes, linewidth=1.8)
        # Models must differ in more than colour.
        axis.plot(steps[-1:], middle[-1:], look.marker, color=look.colour, markersize=7, markeredgewidth=0, clip_on=False)
        lowest = np.nanmin(losses, axis=1, initial=np.inf)
        lowest = lowest[np.isfinite(lowest)]
        reached = f"lowest validation loss {number(lowest.min())}, of the worst seed {number(lowest.max())}"
        sentences.append(f"{label}: {seeds(len(lines))}, {reached}")
    use_log_scale(axis, "y", everything)
    # One seed that leaves the range of the first losses must not squeeze all others.
    if axis.get_ylim()[1] > 3 * max(starts) > 0:
        axis.set_ylim(top=3 * max(starts))
    axis.set_xlabel("training step")
    axis.set_ylabel("validation loss")
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    return figure, ". ".join(sentences) + "."


def _aligned(lines: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All steps `[P]` of some curves, and their validation losses `[S, P]`, NaN where a curve has no point."""
    steps = np.unique(np.concatenate([line[:, 0] for line in lines]))
    losses = np.full((len(lines), len(steps)), np.nan)
    for row, line in zip(losses, lines, strict=True):
        row[np.searchsorted(steps, line[:, 0])] = line[:, 2]
    return steps, losses


def conditions(found: Conditions, styles: Mapping[str, Style]) -> tuple[Figure, str]:
    """Median of a metric over seeds for each condition of the test trials, a line per model.

    Returns:
      The figure and its description.
    """
    figure = _figure(240)
    axis = figure.subplots()
    numeric = all(isinstance(condition, float) for condition in found.names)
    x = np.array(found.names) if numeric else np.arange(len(found.names))
    values = [v for medians in found.medians.values() for v in medians if np.isfinite(v)]
    least = use_log_scale(axis, "y", values)
    sentences = []
    for i, (label, medians) in enumerate(found.medians.items()):
        look = styles[label]
        at = medians if least is None else np.maximum(medians, least)
        # Categories have no order, so no line joins them; models stand side by side.
        shift = 0 if numeric else 0.6 * ((i + 0.5) / len(found.medians) - 0.5)
        line = look.dashes if numeric else "none"
        axis.plot(
            x + shift,
            at,
            color=look.colour,
            linestyle=line,
            linewidth=1.3,
            marker=look.marker,
            markersize=4.5,
            markeredgewidth=0,
        )
        shown = "; ".join(
            f"{_name(name)} {number(v)}" for name, v in zip(found.names, medians, strict=True) if np.isfinite(v)
        )
        sentences.append(f"{label}: {shown}")
    if not numeric:
        axis.set_xticks(x, [cut(str(name), 14) for name in found.names], rotation=20, ha="right", rotation_mode="anchor")
    axis.set_xlabel(found.axis)
    better = "higher" if found.higher_is_better else "lower"
    axis.set_ylabel(f"{found.metric} ({better} is better)")
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    return figure, ". ".join(sentences) + "."


def _name(condition: float | str) -> str:
    return condition if isinstance(condition, str) else f"{condition:g}"


def _description(entry: RankingEntry) -> str:
    assert entry.sample is not None
    low, high = entry.median.low, entry.median.high
    kind = "95% interval" if entry.median.covers else "range"
    interval = "" if low is None or high is None else f", {kind} {number(low)} to {number(high)}"
    values = entry.sample.values
    lost = f", {entry.lost} lost" if entry.lost else ""
    spread = f"from {number(values.min())} to {number(values.max())}"
    return f"median {number(entry.median.value)}{interval}; {seeds(len(values))} {spread}{lost}"


def _figure(height: int, width: int = WIDTH) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained", edgecolor=INK)
