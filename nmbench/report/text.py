"""Numbers, intervals and names as reports show them, and escaping for Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from nmbench.results.statistics import Estimate


def number(value: float) -> str:
    """A number with four significant digits; only very small and very large numbers have an exponent."""
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def column_number(values: Iterable[float | None]) -> Callable[[float], str]:
    """One format for all numbers of a column, so that they can be compared at a glance; None and infinities are left out.

    All have the same number of decimals, with which the middle number has at least four significant digits and the smallest
    at least two, or fewer decimals if they lose nothing. If that takes more than six decimals, or a number is very
    large, all have an exponent.
    """
    found = sorted(abs(value) for value in values if value is not None and math.isfinite(value) and value)
    if not found:
        return number
    middle, smallest = (math.floor(math.log10(value)) for value in (found[len(found) // 2], found[0]))
    decimals = max(0, 3 - middle, 1 - smallest)
    if decimals > 6 or found[-1] >= 1e6:
        return lambda value: f"{value:.3e}" if value else "0"
    while decimals and all(math.isclose(value, round(value, decimals - 1), rel_tol=1e-9) for value in found):
        decimals -= 1
    return lambda value: f"{value:.{decimals}f}"


def number_or_blank(value: float | None, show: Callable[[float], str] = number) -> str:
    """The shown value; "" for None."""
    return "" if value is None else show(value)


def cut(label: str, longest: int = 44) -> str:
    """The label, shortened to at most `longest` characters."""
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def one_decimal(value: float) -> str:
    return f"{value:.1f}"


def percent(value: float) -> str:
    return f"{value:.0%}"


def interval(estimate: Estimate | None, show: Callable[[float], str] = number, between: str = " .. ") -> str:
    """Bounds of an estimate's interval, followed by "(range)" if it is one; "" if there are no bounds."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{show(estimate.low)}{between}{show(estimate.high)}" + ("" if estimate.covers else " (range)")


def size_name(budget: int | None) -> str:
    """Size of the models of a table: "budget 500", or "given sizes" without a budget."""
    return f"budget {budget}" if budget else "given sizes"


def task_name(task: str, budget: int | None) -> str:
    """Name of a task, followed by the budget in brackets if there is one."""
    return f"{task} ({budget})" if budget else task


def direction(higher_is_better: bool) -> str:
    return "higher is better" if higher_is_better else "lower is better"


def escape(text: str, form: str) -> str:
    """Escape the special characters of "markdown" or "latex"; text for other forms is unchanged."""
    return "".join(_SPECIAL.get(form, {}).get(char, char) for char in text)


def escape_markdown(text: str) -> str:
    return escape(text, "markdown")


_SPECIAL = {
    "markdown": {
        **{char: f"\\{char}" for char in "\\`*_[]~$"},
        **{char: f"&#{ord(char)};" for char in "&|<>"},
    },
    "latex": {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{char: rf"\ensuremath{{{char}}}" for char in "<>|"},
        **{char: f"\\{char}" for char in "&%$#_{}"},
    },
}
