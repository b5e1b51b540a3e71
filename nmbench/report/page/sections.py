"""The section of a task on the page: description, figures, example trials and outputs of trained networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.report import ladder_text
from nmbench.report.page import figures, svg
from nmbench.report.page.html_tables import Heading, HtmlRow, HtmlTable, TableCell, cell, number_cell
from nmbench.report.page.outputs import run_folders
from nmbench.report.page.trial_panels import Row, TrialPanels
from nmbench.report.text import number, one_decimal, size_name
from nmbench.results import ladders
from nmbench.results.curves import read_curve
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pathlib

    from nmbench.contracts.task import Task
    from nmbench.results.ranking import Table

MOST_CURVES = 12  # models per table whose training curves are drawn
_MARKS = {"o": "circle", "s": "square", "D": "diamond", "^": "up", "v": "down", "P": "plus", "X": "cross"}


def section(
    name: str,
    tables: Sequence[Table],
    rows: Mapping[str, Row],
    paths: Sequence[str],
    anchor: str,
    styles: Mapping[str, figures.Style],
) -> dict[str, Any]:
    """Plain data of the section of a task.

    Args:
      name: name of the task.
      tables: all tables of the task.
      rows: run id to row.
      paths: results folders and CSVs of the rows.
      anchor: id of the section, and start of the ids of its figures.
      styles: label of an entry to style.
    """
    import matplotlib

    trained = [run for table in tables for entry in table.entries for run in entry.run_ids if rows[run]["train_steps"]]
    folders = run_folders(paths, trained)
    groups: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        groups[table.protocol].append(table)
    first = tables[0]
    with matplotlib.rc_context(dict(svg.STYLE)):
        task, panels, examples, problem = _registered_task(name, first, anchor)
        made = [
            _group(members, f"{anchor}-{i}", rows, folders, panels, styles)
            for i, members in enumerate(groups.values(), start=1)
        ]
    # One note on missing run folders per section is enough.
    for group in [group for group in made if group["without_folders"]][1:]:
        group["without_folders"] = False
    return {
        "name": name,
        "anchor": anchor,
        "version": first.task_version,
        "summary": "" if task is None else task.summary,
        "citation": "" if task is None else task.citation,
        "problem": problem,
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


def _registered_task(
    name: str, table: Table, anchor: str
) -> tuple[Task | None, TrialPanels | None, dict[str, Any] | None, str]:
    """The task of the table, its trials and their figures (each None if not available), and the reason; "" for none."""
    task = None
    try:
        task = TASKS.get(name)
        if (task.version, task.frozen("test").sha256) != (table.task_version, table.testset_sha256):
            reason = f"The installed version of the task {name}, or its test set, differs from that of these rows."
            return None, None, None, reason
        panels = TrialPanels(task)
        return task, panels, panels.examples(anchor), ""
    except NmbenchError as error:
        reason = str(error)
    except Exception as error:  # a third-party task may raise any exception; the page shows one line
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
    return task, None, None, f"Its trials cannot be drawn: {reason}."


def _group(
    tables: Sequence[Table],
    key: str,
    rows: Mapping[str, Row],
    folders: Mapping[str, pathlib.Path],
    panels: TrialPanels | None,
    styles: Mapping[str, figures.Style],
) -> dict[str, Any]:
    """Plain data of a group: the tables of one protocol, which share the figure of score against parameters."""
    labels = list(dict.fromkeys(e.label for table in tables for e in table.entries if not e.reference))
    plots, notes, answered = [], [], []
    external = all(rows[run]["train_steps"] is None for t in tables for e in t.entries for run in e.run_ids)
    for i, table in enumerate(tables):
        size = "" if len(tables) == 1 else f", {size_name(table.budget)}"
        plots.append(_seeds_plot(table, f"{key}-strip-{i}", size, styles))
        found, missing = _curves(table, folders)
        if found:
            caption = "Validation loss, with one line per seed."
            trained = [e for e in table.entries if any(run in folders for run in e.run_ids)]
            if len(trained) > MOST_CURVES:
                caption += f" Only the first {MOST_CURVES} of {len(trained)} models are shown."
            plots.append(svg.plot(figures.curves(found, styles), f"{key}-curve-{i}", f"Training{size}", caption))
        notes += missing
        if panels is not None:
            models, problems = panels.answers(table, rows, folders, f"{key}-out-{i}")
            answered.append({"size": size.lstrip(", "), "models": models})
            notes += problems
    ladder = next(iter(ladders.ladders(tables)), None)
    # A ladder's figures show scores at its budgets; tables without a budget are not part of the ladder.
    outside = tables if ladder is None else [table for table in tables if table.budget is None]
    if outside:
        caption = "Score with its 95% interval: 0 at chance, 100 at a perfect answer."
        plots.insert(1, svg.plot(figures.scores(outside, styles), f"{key}-scores", "Score and size", caption))
    others = [table for table in tables if table.metrics]
    return {
        "protocol": tables[0].protocol,
        "legend": [(label, svg.variable(styles[label].colour), _MARKS[styles[label].marker]) for label in labels],
        "ladder": None if ladder is None else _ladder(ladder, key, styles),
        "plots": plots,
        "notes": list(dict.fromkeys(notes)),
        "answered": [a for a in answered if a["models"]],
        "external": external,
        "without_folders": not external and not any(run in folders for t in tables for e in t.entries for run in e.run_ids),
        "others": [_other_metrics(table, f"{key}-others-{i}") for i, table in enumerate(others, start=1)],
    }


def _seeds_plot(table: Table, key: str, size: str, styles: Mapping[str, figures.Style]) -> dict[str, Any]:
    caption = "All seeds of each model, and below them the median with its 95% interval."
    caption += " × marks a lost seed, which counts as chance." if any(e.lost for e in table.entries) else ""
    if len(table.entries) > figures.MOST_STRIPS:
        caption += f" Only the first {figures.MOST_STRIPS} of {len(table.entries)} lines of the table are shown."
    return svg.plot(figures.strips(table, styles), key, f"Seeds{size}", caption)


def _ladder(of: ladders.Ladder, key: str, styles: Mapping[str, figures.Style]) -> dict[str, Any]:
    """Figures of a ladder and the table beside them."""
    (scores, medians), reached = figures.ladder(of, styles), of.threshold is not None
    ring = " Ring: first budget at which the threshold is reached." if reached else ""
    line = f" Dashed: the threshold, {number(of.threshold)}." if of.threshold is not None else ""
    metric = of.tables[0].metric
    headings = [Heading("Model", False), *(Heading(f"Budget {budget}") for budget in of.budgets)]
    headings += [Heading("Reached at")] if reached else []
    rows = []
    for curve in of.curves:
        cells = [cell(curve.label)]
        for point in map(curve.at, of.budgets):
            cells.append(cell("") if point is None else _point_cell(point))
        if reached:
            cells.append(cell(ladder_text.reached_at(curve, of), curve.first))
        rows.append(HtmlRow(cells))
    caption = f"Score by budget; small print: median {metric}" + (", seeds that reach the threshold" if reached else "")
    return {
        "plots": [
            svg.plot(scores, f"{key}-ladder-scores", "Score by budget", f"Score with its 95% interval.{ring}"),
            svg.plot(medians, f"{key}-ladder-medians", f"{metric} by budget", f"Median with its 95% interval.{ring}{line}"),
        ],
        "table": HtmlTable(f"{key}-ladder", caption, headings, rows),
        "notes": ladder_text.notes(of),
    }


def _point_cell(point: ladders.Point) -> TableCell:
    entry = point.entry
    solved = "" if entry.solved is None else f", {entry.solved}/{len(entry.run_ids)}"
    text = f"{'*' if point.reached else ''}{one_decimal(entry.score.value)}"
    return cell(text, entry.score.value, f"{number(entry.median.value)}{solved}")


def _other_metrics(table: Table, key: str) -> HtmlTable:
    """Table of the medians of the task's other metrics."""
    rows = [
        HtmlRow([cell(entry.label), *(number_cell(entry.others.get(name)) for name in table.metrics)], entry.reference)
        for entry in table.entries
    ]
    caption = f"Other metrics, medians over seeds ({size_name(table.budget)})"
    return HtmlTable(key, caption, [Heading("Model", False), *map(Heading, table.metrics)], rows)


def _curves(table: Table, folders: Mapping[str, pathlib.Path]) -> tuple[dict[str, list[np.ndarray]], list[str]]:
    """Training curves by label of the entry, and notes on curves that cannot be read."""
    found: dict[str, list[np.ndarray]] = {}
    notes = []
    for entry in [e for e in table.entries if any(run in folders for run in e.run_ids)][:MOST_CURVES]:
        for run in entry.run_ids:
            if run in folders:
                try:
                    found.setdefault(entry.label, []).append(read_curve(folders[run]))
                except NmbenchError as error:
                    notes.append(f"No training curve: {error}.")
    return {label: curves for label, curves in found.items() if curves}, notes
