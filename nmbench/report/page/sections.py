"""The section of a task on the page: description, figures, example trials and outputs of trained networks."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.report import ladder_text, sentences
from nmbench.report.page import board_tables, by_condition, figures, svg
from nmbench.report.page.html_tables import Heading, HtmlRow, HtmlTable, TableCell, cell
from nmbench.report.page.outputs import run_folders
from nmbench.report.page.row_details import Commands, Row, row_details
from nmbench.report.page.trial_panels import TrialPanels
from nmbench.report.text import column_number, number, one_decimal, size_name
from nmbench.results import ladders
from nmbench.results.curves import read_curve
from nmbench.support.errors import NmbenchError, first_line

if TYPE_CHECKING:
    import pathlib

    from nmbench.contracts.task import Task
    from nmbench.report.model_styles import Style
    from nmbench.results.ranking import Table
    from nmbench.results.verification import Verifications

INTERVAL = "95% interval (with fewer than six seeds, its range)"
MOST_CURVES = 12  # models per table whose training curves are drawn


@dataclasses.dataclass(frozen=True)
class Sources:
    """What the sections are made from.

    Attributes:
      rows: run id to row.
      paths: results folders and CSVs of the rows.
      commands: function from a row to the command that repeats its run.
      styles: label of an entry to style.
      anchors: id of each entry object to the HTML id of its details.
      verified: the records of verification beside these results.
      with_tier: whether any entry of the page has a tier.
    """

    rows: Mapping[str, Row]
    paths: Sequence[str]
    commands: Commands
    styles: Mapping[str, Style]
    anchors: Mapping[int, str]
    verified: Verifications
    with_tier: bool


def section(name: str, tables: Sequence[Table], anchor: str, sources: Sources) -> dict[str, Any]:
    """Plain data of the section of a task.

    Args:
      name: name of the task.
      tables: all tables of the task.
      anchor: id of the section, and start of the ids of its figures.
      sources: rows, folders, styles.
    """
    import matplotlib

    rows = sources.rows
    trained = [run for table in tables for entry in table.entries for run in entry.run_ids if rows[run]["train_steps"]]
    folders = run_folders(sources.paths, trained)
    entries = [(table, entry) for table in tables for entry in table.models]
    details = {id(entry): row_details(entry, rows, sources.commands, sources.verified) for _, entry in entries}
    groups: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        groups[table.protocol].append(table)
    first = tables[0]
    with matplotlib.rc_context(dict(svg.STYLE)):
        task, panels, examples, problem = _registered_task(name, first, anchor)
        made = [
            _group(members, f"{anchor}-{i}", sources, folders, panels, details)
            for i, members in enumerate(groups.values(), start=1)
        ]
    # One long note on missing run folders per section is enough.
    for group in [group for group in made if group["without_folders"] == "all"][1:]:
        group["without_folders"] = "again"
    return {
        "name": name,
        "page": board_tables.site_page("tasks", name),
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
        "references": board_tables.references(first, f"{anchor}-references"),
        "groups": made,
        "entries": [
            {
                "anchor": sources.anchors[id(entry)],
                "protocol": table.protocol,
                "budget": size_name(table.budget),
                **details[id(entry)],
            }
            for table, entry in entries
        ],
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
        reason = f"{type(error).__name__}: {first_line(error)}"
    return task, None, None, f"Its trials cannot be drawn: {reason}."


def _group(
    tables: Sequence[Table],
    key: str,
    sources: Sources,
    folders: Mapping[str, pathlib.Path],
    panels: TrialPanels | None,
    details: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    """Plain data of a group: the tables of one protocol, and their ladder."""
    rows, styles = sources.rows, sources.styles
    labels = list(dict.fromkeys(e.label for table in tables for e in table.models))
    runs = [run for table in tables for entry in table.entries for run in entry.run_ids]
    external = all(rows[run]["train_steps"] is None for run in runs)
    with_folders = any(run in folders for run in runs)
    ladder = next(iter(ladders.ladders(tables)), None)
    return {
        "protocol": tables[0].protocol,
        "legend": board_tables.legend(labels, styles),
        "ladder": None if ladder is None else _ladder(ladder, key, styles),
        "tables": [
            _table(table, f"{key}-{i}", sources, folders if with_folders else None, panels, details)
            for i, table in enumerate(tables, start=1)
        ],
        "external": external,
        "without_folders": "" if external or with_folders else "all",
    }


def _table(
    table: Table,
    key: str,
    sources: Sources,
    folders: Mapping[str, pathlib.Path] | None,
    panels: TrialPanels | None,
    details: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    """Plain data of one table: its lines, figures, download and commands. folders: None if no run of the group has one."""
    rows, styles = sources.rows, sources.styles
    plots, notes, outputs = [_seeds_plot(table, f"{key}-strip", styles)], [], []
    if folders is not None:
        found, notes = _curves(table, folders)
        if found:
            trained = [e for e in table.entries if any(run in folders for run in e.run_ids)]
            few = sum(map(len, found.values())) <= figures.MOST_LINES
            caption = f"Validation loss: the median over seeds, and {'all seeds' if few else 'the quartiles'}."
            if len(trained) > MOST_CURVES:
                caption += f" Only the first {MOST_CURVES} of {len(trained)} models are shown."
            plots.append(svg.plot(figures.curves(found, styles), f"{key}-curve", "Training", caption))
        if panels is not None:
            outputs, problems = panels.answers(table, rows, folders, f"{key}-out", styles)
            notes += problems
    for i, by in enumerate(by_condition.conditions(table, rows)):
        caption = f"Median over seeds of {by.metric} on the test trials of each {by.axis}."
        if len(table.models) > by_condition.MOST_MODELS:
            caption += f" Only the first {by_condition.MOST_MODELS} models are shown."
        name = f"{key}-conditions" + (f"-{i}" if i else "")
        plots.append(svg.plot(figures.conditions(by, styles), name, by.title, caption))
    if table.budget is None and len({entry.params for entry in table.entries if entry.params is not None}) > 1:
        caption = f"Score with its {INTERVAL}: 0 at the floor, 100 at a perfect answer."
        plots.append(svg.plot(figures.scores(table, styles), f"{key}-scores", "Score and size", caption))
    return {
        "size": size_name(table.budget),
        "ranking": board_tables.ranking_table(table, f"{key}-ranking", rows, styles, sources.anchors, sources.with_tier),
        "others": board_tables.other_metrics(table, f"{key}-others", styles),
        "download": board_tables.download(table),
        "commands": board_tables.commands(table, details),
        "about": board_tables.about(table),
        "plots": plots,
        "notes": list(dict.fromkeys(filter(None, [sentences.other_data(table), *sentences.few_seeds(table), *notes]))),
        "outputs": outputs,
    }


def _seeds_plot(table: Table, key: str, styles: Mapping[str, Style]) -> dict[str, Any]:
    caption = f"All seeds of each model, and below them the median with its {INTERVAL}."
    caption += " × marks a lost seed, which counts as the floor." if any(e.lost for e in table.entries) else ""
    if len(table.entries) > figures.MOST_STRIPS:
        caption += f" Only the first {figures.MOST_STRIPS} of {len(table.entries)} lines of the table are shown."
    return svg.plot(figures.strips(table, styles), key, "Seeds", caption)


def _ladder(of: ladders.Ladder, key: str, styles: Mapping[str, Style]) -> dict[str, Any]:
    """Figures of a ladder and the table beside them."""
    (scores, medians), reached = figures.ladder(of, styles), of.threshold is not None
    ring = " Ring: first budget at which the threshold is reached." if reached else ""
    line = f" Dashed: the threshold, {number(of.threshold)}." if of.threshold is not None else ""
    metric = of.tables[0].metric
    headings = [Heading("Model", False), *(Heading(f"Budget {budget}") for budget in of.budgets)]
    headings += [Heading("Reached at")] if reached else []
    shows = {budget: column_number(p.entry.median.value for c in of.curves if (p := c.at(budget))) for budget in of.budgets}
    rows = []
    for curve in of.curves:
        cells = [board_tables.model_cell(curve.label, styles)]
        for budget in of.budgets:
            point = curve.at(budget)
            cells.append(cell("") if point is None else _point_cell(point, shows[budget]))
        if reached:
            cells.append(cell(ladder_text.reached_at(curve, of), curve.first))
        rows.append(HtmlRow(cells))
    caption = f"Score by budget; small print: median {metric}" + (", seeds that reach the threshold" if reached else "")
    return {
        "plots": [
            svg.plot(scores, f"{key}-ladder-scores", "Score by budget", f"Score with its {INTERVAL}.{ring}"),
            svg.plot(medians, f"{key}-ladder-medians", f"{metric} by budget", f"Median with its {INTERVAL}.{ring}{line}"),
        ],
        "table": HtmlTable(f"{key}-ladder", caption, headings, rows),
        "notes": ladder_text.notes(of),
    }


def _point_cell(point: ladders.Point, show: Callable[[float], str]) -> TableCell:
    entry = point.entry
    solved = "" if entry.solved is None else f", {entry.solved}/{len(entry.run_ids)}"
    text = f"{'*' if point.reached else ''}{one_decimal(entry.score.value)}"
    return cell(text, entry.score.value, f"{show(entry.median.value)}{solved}")


def _curves(table: Table, folders: Mapping[str, pathlib.Path]) -> tuple[dict[str, list[np.ndarray]], list[str]]:
    """Training curves by label of the entry, and notes on curves that are missing or cannot be read."""
    found: dict[str, list[np.ndarray]] = {}
    missing, notes = [], []
    for entry in table.models:
        if entry.external:  # nmbench has not trained it
            continue
        stored = [run for run in entry.run_ids if run in folders]
        if len(stored) < len(entry.run_ids):
            some = "" if not stored else f" ({len(entry.run_ids) - len(stored)} of {len(entry.run_ids)} seeds)"
            missing.append(f"{entry.label}{some}")
        if len(found) == MOST_CURVES:
            continue
        curves = []
        for run in stored:
            try:
                curves.append(read_curve(folders[run]))
            except NmbenchError as error:
                notes.append(f"No training curve: {error}.")
        if any(np.isfinite(curve[:, 2]).any() for curve in curves):
            found[entry.label] = curves
    if missing:
        notes.insert(0, f"Training curves are missing, because there are no run folders: {', '.join(missing)}.")
    return found, notes
