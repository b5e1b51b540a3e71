"""One page per registered task."""

from __future__ import annotations

import inspect
import pathlib
import re
import textwrap
from collections.abc import Iterable

import tree

from maker import equations, results, text
from nmbench.contracts.catalog import TASKS
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.task import CROSS_ENTROPY, SQUARED_ERROR, FixedData, Sampler, Task
from nmbench.report import trials
from nmbench.report.text import number, phase_in_words

_LOSSES = {
    SQUARED_ERROR: (
        "Training minimises the mean squared error over steps, trials and outputs, weighted by the mask $m$; $y^*$ is "
        "the target:",
        "$$\nL = \\frac{\\sum_{t,b,o} m_{tbo} (y_{tbo} - y^*_{tbo})^2}{\\sum_{t,b,o} m_{tbo}}\n$$",
    ),
    CROSS_ENTROPY: (
        "The outputs are the logits of classes. Training minimises the mean cross-entropy over steps and trials, weighted "
        "by the mask $m$, where $y^*$ is 1 for the right class and 0 for the others:",
        "$$\nL = -\\frac{\\sum_{t,b,o} m_{tbo} y^*_{tbo} \\log(\\exp(y_{tbo}) / \\sum_{k} \\exp(y_{tbk}))}"
        "{\\sum_{t,b,o} m_{tbo} y^*_{tbo}}\n$$",
    ),
}
HOW_TO_DRAW = "The picture shows trials of the test set, inputs above and the target below, with the epochs shaded."


def make(folder: pathlib.Path, pictures: pathlib.Path, found: results.Results) -> list[str]:
    """Write `tasks/NAME.md` for every task, and their pictures; return the names."""
    names = [entry.name for entry in TASKS.entries()]
    lines = []
    for name in names:
        entry, task = TASKS.entry(name), TASKS.get(name)
        pictures.mkdir(parents=True, exist_ok=True)
        trials.plot_trials(task, trials=2).savefig(pictures / f"task-{name}.png", dpi=90)
        text.page(folder / "tasks" / f"{name}.md", _page(task, entry.origin, found))
        lines.append(
            [f"[{text.escape(name)}]({name}.md)", text.escape(task.summary), task.default_budget, task.primary.name]
        )
    parts = [
        "# Tasks",
        "Every page is generated from the registry when the site is built. `python -m nmbench.describe NAME` prints the "
        "same facts for the version that you have, and for your own tasks with `--plugin`.",
        text.table(("task", "the network has to", "default budget", "ranked by"), lines),
        "\n".join(["```{toctree}", ":hidden:", "", *names, "```"]),
    ]
    text.page(folder / "tasks" / "index.md", parts)
    return names


def _page(task: Task, origin: str, found: results.Results) -> list[str]:
    return [
        f"# {text.escape(task.name)}",
        text.escape(task.summary),
        f"Version {task.version}. Defined in `{origin.split(':')[0]}`. Tags: {', '.join(task.tags)}. Default budget: "
        f"{task.default_budget} learned parameters. Source: {text.escape(task.citation)}",
        "## Trials",
        equations.markdown(inspect.getdoc(inspect.getmodule(task.draw_set)) or ""),
        f"![trials of {task.name}](../pictures/task-{task.name}.png)",
        HOW_TO_DRAW,
        _channels(task),
        "## Loss and data",
        *_LOSSES[task.loss],
        "\n".join(_data(task)),
        _sets(task),
        "## Metrics",
        "The first metric ranks models. A value at the floor scores 0, a value at the ceiling scores 100.",
        _metrics(task),
        *_earlier(task),
        "## Yardsticks",
        "References need no training. Each is evaluated on the test set like a model. The number in brackets is the score.",
        _yardsticks(task),
        "## Protocols",
        *[part for i, protocol in enumerate(task.protocols) for part in _protocol(protocol, i == 0)],
        "## Results",
        results.section(found, found.of_task(task.name)),
        "## Definition in code",
        "The functions that draw trials, make inputs and targets of them, and compute the metrics per trial.",
        *_functions(task),
        "## Commands",
        f"```text\npython -m nmbench.describe {task.name}\npython -m nmbench.run --model=lstm --task={task.name} --tune\n"
        f"python -m nmbench.export --task={task.name} --out=data\n```",
    ]


