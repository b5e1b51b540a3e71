"""Tables as text: one renderer each for the terminal, Markdown and LaTeX.

`nmbench.results.csv_files.write_lines` writes CSV in full precision.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import textwrap
from collections.abc import Collection, Sequence

from nmbench.report.text import escape
from nmbench.support.terminal import fill

FORMATS = ("terminal", "markdown", "csv", "latex")
WIDTH = 120  # of a terminal
LONGEST_CELL = 40  # longer cells are wrapped in a terminal
# Headings of columns that are aligned left by default.
TEXT_COLUMNS = frozenset({"model", "A", "B", "group", "95%", "score 95%", "solved 95%", "tier", "verdict"})


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
      headers: headings of the columns.
      rows: lines of the table, one cell per heading.
      name: heading of the table; "" for none. In a terminal, a named table is split if it is too wide; each part repeats the
        first column.
      left: headings of columns that are aligned left; the others are aligned right.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    name: str = ""
    left: Collection[str] = TEXT_COLUMNS


@dataclasses.dataclass(frozen=True)
class Section:
    """A title, tables and the notes below them.

    Attributes:
      title: heading; in LaTeX, the start of every caption.
      tables: one or more.
      notes: lines below the tables; in LaTeX, part of the first caption.
      key: start of the LaTeX labels.
    """

    title: str
    tables: Sequence[TextTable]
    notes: Sequence[str]
    key: str


def render(sections: Sequence[Section], form: str, columns: int | None = None) -> list[str]:
    """Paragraphs of all sections.

    Args:
      sections: the sections.
      form: "terminal", "markdown" or "latex".
      columns: width of the terminal, to which the form "terminal" is fitted; None for text that does not depend on it.
    """
    if form == "markdown":
        return [part for section in sections for part in markdown_section(section)]
    if form == "terminal":
        return [part for section in sections for part in terminal_section(section, columns)]
    labels: dict[str, int] = {}
    parts = []
    for section in sections:
        for i, table in enumerate(section.tables):
            words = re.sub(r"[^A-Za-z0-9]+", "-", f"{section.key}-{table.name.split(' ')[0]}").strip("-").lower()
            labels[words] = labels.get(words, 0) + 1
            label = words + (f"-{labels[words]}" if labels[words] > 1 else "")
            notes = section.notes if i == 0 else ()
            caption = " ".join([f"{section.title}.", *([f"{table.name}."] if table.name else []), *notes])
            parts.append(latex_table(table, caption, label))
    return parts


def terminal_section(section: Section, columns: int | None = None) -> list[str]:
    """Paragraphs of a section: title, tables and notes; see `render` for `columns`."""
    parts = [fill(section.title, columns)]
    for table in section.tables:
        for part in _split(table, columns) if table.name or columns else [table]:
            parts += [f"{part.name}:"] if part.name else []
            parts.append(terminal_table(part, columns=columns))
    return [*parts, fill("\n".join(section.notes), columns)] if section.notes else parts


def markdown_section(section: Section) -> list[str]:
    """Paragraphs of a section: title, tables and notes. Title, cells and notes are escaped."""
    parts = [f"## {escape(section.title, 'markdown')}"]
    for table in section.tables:
        parts += [f"{table.name}:"] if table.name else []
        parts.append(markdown_table(table))
    notes = "  \n".join(escape(note, "markdown") for note in section.notes)
    return [*parts, notes] if notes else parts


def terminal_table(table: TextTable, longest: int = LONGEST_CELL, columns: int | None = None) -> str:
    """Text with aligned columns.

    Args:
      table: the table.
      longest: number of characters after which a cell is wrapped.
      columns: width of the terminal. Wider columns are wrapped until the table fits, between words and after folders. None
        for no limit.
    """
    limits = [longest] * len(table.headers) if columns is None else _limits(table, longest, columns)
    wrap_cell = textwrap.wrap if columns is None else _wrap
    wrap = lambda cells: itertools.zip_longest(
        *(wrap_cell(cell, limit) or [""] for cell, limit in zip(cells, limits, strict=True)), fillvalue=""
    )
    heads = [tuple(table.headers)] if columns is None else list(wrap(table.headers))
    lines = [line for row in table.rows for line in wrap(row)]
    widths = [max(map(len, column)) for column in zip(*heads, *lines, strict=True)]
    return "\n".join(
        "  ".join(_justified(table, cells, widths)).rstrip() for cells in (*heads, ["-" * width for width in widths], *lines)
    )


def _limits(table: TextTable, longest: int, columns: int) -> list[int]:
    """Largest width of each column with which the table fits; the widest columns are narrowed first, down to their words."""
    least = _longest_words(table)
    cells = list(zip(table.headers, *table.rows, strict=True))
    widths = [max(word, min(longest, max(map(len, column)))) for word, column in zip(least, cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > columns:
        wide = [i for i, width in enumerate(widths) if width > least[i]]
        if not wide:
            break
        widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths


def _longest_words(table: TextTable) -> list[int]:
    columns = zip(table.headers, *table.rows, strict=True)
    return [max(len(word) for cell in column for word in _WORD.findall(cell) or [""]) for column in columns]


# What is not broken in a cell: an interval, the folder of a path, a word.
_WORD = re.compile(r"\S+ \.\. \S+|\S+?[A-Za-z]{3}/(?=\S)|\S+")


def _wrap(cell: str, limit: int) -> list[str]:
    """The lines of a cell, at most `limit` wide unless a word is longer."""
    lines, end = [""], 0
    for word in _WORD.finditer(cell):
        gap = " " if lines[-1] and word.start() > end else ""
        end = word.end()
        if lines[-1] and len(lines[-1] + gap + word[0]) > limit:
            lines.append(word[0])
        else:
            lines[-1] += gap + word[0]
    return lines


def markdown_table(table: TextTable) -> str:
    """A table in GitHub's Markdown. The cells are escaped, and the columns are aligned in the source as well."""
    headers, *rows = [[escape(cell, "markdown") for cell in cells] for cells in (table.headers, *table.rows)]
    widths = [max(len(header) + 2, *map(len, column)) for header, *column in zip(headers, *rows, strict=True)]
    lines = [f"| {' | '.join(_justified(table, cells, widths))} |" for cells in (headers, *rows)]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def latex_table(table: TextTable, caption: str, label: str) -> str:
    """A table environment for the packages booktabs and graphicx, scaled down if it is wider than the line."""
    align = "".join("l" if header in table.left else "r" for header in table.headers)
    lines = [
        r"\begin{table}[tbp]",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape(caption, 'latex')}}}",
        rf"\label{{tab:{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(escape(header, "latex") for header in table.headers) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _justified(table: TextTable, cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    columns = zip(table.headers, cells, widths, strict=True)
    return [cell.ljust(width) if header in table.left else cell.rjust(width) for header, cell, width in columns]


