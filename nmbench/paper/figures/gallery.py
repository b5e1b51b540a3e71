"""The list of figures: caption, required runs, and the function that draws each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nmbench.paper.figures import context, rank1, selection, timing
from nmbench.paper.runs import FinishedRun, Need
from nmbench.support import errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """A figure.

    Attributes:
      name: name of its files.
      caption: one or two sentences.
      needs: the runs that the figure shows.
      draw: draws the figure from the runs found for its needs.
    """

    name: str
    caption: str
    needs: tuple[Need, ...]
    draw: Callable[[Mapping[Need, Sequence[FinishedRun]]], Figure]


def _needs(models: Sequence[str], task: str, seeds: int) -> tuple[Need, ...]:
    return tuple(Need(model, task, seeds) for model in models)


_COLOURS = "Purple: trained intervals; red: shorter ones; blue: longer ones; red and blue are paler near the trained ones."
_STATES = (
    "All components of s(t), x(t) and y(t): mean over 100 trials, standard error in cyan. The red line marks the step at "
    "which the queried element appears."
)
FIGURES = (
    PaperFigure(
        "3B",
        "Rank-1 theory (supplement B, discrete form) compared with a trained linearised NM-RNN: its signal s(t), its state "
        "w(t) along L and its output, for one test trial of each interval. Computed from the target's ramp, the signal is a "
        "prediction; computed from the network's own output, it is exact.",
        (Need("nmrnn_linear", rank1.TASK, 1),),
        rank1.signal_and_state,
    ),
    PaperFigure(
        "S1",
        f"Measure-Wait-Go: outputs of networks, a row per model and a column per network. {_COLOURS} Dotted: target.",
        _needs(timing.MODELS, timing.TASK, 4),
        timing.outputs,
    ),
    PaperFigure(
        "S2",
        f"Measure-Wait-Go: the neuromodulatory signal s(t) of NM-RNNs, a row per network. {_COLOURS}",
        _needs(("nmrnn",), timing.TASK, 4),
        timing.gates,
    ),
    PaperFigure(
        "S3",
        "Multitask: the neuromodulatory signal s(t) of NM-RNNs in each task after retraining, a row per network. Thin: "
        "eight angles; bold: their median; dotted: stimulus on, off (memory tasks) and go.",
        _needs(("nmrnn",), context.TASK, 4),
        context.gates,
    ),
    PaperFigure(
        "S4",
        "Multitask: first three principal components of x until go in NM-RNNs after retraining, eight angles per task; "
        "the dot marks the last step before go.",
        _needs(("nmrnn",), context.TASK, 5),
        context.components,
    ),
    PaperFigure(
        "S5",
        f"Element Finder: states of an NM-RNN for query 10 and five values of the queried element. {_STATES}",
        _needs(("nmrnn",), selection.TASK, 1),
        selection.by_value,
    ),
    PaperFigure(
        "S6",
        f"Element Finder: states of an NM-RNN for five queries; the queried element is 5. {_STATES}",
        _needs(("nmrnn",), selection.TASK, 1),
        selection.by_query,
    ),
    PaperFigure(
        "intervals",
        "Measure-Wait-Go: test error on trained and on extrapolated intervals; points are seeds, bars their medians. "
        "Dashed: error of answers that need no training, on extrapolated intervals.",
        _needs(timing.MODELS, timing.TASK, 10),
        timing.intervals,
    ),
    PaperFigure(
        "ablation",
        f"Measure-Wait-Go: outputs of NM-RNNs, a row per network, intact and with each component of s(t) at 0. {_COLOURS}",
        _needs(("nmrnn",), timing.TASK, 4),
        timing.ablation,
    ),
    PaperFigure(
        "percent",
        "Multitask: percent correct by task and model after retraining on the fourth task; points are seeds, bars their "
        "medians. Dashed: chance.",
        _needs(context.MODELS, context.TASK, 10),
        context.percent,
    ),
    PaperFigure(
        "5B",
        "Element Finder: test error by model; points are seeds, bars their medians. Dashed: chance.",
        _needs(selection.MODELS, selection.TASK, 10),
        selection.errors,
    ),
    PaperFigure(
        "5C",
        "Element Finder: validation error during training; thin: seeds; bold: their median.",
        _needs(selection.MODELS, selection.TASK, 10),
        selection.curves,
    ),
)


def choose(text: str) -> list[PaperFigure]:
    """The figures of a comma-separated list such as "S1,5B", all for ""; raises `NmbenchError` for an unknown name."""
    return errors.choose("figure", text, {figure.name: figure for figure in FIGURES})
