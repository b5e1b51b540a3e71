"""Dated snapshots of the board, `FOLDER/YYYY-MM-DD/TASK.csv`: what the tables showed at a release. They never change.

`FOLDER/manifest.json` maps every date to the version of nmbench and the sha256 of every file of its snapshot.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nmbench
from nmbench.results import experiment_rows, ranking, store
from nmbench.results.csv_files import write_lines
from nmbench.results.ranking_frame import entry_line
from nmbench.support import files
from nmbench.support.errors import NmbenchError

MANIFEST = "manifest.json"
# Columns of `leaderboard --format=csv`, followed by one of the rows.
_FROM_TABLES = ("task", "task_version", "testset_sha256", "protocol", "budget", "rank", "group", "label", "model", "params")
_FROM_TABLES += ("seeds", "lost", "metric", "median", "median_low", "median_high", "median_interval")
_FROM_TABLES += ("score", "score_low", "score_high", "solved", "learning_rate", "tuning_trials", "tier")
COLUMNS = (*_FROM_TABLES, "commits")


def tables_of(paths: Sequence[str]) -> dict[str, str]:
    """The tables of these results as CSV, by name of the file. References are left out.

    The column `commits` has the commits with which the rows of an entry were trained.

    Raises:
      NmbenchError: the results cannot be read or compared.
    """
    tables = ranking.rank_tables(experiment_rows.read_all(paths))
    rows = {row["run_id"]: row for path in paths for row in store.iterate(path)}
    lines: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        for entry in table.entries:
            if not entry.reference:
                of_entry = [rows[run_id] for run_id in entry.run_ids]
                every = entry_line(table, entry, ())
                line = {name: every[name] for name in _FROM_TABLES}
                commits = " ".join(sorted({row["git_sha"] or "unknown" for row in of_entry}))
                lines.setdefault(table.task, []).append({**line, "commits": commits})
    return {f"{task}.csv": write_lines(COLUMNS, found) for task, found in lines.items()}


def write(folder: pathlib.Path, date: str, paths: Sequence[str]) -> pathlib.Path:
    """Write a snapshot of the board and its entry in the manifest; return its folder.

    Args:
      folder: of all snapshots.
      date: YYYY-MM-DD, not before the newest snapshot.
      paths: the results of the board.

    Raises:
      NmbenchError: there is a snapshot of this date or a later one, an existing one was changed, or the results are invalid.
    """
    check_date(date)
    manifest = check(folder)
    newest = max(manifest, default="")
    if date <= newest:
        raise NmbenchError(f"the newest snapshot is of {newest}, and snapshots never change; give a later --date")
    made = tables_of(paths)
    target = folder / date
    if target.exists():
        raise NmbenchError(f"{target} exists, but {folder / MANIFEST} does not list it; remove it")
    target.mkdir(parents=True)
    for name, text in made.items():
        files.write(target / name, text.encode())
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(made.items())}
    manifest[date] = {"nmbench_version": nmbench.__version__, "files": hashes}
    files.replace(folder / MANIFEST, f"{json.dumps(manifest, indent=1)}\n".encode())
    return target


def check(folder: pathlib.Path) -> dict[str, Any]:
    """Compare all snapshots with the manifest and return it, in the order of dates; {} if there are no snapshots.

    Raises:
      NmbenchError: a snapshot was changed, is missing, or is not in the manifest.
    """
    remedy = "snapshots never change; restore it with git"
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        listed = {f"{date}/{name}": sha256 for date, one in manifest.items() for name, sha256 in one["files"].items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise NmbenchError(f"cannot read {path}: {type(error).__name__}: {error}; {remedy}") from None
    there = sorted(p for p in folder.rglob("*") if p.is_file() and p != path) if folder.is_dir() else []
    found = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in there}
    for name in sorted(listed.keys() | found.keys()):
        if name not in listed:
            raise NmbenchError(
                f"{folder / name} is not listed in {MANIFEST}; delete it, and write snapshots with benchmarks/snapshot.py"
            )
        if name not in found:
            raise NmbenchError(f"{folder / name} is missing; {remedy}")
        if found[name] != listed[name]:
            raise NmbenchError(f"{folder / name} differs from its hash in {MANIFEST}; {remedy}")
    return dict(sorted(manifest.items()))


def history(folder: pathlib.Path, model: str) -> list[Mapping[str, str]]:
    """The lines of a model in all snapshots, column to text, each with its `date`; tables in order, then dates.

    Raises:
      NmbenchError: from `check`.
    """
    lines = [line for line in _lines(folder) if line["model"] == model]
    order = lambda line: (line["task"], line["protocol"], int(line["budget"] or 0), line["label"], line["date"])
    return sorted(lines, key=order)


def models(folder: pathlib.Path) -> list[str]:
    """The models of all snapshots, in alphabetical order; raises the errors of `check`."""
    return sorted({line["model"] for line in _lines(folder)})


def _lines(folder: pathlib.Path) -> Iterator[Mapping[str, str]]:
    for date, one in check(folder).items():
        for name in one["files"]:
            with open(folder / date / name, encoding="utf-8", newline="") as file:
                yield from ({"date": date, **line} for line in csv.DictReader(file))


def check_date(text: str) -> None:
    """Raise `NmbenchError` unless the text is a date, YYYY-MM-DD, in the years 2000 to 2999."""
    try:
        ok = datetime.date.fromisoformat(text).isoformat() == text and text.startswith("2")
    except ValueError:
        ok = False
    if not ok:
        raise NmbenchError(f"--date={text} is not a date; give it as YYYY-MM-DD")
