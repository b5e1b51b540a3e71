"""Export a task's data as plain arrays with a description, for any framework."""

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
from nmbench.contracts import frozen_sets, plugin_files
from nmbench.contracts.metrics import Metric
from nmbench.contracts.specs import ArraySpec
from nmbench.contracts.task import CROSS_ENTROPY, SQUARED_ERROR, Batch, FixedData, Task
from nmbench.exchange.external_rows import KEY
from nmbench.support.errors import NmbenchError

FORMAT_VERSION = 1
DESCRIPTION, README = "task.json", "README.md"
TRAIN_TRIALS = 20_000
LARGEST_BYTES = 2 << 30
_LOSSES = {
    SQUARED_ERROR: "sum(mask * (predictions - targets)^2) / sum(mask)",
    CROSS_ENTROPY: "-sum(mask * targets * log_softmax(predictions)) / sum(mask * targets)",
}
_EARLIER = (
    "`score` judges all trials with the same predictions. For some trials or metrics, nmbench judges its own models with "
    "the parameters before the last phase of training, so values may differ."
)
_FILE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")


def check(task: Task, train_trials: int | None, data_seed: int) -> None:
    """Raise `NmbenchError` if this task cannot be exported with these arguments; nothing is drawn or written."""
    sampled = [name for name, source in task.training.items() if not isinstance(source, FixedData)]
    if train_trials is not None and not sampled:
        raise NmbenchError(f"the training data of {task.name} are fixed and always exported completely; omit --train_trials")
    if not 0 <= data_seed < 1 << 31:
        raise NmbenchError("--data_seed must lie in 0..2147483647")
    trials = train_trials or TRAIN_TRIALS
    wanted = 4 * trials * task.spec.steps * (task.spec.input_size + 2 * task.spec.output_size)
    if sampled and wanted > LARGEST_BYTES:
        raise NmbenchError(
            f"{trials} training trials are {wanted / (1 << 30):.3g} GiB, more than the limit of {LARGEST_BYTES >> 30} GiB "
            f"for one export; give a smaller --train_trials, or make several exports with different --data_seed"
        )
    names = [*task.training, *task.set_sizes]
    for name in names:
        if not _FILE_NAME.fullmatch(name) or names.count(name) > 1:
            raise NmbenchError(f"task {task.name!r}: the set name {name!r} is repeated or cannot be a file name")
    keys = list(_input_keys(task))
    if len(set(keys)) < len(keys):
        raise NmbenchError(f"task {task.name!r}: two inputs would have the name {max(keys, key=keys.count)!r}")


def export(task: Task, folder: pathlib.Path, train_trials: int | None, data_seed: int) -> list[pathlib.Path]:
    """Write training sets, frozen sets and their description into a new folder; return the paths.

    Args:
      task: the task.
      folder: a new or empty folder, which is not created if the export fails.
      train_trials: number of trials to draw from samplers; None for `TRAIN_TRIALS`.
      data_seed: seed of this draw.

    Raises:
      NmbenchError: see `check`; or the folder is not empty or cannot be written.
    """
    check(task, train_trials, data_seed)
    for split in task.set_sizes:
        task.frozen(split)  # a missing or damaged set is reported before the folder is created
    if ".." in folder.parts:  # "a/../b" is b even if there is no a
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
    """The contents of `task.json`: arrays, channels, metrics and scoring. files: one entry per exported set."""
    inputs = tree.flatten_with_path(task.spec.inputs)
    module = inspect.getmodule(task.draw_set)
    return {
        "format_version": FORMAT_VERSION,
        "nmbench_version": nmbench.__version__,
        "task": task.name,
        "describe": f"python -m nmbench.describe {task.name}{plugin_files.flag(task.path)}",
        "task_version": task.version,
        "summary": task.summary,
        "description": (module and inspect.getdoc(module)) or "",
        "citation": task.citation,
        "layout": "float32, time-major [T, B, channels]: T steps, B trials",
        "steps": task.spec.steps,
        "inputs": {key: _channels(leaf) for key, (_, leaf) in zip(_input_keys(task), inputs, strict=True)},
        "outputs": _channels(task.spec.outputs),
        "files": files,
        "training_loss": _LOSSES[task.loss],
        "metrics": [{"primary": i == 0, **_metric(metric)} for i, metric in enumerate(task.metrics)],
        "judged_with_earlier_parameters": any(metric.stages or metric.earlier for metric in task.metrics),
        "default_budget": task.default_budget,
        "score": {
            "predictions": {
                "array": KEY,
                "shape": [task.spec.steps, task.frozen("test").n, task.spec.output_size],
                "dtype": "float32",
            },
            "command": (
                f"python -m nmbench.score --task={task.name} --predictions=predictions.npz --model=NAME --params=N --seed=0"
                f"{plugin_files.flag(task.path)}"
            ),
            "counted": "--params_file=FILE, a .safetensors or .npz of the learned arrays, instead of --params=N",
        },
    }


