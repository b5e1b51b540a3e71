"""Figures of the multitask: gates in each task (S3), states in principal components (S4), percent correct (percent)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nmbench.paper.figures import style
from nmbench.paper.runs import Found, networks, task_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nmbench.contracts.task import Task

TASK = "multitask"
MODELS = ("nmrnn", "lrrnn", "rnn", "lstm")
ANGLES = 8
# In the trials shown: steps at which the stimulus appears, the stimulus disappears (memory tasks only), and go appears.
ONSET, OFFSET, GO = 20, 45, 75


def gates(found: Found) -> Figure:
    """Supplement Fig. 3: s(t) in each task, a row per network. Thin lines show angles, bold lines their median."""
    from nmbench.analysis import record

    (runs,) = found.values()
    trials = AngleTrials(task_of(found))
    figure, axes = style.panels(len(runs), len(trials.names), sharex=True, sharey=True)
    count = 0
    for row, network in zip(axes, networks(runs), strict=True):
        s = record(network, trials.inputs)["s"]
        count = s.shape[-1]
        for i, axis in enumerate(row):
            for first in trials.boundaries(i):
                axis.axvline(first, color=style.MUTED, linewidth=0.6, linestyle=":")
            for k in range(count):
                lines = s[:, trials.task == i, k].T
                style.seeds_and_median(axis, np.arange(len(s)), lines, style.colour(k), bold=style.width(k))
    style.name_panels(axes, style.seed_names(runs), trials.names)
    axes[0, 0].set_ylim(-0.05, 1.05)
    style.legend(figure, {f"s_{k + 1}": style.colour(k) for k in range(count)})
    return figure


def components(found: Found) -> Figure:
    """Supplement Fig. 4: the first three principal components of x until go, a column per network, a colour per task."""
    from nmbench.analysis import principal_components, record

    (runs,) = found.values()
    trials = AngleTrials(task_of(found))
    figure, axes = style.panels(2, len(runs), 2.2, 2.0)
    for column, network, seed in zip(axes.T, networks(runs), style.seed_names(runs), strict=True):
        x = record(network, trials.inputs)["x"]
        before = np.broadcast_to(np.arange(len(x))[:, None] < GO, x.shape[:2])
        found_components = principal_components(x, 3, before)
        share = found_components.explained
        for second, axis in zip((1, 2), column, strict=True):
            for trial, task in enumerate(trials.task.tolist()):
                path = found_components.scores[:GO, trial][:, [0, second]].T
                axis.plot(*path, color=style.colour(task), linewidth=style.width(task, 2.0))
                if trial % ANGLES:
                    axis.plot(*path[:, -1:], "o", color=style.colour(task), markersize=3)
                else:
                    axis.plot(*path[:, -1:], "s", color=style.colour(task), markersize=8 - task, markerfacecolor="none")
            axis.set_xlabel(f"PC 1 ({share[0]:.0%})")
            axis.set_ylabel(f"PC {second + 1} ({share[second]:.0%})")
        column[0].set_title(seed)
    ends = {"last step before go": {"marker": "o", "markersize": 3}, "angle 0": {"marker": "s", "markerfacecolor": "none"}}
    marks = {label: {"linestyle": "none", "color": style.INK, **mark} for label, mark in ends.items()}
    style.legend(figure, {**{name: style.colour(i) for i, name in enumerate(trials.names)}, **marks})
    return figure


def percent(found: Found) -> Figure:
    """Percent correct by task and model, after the last phase."""
    names = _names(task_of(found))
    figure, axes = style.panels(1, len(names), 2.1, 2.6, sharey=True)
    floor = next(m.floor for m in task_of(found).metrics if m.name == "percent_correct")
    for axis, name in zip(axes[0], names, strict=True):
        for i, (need, runs) in enumerate(found.items()):
            values, lost = np.array([(run.metric("percent_correct", name), run.lost) for run in runs]).T
            style.strip(axis, i, values, style.model(need.model), lost=lost > 0)
        axis.axhline(floor, color=style.MUTED, linewidth=0.8, linestyle="--", zorder=0)
        style.name_models(axis, {need.model: len(runs) for need, runs in found.items()})
        axis.set_title(name)
        axis.set_ylim(-3, 103)
    axes[0, 0].set_ylabel("percent correct")
    style.legend(figure, {"chance": {"color": style.MUTED, "linestyle": "--", "linewidth": 0.8}})
    return figure


class AngleTrials:
    """Trials of every task with the same event times, at `ANGLES` angles evenly spaced around the circle.

    Attributes:
      inputs: as in the task's spec, leaves `[T, B, channels]`.
      task: number of each trial's task, `[B]`.
      names: names of the tasks.
    """

    def __init__(self, task: Task):
        arrays = task.frozen("test").arrays
        self.names = _names(task)
        self.task = np.repeat(np.arange(len(self.names)), ANGLES)
        # In some tasks the stimulus stays on until the end of the trial, as in the test set.
        stays = np.array([arrays["offset"][arrays["task"] == i].min() >= task.spec.steps for i in range(len(self.names))])
        self._stays = stays
        self._arrays = {
            "task": self.task,
            "theta_in": np.tile(2 * np.pi * np.arange(ANGLES) / ANGLES, len(self.names)),
            "onset": np.full(len(self.task), ONSET),
            "offset": np.where(stays[self.task], task.spec.steps, OFFSET),
            "go": np.full(len(self.task), GO),
        }
        self._arrays = {name: values.astype(arrays[name].dtype) for name, values in self._arrays.items()}
        self.inputs = task.unpack(self._arrays).inputs

    def boundaries(self, task: int) -> list[int]:
        """First steps of the second and later epochs of a task's trials."""
        return [ONSET, GO] if self._stays[task] else [ONSET, OFFSET, GO]


def _names(task: Task) -> list[str]:
    """Names of the tasks, in the order of their numbers."""
    from nmbench.contracts.specs import ArraySpec

    context = task.spec.inputs["context"]
    assert isinstance(context, ArraySpec) and context.names
    return list(context.names)
