"""Results CSVs: rows to text, and text to checked rows."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nmbench.results.schema import COLUMNS, METRIC_PREFIX, check_row
from nmbench.support import files
from nmbench.support.errors import NmbenchError

# A tuning record, or metrics of many conditions, may be longer than the default limit of 131072 characters.
csv.field_size_limit(1 << 30)

# Delimiters that spreadsheets write instead of commas.
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def header(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Columns of a CSV of `rows`: those of the schema, then all metric columns in order of name."""
    metrics = {name for row in rows for name in row if name.startswith(METRIC_PREFIX)}
    return [column.name for column in COLUMNS] + sorted(metrics)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Text of a CSV of `rows`."""
    return write_lines(header(rows), rows)


def plain(value: Any) -> Any:
    """The value of a cell of a report; an apostrophe before text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def write_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Text of a CSV with these columns: LF line ends, floats in full precision, booleans as true/false, None as empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell_text(row.get(name)) for name in columns])
    return out.getvalue()


def cell_text(value: Any) -> str:
    """Text of one value of a CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)


def read_csv(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read and check a results CSV.

    Raises:
      NmbenchError: the file cannot be read, is not a results CSV or is truncated, two rows have the same run id, or a row
        does not fit the schema (the message names row and column).
    """
    return list(iterate_csv(path))


def looks_like_rows(path: pathlib.Path) -> bool:
    """Whether a file begins with the header of a results CSV; False if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return "config_json" in file.readline(65536).split(",")
    except (OSError, ValueError):
        return False


def iterate_csv(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Like `read_csv`, one row at a time, because a list of all rows takes several times the size of the file in memory."""
    try:
        files.check_regular(path)
        with open(path, encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            yield from _checked(path, file)
    except UnicodeDecodeError as error:
        raise NmbenchError(f"{path} is not a text file in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except OSError as error:
        raise NmbenchError(f"cannot read {path}: {error}") from error
    except csv.Error as error:
        raise NmbenchError(f"{path} is not a well-formed CSV, perhaps truncated: {error}") from error


def _checked(path: pathlib.Path, file: io.TextIOBase) -> Iterator[dict[str, Any]]:
    last = ""

    def remember_last() -> Iterator[str]:
        nonlocal last
        for line in file:
            last = line
            yield line

    lines = csv.reader(remember_last(), strict=True)
    columns = next(lines, [])
    if not columns and not any(lines):
        raise NmbenchError(f"{path} is empty; a results CSV starts with a header of {len(COLUMNS)} columns or more")
    other = next((mark for mark in _DELIMITERS if "run_id" in columns[0].split(mark)), None) if len(columns) == 1 else None
    if other is not None:
        raise NmbenchError(
            f"{path} separates its columns by {_DELIMITERS[other]}; save it with commas, and a point in numbers"
        )
    missing = [column.name for column in COLUMNS if column.name not in columns]
    if missing:
        raise NmbenchError(
            f"{path} is not an nmbench results CSV: {len(missing)} of the schema's {len(COLUMNS)} columns are missing, "
            f"first {missing[0]!r}; other versions of nmbench wrote other columns"
        )
    if "" in columns:
        raise NmbenchError(f"{path}: column {columns.index('') + 1} of the header has no name; delete empty columns")
    if len(set(columns)) != len(columns):
        raise NmbenchError(f"{path}: a column appears twice in the header")
    seen: dict[str, int] = {}
    for number, values in enumerate(lines, start=1):
        where = f"{path}, row {number}"
        if not last.endswith("\n"):
            raise NmbenchError(f"{path}: the last line has no line end; the file seems truncated")
        if not values:  # an empty line, which editors add at the end
            continue
        if len(values) != len(columns):
            raise NmbenchError(f"{where}: {len(values)} values for {len(columns)} columns; the file seems truncated")
        row = check_row(dict(zip(columns, values, strict=True)), where)
        if row["run_id"] in seen:
            raise NmbenchError(f"{where}: run_id {row['run_id']!r} already appears in row {seen[row['run_id']]}")
        seen[row["run_id"]] = number
        yield row
    if not last.endswith("\n"):
        raise NmbenchError(f"{path}: the last line has no line end; the file seems truncated")
