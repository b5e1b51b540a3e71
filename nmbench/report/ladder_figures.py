"""Figures of a ladder: score and median metric against learned parameters, one line per model.

Axes and grid have the colours of matplotlib's settings `axes.edgecolor` and `grid.color`, which differ between the page and
a picture.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nmbench.report import pictures
from nmbench.report.axes import use_log_scale
from nmbench.report.ladder_text import reached_at
from nmbench.report.model_styles import Style
from nmbench.report.pictures import MOST_MODELS
from nmbench.report.text import number
from nmbench.results.ladders import Ladder, Point
from nmbench.results.statistics import Estimate


def draw_scores(axis: Any, ladder: Ladder, styles: Mapping[str, Style]) -> str:
    """Draw scores with intervals, and a ring where a model first reaches the threshold. Returns a description."""
    _draw(axis, ladder, styles, lambda point: point.entry.score, None)
    low, high = axis.get_ylim()
    if high - low < 4:  # do not magnify negligible differences
        axis.set_ylim((low + high) / 2 - 2, (low + high) / 2 + 2)
    axis.set_ylabel("score")
    return _description(ladder, "score", lambda point: point.entry.score, lambda value: f"{value:.1f}")


def draw_medians(axis: Any, ladder: Ladder, styles: Mapping[str, Style]) -> str:
    """Draw medians of the metric with intervals, and the threshold as a dashed line. Returns a description."""
    first = ladder.tables[0]
    estimates = [point.entry.median for curve in ladder.curves[:MOST_MODELS] for point in curve.points]
    values = [v for e in estimates for v in (e.value, e.low, e.high) if v is not None]
    values += [] if ladder.threshold is None else [ladder.threshold]
    least = use_log_scale(axis, "y", values)
    _draw(axis, ladder, styles, lambda point: point.entry.median, least)
    if ladder.threshold is not None:
        import matplotlib

        axis.axhline(ladder.threshold, color=matplotlib.rcParams["axes.edgecolor"], linewidth=1.2, linestyle=(0, (5, 3)))
    better = "higher" if first.higher_is_better else "lower"
    axis.set_ylabel(f"median {first.metric} ({better} is better)")
    said = _description(ladder, f"median {first.metric}", lambda point: point.entry.median, number)
    return said if ladder.threshold is None else f"Threshold: {number(ladder.threshold)}. {said}"


def _draw(
    axis: Any, ladder: Ladder, styles: Mapping[str, Style], pick: Callable[[Point], Estimate], least: float | None
) -> None:
    """Draw lines, intervals, rings and budgets. least: lower limit of drawn values on a logarithmic axis; None for none."""
    import matplotlib
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    at = lambda value: value if least is None else max(value, least)
    axis.set_xscale("log")
    for curve in ladder.curves[:MOST_MODELS]:
        look = styles[curve.label]
        found = [(point, point.entry.params) for point in curve.points if point.entry.params is not None]
        x = [params for _, params in found]
        axis.plot(
            x,
            [at(pick(point).value) for point, _ in found],
            color=look.colour,
            linestyle=look.dashes,
            linewidth=1.6,
            zorder=2,
        )
        for point, params in found:
            of = pick(point)
            if of.low is not None and of.high is not None:
                axis.plot([params] * 2, [at(of.low), at(of.high)], color=look.colour, linewidth=1.2, alpha=0.6, zorder=1)
            axis.plot([params], [at(of.value)], look.marker, color=look.colour, markersize=7, markeredgewidth=0, zorder=3)
            if point.budget == curve.first:
                ring = {"markerfacecolor": "none", "markeredgecolor": look.colour, "markeredgewidth": 1.6, "markersize": 14}
                axis.plot([params], [at(of.value)], "o", zorder=4, **ring)
    for budget in ladder.budgets:
        axis.axvline(budget, color=matplotlib.rcParams["axes.edgecolor"], linewidth=0.8, linestyle=(0, (1, 3)), zorder=0)
    axis.xaxis.set_major_locator(FixedLocator(_spread(ladder.budgets)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value < 1e6 else f"{value:.0e}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(0.08)
    axis.set_xlabel("learned parameters (logarithmic); dotted: budgets")
    axis.grid(axis="y")
    axis.set_axisbelow(True)


def _spread(budgets: Sequence[int]) -> list[int]:
    """Budgets whose labels fit on a logarithmic axis: the smallest, then each that is far enough from the previous one."""
    span = math.log(budgets[-1] / budgets[0])
    kept = [budgets[0]]
    for budget in budgets[1:]:
        if math.log(budget / kept[-1]) > span / 9:
            kept.append(budget)
    return kept


def _description(ladder: Ladder, what: str, pick: Callable[[Point], Estimate], form: Callable[[float], str]) -> str:
    sentences = []
    for curve in ladder.curves[:MOST_MODELS]:
        points = []
        for point in curve.points:
            of = pick(point)
            interval = "" if of.low is None or of.high is None else f" ({form(of.low)} to {form(of.high)})"
            points.append(f"{form(of.value)}{interval} at {point.entry.params} parameters")
        reached = "" if ladder.threshold is None else f"; threshold reached at budget: {reached_at(curve, ladder)}"
        sentences.append(f"{curve.label}: {what} {', '.join(points)}{reached}")
    return ". ".join(sentences) + "."


def write_picture(path: pathlib.Path, ladders: Sequence[Ladder]) -> None:
    """Draw all ladders into one picture, with one row per ladder: scores on the left, medians on the right.

    Args:
      path: ends in .png, .svg or .pdf; see `nmbench.report.pictures.check`.
      ladders: one or more.

    Raises:
      NmbenchError: more than 56 models, or the picture cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    models = {curve.label: curve.points[0].entry.model for ladder in ladders for curve in ladder.curves}
    styles = pictures.styles(models, "plot")
    with pictures.look():
        figure = Figure(figsize=(10, 4.2 * len(ladders) + 0.6), layout="constrained")
        axes = figure.subplots(len(ladders), 2, squeeze=False)
        for (left, right), ladder in zip(axes, ladders, strict=True):
            draw_scores(left, ladder, styles)
            draw_medians(right, ladder, styles)
            reached = "" if ladder.threshold is None else f"; dashed: threshold, {number(ladder.threshold)}"
            left.set_title(f"{ladder.task}, protocol {ladder.protocol}", fontsize=10, loc="left")
            right.set_title(f"ring: first reaches the threshold{reached}" if reached else "", fontsize=9, loc="left")
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dashes, markersize=7, label=label)
            for label, look in styles.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(models)), frameon=False, handlelength=3)
        pictures.write(path, figure)
