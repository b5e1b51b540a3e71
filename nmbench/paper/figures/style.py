"""The common style of the figures: one typeface, the colours of Okabe and Ito, thin lines for seeds, bold for medians."""

from __future__ import annotations

import colorsys
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.report import model_styles, pictures
from nmbench.report.captions import Caption
from nmbench.report.trials import COLOURS
from nmbench.results import statistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nmbench.paper.runs import FinishedRun
    from nmbench.report.model_styles import Style

DPI = 200
INK, MUTED, GUIDE, BAND = "#222222", "#777777", "#c0392b", "#00b7c7"
THIN, BOLD = 0.7, 2.2
# Trained intervals purple, shorter ones orange, longer ones blue. They also differ in lightness.
TRAINED, SHORTER, LONGER = "#4b1d6b", "#d55e00", "#3aa0dd"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nmbench",
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def panels(rows: int, columns: int, width: float = 1.9, height: float = 1.35, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure and its axes `[rows, columns]`; `width` and `height` of a panel are in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns + 0.8, height * rows + 0.8), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def model(name: str) -> Style:
    """Colour and marker of a model, the same in all figures."""
    return model_styles.styles({name: name})[name]


def word(colour: str) -> str:
    """The English word for a colour such as "#d55e00", for captions."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, _, saturation = colorsys.rgb_to_hls(red, green, blue)
    if saturation < 0.1:
        return "grey"
    limits = {15: "red", 45: "orange", 70: "yellow", 165: "green", 195: "cyan", 255: "blue", 300: "purple", 345: "pink"}
    return next((name for limit, name in limits.items() if 360 * hue < limit), "red")


def colour(number: int) -> str:
    """The colour of the series with this number; colours repeat."""
    return COLOURS[number % len(COLOURS)]


def legend(figure: Figure, entries: Mapping[str, Any]) -> None:
    """Add a legend below the panels. entries: from a label to a colour, or to the keyword arguments of a line."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], **({"color": c, "linewidth": BOLD} if isinstance(c, str) else c)) for c in entries.values()]
    figure.legend(lines, list(entries), loc="outside lower center", ncols=min(len(entries), 5))


def seed_names(runs: Sequence[FinishedRun]) -> list[str]:
    """A title for the network of each run."""
    return [f"seed {run.row['seed']}" for run in runs]


def name_panels(axes: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Set titles over the columns, names to the left of the rows, and steps under the last row."""
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title)
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(label)
    for axis in axes[-1]:
        axis.set_xlabel("step")


def width(number: int, first: float = 3.2) -> float:
    """Line width of the series with this number: thinner than the one before, so that equal lines do not hide each other."""
    return max(0.6, first * (1 - 0.25 * number))


def seeds_and_median(
    axis: Any, x: np.ndarray, curves: np.ndarray, colour: str, marker: str = "", bold: float = BOLD
) -> None:
    """Plot curves `[seeds, X]` thin, and their median over seeds bold, with a marker at its end. It ignores NaN."""
    for curve in curves:
        axis.plot(x, curve, color=colour, linewidth=THIN, alpha=0.45)
    middle = _median(curves)
    last = np.flatnonzero(np.isfinite(middle))[-1:]
    axis.plot(x, middle, color=colour, linewidth=bold, marker=marker, markevery=last.tolist(), markersize=6)


def strip(
    axis: Any,
    position: float,
    values: np.ndarray,
    look: Style,
    *,
    lost: np.ndarray,
    width: float = 0.28,
    hollow: bool = False,
) -> None:
    """Plot the values of seeds as points around a position, their median as a bar, and its 95% interval as a shaded box.

    With fewer than six seeds, no interval covers 95%, and there is no box. lost: `[seeds]` booleans; these are crosses.
    """
    offsets = 0.75 * width * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.zeros(1)
    points = {"markersize": 3.5, "markeredgecolor": look.colour, "markerfacecolor": "none" if hollow else look.colour}
    for marker, chosen in ((look.marker, ~lost), ("x", lost)):
        axis.plot((position + offsets)[chosen], values[chosen], marker, alpha=0.75, zorder=2, **points)
    middle, ends = statistics.median(values), [position - width, position + width]
    axis.plot(ends, [middle.value] * 2, color=look.colour, linewidth=BOLD, zorder=3)
    if middle.covers and middle.low is not None:
        axis.fill_between(ends, middle.low, middle.high, color=look.colour, alpha=0.2, linewidth=0, zorder=1)


def name_models(axis: Any, counts: Mapping[str, int]) -> None:
    """Name models, at the positions 0, 1, ..., with their numbers of seeds."""
    axis.set_xticks(range(len(counts)), [f"{name}\nn = {count}" for name, count in counts.items()])
    axis.set_xlim(-0.6, len(counts) - 0.4)


def logarithmic(axis: Any) -> None:
    """Make the y axis logarithmic, with plain numbers at the powers of ten."""
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def save(
    figure: Figure, folder: pathlib.Path, caption: Caption, formats: Sequence[str] = pictures.FORMATS
) -> list[pathlib.Path]:
    """Write NAME.png and so on, see `pictures.write`; raises `NmbenchError` if a file cannot be written."""
    written = []
    for kind in formats:
        written.append(folder / f"{caption.name}.{kind}")
        pictures.write(written[-1], figure, caption, DPI)
    return written


def _median(curves: np.ndarray) -> np.ndarray:
    """Median over the seeds that are not NaN; NaN where all seeds are NaN."""
    any_seed = np.isfinite(curves).any(axis=0)
    median = np.full(curves.shape[1], np.nan)
    median[any_seed] = np.nanmedian(curves[:, any_seed], axis=0)
    return median
