"""`verification.json`, beside the rows of a submission or of the board: what `nmbench verify` found about each experiment.

The file holds one record for each experiment (model, task, protocol and budget), with the highest tier that it reached:

  self-reported  hashes, sizes, configurations and run ids are those of the model's file
  re-scored      the stored parameters give the stored values of the trials
  re-trained     seeds that are drawn from a hash of the submission were trained again

A record lists its runs, each with a hash of its row. It counts for a row only while the row has this hash.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nmbench.results import schema, store
from nmbench.support import files
from nmbench.support.errors import NmbenchError

FILE = "verification.json"
FORMAT = 1
TIERS = SELF_REPORTED, RE_SCORED, RE_TRAINED = ("self-reported", "re-scored", "re-trained")
LARGEST_FILE = 1 << 24  # bytes
_LONGEST = 2000  # characters of a text
_SHA256 = re.compile(r"[0-9a-f]{64}")


class SubmittedExperiment(NamedTuple):
    """What a record is about. `budget` is None if the sizes were given."""

    model: str
    task: str
    protocol: str
    budget: int | None

    def __str__(self) -> str:
        return f"{self.model} on {self.task}, {self.protocol}" + ("" if self.budget is None else f", budget {self.budget}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerificationStep:
    """One thing that `nmbench verify` compared for an experiment.

    Attributes:
      experiment: the experiment.
      tier: the tier that needs this step, one of `TIERS`.
      compared: what was compared with what, in one line.
      passed: whether it was as it should be.
      difference: largest difference that was found, as the step defines it; None if it is not a number.
      tolerance: largest accepted difference; None if there is none.
      details: further plain data (JSON), e.g. seeds, values, p values.
      duration_s: seconds.
    """

    experiment: SubmittedExperiment
    tier: str
    compared: str
    passed: bool
    difference: float | None = None
    tolerance: float | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    duration_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data without the experiment, which the record names."""
        return {name: value for name, value in vars(self).items() if name != "experiment"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerificationRecord:
    """The outcome for one experiment.

    Attributes:
      experiment: the experiment.
      tier: the highest tier all of whose steps passed.
      runs: run id to `row_hash` of its row.
      content_sha256: hash of the verified folder.
      verified_utc: when.
      duration_s: seconds of all steps.
      surroundings: versions, commit and processor of the verifying machine (columns of a row).
      steps: the steps, in order.
    """

    experiment: SubmittedExperiment
    tier: str
    runs: Mapping[str, str]
    content_sha256: str
    verified_utc: str
    duration_s: float
    surroundings: Mapping[str, Any]
    steps: tuple[VerificationStep, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        entries = {name: value for name, value in vars(self).items() if name not in ("experiment", "steps")}
        return {**self.experiment._asdict(), **entries, "steps": [step.to_dict() for step in self.steps]}

    def covers(self, row: Mapping[str, Any]) -> bool:
        """Whether this record is about this row, unchanged since."""
        return self.runs.get(row["run_id"]) == row_hash(row)


def row_hash(row: Mapping[str, Any]) -> str:
    """sha256 of a checked row. It does not depend on the file or folder that holds the row."""
    filled = {name: value for name, value in row.items() if value is not None}
    return hashlib.sha256(schema.canonical_json(filled).encode()).hexdigest()


def read(path: pathlib.Path) -> list[VerificationRecord]:
    """The records of a verification file; [] if there is no such file.

    Raises:
      NmbenchError: the file cannot be read or is not a verification file.
    """
    if not path.exists():
        return []
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE} bytes")
        entries = json.loads(files.read(path).decode())
        if not isinstance(entries, dict) or entries.get("format") != FORMAT or not isinstance(entries["records"], list):
            raise ValueError(f"it has no list 'records' of format {FORMAT}")
        return [_record(one) for one in entries["records"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise NmbenchError(
            f"{path} is not a verification file ({type(error).__name__}: {str(error)[:200]}); "
            f"move it away, or write it again with python -m nmbench.verify {path.parent}"
        ) from None


def write(path: pathlib.Path, records: Iterable[VerificationRecord]) -> None:
    """Replace a verification file atomically; raises `NmbenchError` if it cannot be written."""
    ordered = sorted(records, key=lambda record: tuple(map(str, record.experiment)))
    text = json.dumps({"format": FORMAT, "records": [r.to_dict() for r in ordered]}, indent=1, allow_nan=False)
    try:
        files.replace(path, f"{text}\n".encode())
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error


class Verifications:
    """The records beside results.

    Args:
      paths: results CSVs, results folders, submissions, and folders of submissions.

    Raises:
      NmbenchError: a file beside them is not a verification file.
    """

    def __init__(self, paths: Iterable[str | os.PathLike] = ()):
        self._by_run: dict[str, list[VerificationRecord]] = {}
        folders = dict.fromkeys(folder for path in paths for folder in _folders(pathlib.Path(os.path.expanduser(path))))
        for record in (record for folder in folders for record in read(folder / FILE)):
            for run_id in record.runs:
                self._by_run.setdefault(run_id, []).append(record)

    def of(self, row: Mapping[str, Any]) -> VerificationRecord | None:
        """The record of the highest tier that covers this row; None if there is none."""
        found = [record for record in self._by_run.get(row["run_id"], ()) if record.covers(row)]
        return max(found, key=lambda record: TIERS.index(record.tier), default=None)

    def tier(self, row: Mapping[str, Any]) -> str:
        """The tier of a row; "" if it has no record."""
        record = self.of(row)
        return "" if record is None else record.tier


def lowest(tiers: Iterable[str]) -> str:
    """The lowest of some tiers; "" if one of them is "", or if there are none."""
    return min(tiers, key=rank, default="")


def rank(tier: str) -> int:
    """0 for "", 1 for the lowest tier, and so on."""
    return 1 + TIERS.index(tier) if tier else 0


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
    """The folders in which a verification file of these results can be."""
    return [path, *(table.parent for table in store.csvs_in(path))] if path.is_dir() else [path.parent]


def _record(entries: Mapping[str, Any]) -> VerificationRecord:
    """Raises `ValueError`, `TypeError` or `KeyError` if the entries are not a record."""
    names = [field.name for field in dataclasses.fields(VerificationRecord)]
    _check_entries(entries, {*SubmittedExperiment._fields, *names} - {"experiment"}, "a record")
    experiment = SubmittedExperiment(*(entries[name] for name in SubmittedExperiment._fields))
    _check_texts(entries, ("model", "task", "protocol", "verified_utc", "content_sha256"))
    if experiment.budget is not None and not _is_integer(experiment.budget):
        raise ValueError("'budget' is not a whole number")
    runs = entries["runs"]
    if not isinstance(runs, dict) or not all(
        schema.RUN_ID.fullmatch(run_id) and isinstance(sha, str) and _SHA256.fullmatch(sha) for run_id, sha in runs.items()
    ):
        raise ValueError("'runs' does not map run ids to hashes")
    if not isinstance(entries["surroundings"], dict) or not isinstance(entries["steps"], list):
        raise ValueError("'surroundings' is not an object or 'steps' not a list")
    steps = tuple(_step(experiment, one) for one in entries["steps"])
    kept = {name: entries[name] for name in names if name not in ("experiment", "steps")}
    record = VerificationRecord(**kept, experiment=experiment, steps=steps)
    _check_tier_and_time(record.tier, record.duration_s)
    return record


def _step(experiment: SubmittedExperiment, entries: Mapping[str, Any]) -> VerificationStep:
    names = [field.name for field in dataclasses.fields(VerificationStep) if field.name != "experiment"]
    _check_entries(entries, set(names), "a step")
    _check_texts(entries, ("compared",))
    _check_tier_and_time(entries["tier"], entries["duration_s"])
    if not isinstance(entries["passed"], bool) or not isinstance(entries["details"], dict):
        raise ValueError("'passed' is not true or false, or 'details' not an object")
    for name in ("difference", "tolerance"):
        if entries[name] is not None and not _is_number(entries[name]):
            raise ValueError(f"{name!r} is not a number")
    return VerificationStep(experiment=experiment, **{name: entries[name] for name in names})


def _check_entries(entries: Any, names: set[str], what: str) -> None:
    if not isinstance(entries, dict) or entries.keys() != names:
        raise ValueError(f"{what} has other entries than {', '.join(sorted(names))}")


def _check_texts(entries: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(entries[name], str) or len(entries[name]) > _LONGEST or schema.CONTROL.search(entries[name]):
            raise ValueError(f"{name!r} is not one line of text")


def _check_tier_and_time(tier: Any, duration_s: Any) -> None:
    if tier not in TIERS:
        raise ValueError(f"'tier' is not one of {', '.join(TIERS)}")
    if not _is_number(duration_s):
        raise ValueError("'duration_s' is not a number of seconds")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= schema.LARGEST_FLOAT


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 62
