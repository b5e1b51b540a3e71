"""Result rows of models trained elsewhere, from files of their predictions on a frozen set."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import time
import warnings
import zipfile
from typing import IO, Any, BinaryIO

import numpy as np

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.task import Task
from nmbench.exchange import parameter_files
from nmbench.exchange.array_files import read_header, reading
from nmbench.experiments import sizing
from nmbench.results import provenance, schema
from nmbench.results.columns import evaluation_columns, task_columns
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.training.phase_program import mean_loss

KEY = "predictions"
LARGEST_COUNT = 10**12
LARGEST_SEED = 2**31 - 1
LONGEST_ORIGIN = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExternalRun:
    """A run of a model trained elsewhere: its predictions on the test set of a task.

    Attributes:
      task: the task.
      model: name of the model in tables.
      params: number of learned parameters.
      counted: whether nmbench counted them in a file. Otherwise the number is declared by who trained the model.
      budget: budget of learned parameters.
      seed: distinguishes runs of one model.
      origin: source of the model in one line, or "".
      predictions: float32 `[T, B, O]` on the test set.
      validation_predictions: float32 `[T, B, O]` on the validation set, None if not given.
    """

    task: Task
    model: str
    params: int
    counted: bool = False
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
        """The values that identify the row; their hash is part of the run id."""
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


def read_run(
    task: str,
    model: str,
    params: int | None,
    predictions: str,
    *,
    params_file: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    origin: str = "",
    validation_predictions: str | None = None,
    allow_budget_miss: bool = False,
) -> ExternalRun:
    """Check the values of flags and read the files of predictions; see `ExternalRun` for the arguments.

    Args:
      params: None for the number in `params_file`.
      params_file: file of the learned parameters (`parameter_files.count`), to count them. Without it, they are declared.

    Raises:
      NmbenchError: an unknown task, an invalid argument, an invalid file, or a file that holds another number of parameters.
    """
    found = TASKS.get(task)
    BASELINES.check_name(model)
    if model in BASELINES:
        raise NmbenchError(f"--model={model} is a model of nmbench; give yours another name, such as --model=my_{model}")
    budget = found.default_budget if budget is None else budget
    params = _size(params, params_file)
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
    on = lambda split: (found.spec.steps, found.frozen(split).n, found.spec.output_size)
    validation = None
    if validation_predictions is not None:
        validation = read_predictions(validation_predictions, on("validation"), "validation_predictions")
    run = ExternalRun(
        task=found,
        model=model,
        params=params,
        counted=params_file is not None,
        budget=budget,
        seed=seed,
        origin=origin.strip(),
        predictions=read_predictions(predictions, on("test"), "predictions"),
        validation_predictions=validation,
    )
    if abs(run.deviation) > sizing.TOLERANCE and not allow_budget_miss:
        raise NmbenchError(
            f"{params} parameters are {run.deviation:+.1%} off the budget of {budget}, more than the "
            f"{sizing.TOLERANCE:.0%} allowed; give another --budget, or pass --allow_budget_miss"
        )
    return run


def check_conflicts(run: ExternalRun, store: Store) -> None:
    """Raise `NmbenchError` if a stored row has other predictions of the run's seed, or its predictions as another seed.

    Only rows of the same model, size and budget count.
    """
    config = run.config()
    without = lambda config, name: {key: value for key, value in config.items() if key != name}
    for row in store.rows():
        if row["protocol"] != schema.EXTERNAL or row["run_id"] == run.run_id():
            continue
        other = json.loads(row["config_json"])
        if without(other, "predictions_sha256") == without(config, "predictions_sha256"):
            raise NmbenchError(
                f"other predictions of {run.model} with seed {run.seed} are already in {store.runs / row['run_id']}; give "
                f"this run another --seed or the model another name, or delete that folder"
            )
        if without(other, "seed") == without(config, "seed"):
            raise NmbenchError(
                f"these predictions are already those of seed {row['seed']}, in {store.runs / row['run_id']}; a seed is a "
                f"network of its own, so give the predictions of another training"
            )


def make_row(run: ExternalRun) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The result row of a run, and its metrics per trial: metric to float64 `[B]`.

    Raises:
      NmbenchError: a metric is not finite.
    """
    task, began = run.task, time.perf_counter()
    frozen = task.frozen("test")
    judged = task.evaluate(run.predictions, frozen.arrays)
    for name, value in judged["values"].items():
        if not np.isfinite(value):
            raise NmbenchError(f"metric {name!r} of these predictions is {value}; the predictions may be too large")
    row: dict[str, Any] = dict.fromkeys((c.name for c in schema.COLUMNS), None)
    row.update(
        schema_version=schema.SCHEMA_VERSION,
        run_id=run.run_id(),
        status="ok",
        model=run.model,
        model_origin=schema.external_origin(run.counted, run.origin),
        protocol=schema.EXTERNAL,
        config_json=schema.canonical_json(run.config()),
        params_target=run.budget,
        params_actual=run.params,
        params_dev=run.deviation,
        seed=run.seed,
        validation_loss=_validation_loss(run),
        eval_s=round(time.perf_counter() - began, 3),
        peak_rss_mb=provenance.peak_rss_mb(),
        started_utc=provenance.utc_now(),
        **task_columns(task, frozen.sha256, frozen.n),
        **evaluation_columns(task, judged),
        **provenance.describe(),
    )
    return schema.check_row(row, row["run_id"]), judged["per_trial"]


