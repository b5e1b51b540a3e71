"""The page's figures of trials: inputs and targets, and the outputs of trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.report.page.svg import INK, MUTED, series, shade
from nmbench.report.text import number
from nmbench.report.trials import Signal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 320
SHADES = 6
Epochs = Sequence[tuple[str, int, int]]


def example(signals: Sequence[Signal], trial: int, epochs: Epochs, shades: Mapping[str, int]) -> tuple[Figure, str]:
    """One trial, with a row per input and one for the target.

    Args:
      signals: from `nmbench.report.trials.signals`.
      trial: index of the trial.
      epochs: (name, first step, step after the last) of each epoch.
      shades: name of an epoch to the number of its background colour.

    Returns:
      The figure and its description.
    """
    figure, axes = _figure(len(signals), 82)
    for axis, signal in zip(axes, signals, strict=True):
        _draw(axis, signal.values[:, trial])
        axis.set_title(signal.name, loc="left", pad=3)
        _limit(axis, signal.values[:, trial], len(signal.values))
    _shade(axes, epochs, shades)
    axes[-1].set_xlabel("step")
    listed = ", ".join(f"{name} {first} to {end - 1}" for name, first, end in epochs)
    rows = "; ".join(f"{s.name} with {s.spec.channels} channel{'s' * (s.spec.channels > 1)}" for s in signals)
    return figure, f"{rows}. " + (f"Epochs by step: {listed}." if listed else "")


def answers(
    target: Signal,
    outputs: np.ndarray,
    chosen: Sequence[int],
    titles: Sequence[str],
    epochs: Sequence[Epochs],
    shades: Mapping[str, int],
    colour: str,
) -> tuple[Figure, str]:
    """Outputs of one trained network and the dashed targets, with a row per trial.

    Args:
      target: target of all trials of the set.
      outputs: `[T, len(chosen), O]`.
      chosen: indices of the trials.
      titles: one title per trial.
      epochs: one list of epochs per trial.
      shades: as in `example`.
      colour: colour of the model, for an output with a single channel; several channels have colours of their own.

    Returns:
      The figure and its description.
    """
    figure, axes = _figure(len(chosen), 92)
    sentences = []
    for i, (axis, trial) in enumerate(zip(axes, chosen, strict=True)):
        wanted = target.values[:, trial]
        _draw(axis, outputs[:, i], colour if wanted.shape[1] == 1 else None, width=1.6, smooth=True)
        # A single target is drawn in ink; several targets have the colours of their outputs.
        _draw(axis, wanted, colour=INK if wanted.shape[1] == 1 else None, width=1.1, dashes=(0, (4, 2.5)), symbol="D")
        axis.set_title(titles[i], loc="left", pad=3)
        _limit(axis, np.concatenate([wanted, outputs[:, i]]), len(wanted))
        _shade([axis], epochs[i], shades)
        counted = np.isfinite(wanted)
        error = float(np.mean((outputs[:, i][counted] - wanted[counted]) ** 2))
        sentences.append(f"{titles[i]}: mean squared difference from the target {number(error)}")
    axes[-1].set_xlabel("step")
    return figure, ". ".join(sentences) + "."


def _draw(
    axis: Any,
    values: np.ndarray,
    colour: str | None = None,
    width: float = 1.4,
    dashes: Any = "solid",
    symbol: str = "o",
    smooth: bool = False,
) -> None:
    """Draw `values [T, channels]` as stepped or smooth lines; a channel with a finite value at a single step is a marker."""
    for channel in range(values.shape[1]):
        line = values[:, channel]
        shown = {"color": series(channel) if colour is None else colour, "linewidth": width}
        if np.isfinite(line).sum() == 1:
            axis.plot(line, symbol, markersize=6, markerfacecolor="none", clip_on=False, **shown)
        elif smooth:
            axis.plot(line, linestyle=dashes, **shown)
        else:
            axis.step(np.arange(len(line)), line, where="mid", linestyle=dashes, **shown)


def _limit(axis: Any, values: np.ndarray, steps: int) -> None:
    """Leave room above and below finite values, and limit the axis to at most three intervals between ticks."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    room = 0.12 * (high - low) or 0.5
    axis.set_ylim(low - room, high + room)
    axis.set_xlim(-0.5, steps - 0.5)
    axis.locator_params(axis="y", nbins=3)


def _shade(axes: Sequence[Any], epochs: Epochs, shades: Mapping[str, int]) -> None:
    for name, first, end in epochs:
        for axis in axes:
            axis.axvspan(first - 0.5, end - 0.5, color=shade(shades[name] % SHADES), linewidth=0, zorder=-1)


def _figure(rows: int, height: int) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, (height * rows + 34) / 72), dpi=72, layout="constrained", edgecolor=MUTED)
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
