"""What run folders hold for the page: training curves, and what the trained networks answer."""

from __future__ import annotations

import csv
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tree

from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.task import Task
from nmbench.results.store import CURVE, PARAMS, Store
from nmbench.support.errors import NmbenchError

_CURVE = ["step", "train_loss", "validation_loss"]


def folders(paths: Iterable[str], run_ids: Iterable[str]) -> dict[str, pathlib.Path]:
    """Run id to folder, of the runs that lie in one of these results folders; the last one holds."""
    roots = [Store(path).runs for path in paths if os.path.isdir(os.path.expanduser(path))]
    return {run_id: root / run_id for run_id in run_ids for root in roots if (root / run_id).is_dir()}


def curve(folder: pathlib.Path) -> np.ndarray:
    """`[P, 3]`: step, training loss since the point before, validation loss; infinite and missing losses as NaN.

    Raises:
      NmbenchError: no curve, or not one.
    """
    path = folder / CURVE
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        points = [[float(value) for value in line] for line in lines[1:]]
        if not points or lines[0] != _CURVE or any(len(point) != 3 for point in points):
            raise ValueError(f"its columns are not {', '.join(_CURVE)}")
    except FileNotFoundError:
        raise NmbenchError(f"the folder of {folder.name} holds no {CURVE}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise NmbenchError(f"{CURVE} of {folder.name} cannot be read: {error}") from None
    array = np.array(points)
    return np.where(np.isfinite(array), array, math.nan)


def outputs(task: Task, row: Mapping[str, Any], folder: pathlib.Path, chosen: Sequence[int]) -> tuple[np.ndarray, str]:
    """What the run's network answers on some test trials: `[T, len(chosen), O]`, and a remark, "" for none.

    Args:
      task: the registered task, with the version and the test set that judged the row.
      row: the run's row.
      folder: the run's folder.
      chosen: numbers of test trials.

    Raises:
      NmbenchError: the model is not registered or fails, its parameters are not there or do not fit, or its outputs are not
        finite.
    """
    import jax
    import jax.numpy as jnp

    from nmbench.training.parameter_files import load_params

    config = json.loads(row["config_json"])
    baseline = BASELINES.get(row["model"])
    if not (folder / PARAMS).is_file():
        raise NmbenchError(f"the folder of {folder.name} holds no {PARAMS}")
    try:
        model = baseline.build(task.spec, baseline.check_hparams(config["hparams"]))
        like = jax.eval_shape(model.init, jax.random.key(0))
        params = load_params(folder / PARAMS, like)
        dtype = jnp.result_type(float)
        inputs = task.unpack(task.frozen("test").arrays).inputs
        inputs = tree.map_structure(lambda a: np.asarray(a[:, list(chosen)], dtype), inputs)
        answered = np.asarray(jax.jit(model.apply)(params, inputs), np.float64)
        task.spec.validate_outputs(answered, len(chosen))
    except NmbenchError as error:
        # Paths are a matter of the machine that made the page, not of its readers.
        raise NmbenchError(str(error).replace(f"{folder}{os.sep}", "")) from error
    except Exception as error:  # a third-party model may raise anything; the reader needs one line
        reason = str(error).split("\n")[0]
        raise NmbenchError(f"model {row['model']!r} fails: {type(error).__name__}: {reason}") from error
    if not np.isfinite(answered).all():
        raise NmbenchError("its outputs are not finite")
    same = fingerprints.of_module(baseline.path) == config.get("model_sha256")
    return answered, "" if same else "The file of the model has changed since this run; drawn is the model as it is now."
