"""Logarithmic axes, shared by all figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def use_log_scale(axis: Any, which: str, values: Sequence[float], ratio: float = 10) -> float | None:
    """Make the "x" or "y" axis logarithmic if no value is negative and the positive values span more than `ratio`.

    Returns:
      The value at which 0 is drawn on the logarithmic axis, below all positive values; None if the axis stays linear.
    """
    positive = [v for v in values if v > 0]
    if any(v < 0 for v in values) or not positive or max(positive) / min(positive) <= ratio:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axis, f"set_{which}scale")("log")
    decades = math.log10(max(positive) / min(positive))
    ticks = getattr(axis, f"{which}axis")
    ticks.set_major_locator(LogLocator(subs=(1, 3) if decades < 2 else (1,), numticks=6 if which == "y" else 3))
    # Plain numbers, because exponents would need fonts for mathematical text.
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ticks.set_minor_formatter(NullFormatter())
    return min(positive) / 2
