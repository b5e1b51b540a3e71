"""A task's data as plain arrays in a folder of their own, with a description, for any framework."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pathlib
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tree

import nmbench
from nmbench.contracts import frozen_sets
from nmbench.contracts.metrics import Metric
from nmbench.contracts.specs import ArraySpec
from nmbench.contracts.task import Batch, FixedData, Task
from nmbench.exchange.external_rows import KEY
from nmbench.support.errors import NmbenchError

FORMAT_VERSION = 1
DESCRIPTION, README = "task.json", "README.md"
TRAIN_TRIALS = 20_000
LARGEST_BYTES = 2 << 30
_FILE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")


def check(task: Task, train_trials: int | None, data_seed: int) -> None:
    """Raise `NmbenchError` if this task cannot be exported so; nothing is drawn or written."""
    sampled = [name for name, source in task.training.items() if not isinstance(source, FixedData)]
    if train_trials is not None and not sampled:
        raise NmbenchError(f"the training data of {task.name} are fixed and exported whole; leave --train_trials out")
    if not 0 <= data_seed < 1 << 31:
        raise NmbenchError("--data_seed must lie in 0..2147483647")
    trials = train_trials or TRAIN_TRIALS
    wanted = 4 * trials * task.spec.steps * (task.spec.input_size + 2 * task.spec.output_size)
    if sampled and wanted > LARGEST_BYTES:
        raise NmbenchError(
            f"{trials} training trials are {wanted / (1 << 30):.3g} GiB, more than the {LARGEST_BYTES >> 30} GiB that one "
            f"export holds; give a smaller --train_trials, or make several exports with a --data_seed each"
        )
    names = [*task.training, *task.set_sizes]
    for name in names:
        if not _FILE_NAME.fullmatch(name) or names.count(name) > 1:
            raise NmbenchError(f"task {task.name!r}: {name!r} is not the name of one set that could name a file")
    keys = list(_input_keys(task))
    if len(set(keys)) < len(keys):
        raise NmbenchError(f"task {task.name!r}: two inputs would be called {max(keys, key=keys.count)!r}")


def export(task: Task, folder: pathlib.Path, train_trials: int | None, data_seed: int) -> list[pathlib.Path]:
    """Write training, validation and test sets and their description into a new folder; return the files.

    Args:
      task: the task.
      folder: must not exist, or be empty; it is there whole or not at all.
      train_trials: trials to draw where training data are drawn afresh at every step; None for `TRAIN_TRIALS`.
      data_seed: seed that they are drawn with.

    Raises:
      NmbenchError: see `check`; or the folder is not empty or cannot be written.
    """
    check(task, train_trials, data_seed)
    if ".." in folder.parts:  # "a/../b" is b, also where there is no a
        folder = pathlib.Path(os.path.realpath(folder))
    with _new_folder(folder) as temporary:
        files = []
        for name, source in task.training.items():
            fixed = isinstance(source, FixedData)
            batch = source.arrays() if fixed else _draw(source, data_seed, train_trials or TRAIN_TRIALS)
            how = {"role": "training", "fixed": fixed, "data_seed": None if fixed else data_seed}
            files.append({**how, **_write(task, temporary, name, batch)})
        for split in task.set_sizes:
            frozen = task.frozen(split)
            how = {"role": split, "fixed": True, "frozen_sha256": frozen.sha256}
            files.append({**how, **_write(task, temporary, split, task.unpack(frozen.arrays))})
        description = describe(task, files)
        text = json.dumps(description, indent=1, ensure_ascii=False, allow_nan=False)
        (temporary / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        (temporary / README).write_text(readme(description), encoding="utf-8")
        names = [file["file"] for file in files]
    return [folder / name for name in (*names, DESCRIPTION, README)]


def describe(task: Task, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The contents of `task.json`: plain data on arrays, channels, metrics and scoring. files: what `_write` returned."""
    inputs = tree.flatten_with_path(task.spec.inputs)
    module = inspect.getmodule(task.draw_set)
    return {
        "format_version": FORMAT_VERSION,
        "nmbench_version": nmbench.__version__,
        "task": task.name,
        "task_version": task.version,
        "summary": task.summary,
        "description": (module and inspect.getdoc(module)) or "",
        "citation": task.citation,
        "layout": "float32, time-major [T, B, channels]: T steps, B trials",
        "steps": task.spec.steps,
        "inputs": {key: _channels(leaf) for key, (_, leaf) in zip(_input_keys(task), inputs, strict=True)},
        "outputs": _channels(task.spec.outputs),
        "files": files,
        "training_loss": "sum(mask * (predictions - targets)^2) / sum(mask)",
        "metrics": [{"primary": i == 0, **_metric(metric)} for i, metric in enumerate(task.metrics)],
        "default_budget": task.default_budget,
        "score": {
            "predictions": {
                "array": KEY,
                "shape": [task.spec.steps, task.frozen("test").n, task.spec.output_size],
                "dtype": "float32",
            },
            "command": (
                f"python -m nmbench.score --task={task.name} --predictions=predictions.npz --model=NAME --params=N --seed=0"
            ),
        },
    }