def _channels(task: Task) -> str:
    leaves = [("/".join(map(str, path)), leaf) for path, leaf in tree.flatten_with_path(task.spec.inputs)]
    rows = [
        [f"input `{name}`", spec.channels, ", ".join(spec.names), f"`[{task.spec.steps}, B, {spec.channels}]`"]
        for name, spec in leaves
    ]
    out = task.spec.outputs
    rows.append(["output", out.channels, ", ".join(out.names), f"`[{task.spec.steps}, B, {out.channels}]`"])
    return text.table(("array", "channels", "names", "shape"), rows)


def _functions(task: Task) -> list[str]:
    """Source of the functions that make trials and metrics, and of the functions of the same module that they call."""
    samplers = [source.sample for source in task.training.values() if isinstance(source, Sampler)]
    found: dict[str, str] = {}
    for function in (*samplers, task.draw_set, task.unpack, *(metric.per_trial for metric in task.metrics)):
        if not inspect.isfunction(function) or function.__name__ == "<lambda>":
            continue
        found.setdefault(function.__name__, inspect.getsource(function))
        module = inspect.getmodule(function)
        for name in re.findall(r"\b(\w+)\(", found[function.__name__]):
            called = getattr(module, name, None)
            if inspect.isfunction(called) and called.__module__ == function.__module__:
                found.setdefault(name, inspect.getsource(called))
    return [f"````python\n{textwrap.dedent(source).rstrip()}\n````" for source in found.values()]


def _data(task: Task) -> list[str]:
    lines = []
    for name, source in task.training.items():
        fixed = isinstance(source, FixedData)
        kind = f"{source.arrays().targets.shape[1]} fixed trials" if fixed else "new trials at every step"
        lines.append(f"- Training data `{name}`: {kind}.")
    return lines


def _sets(task: Task) -> str:
    rows = [[f"`{split}`", (one := task.frozen(split)).n, f"`{one.sha256}`"] for split in task.set_sizes]
    return text.table(("frozen set", "trials", "sha256"), rows)


def _metrics(task: Task) -> str:
    rows = []
    for i, m in enumerate(task.metrics):
        also = [f"per {m.condition_name}"] if m.conditions else []
        also += [f"`{m.name}.{stage}`" for stage in m.stages]
        rows.append(
            [
                f"**{text.code(m.name)}**" if i == 0 else text.code(m.name),
                "higher" if m.higher_is_better else "lower",
                number(m.floor),
                number(m.ceiling),
                "" if m.threshold is None else number(m.threshold),
                ", ".join(also),
                text.escape(m.meaning),
            ]
        )
    return text.table(("metric", "better", "floor", "ceiling", "solved at", "also reported", "what it measures"), rows)


def _earlier(task: Task) -> list[str]:
    stages = {stage: m.name for m in task.metrics for stage in m.earlier}
    return [
        f"Some trials of `{name}` are judged with the parameters of the earlier stage `{stage}`."
        for stage, name in stages.items()
    ]


def _yardsticks(task: Task) -> str:
    arrays = task.frozen("test").arrays
    names = [m.name for m in task.metrics]
    rows = []
    for label, predict in task.references.items():
        values = task.evaluate(predict(arrays), arrays)["values"]
        cells = [f"{number(values[m.name])} ({m.score(values[m.name]):.1f})" for m in task.metrics]
        rows.append([text.escape(label), *cells])
    return text.table(("reference", *map(text.code, names)), rows) if rows else "The task has no references."


def _protocol(protocol: Protocol, default: bool) -> list[str]:
    parts = [f"### {text.escape(protocol.name)}{', the default' if default else ''}", text.escape(protocol.summary)]
    parts.append(_phases(protocol.phases))
    for model, phases in protocol.phases_by_model.items():
        parts += [f"For `{model}` instead:", _phases(phases)]
    facts = [f"Parameters are selected on the validation loss, every {protocol.validate_every} steps."]
    if protocol.sizes == "published":
        facts.append("Models have their published sizes.")
    if protocol.learning_rate_grid:
        rates = ", ".join(f"{rate:g}" for rate in protocol.learning_rate_grid)
        facts.append(f"`--tune` tries the learning rates {rates} with {len(protocol.tuning_seeds)} seeds each.")
    else:
        facts.append(f"The learning rate is {protocol.learning_rate:g} unless the model's publication gives another.")
    return [*parts, " ".join(facts)]


def _phases(phases: Iterable[Phase]) -> str:
    return "\n".join(f"{i}. {phase_in_words(phase, text.code)}." for i, phase in enumerate(phases, start=1))
