"""Plots of the theory: ramps under two forms of the signal, and signal and state of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.paper.theory.synthetic import RAMP_D, RAMP_TAU, RampSignal
from nmbench.paper.theory.trained import SignalTraces, TrainedNetwork
from nmbench.report.trials import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORK, EXACT, OTHER = COLOURS[0], COLOURS[6], COLOURS[1]


def ramps(signals: Sequence[RampSignal]) -> Figure:
    """A column per ramp: the signal by the discrete form and by Eq. 16, and the output of a network under each signal."""
    figure, axes = _grid(2, len(signals))
    for column, ramp in enumerate(signals):
        steps = np.arange(ramp.interval + 1)
        signal, output = axes[:, column]
        signal.set_title(f"ramp of {ramp.interval} steps", fontsize=9)
        signal.plot(steps[1:], ramp.exact, color=NETWORK, label="discrete form")
        signal.plot(steps[1:], ramp.continuous, color=OTHER, linestyle="--", label="Eq. 16")
        output.plot(steps, ramp.f, color="#bbbbbb", linewidth=4, label="ramp")
        output.plot(steps, ramp.output_exact, color=NETWORK, label="output, discrete form")
        output.plot(steps, ramp.output_continuous, color=OTHER, linestyle="--", label="output, Eq. 16")
        output.set_xlabel("steps since go", fontsize=8)
    _finish(figure, axes, ("s", "output"), f"Signal for a ramp, linear rank-1 network, tau = {RAMP_TAU:g}, d = {RAMP_D:g}")
    return figure


def signal_and_state(found: TrainedNetwork, traces: SignalTraces) -> Figure:
    """A column per condition with its first test trial: s, w and output of the network, and the theory's predictions."""
    labels = np.unique(found.conditions)
    figure, axes = _grid(3, len(labels))
    output = found.network.run(found.inputs).y[..., 0]
    steps = np.arange(1, len(output) + 1)
    for column, label in enumerate(labels):
        trial = int(np.flatnonzero(found.conditions == label)[0])
        moves = np.where(traces.moves[:, trial], 1.0, np.nan)
        s, w, y = axes[:, column]
        s.set_title(f"{found.condition} {label}, test trial {trial}", fontsize=9)
        for axis, own, target in ((s, traces.s, traces.target_s), (w, traces.w, traces.target_w)):
            axis.plot(steps, own[:, trial], color=NETWORK, label="network")
            axis.plot(steps, moves * target[:, trial], color=OTHER, label="theory, from the target's ramp")
        identifiable = np.where(traces.identifiable[:, trial], traces.own_s[:, trial], np.nan)
        s.plot(steps, identifiable, color=EXACT, linestyle=":", label="theory, from the network's output")
        s.set_ylim(-0.05, 1.05)
        y.plot(steps, found.targets[:, trial, 0], color="#bbbbbb", linewidth=4, label="target")
        y.plot(steps, output[:, trial], color=NETWORK, label="network")
        y.set_xlabel("step", fontsize=8)
    _finish(figure, axes, ("s", "w", "output"), found.name)
    return figure


def _grid(rows: int, columns: int) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * columns, 0.9 + 1.9 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, sharex="col", sharey="row", squeeze=False)


def _finish(figure: Figure, axes: Any, names: Sequence[str], title: str) -> None:
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(name, fontsize=8)
        row[-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        for axis in row:
            axis.tick_params(labelsize=7)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
    figure.suptitle(title, fontsize=9)