def readme(description: Mapping[str, Any]) -> str:
    """The contents of `README.md`, from those of `task.json`."""
    d = description
    shape = ", ".join(map(str, d["score"]["predictions"]["shape"]))
    lines = [
        f"# {d['task']}, version {d['task_version']}",
        d["summary"],
        *([d["description"]] if d["description"] else []),
        f"Written by nmbench {d['nmbench_version']}; the same, for programs, is in `{DESCRIPTION}`. Source: {d['citation']}",
        "## Arrays",
        f"All are {d['layout']} (here T = {d['steps']}). `mask` weighs the targets: where it is 0, no answer counts.",
        _table(
            ["array", "channels", "names"],
            [[f"`{key}`", spec["channels"], ", ".join(spec["names"])] for key, spec in d["inputs"].items()]
            + [[f"`{key}`", d["outputs"]["channels"], ", ".join(d["outputs"]["names"])] for key in ("targets", "mask")],
        ),
        _table(["file", "trials", "holds", "sha256 of the frozen set"], [_file_line(file) for file in d["files"]]),
        f"The loss that nmbench trains on is {d['training_loss']}; `python -m nmbench.describe {d['task']}` lists its "
        f"recipes and which training data they use. Where training trials are drawn, it draws fresh ones at every step.",
        "Whatever there is to choose (rate, step to stop at, sizes) is chosen on validation data. The test targets are here "
        "because the metric is public: judge with them, but neither train nor choose with them.",
        "## Metrics",
        _table(
            ["metric", "better", "floor (score 0)", "ceiling (score 100)", "solved at", "also per"],
            [_metric_line(metric) for metric in d["metrics"]],
        ),
        "A metric is the mean of a number per trial, `[B]`, that these functions compute from predictions `[T, B, O]`:",
    ]
    for source, names in _grouped(d["metrics"], "source"):
        lines += [f"{names}:", f"```python\n{source}\n```"]
    for source, names in _grouped(d["metrics"], "subset"):
        lines += [f"{names}: over those trials for which this is true:", f"```python\n{source}\n```"]
    lines += [
        "## Score",
        f"Save predictions for all trials of `test.npz`, in order, as the array `{KEY}` [{shape}], then score them:",
        f"```python\nnumpy.savez('predictions.npz', {KEY}=predictions)\n```",
        f"```\n{d['score']['command']}\n```",
        f"NAME is a name for your model, N its number of learned parameters: at most 5% off the budget, which is "
        f"{d['default_budget']} unless --budget says otherwise.",
    ]
    return "\n\n".join(lines) + "\n"


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _file_line(file: Mapping[str, Any]) -> list[Any]:
    drawn = file["role"] == "training" and not file["fixed"]
    holds = f"training trials drawn with --data_seed={file['data_seed']}" if drawn else f"{file['role']} set"
    return [f"`{file['file']}`", file["trials"], holds, file.get("frozen_sha256", "")]