def _split(table: TextTable, columns: int | None) -> list[TextTable]:
    """Split the table into parts that fit a terminal; each part begins with the first column, or with rank and model.

    Without `columns`, a part is at most `WIDTH` wide if only its first column is wrapped; with `columns`, all may be.
    """
    if not table.rows:
        return [table]
    first = [0, 1] if columns and list(table.headers[:2]) == ["rank", "model"] else [0]
    if columns is None:
        widths = [max(map(len, column)) + 2 for column in zip(table.headers, *table.rows, strict=True)]
        widths[0] = min(widths[0], LONGEST_CELL + 2)
    else:
        widths = [word + 2 for word in _longest_words(table)]
    groups: list[list[int]] = [[*first]]
    for i in range(len(first), len(widths)):
        together = sum(widths[k] for k in groups[-1]) + widths[i]
        if len(groups[-1]) > len(first) and together > (WIDTH if columns is None else columns + 2):
            groups.append([*first])
        groups[-1].append(i)
    return [
        dataclasses.replace(
            table,
            headers=[table.headers[i] for i in group],
            rows=[[row[i] for i in group] for row in table.rows],
            name=table.name if n == 0 else f"{table.name}, continued" if table.name else "Continued",
        )
        for n, group in enumerate(groups)
    ]


_NUMBER = r"-?\d[\d.]*(?:e[+-]\d+)?%?"
_INTERVAL = re.compile(rf"({_NUMBER}) \.\. ({_NUMBER})")


def _latex_cell(text: str) -> str:
    """A cell in LaTeX: numbers and intervals as mathematics, anything else as text."""
    if re.fullmatch(_NUMBER, text):
        return _latex_number(text)
    if interval := _INTERVAL.fullmatch(text):
        return f"[{_latex_number(interval[1])}, {_latex_number(interval[2])}]"
    # After a line break, LaTeX reads a square bracket or a star as an argument of the line break.
    return ("{}" if text[:1] in ("[", "*") else "") + escape(text, "latex")


def _latex_number(text: str) -> str:
    if text.endswith("%"):
        return escape(text, "latex")
    digits, _, power = text.partition("e")
    if power:
        return rf"${digits} \times 10^{{{int(power)}}}$"
    return f"${digits}$" if digits.startswith("-") else digits
