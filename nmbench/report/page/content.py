"""Contents of the page as plain data for its template: the table of all entries, overall rankings, a section per task."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nmbench.report.page import figures, sections
from nmbench.report.page.html_tables import Heading, HtmlRow, HtmlTable, cell, estimate_cell, number_cell
from nmbench.report.page.row_details import Commands, Row, row_details
from nmbench.report.text import interval, one_decimal, percent, size_name, task_name
from nmbench.results import provenance

if TYPE_CHECKING:
    from nmbench.results.overall import OverallRanking
    from nmbench.results.ranking import RankingEntry, Table

# Names that can be part of an HTML id and of a link.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")

HEADINGS = (
    Heading("Model", False, "registered name, with differing settings in brackets; in italics: references"),
    Heading("Task", False, "registered name"),
    Heading("Protocol", False, "training protocol"),
    Heading("Budget", True, 'parameter budget, or "given" if sizes were given'),
    Heading(
        "Rank",
        True,
        "1 + the number of models that are significantly better; models that share a letter cannot be told apart",
    ),
    Heading("Score", True, "score of the median, 0 at chance and 100 at a perfect answer, with its 95% interval"),
    Heading("Metric", False, "the task's primary metric; the arrow shows which direction is better"),
    Heading("Median", True, "median of the metric over seeds, with its 95% interval"),
    Heading("Mean", True, "geometric mean of an error, mean of any other metric, over seeds, with its 95% interval"),
    Heading("Solved", True, "number of seeds that reach the task's threshold, with the 95% interval of their share"),
    Heading("Parameters", True, "number of learned parameters, with its deviation from the budget"),
    Heading("Seeds", True, "number of seeds"),
    Heading("Learning rate", True, "the learning rate; phases may use a multiple of it"),
    Heading("Time", True, "median seconds of training per seed"),
)


def gather(
    tables: Sequence[Table],
    rankings: Sequence[OverallRanking],
    rows: Mapping[str, Row],
    paths: Sequence[str],
    commands: Commands,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """All data for the template. rows: run id to row. `nmbench.report.page.write` describes the other arguments."""
    trained = [(table, entry) for table in tables for entry in table.entries if not entry.reference]
    anchors = {id(entry): f"entry-{i}" for i, (_, entry) in enumerate(trained, start=1)}
    by_task: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        by_task[table.task].append(table)
    task_ids = {task: f"task-{task if _PLAIN.fullmatch(task) else i}" for i, task in enumerate(by_task, start=1)}
    styles = {label: figures.style(i) for i, label in enumerate(dict.fromkeys(entry.label for _, entry in trained))}
    made = []
    for task, members in by_task.items():
        report(task)
        section = sections.section(task, members, rows, paths, task_ids[task], styles)
        section["entries"] = [
            {
                "anchor": anchors[id(entry)],
                "protocol": table.protocol,
                "budget": size_name(table.budget),
                **row_details(entry, rows, commands),
            }
            for table, entry in trained
            if table.task == task
        ]
        made.append(section)
    lines = [_row(table, entry, anchors.get(id(entry)), task_ids[table.task]) for table in tables for entry in table.entries]
    caption = "One line per model and configuration. Small print: 95% intervals and remarks. Click a heading to sort."
    return {
        "made": provenance.utc_now().replace("T", " ").replace("+00:00", " UTC"),
        "n_rows": len(rows),
        "n_models": len({entry.model for _, entry in trained}),
        "all": HtmlTable("all-caption", caption, HEADINGS, lines, id="all"),
        "tasks": list(by_task),
        "protocols": sorted({table.protocol for table in tables}),
        "rankings": [_ranking(ranking, f"overall-{i}") for i, ranking in enumerate(rankings, start=1)],
        "sections": made,
    }


def _row(table: Table, entry: RankingEntry, anchor: str | None, task_id: str) -> HtmlRow:
    seeds = 0 if entry.sample is None else len(entry.sample)
    solved = cell("")
    if entry.solved is not None and seeds:
        shares = interval(entry.success, percent, " – ")
        solved = cell(f"{entry.solved}/{seeds}", entry.solved / seeds, shares)
    deviation = "" if entry.deviation is None else f"{entry.deviation:+.1%}"
    cells = [
        cell(entry.label, link=f"#{anchor}" if anchor else ""),
        cell(table.task, link=f"#{task_id}"),
        cell(table.protocol),
        cell(str(table.budget) if table.budget else "given", table.budget),
        number_cell(entry.rank, str, f"group {entry.group}" if entry.group else ""),
        estimate_cell(entry.score, one_decimal),
        cell(f"{table.metric} {'↑' if table.higher_is_better else '↓'}"),
        estimate_cell(entry.median),
        estimate_cell(None if entry.reference else entry.mean),
        solved,
        number_cell(entry.params, str, deviation),
        number_cell(seeds or None, str, f"{entry.lost} lost" if entry.lost else ""),
        number_cell(entry.learning_rate, lambda value: f"{value:g}"),
        number_cell(entry.train_s, lambda value: f"{value:.1f} s"),
    ]
    return HtmlRow(cells, entry.reference, table.task, table.protocol)


def _ranking(ranking: OverallRanking, key: str) -> dict[str, Any]:
    names = [task_name(table.task, table.budget) for table in ranking.tables]
    rows = [
        HtmlRow(
            [
                cell(entry.label),
                number_cell(entry.rank, str, f"group {entry.group}" if entry.group else ""),
                estimate_cell(entry.score, one_decimal),
                *(number_cell(score, one_decimal) for score in entry.scores),
            ]
        )
        for entry in ranking.entries
    ]
    headings = [Heading("Model", False), Heading("Rank"), Heading("Mean score"), *map(Heading, names)]
    caption = f"Protocol {ranking.protocol}: mean score over tasks of equal weight."
    left = [f"{label} (no {', '.join(task_name(*t) for t in lacks)})" for label, lacks in ranking.left_out.items()]
    return {
        "table": HtmlTable(key, caption, headings, rows),
        "left_out": ", ".join(left),
        "unused": ", ".join(task_name(*table) for table in ranking.unused),
    }
