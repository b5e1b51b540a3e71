"""Plots of effects for the HTML page: estimates with intervals, thresholds, and the values for which a claim holds.

Text and lines have the page's colours, so the plots follow its dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from markupsafe import Markup, escape

from nmbench.paper.ledger.verdicts import Effects
from nmbench.report.text import interval, number

WIDTH, ROW, AXIS, EDGE = 360, 38, 38, 12
MOST_TICKS = 6
# A logarithmic axis ends here, because an error of 0 has a ratio without bounds.
LEAST, MOST = 1e-6, 1e6


def svg(effects: Effects, about: str) -> Markup:
    """The plot as an `<svg>` element.

    Args:
      effects: at least one estimate, all finite.
      about: text alternative; the numbers are added.
    """
    thresholds = [value for value in (*effects.holds, *effects.also) if value is not None]
    limits = [v for e in effects.estimates.values() for v in (e.value, e.low, e.high) if v is not None]
    x, low, high = _scale([*limits, *thresholds], effects.logarithmic)
    bottom = ROW * len(effects.estimates) + 6
    begin, end = (side if bound is None else x(bound) for bound, side in zip(effects.holds, (EDGE, WIDTH - EDGE)))
    parts = []
    said = []
    for row, (label, e) in enumerate(effects.estimates.items()):
        y = ROW * row + 27
        text = ", ".join(filter(None, [f"{label}: {number(e.value)}", interval(e)]))
        said.append(text)
        parts.append(f'<text x="{EDGE}" y="{y - 11}">{escape(text)}</text>')
        parts.append(f'<rect class="holding" x="{begin:.1f}" y="{y - 7}" width="{end - begin:.1f}" height="14"/>')
        parts += [f'<line class="threshold" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{y - 7}" y2="{y + 7}"/>' for v in thresholds]
        if e.low is not None and e.high is not None:
            kind = "interval" if e.covers else "range"
            parts.append(f'<line class="{kind}" x1="{x(e.low):.1f}" x2="{x(e.high):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="estimate" cx="{x(e.value):.1f}" cy="{y}" r="4"/>')
    parts.append(f'<line class="axis" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{bottom}" y2="{bottom}"/>')
    for tick in _ticks(low, high, thresholds, effects.logarithmic, x):
        parts.append(f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 15}">{number(tick)}</text>')
    scale = ", logarithmic" if effects.logarithmic else ""
    parts.append(f'<text class="tick" x="{WIDTH / 2}" y="{bottom + 31}">{escape(effects.axis)}{scale}</text>')
    height, name = bottom + AXIS, f"{about}. {'; '.join(said)}"
    head = f'<svg class="effects" role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(name)}">'
    return Markup("".join([head, *parts, "</svg>"]))


def _scale(values: list[float], logarithmic: bool) -> tuple[Callable[[float], float], float, float]:
    """A function from value to horizontal position, and the values at the two ends of the axis."""
    place = (lambda value: math.log10(min(max(value, LEAST), MOST))) if logarithmic else (lambda value: value)
    placed = [place(value) for value in values]
    margin = 0.08 * (max(placed) - min(placed)) or (0.1 if logarithmic else 1.0)
    low, high = min(placed) - margin, max(placed) + margin
    back = (lambda at: 10.0**at) if logarithmic else (lambda at: at)
    return lambda value: EDGE + (WIDTH - 2 * EDGE) * (place(value) - low) / (high - low), back(low), back(high)


def _ticks(low: float, high: float, thresholds: list[float], logarithmic: bool, x: Callable[[float], float]) -> list[float]:
    """The thresholds, and round values between the ends that leave room for their labels."""
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [10.0**d for d in decades] + [m * 10.0**d for d in decades for m in (2, 5)]
    else:
        step = 10.0 ** math.floor(math.log10((high - low) / 2))
        step *= next(m for m in (0.5, 1, 2, 5) if (high - low) / (m * step) <= MOST_TICKS)
        values = [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    kept: list[float] = []
    for value in [*thresholds, *values]:
        if low <= value <= high and len(kept) < MOST_TICKS and all(abs(x(value) - x(other)) > 36 for other in kept):
            kept.append(value)
    return kept
