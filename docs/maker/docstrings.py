"""Docstrings of the package for autodoc: text that reStructuredText would read as markup is escaped."""

from __future__ import annotations

import re

# Characters with a meaning in reStructuredText, outside backticks: substitutions, references and emphasis.
_MARKUP = re.compile(r"[|*\\]|_(?=[\s,.;:)\]]|$)|(?<=\s)_(?=\w)")


def process(app, what, name, obj, options, lines: list[str]) -> None:
    """Change the lines of a docstring in place; called by `sphinx.ext.autodoc`."""
    del app, what, name, obj, options
    block = False  # an indented block after "::" stays as it is
    for i, line in enumerate(lines):
        if block and line.strip() and not line.startswith(" "):
            block = False
        if not block:
            lines[i] = _escaped(line)
        if line.rstrip().endswith("::"):
            block = True


def _escaped(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    # A list item starts with "* " or "- ".
    bullet = re.match(r"\s*\* ", parts[0])
    if bullet:
        parts[0] = parts[0][: bullet.end()].replace("*", "-") + _MARKUP.sub(r"\\\g<0>", parts[0][bullet.end() :])
        return parts[0] + "".join(p if p.startswith("`") else _MARKUP.sub(r"\\\g<0>", p) for p in parts[1:])
    return "".join(part if part.startswith("`") else _MARKUP.sub(r"\\\g<0>", part) for part in parts)
