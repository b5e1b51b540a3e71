"""What the NM-RNN and its controls change in their networks over time; a figure for each task with runs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import tree

from nmbench.contracts.catalog import TASKS
from nmbench.paper import runs
from nmbench.paper.figures import selection, style
from nmbench.paper.runs import Found, Need, Recipe, networks, task_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nmbench.contracts.task import Task

# From each model to what its signals s do, "" if it has none.
MODELS = {
    "nmrnn": "scale the components of the recurrence",
    "nmrnn_additive": "are added to the components of the recurrence",
    "nmrnn_presynaptic": "scale what groups of units send",
    "nmrnn_postsynaptic": "scale what groups of units receive",
    "gain_rnn": "",
    "stp_rnn": "",
    "hyper_rnn": "",
}
COLUMNS, CONDITIONS, TRIALS = 3, 5, 100
# Conditions shown instead of ones that are spread evenly: those with the strongest relevant stream.
SHOWN = {"context_integration": [f"{stream} {sign}0.15" for stream in ("motion", "colour") for sign in ("-", "")]}


def needs(task: str) -> tuple[Need, ...]:
    """The runs of the figure of a task."""
    return tuple(Need(model, task, 1) for model in MODELS)


def tasks(recipe: Recipe) -> list[str]:
    """Tasks with runs of these models; the Element Finder if there are none."""
    names = [entry.name for entry in TASKS.entries()]
    found = runs.find([need for name in names for need in needs(name)], recipe)
    return [name for name in names if any(found[need] for need in needs(name))] or [selection.TASK]


def over_time(found: Found) -> Figure:
    """What modulates each model: a row per quantity, with its components of largest variance; a colour per condition."""
    from nmbench.analysis import modulation

    shown = ConditionTrials(task_of(found))
    rows = []
    for need, (run, *_) in found.items():
        (network,) = networks([run])
        name = f"{need.model} ({run.row['metric']} {run.row['value']:.2g})"
        rows += [(name, MODELS[need.model], one) for one in modulation(network, shown.inputs)]
    figure, axes = style.panels(len(rows), COLUMNS, 2.7, 1.35, sharex=True)
    for row, (name, effect, one) in zip(axes, rows, strict=True):
        order = one.values.var(axis=(0, 1)).argsort()[::-1][:COLUMNS]
        # Every axis reaches at least from 0 to twice the neutral value, or to 1, so that a small change looks small.
        shown_values = one.values[..., order]
        low, high = shown_values.min(), shown_values.max()
        low, high = min(-1 if low < 0 and one.neutral == 0 else 0, low), max(2 * one.neutral or 1, high)
        for axis, k in zip(row, order):
            axis.axhline(one.neutral, color=style.MUTED, linewidth=0.8, linestyle="--")
            shown.draw(axis, one.values[..., k])
            axis.text(0.02, 0.98, f"component {k}", transform=axis.transAxes, fontsize=7, va="top", color=style.MUTED)
            axis.set_ylim(low - 0.05 * (high - low), high + 0.25 * (high - low))  # above the lines is the component
        for axis in row[len(order) :]:
            axis.set_visible(False)
        does = f"signals s(t), which {effect}" if one.name == "s" else f"{one.name}, {one.meaning}"
        # A long title would widen its column, a text does not; the empty title makes room for the text.
        row[0].set_title(" ")
        row[0].text(0, 1.03, f"{name}: {does}", transform=row[0].transAxes, va="bottom").set_in_layout(False)
        row[0].set_ylabel("\n".join([one.name, *textwrap.wrap(one.unit, 20)]))
    for axis in axes[-1]:
        axis.set_xlabel("step")
    style.legend(figure, shown.legend())
    return figure


class ConditionTrials:
    """Test trials of a few conditions of a task.

    Attributes:
      inputs: as in the task's spec, leaves `[T, B, channels]`.
      labels: the condition of each trial, `[B]`.
      conditions: the conditions, spread evenly over those of the first metric that has any; all trials are in one, "", if no
        metric has.
    """

    def __init__(self, task: Task):
        arrays = task.frozen("test").arrays
        metric = next((m for m in task.metrics if m.conditions), None)
        batch = task.unpack(arrays)
        every = np.full(batch.targets.shape[1], "")
        if metric and metric.conditions:
            every = np.asarray(metric.conditions(arrays))
        distinct = np.unique(every)
        middles = ((np.arange(CONDITIONS) + 0.5) * len(distinct) / CONDITIONS).astype(int)
        wanted: list[Any] = SHOWN.get(task.name) or distinct[np.unique(middles)].tolist()
        chosen = np.concatenate([np.flatnonzero(every == label)[:TRIALS] for label in wanted])
        self.inputs = tree.map_structure(lambda values: values[:, chosen], batch.inputs)
        self.labels, self.conditions = every[chosen], wanted
        self._name = metric.condition_name if metric else "all trials"
        self._starts = [_first_steps(task, arrays, chosen[self.labels == label]) for label in wanted]
        # Epochs that start at the same step in all conditions.
        first, *others = self._starts
        self._shared = {name: step for name, step in first.items() if all(other.get(name) == step for other in others)}

    def draw(self, axis: Any, values: np.ndarray) -> None:
        """Draw values `[T, B]` by condition, and the first steps of epochs."""
        for i, label in enumerate(self.conditions):
            trials, colour = values[:, self.labels == label], style.colour(i)
            low, high = np.percentile(trials, (10, 90), axis=1)
            axis.fill_between(np.arange(len(values)), low, high, color=colour, alpha=0.18, linewidth=0)
            axis.plot(trials.mean(axis=1), color=colour, linewidth=style.width(i), linestyle=_dashes(i))
            for name, step in self._starts[i].items():
                if name not in self._shared:
                    axis.axvline(step, color=colour, linewidth=0.8, linestyle=":")
        for step in self._shared.values():
            axis.axvline(step, color=style.MUTED, linewidth=0.8, linestyle=":")

    def legend(self) -> dict[str, Any]:
        """Entries of the legend: conditions and epochs."""
        own = dict.fromkeys(name for starts in self._starts for name in starts if name not in self._shared)
        labels = [f"{self._name}: {self.conditions[0]}".removesuffix(": "), *map(str, self.conditions[1:])]
        line = lambda i: {"color": style.colour(i), "linewidth": style.width(i), "linestyle": _dashes(i)}
        entries: dict[str, Any] = {label: line(i) for i, label in enumerate(labels)}
        for names, colour in ((self._shared, style.MUTED), (own, style.colour(0))):
            if names:
                entries[f"start: {', '.join(names)}"] = {"color": colour, "linestyle": ":"}
        return {**entries, "neutral value": {"color": style.MUTED, "linestyle": "--"}}


def _dashes(condition: int) -> Any:
    """Every second condition is dashed: equal lines then show both colours."""
    return (0, (4, 2)) if condition % 2 else "-"


def _first_steps(task: Task, arrays: Any, trials: np.ndarray) -> dict[str, int]:
    """From the name of an epoch to its first step, for epochs that start after step 0 and at the same step in all trials."""
    if task.epochs is None:
        return {}
    starts: dict[str, set[int]] = {}
    for trial in trials.tolist():
        epochs = task.epochs(arrays, trial)
        for name in {name for name, _, _ in epochs}:
            starts.setdefault(name, set()).add(min(first for other, first, _ in epochs if other == name))
    return {name: steps.pop() for name, steps in sorted(starts.items()) if len(steps) == 1 and steps != {0}}
