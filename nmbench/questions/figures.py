"""A picture for each question: the effects of its comparisons on all tasks."""

from __future__ import annotations

import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

from nmbench.questions import text
from nmbench.questions.catalogue import Question
from nmbench.questions.findings import Answer, AnswerKind, TaskFindings, same_bounds
from nmbench.report import captions, model_styles, pictures
from nmbench.report.axes import use_log_scale
from nmbench.report.captions import Caption

# A logarithmic axis ends here, because an error of 0 has a ratio without bounds.
LEAST, MOST = 1e-6, 1e6
HOW_TO_READ = (
    "Points: ratio or difference with its 95% interval, better to the right. Dashed: no effect. Shaded: ratios within "
    "1/2 .. 2 (differences: 5% of the scale); an interval inside means that no difference is found, unless the corrected p "
    "is below 0.05. Hollow: open."
)


def write(folder: pathlib.Path, question: Question, found: Sequence[TaskFindings]) -> Caption | None:
    """Draw `finding_NAME.png`, with its rows in the metadata, and return its caption; None if nothing is trained.

    Args:
      folder: of the picture.
      question: the question.
      found: findings on all tasks.

    Raises:
      NmbenchError: the picture cannot be written.
    """
    shown = [(one, a) for one in found for f in one.findings if f.question == question for a in f.answers if not a.missing]
    # Ratios and differences have an axis each, and so have differences of metrics with other names, directions or scales.
    panels: dict[tuple[Any, ...], list[tuple[TaskFindings, Answer]]] = {}
    for one, answer in shown:
        primary = one.task.primary
        scale = (primary.name, primary.higher_is_better, same_bounds(False, one.task))
        panels.setdefault(("ratio of errors",) if one.logarithmic else scale, []).append((one, answer))
    if not panels:
        return None
    from matplotlib.figure import Figure

    values: dict[str, float] = {}
    for rows in (rows for _, answer in shown for rows in (answer.model, answer.rival) if rows is not None):
        of_runs = zip(rows.run_ids, rows.sample.values.tolist(), rows.sample.lost, strict=True)
        values |= {run_id: value for run_id, value, lost in of_runs if not lost}
    caption = Caption(text.picture_name(question), f"{question.title} {HOW_TO_READ}", dict(sorted(values.items())))
    lines = [len(members) for members in panels.values()]
    with pictures.look():
        figure = Figure(figsize=(7.2, 0.34 * sum(lines) + 0.95 * len(lines)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[n + 1 for n in lines]).ravel()
        for axis, ((name, *_), members) in zip(axes, panels.items(), strict=True):
            _panel(axis, question, name, members)
        pictures.write(folder / f"{caption.name}.png", figure, caption)
    return caption


def _panel(axis: Any, question: Question, name: str, members: Sequence[tuple[TaskFindings, Answer]]) -> None:
    one = members[0][0]
    styles = model_styles.styles({model: model for pair in question.comparisons for model in pair[:2]})
    # The model that varies within the question has the colour.
    varies = "rival" if len({pair.model for pair in question.comparisons}) == 1 else "model"
    ends = [value for _, answer in members for value in _bounds(answer)]
    low, high = same_bounds(one.logarithmic, one.task)
    if one.logarithmic:
        use_log_scale(axis, "x", [*ends, low, high], ratio=1)
    axis.axvspan(low, high, color="#eef1f5", linewidth=0, zorder=0)
    axis.axvline(1 if one.logarithmic else 0, color="#59636f", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for line, (of, answer) in enumerate(members):
        look = styles[getattr(answer.asked, varies)]
        value, *interval = _bounds(answer)
        if interval:
            axis.plot(interval, [line] * 2, color=look.colour, linewidth=2, zorder=2)
        inside = "white" if answer.kind is AnswerKind.OPEN else look.colour
        axis.plot([value], [line], look.marker, color=look.colour, markerfacecolor=inside, markersize=7, zorder=3)
        beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
        axis.annotate(textwrap.fill(answer.words, 22), (1, line), (6, 0), fontsize=8.5, **beside)
        if line and of is not members[line - 1][0]:
            axis.axhline(line - 0.5, color="#c8ced6", linewidth=0.7)
    labels = [f"{of.task.name}: {answer.asked.label}" for of, answer in members]
    axis.set_yticks(range(len(members)), labels, fontsize=8.5)
    axis.set_ylim(len(members) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.margins(x=0.06)
    axis.set_xlabel(f"{name}, A / B, logarithmic" if one.logarithmic else f"difference of {name}, A - B")
    if not one.task.primary.higher_is_better:
        axis.invert_xaxis()
    axis.xaxis.label.set_text(f"{axis.get_xlabel()} (better \N{RIGHTWARDS ARROW})")


def _bounds(answer: Answer) -> list[float]:
    """The effect and the bounds of its interval, if it has one."""
    assert answer.comparison is not None
    effect = answer.comparison.effect
    found = [effect.value, *(bound for bound in (effect.low, effect.high) if bound is not None)]
    return [min(max(value, LEAST), MOST) for value in found] if answer.model.sample.logarithmic else found


def write_captions(folder: pathlib.Path, made: Sequence[Caption]) -> None:
    """Write `captions.md`, and remove the pictures of questions that have none now.

    Raises:
      NmbenchError: a file cannot be written.
    """
    for path in folder.glob("finding_*.png"):
        if path.stem not in {caption.name for caption in made} and captions.rows_of(path) is not None:
            path.unlink()
    captions.write(folder, made)
