"""Run folders of the page's rows, and the outputs of trained networks on a few test trials."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tree

from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.task import Task
from nmbench.experiments import loading
from nmbench.results.store import PARAMS, Store
from nmbench.support.errors import NmbenchError, first_line


def run_folders(paths: Iterable[str], run_ids: Iterable[str]) -> dict[str, pathlib.Path]:
    """Map run ids to run folders, for runs in one of these results folders; the last results folder takes precedence."""
    roots = [Store(path).runs for path in paths if os.path.isdir(os.path.expanduser(path))]
    return {run_id: root / run_id for run_id in run_ids for root in roots if (root / run_id).is_dir()}


def outputs(task: Task, row: Mapping[str, Any], folder: pathlib.Path, chosen: Sequence[int]) -> tuple[np.ndarray, str]:
    """Outputs of the trained network of a run on some test trials.

    Args:
      task: the registered task, with the version and the test set of the row.
      row: row of the run.
      folder: run folder.
      chosen: indices of test trials.

    Returns:
      Outputs `[T, len(chosen), O]`, and a remark; "" for none.

    Raises:
      NmbenchError: the model is not registered or fails, its parameters are missing or do not fit, or its outputs are not
        finite.
    """
    import jax
    import jax.numpy as jnp

    from nmbench.training.parameter_files import load_params

    config = json.loads(row["config_json"])
    loading.check_registered(row)
    baseline = BASELINES.get(row["model"])
    if not (folder / PARAMS).is_file():
        raise NmbenchError(f"the folder of {folder.name} has no {PARAMS}")
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
        # The page does not show paths of the machine that made it.
        raise NmbenchError(str(error).replace(f"{folder}{os.sep}", "")) from error
    except Exception as error:  # a third-party model may raise any exception; the page shows one line
        reason = first_line(error)
        raise NmbenchError(f"model {row['model']!r} fails: {type(error).__name__}: {reason}") from error
    if not np.isfinite(answered).all():
        raise NmbenchError("its outputs are not finite")
    same = fingerprints.of_module(baseline.path) == config.get("model_sha256")
    return (
        answered,
        "" if same else "The model's code has changed since this run; the figure shows outputs of the current code.",
    )
