"""Tables of the page as plain data for its template."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from nmbench.report.text import column_number, interval, number
from nmbench.results.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Attributes:
      text: text of the cell.
      value: number by which the cell is sorted, as text; "" for an empty cell or a column of text.
      small: remark below the text; "" for none.
      link: address of a link on the text; "" for none.
      mark: name of the model's marker on the page, and its colour; () for none.
    """

    text: str
    value: str = ""
    small: str = ""
    link: str = ""
    mark: tuple[str, str] | tuple[()] = ()


@dataclasses.dataclass(frozen=True)
class Heading:
    """Heading of a column.

    Attributes:
      text: the heading.
      numeric: whether the column is sorted by number.
      hint: explanation; "" for none.
      minor: whether the column is left out on narrow screens.
    """

    text: str
    numeric: bool = True
    hint: str = ""
    minor: bool = False


@dataclasses.dataclass(frozen=True)
class HtmlRow:
    """A line of a table. task, protocol: values for filters; "" for none. tier: its rank, see `verification.rank`."""

    cells: Sequence[TableCell]
    task: str = ""
    protocol: str = ""
    tier: int = 0


@dataclasses.dataclass(frozen=True)
class HtmlTable:
    """A table that can be sorted by a click on a heading. On narrow screens, its lines are shown as a list of cards.

    Attributes:
      key: id of the caption.
      caption: text above the table.
      headings, rows: contents.
      id: id of the table; "" for none.
    """

    key: str
    caption: str
    headings: Sequence[Heading]
    rows: Sequence[HtmlRow]
    id: str = ""


def cell(text: str, value: float | None = None, small: str = "", link: str = "") -> TableCell:
    """A cell that is sorted by `value` if this is a finite number."""
    sortable = value is not None and math.isfinite(value)
    return TableCell(text, repr(float(value)) if sortable and value is not None else "", small, link)


def number_cell(value: float | None, show: Callable[[float], str] = number, small: str = "") -> TableCell:
    """A cell with a number; an empty cell for None."""
    return TableCell("") if value is None else cell(show(value), value, small)


def number_column(values: Sequence[float | None]) -> list[TableCell]:
    """The cells of a column of numbers, all in one format."""
    show = column_number(values)
    return [number_cell(value, show) for value in values]


def estimate_cell(of: Estimate | None, show: Callable[[float], str]) -> TableCell:
    """A cell with a number and its interval; an empty cell for None."""
    return TableCell("") if of is None else cell(show(of.value), of.value, interval(of, show, " – "))


def estimate_column(values: Sequence[Estimate | None]) -> list[TableCell]:
    """The cells of a column of numbers with intervals, all in one format."""
    show = column_number(bound for of in values if of is not None for bound in (of.value, of.low, of.high))
    return [estimate_cell(of, show) for of in values]
