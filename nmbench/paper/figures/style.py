"""The common style of the figures: one typeface, the colours of Okabe and Ito, thin lines for seeds, bold for medians."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.report import model_styles
from nmbench.report.model_styles import Style
from nmbench.report.trials import COLOURS
from nmbench.support import files
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nmbench.paper.runs import FinishedRun, Found

FORMATS, DPI = ("png", "svg"), 200
INK, MUTED, GUIDE, BAND = "#222222", "#777777", "#c0392b", "#00b7c7"
THIN, BOLD = 0.7, 2.2
# Trained intervals purple, shorter ones red, longer ones blue, as published. They also differ in lightness.
TRAINED, SHORTER, LONGER = "#4b1d6b", "#d55e00", "#3aa0dd"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nmbench",
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


def colour(number: int) -> str:
    """The colour of the series with this number; colours repeat. For models, use `by_model`."""
    return COLOURS[number % len(COLOURS)]


def by_model(found: Found) -> list[tuple[Style, Sequence[FinishedRun]]]:
    """The style of each model with its runs, in the order of `found`."""
    looks = model_styles.styles({need.model: need.model for need in found})
    return [(looks[need.model], runs) for need, runs in found.items()]


def legend(figure: Figure, entries: Mapping[str, Any]) -> None:
    """Add a legend below the panels. entries: from a label to a colour, or to the keyword arguments of a line."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], **({"color": c, "linewidth": BOLD} if isinstance(c, str) else c)) for c in entries.values()]
    figure.legend(lines, list(entries), loc="outside lower center", ncols=min(len(entries), 5))


def name_panels(axes: np.ndarray, rows: Sequence[str], columns: Sequence[str], x_label: str) -> None:
    """Set titles over the columns, names to the left of the rows, and the x label under the last row."""
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title)
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(label)
    for axis in axes[-1]:
        axis.set_xlabel(x_label)


def seeds_and_median(axis: Any, x: np.ndarray, curves: np.ndarray, colour: str) -> None:
    """Plot curves `[seeds, X]` thin, and their median over seeds bold. The median ignores NaN."""
    for curve in curves:
        axis.plot(x, curve, color=colour, linewidth=THIN, alpha=0.45)
    axis.plot(x, _median(curves), color=colour, linewidth=BOLD)


def strip(axis: Any, position: float, values: np.ndarray, look: Style, *, width: float = 0.28, hollow: bool = False) -> None:
    """Plot the values of seeds as markers around a position, and their median as a bold bar."""
    values = np.asarray(values, float)
    offsets = 0.6 * width * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.zeros(1)
    colour = look.colour
    inside = "none" if hollow else colour
    axis.plot(
        position + offsets, values, look.marker, markersize=3.5, markeredgecolor=colour, markerfacecolor=inside, alpha=0.8
    )
    axis.plot([position - width, position + width], [np.median(values)] * 2, color=colour, linewidth=BOLD)


def logarithmic(axis: Any) -> None:
    """Make the y axis logarithmic, with plain numbers at the powers of ten."""
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def save(figure: Figure, folder: pathlib.Path, name: str, caption: str) -> list[pathlib.Path]:
    """Write NAME.png and NAME.svg atomically. The same figure always gives the same bytes.

    Raises:
      NmbenchError: a file cannot be written.
    """
    written = []
    for kind in FORMATS:
        about = {"Description": caption} | ({"Software": None} if kind == "png" else {"Date": None})
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, dpi=DPI, metadata=about)
        path = folder / f"{name}.{kind}"
        try:
            files.replace(path, picture.getvalue())
        except OSError as error:
            raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
        written.append(path)
    return written


def _median(curves: np.ndarray) -> np.ndarray:
    """Median over the seeds that are not NaN; NaN where all seeds are NaN."""
    any_seed = np.isfinite(curves).any(axis=0)
    median = np.full(curves.shape[1], np.nan)
    median[any_seed] = np.nanmedian(curves[:, any_seed], axis=0)
    return median