def readme(description: Mapping[str, Any]) -> str:
    """The contents of `README.md`, from the contents of `task.json`."""
    d = description
    shape = ", ".join(map(str, d["score"]["predictions"]["shape"]))
    lines = [
        f"# {d['task']}, version {d['task_version']}",
        d["summary"],
        *([d["description"]] if d["description"] else []),
        f"Written by nmbench {d['nmbench_version']}; `{DESCRIPTION}` has the same information for programs. "
        f"Source: {d['citation']}",
        "## Arrays",
        f"All are {d['layout']} (here T = {d['steps']}). `mask` weights the targets; targets of weight 0 are ignored.",
        _table(
            ["array", "channels", "names"],
            [[f"`{key}`", spec["channels"], ", ".join(spec["names"])] for key, spec in d["inputs"].items()]
            + [[f"`{key}`", d["outputs"]["channels"], ", ".join(d["outputs"]["names"])] for key in ("targets", "mask")],
        ),
        _table(["file", "trials", "content", "sha256 of the frozen set"], [_file_line(file) for file in d["files"]]),
        f"nmbench minimises the loss {d['training_loss']}; `{d['describe']}` lists the protocols of "
        f"the task and their training data. If training trials are drawn, nmbench draws new ones at every step.",
        "Choose everything (learning rate, number of steps, sizes) on validation data. The test targets are here because "
        "the metric is public: use them for evaluation only, not for training or selection.",
        "## Metrics",
        _table(
            ["metric", "better", "floor (score 0)", "ceiling (score 100)", "solved at", "also for each"],
            [_metric_line(metric) for metric in d["metrics"]],
        ),
        *([_EARLIER] if d["judged_with_earlier_parameters"] else []),
        "A metric is a mean over trials. These functions compute its value per trial, `[B]`, from predictions `[T, B, O]` "
        "and from `arrays`, nmbench's own frozen set, which is not among these files (`nmbench.score` uses it):",
    ]
    for source, names in _grouped(d["metrics"], "source"):
        lines += [f"{names}:", f"```python\n{source}\n```"]
    for source, names in _grouped(d["metrics"], "subset"):
        lines += [f"{names}: the mean covers only the trials that this function selects:", f"```python\n{source}\n```"]
    lines += [
        "## Score",
        f"Save predictions for all trials of `test.npz`, in order, as the array `{KEY}` [{shape}], then score them:",
        f"```python\nnumpy.savez('predictions.npz', {KEY}=predictions)\n```",
        f"```\n{d['score']['command']}\n```",
        f"NAME is a name for your model. N is its number of learned parameters, which must be within 5% of the budget "
        f"({d['default_budget']}, or the value of --budget). The row then says that the size is declared. To have it "
        f"counted, give {d['score']['counted']}.",
    ]
    return "\n\n".join(lines) + "\n"


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _file_line(file: Mapping[str, Any]) -> list[Any]:
    drawn = file["role"] == "training" and not file["fixed"]
    content = f"training trials drawn with --data_seed={file['data_seed']}" if drawn else f"{file['role']} set"
    return [f"`{file['file']}`", file["trials"], content, file.get("frozen_sha256", "")]


def _metric_line(metric: Mapping[str, Any]) -> list[Any]:
    return [
        f"`{metric['name']}`" + (" (primary)" if metric["primary"] else ""),
        "higher" if metric["higher_is_better"] else "lower",
        f"{metric['floor']:.6g}",
        f"{metric['ceiling']:.6g}",
        "" if metric["threshold"] is None else f"{metric['threshold']:g}",
        metric["per"] or "",
    ]


def _grouped(metrics: list[dict[str, Any]], field: str) -> list[tuple[str, str]]:
    """Group metrics by the source text in `field`: pairs of (source text, names of the metrics)."""
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
    """Source text of a function, or its name if there is no source."""
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
    """Write one set as NAME.npz and return its entry in the description."""
    targets = np.asarray(batch.targets, np.float32)
    arrays = {
        key: np.asarray(leaf, np.float32) for key, leaf in zip(_input_keys(task), tree.flatten(batch.inputs), strict=True)
    }
    arrays |= {"targets": targets, "mask": np.ascontiguousarray(np.broadcast_to(batch.mask, targets.shape), np.float32)}
    (folder / f"{name}.npz").write_bytes(frozen_sets.npz_bytes(arrays))
    return {
        "file": f"{name}.npz",
        "trials": targets.shape[1],
        "arrays": {key: list(array.shape) for key, array in arrays.items()},
        "arrays_sha256": frozen_sets.digest(arrays),
    }


@contextlib.contextmanager
def _new_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary folder that is renamed to `folder` at the end, or removed after an error."""
    refuse = lambda why: NmbenchError(f"--out={folder} {why}; name a new folder")
    target, temporary = pathlib.Path(os.path.realpath(folder)), None
    try:
        if target.exists() and not target.is_dir():
            raise refuse("is a file")
        if target.exists() and any(target.iterdir()):
            raise refuse("is not empty")
        if target.exists() and target.samefile(os.curdir):
            raise refuse("is the current folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
        yield temporary
        temporary.chmod(0o755)
        if target.exists():  # an empty folder, onto which Windows cannot rename
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise refuse(f"cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
