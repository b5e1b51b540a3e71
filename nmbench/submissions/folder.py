"""Read a submission: a folder with a model's file, its rows, parameters and tuning records.

  submission.toml       see `nmbench.submissions.about`
  my_model.py           the file that registers the models, unless a package does
  TASK.csv              rows, one file per task
  TASK.safetensors      parameters, values of trials and training curves of these rows (`nmbench.results.packs`)
  tuning/NAME.json      tuning records
  verification.json     written by `nmbench verify` (`nmbench.results.verification`)

The committed board is read in the same way. It has no submission.toml, because its models are those of nmbench.

All files are data of a stranger: nothing in the folder is executed or imported here, and every other file is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors

from nmbench.contracts import tuning_record
from nmbench.results import config_json, csv_files, packs, schema, verification
from nmbench.results.verification import SubmittedExperiment
from nmbench.submissions import about as about_files
from nmbench.submissions.about import About
from nmbench.support import files
from nmbench.support.errors import NmbenchError

TUNING = "tuning"
# Largest size of a file in bytes, by kind, and largest number of files.
LARGEST = {".toml": 1 << 16, ".py": 1 << 20, ".csv": 1 << 26, ".safetensors": 1 << 30, ".json": 1 << 24}
MOST_FILES = 500
MOST_ARRAYS = 200_000
_TABLE = re.compile(r"([A-Za-z][A-Za-z0-9_\-]{0,63})\.(csv|safetensors)")
_ORIGIN = re.compile(r"((tasks|baselines)/)?[^/\\~]{1,200}")
_RECORD = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,199}\.json")
_ARRAY = re.compile(r"(params(?:\.[A-Za-z0-9_\-]{1,64})?|per_trial|curve)/.{1,300}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A submission folder, or the committed board.

    Attributes:
      folder: where it is.
      about: the contents of submission.toml; None for the board.
      rows: task to its rows, in the order of the CSV.
      packs: task to the file with the parameters of its rows. A task of the board may lack one.
      tuning: the tuning records, by file name.
      plugin: the file that registers the models; None if a package or nmbench does.
      content_sha256: hash of the names and contents of all files except verification.json.
    """

    folder: pathlib.Path
    about: About | None
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    packs: Mapping[str, pathlib.Path]
    tuning: Mapping[str, Mapping[str, Any]]
    plugin: pathlib.Path | None
    content_sha256: str

    @property
    def verification_file(self) -> pathlib.Path:
        return self.folder / verification.FILE

    def experiments(self) -> dict[SubmittedExperiment, list[Mapping[str, Any]]]:
        """The rows of each experiment in order of seed.

        Raises:
          NmbenchError: rows of one model, task, protocol and budget have different configurations.
        """
        found: dict[SubmittedExperiment, list[Mapping[str, Any]]] = {}
        configs = config_json.SharedConfigs()
        first: dict[SubmittedExperiment, str] = {}
        for rows in self.rows.values():
            for row in rows:
                key = experiment_of(row)
                config = configs.of(row["config_json"], row["seed"])
                if first.setdefault(key, config) != config:
                    raise NmbenchError(
                        f"{self.folder}: {key} has rows of two configurations ({found[key][0]['run_id']}, {row['run_id']}); "
                        f"keep those of one"
                    )
                found.setdefault(key, []).append(row)
        return {key: sorted(rows, key=lambda row: row["seed"]) for key, rows in sorted(found.items(), key=str)}


def experiment_of(row: Mapping[str, Any]) -> SubmittedExperiment:
    """The experiment to which a row belongs."""
    return SubmittedExperiment(row["model"], row["task"], row["protocol"], row["params_target"])


def read_submission(path: str | os.PathLike) -> Submission:
    """Read and check a submission folder, without running any of its code.

    Raises:
      NmbenchError: the folder or a file is missing, unknown, too large or not valid.
    """
    folder = pathlib.Path(os.path.expanduser(path))
    if (folder / "runs").is_dir():
        raise NmbenchError(f"{folder} is a results folder; make a submission from it with python -m nmbench.submit")
    names = _files_of(folder)
    if about_files.FILE not in names and any(name.endswith(".py") for name in names):
        raise NmbenchError(f"{folder} is no submission: it has no {about_files.FILE}; python -m nmbench.submit writes it")
    about = about_files.read(folder / about_files.FILE) if about_files.FILE in names else None
    code = {about.model_file} - {""} if about else set()
    for name in names:
        head, _, tail = name.rpartition("/")
        is_known = _RECORD.fullmatch(tail) if head == TUNING else not head and _TABLE.fullmatch(name)
        if not is_known and name not in {about_files.FILE, verification.FILE, *code}:
            raise NmbenchError(
                f"{folder} contains {name}, which is no file of a submission ({about_files.FILE}, its model file, TASK.csv, "
                f"TASK.safetensors, {TUNING}/NAME.json); remove it"
            )
    for name in code - names.keys():
        raise NmbenchError(f"{folder / about_files.FILE} names the model file {name}, which is missing")
    hashes = {name: _sha256(folder / name) for name in sorted(names) if name != verification.FILE}
    if about and about.model_file and hashes[about.model_file] != about.sha256:
        raise NmbenchError(
            f"{folder}: {about.model_file} is not the file whose sha256 is in {about_files.FILE}; submit again"
        )
    tables = {
        name.removesuffix(".csv"): csv_files.read_csv(folder / name) for name in sorted(names) if name.endswith(".csv")
    }
    if not tables:
        raise NmbenchError(f"{folder} has no results CSV")
    packed = {name.removesuffix(".safetensors"): folder / name for name in sorted(names) if name.endswith(".safetensors")}
    for task, rows in tables.items():
        _check_rows(folder, about, task, rows)
    for task, pack in packed.items():
        if task not in tables:
            raise NmbenchError(f"{folder} has {pack.name} but no {task}.csv")
        _check_pack(pack, {row["run_id"] for row in tables[task]})
    content = "".join(f"{name}\n{sha}\n" for name, sha in hashes.items())
    return Submission(
        folder=folder,
        about=about,
        rows=tables,
        packs=packed,
        tuning={name: _tuning(folder / name) for name in sorted(names) if name.startswith(f"{TUNING}/")},
        plugin=folder / about.model_file if about and about.model_file else None,
        content_sha256=hashlib.sha256(content.encode()).hexdigest(),
    )