def read_predictions(path_text: str, shape: tuple[int, ...], flag: str = KEY) -> np.ndarray:
    """Predictions from a .npz file (array `predictions`) or a .npy file, as float32 `[T, B, O]`.

    Shape and type are checked in the array's header before the data are read.

    Args:
      path_text: path of the file.
      shape: the required shape `(T, B, O)`.
      flag: name of the flag with the path, for messages.

    Raises:
      NmbenchError: missing or unreadable file, missing array, wrong shape or type, or a value that is not finite.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    where = f"--{flag}={path_text}"
    remedy = f"save the predictions with numpy.savez(FILE, {KEY}=array)"
    with reading(path, where, "not a .npz or .npy file", remedy), warnings.catch_warnings(), open(path, "rb") as file:
        warnings.simplefilter("ignore")  # NumPy's warnings about a file do not help the user
        array = _read(file, shape, where)
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
        if f"{KEY}.npy" not in archive.namelist():
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            found = ", ".join(repr(name[:40]) for name in names[:5]) or "none"
            raise NmbenchError(
                f"{where} has no array {KEY!r} (arrays: {found}); save it with numpy.savez(FILE, {KEY}=array)"
            )
        with archive.open(f"{KEY}.npy") as member:
            return _read_array(member, shape, where)


def _read_array(file: IO[bytes], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Read a .npy file as float32. Its header is checked first, so that no memory is allocated for a wrong shape."""
    found, dtype = read_header(file, where)
    if dtype.kind not in "fiu":
        raise NmbenchError(f"{where}: predictions have dtype {dtype}; they must be real numbers, preferably float32")
    if found != shape:
        raise NmbenchError(f"{where}: predictions have shape {_short(found)}, not [T, B, O] = {shape}{_hint(found, shape)}")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):  # at the end of a member, zipfile also compares its checksum
        raise NmbenchError(f"{where}: the array is followed by other bytes; the file is damaged")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _hint(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    steps, trials, outputs = shape
    if found == (trials, steps, outputs):
        return "; its trials come first: swap the first two axes"
    if found == (steps, trials) and outputs == 1:
        return "; the last axis is missing: add it with [..., None]"
    if len(found) == 3 and found[0] == steps and found[2] == outputs:
        return f"; the set has {trials} trials: predict all of them, in order"
    return ""


def _validation_loss(run: ExternalRun) -> float | None:
    """The task's loss on the validation set, None without predictions on it."""
    if run.validation_predictions is None:
        return None
    batch = run.task.unpack(run.task.frozen("validation").arrays)
    return float(mean_loss(run.task, run.validation_predictions, batch.targets, batch.mask))


def _size(params: int | None, params_file: str | None) -> int:
    """The number of learned parameters, which a given file must hold."""
    if params_file is None:
        if params is None:
            raise NmbenchError("the number of learned parameters is missing; give --params=N, or --params_file=FILE")
        return params
    found = parameter_files.count(params_file)
    if params not in (None, found.numbers):
        raise NmbenchError(
            f"--params={_short(params)}, but {params_file} holds {found.numbers} numbers in {found.arrays} arrays of "
            f"floats; every learned number counts, and the file must hold the learned arrays only"
        )
    return found.numbers


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
