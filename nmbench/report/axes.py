"""What figures share: how models are told apart, and logarithmic axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

MARKERS = ("o", "s", "D", "^", "v", "P", "X")


@dataclasses.dataclass(frozen=True)
class Style:
    """How a model is drawn in all figures of a section: a colour and a marker."""

    colour: str
    marker: str


def scale(axis: Any, which: str, values: Sequence[float], ratio: float = 30) -> float | None:
    """Logarithmic where positive values span more than `ratio`; then the least value that is drawn, for those at 0."""
    positive = [v for v in values if v > 0]
    if any(v < 0 for v in values) or not positive or max(positive) / min(positive) <= ratio:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axis, f"set_{which}scale")("log")
    decades = math.log10(max(positive) / min(positive))
    ticks = getattr(axis, f"{which}axis")
    ticks.set_major_locator(LogLocator(subs=(1, 3) if decades < 2 else (1,), numticks=6))
    # Plain numbers: exponents would need the fonts of mathematical text.
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ticks.set_minor_formatter(NullFormatter())
    return min(positive) / 2
