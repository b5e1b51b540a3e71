"""Numbers and names as tables show them."""

from __future__ import annotations

import dataclasses

from nmbench.results.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class Block:
    """A table of text. name: what it holds, "" for the ranks; columns, lines: headings and cells."""

    name: str
    columns: list[str]
    lines: list[list[str]]


def number(value: float) -> str:
    """Four significant digits, without exponents where they do not help."""
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def interval(estimate: Estimate) -> str:
    """Bounds of an estimate's interval, "" where it has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low)} .. {number(estimate.high)}"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, whatever a name holds."""
    return "".join(_MARKDOWN.get(char, char) for char in text)


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is, whatever a name holds."""
    return "".join(_LATEX.get(char, char) for char in text)


_MARKDOWN = {
    **{char: f"\\{char}" for char in "\\`*_[]~$"},
    **{char: f"&#{ord(char)};" for char in "&|<>"},
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{char: rf"\ensuremath{{{char}}}" for char in "<>|"},
    **{char: f"\\{char}" for char in "&%$#_{}"},
}
