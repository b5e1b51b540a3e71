"""Figures of Measure-Wait-Go: outputs and gates by interval (S1, S2), errors (intervals), gates held at 0 (ablation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.paper.figures import style
from nmbench.paper.runs import Found, networks, task_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nmbench.contracts.task import Task

TASK = "mwg_rank3"
MODELS = ("nmrnn", "lrrnn", "rnn", "lstm")
# Event times of the trials shown. If the test set has no such trial, the closest one is shown.
SHOWN = {"t_measure": 15, "delay": 15}
_DASHED = (0, (4, 1.5))
_LEGEND = {
    "trained": style.TRAINED,
    "extrapolated, shorter": {"color": style.SHORTER, "linestyle": _DASHED, "linewidth": 1.6},
    "extrapolated, longer": {"color": style.LONGER, "linestyle": _DASHED, "linewidth": 1.6},
}


def outputs(found: Found) -> Figure:
    """Supplement Fig. 1: outputs by interval, a row per model and a column per network."""
    longest = max(found.values(), key=len)
    figure, axes = style.panels(len(found), len(longest), sharex=True, sharey=True)
    for row, runs in zip(axes, found.values(), strict=True):
        _blank(row[len(runs) :])
        trials = IntervalTrials(task_of(found))
        for axis, network in zip(row, networks(runs), strict=False):
            _by_interval(axis, network.apply(trials.inputs)[..., 0], trials)
            axis.plot(trials.targets[..., 0], color=style.INK, linewidth=0.8, linestyle=":", zorder=3)
    titles = [style.seed_names(runs) for runs in found.values()]
    same = all(names == titles[0][: len(names)] for names in titles)
    style.name_panels(axes, [need.model for need in found], style.seed_names(longest) if same else [""] * len(longest))
    for row, names in zip(axes, titles, strict=True):
        for axis, name in zip(row, names if not same else (), strict=False):
            axis.set_title(name)
    axes[0, 0].set_ylim(-0.75, 0.75)
    style.legend(figure, {**_LEGEND, "target": {"color": style.INK, "linestyle": ":"}})
    return figure


def gates(found: Found) -> Figure:
    """Supplement Fig. 2: every component of s(t) by interval, a row per network."""
    from nmbench.analysis import record

    (runs,) = found.values()
    trials = IntervalTrials(task_of(found))
    recorded = [record(network, trials.inputs)["s"] for network in networks(runs)]
    count = recorded[0].shape[-1]
    figure, axes = style.panels(len(runs), count, sharex=True, sharey=True)
    for row, s in zip(axes, recorded, strict=True):
        for k, axis in enumerate(row):
            _by_interval(axis, s[..., k], trials)
    style.name_panels(axes, style.seed_names(runs), [f"s_{k + 1}(t)" for k in range(count)])
    axes[0, 0].set_ylim(-0.05, 1.05)
    style.legend(figure, _LEGEND)
    return figure


def intervals(found: Found) -> Figure:
    """Error on trained (hollow) and on extrapolated intervals (filled), by model; dashed: the task's references."""
    figure, axes = style.panels(1, 1, 5.4, 3.2)
    axis = axes[0, 0]
    for i, runs in enumerate(found.values()):
        for shift, metric in ((-0.2, "mse_trained"), (0.2, "mse_extrapolated")):
            values, lost = np.array([(run.metric(metric), run.lost) for run in runs]).T
            look = style.model(runs[0].row["model"])
            style.strip(axis, i + shift, values, look, lost=lost > 0, width=0.17, hollow=metric == "mse_trained")
    task = task_of(found)
    arrays = task.frozen("test").arrays
    for label, predict in task.references.items():
        value = task.evaluate(predict(arrays), arrays)["values"]["mse_extrapolated"]
        if value > 0:
            axis.axhline(value, color=style.MUTED, linewidth=0.8, linestyle="--", zorder=0)
            axis.text(-0.58, value, label, fontsize=7, va="bottom", ha="left", color=style.MUTED)
    style.logarithmic(axis)
    style.name_models(axis, {need.model: len(runs) for need, runs in found.items()})
    axis.set_ylabel("mean squared error")
    mark = {"marker": "o", "linestyle": "none", "color": style.INK, "markersize": 4}
    style.legend(figure, {"trained intervals": {**mark, "markerfacecolor": "none"}, "extrapolated intervals": mark})
    return figure