def _files_of(folder: pathlib.Path) -> dict[str, int]:
    """Relative path to size of every file in the folder and in its folder `tuning`.

    Raises:
      NmbenchError: there is no such folder; a file is too large, not a regular file or a symbolic link; there are too many.
    """
    if not folder.is_dir():
        raise NmbenchError(f"{folder} is not a folder; name the folder of a submission, or of the board")
    inside = sorted(path.parent for path in folder.glob(f"*/{about_files.FILE}"))
    if inside:
        raise NmbenchError(f"{folder} holds submissions; name one of them, such as {inside[0]}")
    found: dict[str, int] = {}
    places = [("", folder), (f"{TUNING}/", folder / TUNING)]
    for prefix, place in places:
        if prefix and not place.exists():
            continue
        with os.scandir(place) as entries:
            for entry in entries:
                if not prefix and entry.name == TUNING and entry.is_dir(follow_symlinks=False):
                    continue
                if not entry.is_file(follow_symlinks=False):
                    raise NmbenchError(f"{folder} contains {prefix}{entry.name}, which is a folder or a link; remove it")
                size, most = entry.stat(follow_symlinks=False).st_size, LARGEST.get(pathlib.Path(entry.name).suffix)
                if most is None:
                    raise NmbenchError(
                        f"{folder} contains {prefix}{entry.name}, which is no file of a submission; remove it"
                    )
                if size > most:
                    raise NmbenchError(f"{folder / prefix / entry.name} has {size} bytes; {most} are the most")
                found[f"{prefix}{entry.name}"] = size
                if len(found) > MOST_FILES:
                    raise NmbenchError(f"{folder} has more than {MOST_FILES} files")
    return found


def _check_rows(folder: pathlib.Path, about: About | None, task: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        where = f"{folder / task}.csv, run {row['run_id']}"
        if row["task"] != task:
            raise NmbenchError(f"{where}: it is a row of {row['task']}, and belongs in {row['task']}.csv")
        if row["protocol"] == schema.EXTERNAL:
            raise NmbenchError(f"{where}: nmbench did not train this model, so its row cannot be verified")
        if about and row["model"] not in about.models:
            raise NmbenchError(f"{where}: {about_files.FILE} does not name its model {row['model']!r}")
        if not _ORIGIN.fullmatch(row["model_origin"]):
            raise NmbenchError(f"{where}, column 'model_origin': it names a folder; expected FILE.py:LINE")


def _check_pack(path: pathlib.Path, run_ids: set[str]) -> None:
    """Raise `NmbenchError` unless the file holds arrays of these runs only; the arrays themselves are not read."""
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            names = list(file.keys())
            total = sum(math.prod(file.get_slice(name).get_shape()) for name in names[:MOST_ARRAYS])
    except (OSError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise NmbenchError(f"cannot read {path}: {error}") from None
    if len(names) > MOST_ARRAYS or total > LARGEST[".safetensors"]:
        raise NmbenchError(f"{path} has more than {MOST_ARRAYS} arrays or {LARGEST['.safetensors']} numbers")
    for name in names:
        run_id, _, rest = name.partition("/")
        if run_id not in run_ids:
            raise NmbenchError(f"{path} holds the run {run_id[:80]!r}, which has no row in {path.with_suffix('.csv').name}")
        if not _ARRAY.fullmatch(rest):
            raise NmbenchError(f"{path} holds an unknown array {name[:120]!r}")


def _tuning(path: pathlib.Path) -> dict[str, Any]:
    try:
        return tuning_record.check(json.loads(files.read(path).decode()))
    except (OSError, ValueError, RecursionError) as error:
        raise NmbenchError(f"{path} is not a tuning record: {error}") from None


def _sha256(path: pathlib.Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NmbenchError(f"cannot read {path}: {error.strerror}") from None


def runs_of(submission: Submission, rows: Sequence[Mapping[str, Any]]) -> dict[str, pathlib.Path | None]:
    """Run id to a temporary folder with the unpacked files of the run; None if the submission lacks them.

    Raises:
      NmbenchError: the file with the parameters cannot be read.
    """
    return {
        row["run_id"]: packs.run_folder(submission.packs[row["task"]], row["run_id"])
        if row["task"] in submission.packs
        else None
        for row in rows
    }
