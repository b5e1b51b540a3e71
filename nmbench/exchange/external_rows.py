"""Models trained elsewhere: their predictions on a frozen set, read from a file and turned into a result row."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import time
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.task import Task
from nmbench.experiments import sizing
from nmbench.results import provenance, schema
from nmbench.results.columns import task_columns, verdict_columns
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError

KEY = "predictions"
LARGEST_COUNT = 10**12
LARGEST_SEED = 2**31 - 1
LONGEST_ORIGIN = 200
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A model trained elsewhere and what it answers on the test set of a task.

    Attributes:
      task: the task.
      model: name for the tables; not one that nmbench trains.
      params: number of learned parameters, as counted by the submitter.
      budget: number of parameters aimed at.
      seed: tells apart the runs of one model.
      origin: one line on where the model comes from, "" for none.
      predictions: float32 `[T, B, O]` on the test set.
      validation_predictions: float32 `[T, B, O]` on the validation set, None if not given.
    """

    task: Task
    model: str
    params: int
    budget: int
    seed: int
    origin: str
    predictions: np.ndarray
    validation_predictions: np.ndarray | None = None

    @property
    def deviation(self) -> float:
        """(params - budget) / budget."""
        return (self.params - self.budget) / self.budget

    def config(self) -> dict[str, Any]:
        """Everything that determines the row but for its remarks; its hash ends the run id."""
        return {
            "task": self.task.name,
            "task_version": self.task.version,
            "testset_sha256": self.task.frozen("test").sha256,
            "model": self.model,
            "params": self.params,
            "budget": self.budget,
            "seed": self.seed,
            "predictions_sha256": frozen_sets.digest({KEY: self.predictions}),
        }

    def run_id(self) -> str:
        key = hashlib.sha256(schema.canonical_json(self.config()).encode()).hexdigest()[:12]
        return f"{self.model}.{self.task.name}.{schema.EXTERNAL}.s{self.seed}.{key}"


def resolve(
    task: str,
    model: str,
    params: int,
    predictions: str,
    *,
    budget: int | None = None,
    seed: int = 0,
    origin: str = "",
    validation_predictions: str | None = None,
    allow_budget_miss: bool = False,
) -> Submission:
    """Check a submission and read its files; nothing is written. See `Submission` for the arguments; files as paths.

    Raises:
      NmbenchError: one line on whatever is wrong.
    """
    found = TASKS.get(task)
    BASELINES.check_name(model)
    if model in BASELINES:
        raise NmbenchError(
            f"--model={model} is a model that nmbench trains itself; give yours another name, e.g. --model=my_{model}"
        )
    budget = found.default_budget if budget is None else budget
    for flag, value, largest in (
        ("params", params, LARGEST_COUNT),
        ("budget", budget, LARGEST_COUNT),
        ("seed", seed, LARGEST_SEED),
    ):
        least = 0 if flag == "seed" else 1
        if not least <= value <= largest:
            raise NmbenchError(f"--{flag} must lie in {least}..{largest}, got {_short(value)}")
    if len(origin) > LONGEST_ORIGIN or not origin.isprintable():
        raise NmbenchError(f"--origin must be one line of at most {LONGEST_ORIGIN} printable characters")
    read = lambda path, split, flag: read_predictions(path, _shape(found, split), flag)
    submission = Submission(
        task=found,
        model=model,
        params=params,
        budget=budget,
        seed=seed,
        origin=origin.strip(),
        predictions=read(predictions, "test", "predictions"),
        validation_predictions=None
        if validation_predictions is None
        else read(validation_predictions, "validation", "validation_predictions"),
    )
    if abs(submission.deviation) > sizing.TOLERANCE and not allow_budget_miss:
        raise NmbenchError(
            f"{params} parameters are {submission.deviation:+.1%} off the budget of {budget}, more than the "
            f"{sizing.TOLERANCE:.0%} allowed; give another --budget, or pass --allow_budget_miss"
        )
    return submission


def clash(submission: Submission, store: Store) -> str | None:
    """Run id of the row of the same model, size, budget and seed with other predictions, None if there is none."""
    mine, run_id = _without_predictions(submission.config()), submission.run_id()
    for row in store.rows():
        if row["protocol"] == schema.EXTERNAL and row["run_id"] != run_id:
            config = json.loads(row["config_json"])
            if _without_predictions(config) == mine:
                return row["run_id"]
    return None


