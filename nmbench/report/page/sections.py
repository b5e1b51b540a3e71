"""The section of a task: what it asks for, its figures, example trials and what trained networks answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.report import ladder_text, trials
from nmbench.report.page import figures, runs, svg, trial_figures
from nmbench.report.page.table_cells import cell
from nmbench.report.text import number
from nmbench.results import ladders
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pathlib

    from nmbench.contracts.task import Task
    from nmbench.results.ranking import RankingEntry, Table

TRIALS = 3
# Of a table: curves in one figure, and networks whose answers are drawn.
MOST_CURVES = 12
MOST_ANSWERS = 12
_MARKS = {"o": "circle", "s": "square", "D": "diamond", "^": "up", "v": "down", "P": "plus", "X": "cross"}
Row = Mapping[str, Any]


def section(
    name: str,
    tables: Sequence[Table],
    rows: Mapping[str, Row],
    paths: Sequence[str],
    anchor: str,
    styles: Mapping[str, figures.Style],
) -> dict[str, Any]:
    """Plain data of a task's section.

    Args:
      name: the task's.
      tables: all of the task.
      rows: run id to row.
      paths: results folders and files that the rows come from.
      anchor: id of the section, with which those of its figures begin.
      styles: label to how it is drawn.
    """
    import matplotlib

    every = [run for table in tables for entry in table.entries for run in entry.run_ids if rows[run]["train_steps"]]
    folders = runs.folders(paths, every)
    groups: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        groups[table.protocol].append(table)
    first = tables[0]
    with matplotlib.rc_context(dict(svg.STYLE)):
        task, drawn, examples, unknown = _registered(name, first, anchor)
        made = [
            _group(members, f"{anchor}-{i}", i, rows, folders, drawn, styles)
            for i, members in enumerate(groups.values(), start=1)
        ]
    # Said once is enough.
    for group in [group for group in made if group["without_folders"]][1:]:
        group["without_folders"] = False
    return {
        "name": name,
        "anchor": anchor,
        "version": first.task_version,
        "summary": "" if task is None else task.summary,
        "citation": "" if task is None else task.citation,
        "unknown": unknown,
        "metric": first.metric,
        "direction": "higher" if first.higher_is_better else "lower",
        "floor": number(first.floor),
        "ceiling": number(first.ceiling),
        "threshold": "" if first.threshold is None else number(first.threshold),
        "n_test": first.n_test,
        "sha256": first.testset_sha256,
        "examples": examples,
        "groups": made,
    }


def _registered(name: str, table: Table, anchor: str) -> tuple[Task | None, _Trials | None, dict[str, Any] | None, str]:
    """The task that judged the table, its trials and their figures; None, and in words why, where there are none."""
    task = None
    try:
        task = TASKS.get(name)
        if (task.version, task.frozen("test").sha256) != (table.task_version, table.testset_sha256):
            return (
                None,
                None,
                None,
                f"The task {name} that is registered here has another version or test set than these rows.",
            )
        drawn = _Trials(task)
        return task, drawn, drawn.examples(anchor), ""
    except NmbenchError as error:
        reason = str(error)
    except Exception as error:  # a third-party task may raise anything; the reader needs one line
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
    return task, None, None, f"Its trials cannot be drawn: {reason}."


def _group(
    tables: Sequence[Table],
    key: str,
    place: int,
    rows: Mapping[str, Row],
    folders: Mapping[str, pathlib.Path],
    drawn: _Trials | None,
    styles: Mapping[str, figures.Style],
) -> dict[str, Any]:
    """Tables of one protocol: they share the figure of scores against parameters."""
    labels = list(dict.fromkeys(e.label for table in tables for e in table.entries if not e.reference))
    plots, notes, answered = [], [], []
    external = all(rows[run]["train_steps"] is None for t in tables for e in t.entries for run in e.run_ids)
    for i, table in enumerate(tables):
        size = "" if len(tables) == 1 else f", {f'budget {table.budget}' if table.budget else 'given sizes'}"
        caption = "All seeds. Below them: median and its 95% interval."
        caption += " × marks a lost seed, counted at chance." if any(e.lost for e in table.entries) else ""
        if len(table.entries) > figures.MOST_STRIPS:
            caption += f" The first {figures.MOST_STRIPS} of {len(table.entries)} lines of the table."
        plots.append(_plot(figures.strips(table, styles), f"{key}-strip-{i}", f"Seeds{size}", caption))
        found, missing = _curves(table, folders)
        if found:
            caption = "Validation loss, one line per seed."
            trained = [e for e in table.entries if any(run in folders for run in e.run_ids)]
            if len(trained) > MOST_CURVES:
                caption += f" The first {MOST_CURVES} of {len(trained)} models."
            plots.append(_plot(figures.curves(found, styles), f"{key}-curve-{i}", f"Training{size}", caption))
        notes += missing
        if drawn is not None:
            models, said = drawn.answers(table, rows, folders, f"{key}-out-{i}")
            answered.append({"size": size.lstrip(", "), "models": models})
            notes += said
    climbed = next(iter(ladders.ladders(tables)), None)
    # What has no budget is not part of a ladder, but has a size.
    sized = tables if climbed is None else [table for table in tables if table.budget is None]
    if sized:
        caption = "Mean score with its 95% interval, 0 at chance, 100 at a perfect answer."
        plots.insert(1, _plot(figures.scores(sized, styles), f"{key}-scores", "Score and size", caption))
    return {
        "protocol": tables[0].protocol,
        "number": place,
        "legend": [(label, svg.variable(styles[label].colour), _MARKS[styles[label].marker]) for label in labels],
        "ladder": None if climbed is None else _ladder(climbed, key, styles),
        "plots": plots,
        "notes": list(dict.fromkeys(notes)),
        "answered": [a for a in answered if a["models"]],
        "external": external,
        "without_folders": not external and not any(run in folders for t in tables for e in t.entries for run in e.run_ids),
        "others": [_others(table) for table in tables if table.metrics],
    }


def _ladder(of: ladders.Ladder, key: str, styles: Mapping[str, figures.Style]) -> dict[str, Any]:
    """Figures of a ladder and the table beside them."""
    (scores, medians), reached = figures.ladder(of, styles), of.threshold is not None
    ring = " Ring: first reaches the threshold." if reached else ""
    line = f" Dashed: the threshold, {number(of.threshold)}." if of.threshold is not None else ""
    metric = of.tables[0].metric
    columns = [("Model", False), *((f"Budget {budget}", True) for budget in of.budgets)]
    lines = []
    for curve in of.curves:
        cells = [cell(curve.label)]
        for point in map(curve.at, of.budgets):
            cells.append(cell("") if point is None else _rung(point))
        if reached:
            cells.append(cell(ladder_text.reached_at(curve, of), curve.first))
        lines.append(cells)
    return {
        "plots": [
            _plot(scores, f"{key}-ladder-scores", "Score by budget", f"Mean score with its 95% interval.{ring}"),
            _plot(medians, f"{key}-ladder-medians", f"{metric} by budget", f"Median with its 95% interval.{ring}{line}"),
        ],
        "columns": [*columns, ("Reached at", True)] if reached else columns,
        "lines": lines,
        "said": f"Mean score by budget; small print: median {metric}"
        + (", seeds that reach the threshold" if reached else ""),
        "notes": ladder_text.notes(of),
    }


def _rung(point: ladders.Point) -> dict[str, Any]:
    entry = point.entry
    solved = "" if entry.solved is None else f", {entry.solved}/{len(entry.run_ids)}"
    text = f"{'*' if point.reached else ''}{entry.score.value:.1f}"
    return cell(text, entry.score.value, f"{number(entry.median.value)}{solved}")


def _others(table: Table) -> dict[str, Any]:
    """Medians of the task's other metrics."""
    lines = []
    for entry in table.entries:
        values = [entry.others.get(name) for name in table.metrics]
        cells = [("" if v is None else number(v), "" if v is None else repr(v)) for v in values]
        lines.append({"label": entry.label, "reference": entry.reference, "cells": cells})
    size = f"budget {table.budget}" if table.budget else "given sizes"
    return {"size": size, "columns": table.metrics, "lines": lines}


