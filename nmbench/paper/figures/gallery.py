"""The list of figures: caption, required runs, and the function that draws each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nmbench.paper.figures import context, modulation, rank1, selection, style, timing
from nmbench.paper.runs import FinishedRun, Need, Recipe
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


def _needs(models: Sequence[str], task: str, seeds: int, rows_only: bool = False) -> tuple[Need, ...]:
    return tuple(Need(model, task, seeds, rows_only) for model in models)


_TRAINED, _SHORTER, _LONGER = map(style.word, (style.TRAINED, style.SHORTER, style.LONGER))
_COLOURS = (
    f"{_TRAINED.capitalize()}, solid: trained intervals; dashed: extrapolated intervals, shorter ones {_SHORTER}, longer "
    f"ones {_LONGER}, both paler near the trained ones."
)
_STATES = (
    f"All components of s(t), x(t) and y(t): mean over 100 trials, standard error in {style.word(style.BAND)}. The "
    f"{style.word(style.GUIDE)} line marks the step at which the queried element appears."
)
_STRIPS = (
    "Points are all seeds, bars their medians; crosses are lost seeds, at the floor; a shaded box is the 95% interval of "
    "the median, which needs six seeds; n is the number of seeds."
)
_ANGLES = "eight angles (0, 45, ..., 315 degrees)"
FIGURES = (
    PaperFigure(
        "3B",
        "Rank-1 theory (supplement B, discrete form) compared with a trained linearised NM-RNN: its signal s(t), its state "
        "w(t) along L and its output, for one test trial of each interval. It is the first seed that solves the task, or "
        "the first one if none does. Computed from the target's ramp, the signal is a prediction; computed from the "
        "network's own output, it is exact.",
        (Need("nmrnn_linear", rank1.TASK, 1, solved=True),),
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
        f"{_ANGLES}; bold: their median; dotted: stimulus on, off (memory tasks) and go.",
        _needs(("nmrnn",), context.TASK, 4),
        context.gates,
    ),
    PaperFigure(
        "S4",
        "Multitask: first three principal components of x until go in NM-RNNs after retraining, projected onto two planes; "
        f"a column per network. {_ANGLES.capitalize()} per task; a dot marks the last step before go, a square that of "
        "angle 0. Percentages are shares of the variance.",
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
        f"Measure-Wait-Go: test error on trained intervals (hollow) and on extrapolated intervals (filled). {_STRIPS} "
        "Dashed: error of answers that need no training, on extrapolated intervals.",
        _needs(timing.MODELS, timing.TASK, 10, rows_only=True),
        timing.intervals,
    ),
    PaperFigure(
        "ablation",
        f"Measure-Wait-Go: outputs of NM-RNNs, a row per network, intact and with each component of s(t) at 0. "
        f"{_COLOURS} Outputs beyond -1.5 and 1.5 are cut off.",
        _needs(("nmrnn",), timing.TASK, 4),
        timing.ablation,
    ),
    PaperFigure(
        "percent",
        f"Multitask: percent correct by task and model, memory_anti after retraining on it, the others before. {_STRIPS} "
        "Dashed: chance.",
        _needs(context.MODELS, context.TASK, 10, rows_only=True),
        context.percent,
    ),
    PaperFigure(
        "5B",
        f"Element Finder: test error by model. {_STRIPS} Dashed: chance.",
        _needs(selection.MODELS, selection.TASK, 10, rows_only=True),
        selection.errors,
    ),
    PaperFigure(
        "5C",
        "Element Finder: validation error during training; thin: seeds; bold: their median.",
        _needs(selection.MODELS, selection.TASK, 10),
        selection.curves,
    ),
)


MODULATION = "modulation"


def choose(text: str, recipe: Recipe) -> list[PaperFigure]:
    """The figures of a comma-separated list such as "S1,5B", all of `FIGURES` for "".

    "modulation" stands for a figure for each task with runs.

    Raises:
      NmbenchError: a name is unknown, or there is an invalid row.
    """
    known = {figure.name: figure for figure in FIGURES}
    chosen = errors.choose("figure", text or ",".join(known), {**known, MODULATION: None})
    return [figure for one in chosen for figure in ([one] if one else map(_modulation, modulation.tasks(recipe)))]


def _modulation(task: str) -> PaperFigure:
    return PaperFigure(
        f"{MODULATION}_{task}",
        f"{task}: what the NM-RNN and its controls change in their networks over time, in test trials of a few conditions. "
        f"A row shows a quantity of a network, the {modulation.COLUMNS} components of largest variance (counted from 0). "
        f"Lines: means over at most {modulation.TRIALS} trials; shaded: 10% to 90% of the trials. Dotted: first steps of "
        "epochs, in the colour of a condition if they differ between conditions. Dashed: neutral value, at which a scale or "
        "an added bias changes nothing, and at which the NM-RNN and the controls with signals s are the same network.",
        modulation.needs(task),
        modulation.over_time,
    )
