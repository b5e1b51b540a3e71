"""The width of the terminal, and text that fits it. Pipes and files get text as it is."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap

# Lines of prose in docstrings and messages are filled to more than this.
_FILLED = 90
_NARROWEST = 40


def width() -> int | None:
    """Columns of the terminal that standard output is shown in; None if it is no terminal."""
    try:
        is_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):  # closed
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns) if is_terminal else None


def fit(text: str, columns: int | None) -> str:
    """`text` with long lines wrapped to `columns`; unchanged for None.

    A long line and the lines after it with the same indentation are one paragraph of prose, which is filled. Shorter lines,
    such as equations, stay as they are. Continued lines of a list are indented by two more spaces.
    """
    if columns is None:
        return text
    lines, paragraph = [], []

    def end() -> None:
        if paragraph:
            indent = _indent(paragraph[0])
            later = indent + ("" if len(paragraph) > 1 else "  ")
            joined = " ".join(line.strip() for line in paragraph)
            lines.extend(
                textwrap.wrap(
                    joined,
                    columns,
                    initial_indent=indent,
                    subsequent_indent=later,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )
            paragraph.clear()

    for line in text.split("\n"):
        continues = paragraph and len(paragraph[-1]) > _FILLED and line.strip() and _indent(line) == _indent(paragraph[0])
        if not continues:
            end()
        if continues or len(line) > columns:
            paragraph.append(line)
        else:
            lines.append(line)
    end()
    return "\n".join(lines)


def _indent(line: str) -> str:
    return re.match(r" *", line)[0]  # pyright: ignore[reportOptionalSubscript]