def make_row(submission: Submission) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The result row of a submission and its metrics per trial, metric to float64 `[B]`.

    Raises:
      NmbenchError: a metric is not finite.
    """
    task, began = submission.task, time.perf_counter()
    frozen = task.frozen("test")
    judged = task.evaluate(submission.predictions, frozen.arrays)
    for name, value in judged["values"].items():
        if not np.isfinite(value):
            raise NmbenchError(f"metric {name!r} of these predictions is {value}; are they of a sensible size?")
    row: dict[str, Any] = dict.fromkeys((c.name for c in schema.COLUMNS), None)
    row.update(
        schema_version=schema.SCHEMA_VERSION,
        run_id=submission.run_id(),
        status="ok",
        model=submission.model,
        model_origin=f"external: {submission.origin or 'nothing said'}",
        protocol=schema.EXTERNAL,
        config_json=schema.canonical_json(submission.config()),
        params_target=submission.budget,
        params_actual=submission.params,
        params_dev=submission.deviation,
        seed=submission.seed,
        validation_loss=_validation_loss(submission),
        eval_s=round(time.perf_counter() - began, 3),
        peak_rss_mb=provenance.peak_rss_mb(),
        started_utc=provenance.utc_now(),
        **task_columns(task, frozen.sha256, frozen.n),
        **verdict_columns(task, judged),
        **provenance.describe(),
    )
    return schema.check_row(row, row["run_id"]), judged["per_trial"]


def read_predictions(path_text: str, shape: tuple[int, ...], flag: str = KEY) -> np.ndarray:
    """Predictions from a .npz file (array `predictions`) or a .npy file, as float32.

    Shape and type are judged by the array's header, before anything is allocated for it.

    Args:
      path_text: the file.
      shape: what they must have, `(T, B, O)`.
      flag: flag that gave the path, for messages.

    Raises:
      NmbenchError: no such file, not such a file, no such array, wrong shape or type, or a value that is not finite.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    where = f"--{flag}={path_text}"
    if not os.path.isfile(path):
        raise NmbenchError(f"{where}: no such file; save the predictions with numpy.savez(FILE, {KEY}=array)")
    try:
        # What the readers warn of is of no use to anyone: the array is judged here.
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")
            array = _read(file, shape, where)
    except NmbenchError:
        raise
    except Exception as error:  # in a foreign file anything can be wrong; the user needs one line
        reason = str(error).split("\n")[0][:100]
        raise NmbenchError(
            f"{where} cannot be read, it is damaged or no .npz or .npy file ({type(error).__name__}: {reason}); save the "
            f"predictions with numpy.savez(FILE, {KEY}=array)"
        ) from error
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        t, b, o = wrong[0]
        raise NmbenchError(
            f"{where}: {len(wrong)} of {array.size} values are not finite in float32, the first at [{t}, {b}, {o}]; "
            f"every prediction must be a number"
        )
    return array


def _read(file: BinaryIO, shape: tuple[int, ...], where: str) -> np.ndarray:
    start = file.read(len(np.lib.format.MAGIC_PREFIX))
    file.seek(0)
    if start == np.lib.format.MAGIC_PREFIX:
        return _read_array(file, shape, where)
    if not zipfile.is_zipfile(file):
        raise NmbenchError(f"{where} is neither a .npz nor a .npy file; save it with numpy.savez(FILE, {KEY}=array)")
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if f"{KEY}.npy" not in archive.namelist():
            held = ", ".join(repr(name[:40]) for name in names[:5]) or "nothing"
            raise NmbenchError(f"{where} holds no array {KEY!r} but {held}; save it with numpy.savez(FILE, {KEY}=array)")
        with archive.open(f"{KEY}.npy") as member:
            _check_header(member, shape, where)
        with archive.open(f"{KEY}.npy") as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            # Only at the end of the member is its checksum compared.
            if member.read(1):
                raise NmbenchError(f"{where}: array {KEY!r} is followed by other bytes; the file is damaged")
        return _as_float32(array)


def _read_array(file: BinaryIO, shape: tuple[int, ...], where: str) -> np.ndarray:
    _check_header(file, shape, where)
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise NmbenchError(f"{where}: the array is followed by other bytes; the file is damaged")
    return _as_float32(array)


def _check_header(file: Any, shape: tuple[int, ...], where: str) -> None:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise NmbenchError(f"{where}: .npy format {version} is not one that plain arrays of numbers are saved in")
    found, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise NmbenchError(f"{where} holds pickled Python objects, which are not read; save a plain array of float32")
    if dtype.kind not in "fiu":
        raise NmbenchError(f"{where}: predictions have dtype {dtype}; they must be real numbers, best float32")
    if found != shape:
        raise NmbenchError(f"{where}: predictions have shape {_short(found)}, not [T, B, O] = {shape}{_hint(found, shape)}")


def _hint(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    steps, trials, outputs = shape
    if found == (trials, steps, outputs):
        return "; trials come first in it: swap the first two axes"
    if found == (steps, trials) and outputs == 1:
        return "; the last axis is missing: index it with [..., None]"
    if len(found) == 3 and found[0] == steps and found[2] == outputs:
        return f"; the set has {trials} trials: predict all of them, in order"
    return ""


def _as_float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _shape(task: Task, split: str) -> tuple[int, int, int]:
    return (task.spec.steps, task.frozen(split).n, task.spec.output_size)


def _validation_loss(submission: Submission) -> float | None:
    """Masked mean squared error on the validation set, None without predictions on it."""
    if submission.validation_predictions is None:
        return None
    batch = submission.task.unpack(submission.task.frozen("validation").arrays)
    weights = np.broadcast_to(np.asarray(batch.mask, np.float64), batch.targets.shape)
    error = submission.validation_predictions.astype(np.float64) - batch.targets
    return float((weights * error**2).sum() / weights.sum())


def _without_predictions(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "predictions_sha256"}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
