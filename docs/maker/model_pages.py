"""One page per registered model."""

from __future__ import annotations

import inspect
import math
import pathlib
from collections.abc import Callable
from typing import Any

from maker import equations, results, text
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.model import Baseline
from nmbench.contracts.parameters import is_learned
from nmbench.contracts.task import Task
from nmbench.experiments import resolution, sizing
from nmbench.support.errors import NmbenchError


def make(folder: pathlib.Path, found: results.Results) -> list[str]:
    """Write `models/NAME.md` for every model; return the names."""
    names = [entry.name for entry in BASELINES.entries()]
    lines = []
    for name in names:
        entry, model = BASELINES.entry(name), BASELINES.get(name)
        text.page(folder / "models" / f"{name}.md", _page(model, entry.origin, found))
        title = model.summary.split(": ")[0].rstrip(".")
        lines.append([f"[{text.escape(name)}]({name}.md)", text.escape(title), ", ".join(model.tags)])
    parts = [
        "# Models",
        "Every page is generated from the registry when the site is built: the equations and the initialisation are those "
        "of the class docstring. `python -m nmbench.describe NAME` prints the same facts, also for your own model with "
        "`--plugin`.",
        text.table(("model", "description", "tags"), lines),
        "\n".join(["```{toctree}", ":hidden:", "", *names, "```"]),
    ]
    text.page(folder / "models" / "index.md", parts)
    return names


def _page(model: Baseline, origin: str, found: results.Results) -> list[str]:
    partitions = ", ".join(f"`{name}`" for name in ("learned", *model.partitions))
    return [
        f"# {text.escape(model.name)}",
        f"Defined in `{origin.split(':')[0]}`. Tags: {', '.join(model.tags)}. Free size: `{model.free_size}`, which nmbench "
        f"solves for the parameter budget. Partitions: {partitions}."
        + (f" Source: {text.escape(model.citation)}" if model.citation else ""),
        "## Equations and initialisation",
        equations.markdown(inspect.getdoc(model.factory) or ""),
        "## Hyperparameters",
        _hyperparameters(model),
        "## Sizes at the default budgets",
        "The number of learned parameters at the default budget of each task, under the task's default protocol.",
        _sizes(model),
        *_parameters(model),
        "## Results",
        results.of_model(found, model.name),
        *results.history(model.name),
        "## Commands",
        f"```text\npython -m nmbench.describe {model.name}\n"
        f"python -m nmbench.run --model={model.name} --task=element_finder --tune\n```",
    ]


def _hyperparameters(model: Baseline) -> str:
    rows: list[list[Any]] = [
        [model.free_size, "from the budget"],
        *([name, text.code(v)] for name, v in model.hparams.items()),
    ]
    for row in rows:
        keys: dict[Any, list[str]] = {}
        for key, values in model.settings.items():
            if row[0] in values:
                keys.setdefault(values[row[0]], []).append(text.code(key))
        row.append("; ".join(f"{value} on {', '.join(found)}" for value, found in keys.items()))
        row[0] = text.code(row[0])
    return text.table(("name", "default", "other values"), rows)


def _sizes(model: Baseline) -> str:
    rows = []
    for entry in TASKS.entries():
        task = TASKS.get(entry.name)
        protocol = task.protocols[0]
        try:
            sized = _sized(model, task)
        except NmbenchError as error:
            rows.append([f"`{task.name}`", task.default_budget, text.escape(str(error)), "", ""])
            continue
        record = model.tuned(task.name, protocol.name)
        rate = resolution.default_learning_rate(
            model, task, protocol, sized.hparams, sum(p.steps for p in protocol.phases_for(model.name, model.partitions))
        )
        how = f"{rate.value:g}, tuned" if record is not None and rate.tuning_runs else f"{rate.value:g}, not tuned"
        rows.append(
            [
                f"[{text.escape(task.name)}](../tasks/{task.name}.md)",
                task.default_budget,
                f"`{model.free_size}={sized.hparams[model.free_size]}`",
                f"{sized.actual} ({sized.deviation:+.1%})",
                how,
            ]
        )
    return text.table(("task", "budget", "free size", "learned parameters", "learning rate"), rows)


_counters: dict[str, Callable[[int], int]] = {}


def _sized(model: Baseline, task: Task) -> sizing.Sizing:
    """The size at the default budget. Tasks with the same channels and hyperparameters share the counts of parameters."""
    spec, hparams = task.spec, model.defaults(task.name, task.protocols[0].name)
    key = f"{model.name} {spec.inputs} {spec.outputs} {sorted(hparams.items())}"
    counted = _counters.setdefault(key, sizing.counter(model, spec, hparams))
    return sizing.size_to_budget(model, spec, hparams, task.default_budget, counted=counted)


def _parameters(model: Baseline) -> list[str]:
    """Names and shapes of all parameters on one task."""
    task = TASKS.get("element_finder")
    try:
        sized = _sized(model, task)
    except NmbenchError:
        return []
    rows = []
    for name, shape in sizing.shapes(model, task.spec, sized.hparams).items():
        learned = is_learned(*name.rsplit("|", 1))
        numbers = math.prod(shape)
        rows.append(
            [text.code(name), text.code(list(shape)), numbers, "learned" if learned else "drawn once per seed, fixed"]
        )
    return [
        f"All parameters on `{task.name}`, with their names in `params.safetensors`:",
        text.table(("parameter", "shape", "numbers", "kind"), rows),
    ]
