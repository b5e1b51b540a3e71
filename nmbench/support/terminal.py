"""The width of the terminal, and text that fits it. Pipes and files get text as it is."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap

# Lines of prose in docstrings and messages are filled to more than this.
_FILLED = 90
_NARROWEST = 40
_EQUATION = re.compile(r" *\S+ = ")


def count(number: int, noun: str) -> str:
    """A number and a noun: "1 row", "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def width() -> int | None:
    """Columns of the terminal that standard output is shown in; None if it is no terminal."""
    try:
        is_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):  # closed
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns) if is_terminal else None


def fit(text: str, columns: int | None) -> str:
    """`text` with long lines wrapped to `columns`; unchanged for None. Continued lines are indented by two more spaces."""
    if columns is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _wrapped(line, columns, "  "))


def fill(text: str, columns: int | None) -> str:
    """`text` with its paragraphs of prose filled to `columns`; unchanged for None.

    A long line and the lines after it with the same indentation are prose, except equations. Shorter lines stay as they are.
    """
    if columns is None:
        return text
    paragraphs: list[list[str]] = []
    for line in text.split("\n"):
        last = paragraphs[-1][-1] if paragraphs else ""
        prose = len(last) > _FILLED and line.strip() and not _EQUATION.match(last) and not _EQUATION.match(line)
        continues = prose and _indent(line) == _indent(last)
        paragraphs.append([*paragraphs.pop(), line] if continues else [line])
    joined = (lines[0] if len(lines) == 1 else _indent(lines[0]) + " ".join(map(str.strip, lines)) for lines in paragraphs)
    return "\n".join(part for line in joined for part in _wrapped(line, columns, "    " if _EQUATION.match(line) else ""))


def _wrapped(line: str, columns: int, deeper: str) -> list[str]:
    if len(line) <= columns:
        return [line]
    indent = _indent(line)
    return textwrap.wrap(
        line.strip(),
        columns,
        initial_indent=indent,
        subsequent_indent=indent + deeper,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indent(line: str) -> str:
    return re.match(r" *", line)[0]  # pyright: ignore[reportOptionalSubscript]
