"""Markdown: escaping, tables, files."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"[\\*_\[\]<>$|{}#~]")


def escape(text: str) -> str:
    """Prose as Markdown. Text in backticks stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _SPECIAL.sub(lambda m: f"\\{m[0]}", part) for part in parts)


def code(text: object) -> str:
    """Text in backticks, for a cell of a table or a line of prose."""
    shown = str(text).replace("|", "\\|")
    return f"`{shown}`"


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. The cells are Markdown already."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def page(path: pathlib.Path, parts: Sequence[str]) -> None:
    """Write the non-empty parts, separated by empty lines, unless the file has this text already."""
    text = "\n\n".join(part for part in parts if part) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:  # Sphinx reads changed files only
        path.write_text(text, encoding="utf-8")
