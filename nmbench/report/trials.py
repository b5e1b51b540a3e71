"""Pictures of trials: inputs and targets of a frozen set, with the epochs shaded."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tree

from nmbench.contracts.specs import ArraySpec
from nmbench.contracts.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
SHADES = ("#eeeeee", "#fde7c8", "#dbe9f6", "#d9efe4", "#f3dbe8", "#e6e0f3")


def plot_trials(task: Task, split: str = "test", trials: int = 4) -> Figure:
    """Draw trials that are spread evenly over a frozen set: one column per trial, one row per input and one for the targets.

    Targets are drawn only at steps that the mask includes. Epochs are shaded if the task defines them.

    Args:
      task: task of the trials.
      split: name of the frozen set.
      trials: largest number of trials.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    arrays = task.frozen(split).arrays
    rows = signals(task, arrays)
    chosen = spread(rows[0].values.shape[1], trials)
    conditions = labels(task, arrays, chosen)
    shades: dict[str, str] = {}
    figure = Figure(figsize=(3.0 * len(chosen) + 1.0, 1.2 + 1.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(chosen), sharex=True, sharey="row", squeeze=False)
    for column, trial in enumerate(chosen):
        label = "\n".join(["", *textwrap.wrap(conditions[column], 44)])
        axes[0, column].set_title(f"{split} trial {trial}{label}", fontsize=9)
        axes[-1, column].set_xlabel("step", fontsize=8)
        for row, signal in enumerate(rows):
            _draw(axes[row, column], signal.values[:, trial], signal.spec)
        if task.epochs is not None:
            _shade(axes[:, column], task.epochs(arrays, int(trial)), shades)
    for row, signal in enumerate(rows):
        axes[row, 0].set_ylabel(signal.name, fontsize=8)
        if signal.spec.channels > 1:
            axes[row, -1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    if shades:
        patches = [Patch(color=colour, label=name) for name, colour in shades.items()]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(shades), fontsize=7, frameon=False)
    figure.suptitle(f"{task.name} v{task.version}", fontsize=10)
    return figure


class Signal(NamedTuple):
    """An input of a task, or its target.

    Attributes:
      name: path of the input, or "target".
      spec: number and names of the channels.
      values: `[T, B, channels]`; NaN where the mask excludes a target.
    """

    name: str
    spec: ArraySpec
    values: np.ndarray


def signals(task: Task, arrays: Mapping[str, np.ndarray]) -> list[Signal]:
    """All inputs of a frozen set in the order of the task's spec, then the targets."""
    batch = task.unpack(arrays)
    found = []
    for (path, spec), leaf in zip(tree.flatten_with_path(task.spec.inputs), tree.flatten(batch.inputs), strict=True):
        found.append(Signal("/".join(map(str, path)), spec, np.asarray(leaf)))
    counted = np.broadcast_to(np.asarray(batch.mask) > 0, batch.targets.shape)
    return [*found, Signal("target", task.spec.outputs, np.where(counted, batch.targets, np.nan))]


def spread(n: int, trials: int) -> list[int]:
    """Indices of at most `trials` trials that are spread evenly over a set of `n` trials."""
    return np.unique(np.linspace(0, n - 1, trials).round().astype(int)).tolist()


def labels(task: Task, arrays: Mapping[str, np.ndarray], chosen: Sequence[int]) -> list[str]:
    """What distinguishes each chosen trial, such as "interval 12, trained"; "" if the task tells nothing about trials.

    It is the condition of a metric; the subset of trials with a metric of their own, such as "extrapolated" if there are
    metrics "mse" and "mse_extrapolated"; and the real numbers that the set has for each trial, such as an angle.
    """
    labelled = next((m for m in task.metrics if m.conditions), None)
    parts: list[list[str]] = [[] for _ in chosen]
    if labelled is not None and labelled.conditions is not None:
        conditions = labelled.conditions(arrays)
        for trial, part in zip(chosen, parts, strict=True):
            part.append(f"{labelled.condition_name} {conditions[trial]}")
    whole = {m.name for m in task.metrics if m.subset is None}
    for metric in task.metrics:
        of, _, subset = metric.name.partition("_")
        if metric.subset is not None and of in whole:
            inside = metric.subset(arrays)
            for trial, part in zip(chosen, parts, strict=True):
                part += [subset] if inside[trial] else []
    for name, values in arrays.items():
        if values.ndim == 1 and np.issubdtype(values.dtype, np.floating):
            for trial, part in zip(chosen, parts, strict=True):
                part.append(f"{name} {values[trial]:.2f}")
    return [", ".join(part) for part in parts]


def _draw(axis: Any, values: np.ndarray, spec: ArraySpec) -> None:
    """Draw `values [T, channels]` as lines; a channel with a finite value at a single step becomes a dot.

    Later channels are thinner, so that equal channels do not hide each other.
    """
    alone = np.isfinite(values).sum(axis=0) == 1
    for channel in range(spec.channels):
        style = {"marker": "o", "markersize": 4} if alone[channel] else {}
        name = spec.names[channel] if spec.names else str(channel)
        colour = COLOURS[channel % len(COLOURS)]
        width = max(0.8, 1.2 + 0.6 * (min(spec.channels, 5) - 1 - channel))
        axis.step(
            np.arange(len(values)), values[:, channel], where="mid", color=colour, linewidth=width, label=name, **style
        )
    axis.tick_params(labelsize=7)
    axis.margins(x=0, y=0.1)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _shade(column: Any, epochs: list[tuple[str, int, int]], shades: dict[str, str]) -> None:
    """Shade the epochs of one trial. shades: name to colour, the same for all trials of a figure."""
    for name, first, end in epochs:
        colour = shades.setdefault(name, SHADES[len(shades) % len(SHADES)])
        for axis in column:
            axis.axvspan(first - 0.5, end - 0.5, color=colour, linewidth=0, zorder=-1)
