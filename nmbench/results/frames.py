"""Rows as a pandas frame, and a frame as rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from nmbench.results import csv_files, schema, store
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pandas

# Where results are: a results CSV, a results folder, a run folder, a frame of `read_results`, or several of them.
Paths: TypeAlias = str | os.PathLike | Sequence[str | os.PathLike]
Results: TypeAlias = Union[Paths, "pandas.DataFrame", "Sequence[str | os.PathLike | pandas.DataFrame]"]

# The type of a column by its kind, if it is never empty and if it may be.
_TYPES = {"int": ("int64", "Int64"), "float": ("float64", "float64"), "bool": ("bool", "boolean")}


def read_results(paths: Paths = "results") -> pandas.DataFrame:
    """Read and check the rows of results CSVs, results folders and run folders.

    Args:
      paths: one path or several. If a run is in several files, the last file counts.

    Returns:
      One line per run, with the columns of a row (see File formats) and `metrics.NAME` for the task's other metrics. Numbers
      have the types int64, Int64 (with missing values) and float64, text has the type string.

    Raises:
      NmbenchError: a path does not exist, has no rows, or a row is not valid; the message names row and column.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, list | tuple) or not all(isinstance(path, str | os.PathLike) for path in given):
        raise NmbenchError(f"read_results takes the paths of results CSVs or folders, got {_kind(paths)}")
    rows = {row["run_id"]: row for _, found in named_rows(given) for row in found}
    if not rows:
        raise NmbenchError(f"no rows in {', '.join(map(str, given))}")
    return of_rows(list(rows.values()))


def read_conditions(paths: Paths = "results") -> pandas.DataFrame:
    """Every metric of every run by condition of the task, such as each interval of Measure-Wait-Go.

    Args:
      paths: as for `read_results`.

    Returns:
      One line per run, metric and condition: `run_id`, `task`, `protocol`, `model`, `seed`, `metric`, `condition` (text) and
      `value`. Lost runs and tasks without conditions have no lines.

    Raises:
      NmbenchError: as `read_results`.
    """
    import pandas

    names = ["run_id", "task", "protocol", "model", "seed"]
    rows = read_results(paths).to_dict(orient="records")
    lines = [
        (*(row[name] for name in names), metric, condition, value)
        for row in rows
        if row["status"] == "ok"
        for metric, by_condition in json.loads(row["conditions_json"]).items()
        for condition, value in by_condition.items()
    ]
    return pandas.DataFrame(lines, columns=[*names, "metric", "condition", "value"])


def named_rows(results: Results) -> list[tuple[str, Iterable[dict[str, Any]]]]:
    """Pairs (name, rows) of files, folders and frames. A frame that is the N-th item has the name "frame N".

    Raises:
      NmbenchError: nothing is given, or something else. The rows raise it if they cannot be read or are not valid.
    """
    found: list[tuple[str, Iterable[dict[str, Any]]]] = []
    items: list[Any] = list(results) if isinstance(results, list | tuple) else [results]
    for item in items:
        if isinstance(item, str | os.PathLike):
            found.append((os.fspath(item), store.iterate(os.fspath(item))))
        elif _is_frame(item):
            name = f"frame {len(found) + 1}"
            found.append((name, to_rows(item, name)))
        else:
            raise NmbenchError(
                f"results are the paths of results CSVs or folders, or frames of nmbench.read_results; got {_kind(item)}"
            )
    if not found:
        raise NmbenchError("name at least one results CSV or results folder")
    return found


def of_rows(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """A frame of checked rows, with the columns of a results CSV."""
    import pandas

    columns = {}
    for name in csv_files.header(rows):
        column = schema.BY_NAME.get(name)
        kind, empty = ("float", True) if column is None else (column.kind, bool(column.nullable) or column.training)
        dtype = _TYPES[kind][empty] if kind in _TYPES else "string"
        try:
            columns[name] = pandas.Series([row.get(name) for row in rows], dtype=dtype)
        except OverflowError:
            raise NmbenchError(f"column {name!r} has a number beyond +-2**63, which does not fit a frame") from None
    return pandas.DataFrame(columns)


def to_rows(frame: pandas.DataFrame, name: str) -> list[dict[str, Any]]:
    """Checked rows of a frame from `read_results`, or of some of its lines. Columns that you have added are left out.

    Args:
      frame: the frame.
      name: its name in messages.

    Raises:
      NmbenchError: a column of the schema is missing, or a value is not valid.
    """
    known = [c for c in frame.columns if c in schema.BY_NAME or str(c).startswith(schema.METRIC_PREFIX)]
    missing = frame[known].isna().to_numpy()
    rows = []
    for number, (label, values) in enumerate(zip(frame.index, frame[known].itertuples(index=False, name=None), strict=True)):
        row = {c: None if gone else value for c, value, gone in zip(known, values, missing[number], strict=True)}
        rows.append(schema.check_row(row, f"{name}, line {label}"))
    return rows


def _is_frame(value: Any) -> bool:
    import pandas

    return isinstance(value, pandas.DataFrame)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
