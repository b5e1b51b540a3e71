"""Cells of the page's tables, as plain data for its template."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nmbench.report.text import number
from nmbench.results.statistics import Estimate


def cell(text: str, value: float | None = None, small: str = "", link: str = "") -> dict[str, Any]:
    """A cell of a table: its text, the number it is sorted by, a remark under it, and where it leads."""
    known = value is not None and math.isfinite(value)
    return {"text": text, "value": repr(float(value)) if known and value is not None else "", "small": small, "link": link}


def estimate(of: Estimate | None, form: Callable[[float], str] = number) -> dict[str, Any]:
    """A cell with a number and its interval."""
    if of is None:
        return cell("")
    interval = "" if of.low is None or of.high is None else f"{form(of.low)} – {form(of.high)}"
    return cell(form(of.value), of.value, interval)