def _plot(drawn: tuple[Any, str], key: str, title: str, caption: str) -> dict[str, Any]:
    from markupsafe import Markup

    figure, description = drawn
    return {"svg": Markup(svg.inline(figure, key, title, description)), "title": title, "caption": caption}


def _curves(table: Table, folders: Mapping[str, pathlib.Path]) -> tuple[dict[str, list[np.ndarray]], list[str]]:
    """Training curves by label, and in words those that cannot be read."""
    found: dict[str, list[np.ndarray]] = {}
    notes = []
    for entry in [e for e in table.entries if any(run in folders for run in e.run_ids)][:MOST_CURVES]:
        for run in entry.run_ids:
            if run in folders:
                try:
                    found.setdefault(entry.label, []).append(runs.curve(folders[run]))
                except NmbenchError as error:
                    notes.append(f"No training curve: {error}.")
    return {label: curves for label, curves in found.items() if curves}, notes


class _Trials:
    """A few test trials of a task, and what networks answer on them."""

    def __init__(self, task: Task):
        self.task = task
        arrays = task.frozen("test").arrays
        self.signals = trials.signals(task, arrays)
        self.chosen = trials.spread(self.signals[0].values.shape[1], TRIALS)
        conditions = trials.labels(task, arrays, self.chosen)
        self.titles = [f"trial {n}" + (f", {c}" if c else "") for n, c in zip(self.chosen, conditions, strict=True)]
        self.epochs = [[] if task.epochs is None else task.epochs(arrays, int(trial)) for trial in self.chosen]
        names = dict.fromkeys(name for epochs in self.epochs for name, _, _ in epochs)
        self.shades = {name: i for i, name in enumerate(names)}

    def examples(self, key: str) -> dict[str, Any]:
        """The trials as the network meets them."""
        plots = [
            _plot(
                trial_figures.example(self.signals, trial, epochs, self.shades),
                f"{key}-trial-{trial}",
                title[:1].upper() + title[1:],
                "",
            )
            for trial, title, epochs in zip(self.chosen, self.titles, self.epochs, strict=True)
        ]
        channels = [
            {
                "name": s.name,
                "channels": [
                    (s.spec.names[c] if s.spec.names else str(c), svg.variable(svg.series(c % figures.COLOURS)))
                    for c in range(s.spec.channels)
                ],
            }
            for s in self.signals
            if s.spec.channels > 1
        ]
        shades = [(name, svg.variable(svg.shade(i % trial_figures.SHADES))) for name, i in self.shades.items()]
        return {"plots": plots, "channels": channels, "shades": shades}

    def answers(
        self, table: Table, rows: Mapping[str, Row], folders: Mapping[str, pathlib.Path], key: str
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """A figure per model, of the seed in the middle, and in words what cannot be drawn."""
        made, notes = [], []
        trained = [e for e in table.entries if any(run in folders and rows[run]["status"] == "ok" for run in e.run_ids)]
        for i, entry in enumerate(trained[:MOST_ANSWERS]):
            run = _middle(entry, rows, folders)
            try:
                outputs, remark = runs.outputs(self.task, rows[run], folders[run], self.chosen)
            except NmbenchError as error:
                notes.append(f"No outputs of {entry.label}: {error}.")
                continue
            figure = trial_figures.answers(self.signals[-1], outputs, self.chosen, self.titles, self.epochs, self.shades)
            row = rows[run]
            caption = (
                f"Seed {row['seed']}, {table.metric} {number(row['value'])}: in the middle of {len(entry.run_ids)}. {remark}"
            )
            made.append(_plot(figure, f"{key}-{i}", entry.label, caption.strip()))
        if len(trained) > MOST_ANSWERS:
            notes.append(f"Drawn are the outputs of {MOST_ANSWERS} of {len(trained)} models, the first in the table.")
        return made, notes


def _middle(entry: RankingEntry, rows: Mapping[str, Row], folders: Mapping[str, pathlib.Path]) -> str:
    """The run whose value is nearest the median, of those that ended well and have a folder."""
    there = [run for run in entry.run_ids if run in folders and rows[run]["status"] == "ok"]
    return min(there, key=lambda run: (abs(rows[run]["value"] - entry.median.value), rows[run]["seed"]))