def ablation(found: Found) -> Figure:
    """Outputs by interval, intact and with each component of s held at 0; a row per network."""
    from nmbench.analysis import count_gates, hold_gate

    (runs,) = found.values()
    intact, trials = networks(runs), IntervalTrials(task_of(found))
    count = count_gates(intact[0])
    figure, axes = style.panels(len(runs), count + 1, sharex=True, sharey=True)
    for row, network in zip(axes, intact, strict=True):
        variants = [network, *(hold_gate(network, k, 0.0) for k in range(count))]
        for axis, variant in zip(row, variants, strict=True):
            _by_interval(axis, variant.apply(trials.inputs)[..., 0], trials)
    titles = ["intact", *(f"s_{k + 1} = 0" for k in range(count))]
    style.name_panels(axes, style.seed_names(runs), titles)
    # Without a gate the outputs may have any value. The axis has twice the range of the one in S1.
    axes[0, 0].set_ylim(-1.5, 1.5)
    style.legend(figure, _LEGEND)
    return figure


class IntervalTrials:
    """One test trial per interval, trained or extrapolated.

    Attributes:
      inputs: as in the task's spec, leaves `[T, I, channels]`.
      targets: `[T, I, 1]`.
      colours: one per interval, by `_shade`.
      extrapolated: one boolean per interval.
    """

    def __init__(self, task: Task):
        arrays = task.frozen("test").arrays
        subsets = {m.name: m.subset for m in task.metrics if m.subset is not None}
        trained, extrapolated = (subsets[name](arrays) for name in ("mse_trained", "mse_extrapolated"))
        interval = arrays["interval"]
        delay = arrays["t_go"] - arrays["t_wait"]
        far = np.abs(arrays["t_measure"] - SHOWN["t_measure"]) + np.abs(delay - SHOWN["delay"])
        wanted = np.unique(interval[trained | extrapolated])
        chosen = [np.flatnonzero(interval == i)[far[interval == i].argmin()] for i in wanted]
        batch = task.unpack({name: array[chosen] for name, array in arrays.items()})
        self.inputs, self.targets = batch.inputs, batch.targets
        least, most = interval[trained].min(), interval[trained].max()
        self.colours = [_shade(i, least, most, wanted) for i in wanted]
        self.extrapolated = [not least <= i <= most for i in wanted]


def _shade(interval: int, least: int, most: int, all_intervals: np.ndarray) -> Any:
    """The colour of trained, shorter or longer intervals; the last two are paler near the trained ones."""
    from matplotlib.colors import to_rgb

    if least <= interval <= most:
        base, share = style.TRAINED, 1.0 - 0.4 * (interval - least) / max(1, most - least)
    elif interval < least:
        base, share = style.SHORTER, 0.45 + 0.55 * (least - interval) / (least - all_intervals.min())
    else:
        base, share = style.LONGER, 0.45 + 0.55 * (interval - most) / (all_intervals.max() - most)
    return tuple(1 - float(share) * (1 - channel) for channel in to_rgb(base))


def _by_interval(axis: Any, values: np.ndarray, trials: IntervalTrials) -> None:
    """Plot lines `[T, I]` in the colours of their intervals, dashed for extrapolated intervals."""
    for i, (colour, extrapolated) in enumerate(zip(trials.colours, trials.extrapolated, strict=True)):
        axis.plot(values[:, i], color=colour, linewidth=1.1, linestyle=_DASHED if extrapolated else "-")


def _blank(axes: Sequence[Any]) -> None:
    for axis in axes:
        axis.set_visible(False)