def _metric_line(metric: Mapping[str, Any]) -> list[Any]:
    return [
        f"`{metric['name']}`" + (" (ranks)" if metric["primary"] else ""),
        "higher" if metric["higher_is_better"] else "lower",
        f"{metric['floor']:.6g}",
        f"{metric['ceiling']:.6g}",
        "" if metric["threshold"] is None else f"{metric['threshold']:g}",
        metric["per"] or "",
    ]


def _grouped(metrics: list[dict[str, Any]], field: str) -> list[tuple[str, str]]:
    """Pairs of (source text, names of all metrics that have it in `field`); metrics without it are left out."""
    names: dict[str, list[str]] = {}
    for metric in metrics:
        if metric[field]:
            names.setdefault(metric[field], []).append(f"`{metric['name']}`")
    return [(source, ", ".join(group)) for source, group in names.items()]


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "higher_is_better": metric.higher_is_better,
        "floor": metric.floor,
        "ceiling": metric.ceiling,
        "threshold": metric.threshold,
        "per": metric.condition_name if metric.conditions else None,
        "source": _source(metric.per_trial),
        "subset": _source(metric.subset) if metric.subset else None,
    }


def _source(function: Callable[..., Any]) -> str:
    """Source text of a function; its name where there is no text."""
    try:
        return textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        return getattr(function, "__qualname__", repr(function))


def _channels(spec: ArraySpec) -> dict[str, Any]:
    return {"channels": spec.channels, "names": list(spec.names)}


def _input_keys(task: Task) -> Iterator[str]:
    for path, _ in tree.flatten_with_path(task.spec.inputs):
        yield "_".join(map(str, ("inputs", *path)))


def _draw(source: Any, data_seed: int, trials: int) -> Batch:
    import jax

    return source.draw((), jax.random.key(data_seed), trials)


def _write(task: Task, folder: pathlib.Path, name: str, batch: Batch) -> dict[str, Any]:
    """Write one set as NAME.npz and return what there is to say about it."""
    targets = np.asarray(batch.targets, np.float32)
    arrays = {
        key: np.asarray(leaf, np.float32) for key, leaf in zip(_input_keys(task), tree.flatten(batch.inputs), strict=True)
    }
    arrays |= {"targets": targets, "mask": np.ascontiguousarray(np.broadcast_to(batch.mask, targets.shape), np.float32)}
    np.savez_compressed(folder / f"{name}.npz", allow_pickle=False, **arrays)
    return {
        "file": f"{name}.npz",
        "trials": targets.shape[1],
        "arrays": {key: list(array.shape) for key, array in arrays.items()},
        "arrays_sha256": frozen_sets.digest(arrays),
    }


@contextlib.contextmanager
def _new_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary folder beside `folder` that takes its place at the end, or is gone after an error."""
    given = folder
    refuse = lambda why: NmbenchError(f"--out={given} {why}; name a new folder")
    made: list[pathlib.Path] = []
    temporary = None
    try:
        folder = pathlib.Path(os.path.realpath(folder))
        if folder.exists() and not folder.is_dir():
            raise refuse("is a file")
        if folder.exists() and any(folder.iterdir()):
            raise refuse("is not empty")
        if folder.exists() and folder.samefile(os.curdir):
            raise refuse("is the folder you are in")
        made += [parent for parent in folder.parents if not parent.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
        yield temporary
        temporary.chmod(0o755)
        if folder.exists():  # and empty: on Windows nothing can be renamed onto it
            folder.rmdir()
        temporary.rename(folder)
        made = []
    except OSError as error:
        raise refuse(f"cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
