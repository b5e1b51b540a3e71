"""The figures: what each shows, what it needs, and the function that draws it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nmbench.paper.figures import context, rank1, selection, timing
from nmbench.paper.runs import Need, Run
from nmbench.support import errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """A figure.

    Attributes:
      name: of its files.
      caption: what it shows, a sentence or two.
      needs: networks.
      draw: from needs, those that have runs, to the picture.
    """

    name: str
    caption: str
    needs: tuple[Need, ...]
    draw: Callable[[Mapping[Need, Sequence[Run]]], Figure]


def _all(models: Sequence[str], task: str, seeds: int) -> tuple[Need, ...]:
    return tuple(Need(model, task, seeds) for model in models)


_COLOURS = "Purple: trained intervals; red: shorter; blue: longer; paler the closer to the trained ones."
_STATES = (
    "Every component of s(t), x(t) and y(t), mean of 100 trials, standard error in cyan; the red line is the step at which "
    "the queried element is shown."
)
FIGURES = (
    PaperFigure(
        "3B",
        "Rank-1 theory (supplement B, the discrete form) against a trained linearised NM-RNN: its signal s(t), its state "
        "w(t) along L and its output, one test trial of each interval. From the target's ramp the theory predicts; from the "
        "network's own output it is exact.",
        (Need("nmrnn_linear", rank1.TASK, 1),),
        rank1.signal_and_state,
    ),
    PaperFigure(
        "S1",
        f"Measure-Wait-Go: outputs of networks of each model, a column each. {_COLOURS} Dotted: target.",
        _all(timing.MODELS, timing.TASK, 4),
        timing.outputs,
    ),
    PaperFigure(
        "S2",
        f"Measure-Wait-Go: the neuromodulatory signal s(t) of NM-RNNs, a row each. {_COLOURS}",
        _all(("nmrnn",), timing.TASK, 4),
        timing.gates,
    ),
    PaperFigure(
        "S3",
        "Multitask: the neuromodulatory signal s(t) of NM-RNNs, a row each, in every task, after retraining. Thin: eight "
        "angles; bold: their median; dotted: stimulus on, off (memory tasks) and go.",
        _all(("nmrnn",), context.TASK, 4),
        context.gates,
    ),
    PaperFigure(
        "S4",
        "Multitask: first three principal components of x until go, of NM-RNNs after retraining; eight angles per task; "
        "a dot is the last step before go.",
        _all(("nmrnn",), context.TASK, 5),
        context.components,
    ),
    PaperFigure(
        "S5",
        f"Element Finder: an NM-RNN, query 10, five values of the queried element. {_STATES}",
        _all(("nmrnn",), selection.TASK, 1),
        selection.by_value,
    ),
    PaperFigure(
        "S6",
        f"Element Finder: an NM-RNN, five queries, the queried element is 5. {_STATES}",
        _all(("nmrnn",), selection.TASK, 1),
        selection.by_query,
    ),
    PaperFigure(
        "intervals",
        "Measure-Wait-Go: error on trained and on extrapolated intervals; points are seeds, bars their medians. Dashed: "
        "what an answer without training has on extrapolated intervals.",
        _all(timing.MODELS, timing.TASK, 10),
        timing.intervals,
    ),
    PaperFigure(
        "ablation",
        f"Measure-Wait-Go: outputs of NM-RNNs, a row each, intact and with each component of s(t) held at 0. {_COLOURS}",
        _all(("nmrnn",), timing.TASK, 4),
        timing.ablation,
    ),
    PaperFigure(
        "percent",
        "Multitask: percent correct by task and model after retraining on the fourth; points are seeds, bars their medians.",
        _all(context.MODELS, context.TASK, 10),
        context.percent,
    ),
    PaperFigure(
        "5B",
        "Element Finder: test error by model; points are seeds, bars their medians.",
        _all(selection.MODELS, selection.TASK, 10),
        selection.errors,
    ),
    PaperFigure(
        "5C",
        "Element Finder: validation error while training; thin: seeds; bold: their median.",
        _all(selection.MODELS, selection.TASK, 10),
        selection.curves,
    ),
)


def choose(text: str) -> list[PaperFigure]:
    """The figures of a list "S1,5B", all for ""; raises `NmbenchError` for an unknown one."""
    return errors.choose("figure", text, {figure.name: figure for figure in FIGURES})
