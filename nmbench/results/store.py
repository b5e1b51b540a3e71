"""Run folders and the CSV collected from them.

A run is written to a temporary folder, which is then renamed, so a run folder is always complete. The CSV is written from
all run folders under a lock and replaced atomically. The next process removes temporary files and folders of killed
processes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nmbench.contracts import tuning_record
from nmbench.contracts.frozen_sets import npz_bytes
from nmbench.results import csv_files, schema
from nmbench.support import files
from nmbench.support.errors import NmbenchError, printable

_OLD = "-old"
ROW, PARAMS, PER_TRIAL, CURVE = "row.json", "params.safetensors", "per_trial.npz", "curve.csv"
CURVE_COLUMNS = ("step", "train_loss", "validation_loss")
# Marks a folder as a submission (`nmbench.submissions`).
SUBMISSION = "submission.toml"


def stage_file(stage: str) -> str:
    """Name of the file, beside `PARAMS`, with the parameters that an earlier stage of training selected."""
    return f"params.{stage}.safetensors"


def write_curve(folder: pathlib.Path, points: Sequence[tuple[int, float, float]]) -> None:
    """Write a training curve with `CURVE_COLUMNS` into a run folder; raises `OSError`."""
    lines = [",".join(CURVE_COLUMNS), *(f"{step},{train!r},{validation!r}" for step, train, validation in points)]
    files.write(folder / CURVE, ("\n".join(lines) + "\n").encode())


class Store:
    """A results folder.

    Args:
      root: folder with run folders in `runs/`, tuning records in `tuning/`, collected rows in `results.csv`, checkpoints of
        unfinished runs in `checkpoints/`, and logs in `logs/`.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = pathlib.Path(os.path.expanduser(root))
        self.runs = self.root / "runs"
        self.tuning = self.root / "tuning"
        self.checkpoints = self.root / "checkpoints"
        self.logs = self.root / "logs"
        self.csv = self.root / "results.csv"
        self.lock = self.root / ".lock"

    def prepare(self) -> None:
        """Create the folders, check that they can be written, and remove temporary files of killed processes.

        Raises:
          NmbenchError: a folder cannot be written (those created here are removed again), a folder has the name of the CSV
            or of its lock, or the lock belongs to another user.
        """
        made: list[pathlib.Path] = []
        where = f"--results_dir={self.root}"
        for path in (self.csv, self.lock):
            if os.path.isdir(path):  # not `path.is_dir()`, which raises for too long a name
                raise NmbenchError(f"{path} is a folder, but nmbench writes a file of this name; move the folder away")
        try:
            made += [p for p in (self.runs, self.root, *self.root.parents) if not p.exists()]
            self.runs.mkdir(parents=True, exist_ok=True)
            for folder in (self.root, self.runs):
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(bytes(1 << 16))  # detects a full disk before training
                    file.flush()
            for path in filter(os.path.lexists, (self.tuning, self.checkpoints, self.logs)):
                where = str(path)
                tempfile.TemporaryFile(dir=path).close()
            where = str(self.lock)
            files.check_lock(self.lock)
        except (OSError, ValueError) as error:  # a null byte is a ValueError
            for folder in made:
                with contextlib.suppress(OSError, ValueError):
                    folder.rmdir()
            raise NmbenchError(
                f"{where} cannot be written ({getattr(error, 'strerror', None) or error}); make it writable, or choose "
                f"another --results_dir"
            ) from error
        self._clean()

    def row(self, run_id: str) -> dict[str, Any] | None:
        """The row of a finished run; None if there is none or it cannot be read.

        Only the run id and the status are checked. This is ten times faster than the full check of `rows`.
        """
        try:
            row = json.loads(files.read(self.runs / run_id / ROW))
        except (OSError, ValueError, RecursionError):
            return None
        valid = isinstance(row, dict) and row.get("run_id") == run_id and row.get("status") in schema.STATUSES
        return row if valid else None

    def names(self) -> set[str]:
        """Names of all run folders, finished or damaged, from one directory listing."""
        try:
            with os.scandir(self.runs) as entries:
                return {entry.name for entry in entries if not entry.name.startswith(".")}
        except OSError:  # no such folder; `prepare` reports an impossible path
            return set()

    def write(
        self,
        row: Mapping[str, Any],
        save_params: Any,
        per_trial: Mapping[str, np.ndarray],
        curve: Sequence[tuple[int, float, float]],
    ) -> None:
        """Store a run, replacing an earlier one of the same run id.

        Args:
          row: the run's row.
          save_params: function that writes the parameters to a path; None for no parameters.
          per_trial: name to array.
          curve: points of the training curve with `CURVE_COLUMNS`; empty for none.

        Raises:
          NmbenchError: the row does not fit the schema, or a file cannot be written.
        """
        run_id = row["run_id"]
        row = schema.check_row(row, f"run {run_id}")
        temporary = files.temporary_path(self.runs)
        try:
            temporary.mkdir()
            files.write(temporary / ROW, (json.dumps(row, indent=1, allow_nan=False) + "\n").encode())
            if save_params is not None:
                save_params(temporary / PARAMS)
            files.write(temporary / PER_TRIAL, npz_bytes(per_trial))
            if curve:
                write_curve(temporary, curve)
            files.sync_folder(temporary)
            self._replace(temporary, self.runs / run_id)
            files.sync_folder(self.runs)
        except OSError as error:
            raise NmbenchError(f"cannot store run {run_id} in {self.runs}: {error.strerror or error}") from error
        finally:
            files.remove(temporary)

    def collect(self) -> list[dict[str, Any]]:
        """Write the CSV from all finished runs and return their rows in order of run id.

        Raises:
          NmbenchError: a run folder has an invalid row, or the CSV cannot be written.
        """
        try:
            with files.locked(self.lock):
                rows = self.rows()
                files.replace(self.csv, csv_files.to_csv(rows).encode())
        except OSError as error:
            raise NmbenchError(f"cannot write {self.csv}: {error.strerror or error}") from error
        return rows

    def check_rows(self) -> None:
        """Raise `NmbenchError` if a run folder has an invalid row; called before training, so that `collect` cannot fail."""
        for folder in self.folders():
            self.read_run(folder)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of all run folders in order of run id; raises `NmbenchError` if one is invalid."""
        return list(self.iterate())

    def iterate(self) -> Iterator[dict[str, Any]]:
        """Like `rows`, one row at a time. Copies of a run folder are left out, and a line on stderr names each of them."""
        others: dict[str, pathlib.Path] = {}  # run folders that are not named by their run id
        for folder in self.folders():
            row = self.read_run(folder)
            if row is None:
                continue
            run_id = row["run_id"]
            if folder.name != run_id:
                named = self.runs / run_id
                kept = named if (named / ROW).is_file() else others.setdefault(run_id, folder)
                if kept != folder:
                    _say_copy(folder, kept)
                    continue
            yield row

    def read_run(self, folder: pathlib.Path) -> dict[str, Any] | None:
        """Row of a run folder; None if the folder no longer exists.

        The folder is absent for a moment when another process replaces it, so reading is tried up to 20 times.

        Raises:
          NmbenchError: the row cannot be read or is invalid.
        """
        for _ in range(20):
            try:
                return self._read(folder)
            except NmbenchError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
        return None

    def folders(self) -> list[pathlib.Path]:
        """All run folders in order of run id."""
        if not os.path.isdir(self.runs):
            return []
        return sorted(p for p in self.runs.iterdir() if not p.name.startswith(".") and (p / ROW).is_file())

    def save_tuning(self, name: str, record: Mapping[str, Any]) -> pathlib.Path:
        """Write a tuning record atomically and return its path; raises `NmbenchError` if it cannot be written."""
        path = self.tuning / f"{name}.json"
        try:
            self.tuning.mkdir(parents=True, exist_ok=True)
            files.replace(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
        except OSError as error:
            raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def load_tuning(self, name: str) -> dict[str, Any] | None:
        """The tuning record of this name; None if there is none or it is invalid."""
        try:
            return tuning_record.check(json.loads(files.read(self.tuning / f"{name}.json").decode()))
        except (OSError, ValueError, RecursionError):
            return None

    def _read(self, folder: pathlib.Path) -> dict[str, Any]:
        path = folder / ROW
        try:
            row = json.loads(files.read(path).decode())
        except (OSError, ValueError, RecursionError) as error:
            raise NmbenchError(f"cannot read {path}: {error}") from error
        if not isinstance(row, dict):
            raise NmbenchError(f"{path} is not a JSON object")
        return schema.check_row(row, str(path))

    def _replace(self, temporary: pathlib.Path, final: pathlib.Path) -> None:
        """Rename a finished folder to its final name; an earlier folder of that name is moved away and then removed."""
        for _ in range(100):
            old = temporary.with_name(temporary.name + _OLD)
            if final.exists():
                with contextlib.suppress(FileNotFoundError):  # another process has just moved it
                    final.rename(old)
            try:
                temporary.rename(final)
            except OSError as error:
                # Another process has created the folder in the meantime, and may have moved it away again.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not final.exists():
                    raise
            else:
                files.remove(old)
                return
            files.remove(old)
        raise OSError(f"other processes keep replacing {final}")

    def _clean(self) -> None:
        """Remove temporary files of killed processes, and restore a run that was moved away but not replaced."""
        for path in files.abandoned(self.runs):
            if path.name.endswith(_OLD):
                with contextlib.suppress(NmbenchError, OSError):
                    final = self.runs / self._read(path)["run_id"]
                    if not final.exists():
                        path.rename(final)
            files.remove(path)
        for folder in (self.root, self.tuning, self.checkpoints):
            for path in files.abandoned(folder):
                files.remove(path)


def read(path_text: str) -> list[dict[str, Any]]:
    """Rows of a results CSV, of one run folder, or of a results folder: of its run folders, or else of its CSVs (`csvs_in`).

    Raises:
      NmbenchError: the path does not exist, contains no runs and no CSV, or has invalid contents.
    """
    return list(iterate(path_text))


def iterate(path_text: str) -> Iterator[dict[str, Any]]:
    """Like `read`, one row at a time, for large files."""
    path = pathlib.Path(os.path.expanduser(path_text))
    if not os.path.exists(path):
        raise NmbenchError(f"no such file or folder: {path}")
    if not path.is_dir():
        yield from csv_files.iterate_csv(path)
        return
    if (path / ROW).is_file():
        row = Store(path).read_run(path)
        yield from () if row is None else (row,)
        return
    folders = Store(path).folders()
    tables = [] if folders else csvs_in(path)
    if not folders and not tables:
        below = sorted({str(table.parent) for table in path.glob("*/*.csv") if csv_files.looks_like_rows(table)})
        found = f"name {' or '.join(below[:3])}, which have CSVs, or " if below else ""
        flag = shlex.quote(f"--results_dir={path}")
        raise NmbenchError(f"{path} has no runs and no CSV; {found}train models with python -m nmbench.run {flag}")
    yield from Store(path).iterate()
    for table in tables:
        yield from csv_files.iterate_csv(table)


def csvs_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The CSVs of a folder, or if it has none, those of the submissions in it."""
    below = (table for table in folder.glob("*/*.csv") if (table.parent / SUBMISSION).is_file())
    return sorted(folder.glob("*.csv")) or sorted(below)


@functools.cache  # a command may read a results folder more than once
def _say_copy(copy: pathlib.Path, kept: pathlib.Path) -> None:
    line = f"nmbench: {copy} and {kept} hold the same run; only {kept.name} counts, so remove the other from {kept.parent}"
    print(printable(line), file=sys.stderr)
