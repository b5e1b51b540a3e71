"""The files of many runs in one safetensors file, beside the CSV with their rows.

`board/TASK.safetensors` belongs to `board/TASK.csv`. Its arrays are named `RUN_ID/FILE/NAME`, where FILE is `params`,
`params.STAGE`, `per_trial` or `curve`: parameters as in the run folder, the primary metric of every test trial, and the
training curve `[P, 3]`, with step, training loss and validation loss of P validations. Curves are in single precision, like
the losses of training. Most of a pack is values of trials, so these are stored small: whole numbers from 0 to 255 (0 for
right, 1 for wrong) have one byte, all others half precision. Metric m of a trial is `per_trial/m` times 2 to the power of
`per_trial/m.exponent`, if there is one, with a relative error of at most 2^-11, more for values below 2^-28 of the largest.
Runs whose status is not ok are left out. `benchmarks/pack.py` packs and unpacks; `load_network`, `reproduce`, `figures` and
`claims` look for this file beside the CSV.
"""

from __future__ import annotations

import atexit
import functools
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from nmbench.results import curves, schema, store
from nmbench.results.store import PER_TRIAL, Store, npz_bytes
from nmbench.support import files
from nmbench.support.errors import NmbenchError, one_line

_TRIALS, _CURVE, _SUFFIX = "per_trial", "curve", ".safetensors"
_EXPONENT = ".exponent"


def beside(path: pathlib.Path) -> pathlib.Path:
    """The pack of a results CSV."""
    return path.with_suffix(_SUFFIX)


def pack(rows: Iterable[Mapping[str, Any]], results: pathlib.Path, path: pathlib.Path) -> int:
    """Write the files of these runs of a results folder to `path`; returns the size in bytes.

    Raises:
      NmbenchError: a file of a run folder is missing or cannot be read, or `path` cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    for row in rows:
        if row["status"] != "ok":
            continue
        run_id, folder = row["run_id"], Store(results).runs / row["run_id"]
        with one_line(f"cannot pack {folder}"):
            for file in sorted(folder.glob(f"params*{_SUFFIX}")):
                for name, array in safetensors.numpy.load_file(str(file)).items():
                    arrays[f"{run_id}/{file.name.removesuffix(_SUFFIX)}/{name}"] = array
            with np.load(folder / PER_TRIAL, allow_pickle=False) as stored:
                for name, array in _small(row["metric"], stored[row["metric"]]).items():
                    arrays[f"{run_id}/{_TRIALS}/{name}"] = array
            arrays[f"{run_id}/{_CURVE}/points"] = curves.read_curve(folder).astype(np.float32)
    data = safetensors.numpy.save(arrays)
    try:
        files.replace(path, data)
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror}") from error
    return len(data)


def contains(path: pathlib.Path, run_id: str) -> bool:
    """Whether `path` has the files of a run; False if there is no such file.

    Raises:
      NmbenchError: the file cannot be read.
    """
    with one_line(f"cannot read {path}"):
        changed = path.stat().st_mtime_ns if path.is_file() else None
        return changed is not None and run_id in _run_ids(path, changed)


@functools.lru_cache(maxsize=256)
def _run_ids(path: pathlib.Path, changed: int) -> frozenset[str]:
    """The runs of a pack. changed: time of its last change, so that a new file is read again."""
    with safetensors.safe_open(str(path), framework="numpy") as file:
        return frozenset(name.partition("/")[0] for name in file.keys())  # noqa: SIM118, not a dict


def run_folder(path: pathlib.Path, run_id: str) -> pathlib.Path | None:
    """A temporary folder with the files of a run, unpacked from `path`; None if there is no such file or run.

    It has no row. It is removed when the process ends.

    Raises:
      NmbenchError: the file cannot be read.
    """
    if not contains(path, run_id) or not schema.RUN_ID.fullmatch(run_id):
        return None
    found: dict[str, dict[str, np.ndarray]] = {}
    with one_line(f"cannot read {path}"):
        with safetensors.safe_open(str(path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118, not a dict
                owner, _, rest = name.partition("/")
                if owner == run_id:
                    kind, _, leaf = rest.partition("/")
                    found.setdefault(kind, {})[leaf] = file.get_tensor(name)
        trials, curve = _whole(found.pop(_TRIALS, {})), found.pop(_CURVE, {})
        points = _points(curve["points"]) if curve.keys() == {"points"} else []
    folder = _temporary() / run_id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if trials:
        files.write(folder / PER_TRIAL, npz_bytes(trials))
    if points:
        store.write_curve(folder, points)
    for kind, arrays in found.items():
        if re.fullmatch(r"params(\.[A-Za-z0-9_\-]+)?", kind):
            files.write(folder / f"{kind}{_SUFFIX}", safetensors.numpy.save(arrays))
    return folder


def unpack(rows: Iterable[Mapping[str, Any]], path: pathlib.Path, results: pathlib.Path) -> int:
    """Store the runs of these rows in a results folder, unless it has them; returns the number of new runs.

    Raises:
      NmbenchError: `path` cannot be read or lacks a run, or the results folder cannot be written.
    """
    results_folder, new = Store(results), 0
    results_folder.prepare()
    for row in rows:
        if results_folder.row(row["run_id"]) is not None:
            continue
        if row["status"] != "ok":  # there is only a row, which says that the run need not be tried again
            results_folder.write(row, None, {}, [])
            new += 1
            continue
        folder = run_folder(path, row["run_id"])
        if folder is None:
            raise NmbenchError(f"{path} has no run {row['run_id']}")
        with one_line(f"{path}, run {row['run_id']}"), np.load(folder / PER_TRIAL, allow_pickle=False) as stored:
            per_trial = dict(stored)

        def copy(params: pathlib.Path, folder: pathlib.Path = folder) -> None:
            for file in folder.glob(f"params*{_SUFFIX}"):
                shutil.copy(file, params.parent)

        results_folder.write(row, copy, per_trial, _points(curves.read_curve(folder)))
        new += 1
    return new


def _points(curve: np.ndarray) -> list[tuple[int, float, float]]:
    """The points of a training curve `[P, 3]`; raises `ValueError`, `TypeError` or `OverflowError` if it is none."""
    return [(int(step), train, validation) for step, train, validation in curve.tolist()]


def _small(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """`values` in one byte; or in half precision and their exponent, the largest near the end of the range of float16."""
    if np.isin(values, np.arange(256)).all():
        return {name: values.astype(np.uint8)}
    largest = np.max(np.abs(values), initial=0.0, where=np.isfinite(values))
    exponent = int(np.frexp(largest)[1]) - 15  # largest < 2^15 2^exponent
    return {name: np.ldexp(values, -exponent).astype(np.float16), name + _EXPONENT: np.int32(exponent).reshape(1)}


def _whole(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `_small`, float64. Packs of older versions have float32 values without an exponent.

    Raises:
      ValueError, TypeError, OverflowError: an exponent is not an array of one integer, or too large.
    """
    exponents = {name: array.item() for name, array in arrays.items() if name.endswith(_EXPONENT)}
    values = {name: array.astype(np.float64) for name, array in arrays.items() if name not in exponents}
    with np.errstate(over="ignore"):  # to infinity, which is not the value of a row
        return {name: np.ldexp(array, exponents.get(name + _EXPONENT, 0)) for name, array in values.items()}


@functools.cache
def _temporary() -> pathlib.Path:
    """A folder that exists until the process ends."""
    folder = tempfile.mkdtemp(prefix="nmbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)
