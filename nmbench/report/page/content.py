"""Contents of the page as plain data for its template: overview, all entries, overall rankings, a section per task."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nmbench.report import model_styles, overview
from nmbench.report.page import board_tables, figures, sections, svg
from nmbench.report.page.html_tables import Heading, HtmlRow, HtmlTable, estimate_cell, number_cell
from nmbench.report.page.row_details import Commands, Row
from nmbench.report.text import number, one_decimal, size_name, task_name
from nmbench.results import provenance, verification

if TYPE_CHECKING:
    from nmbench.report.model_styles import Style
    from nmbench.results.overall import OverallRanking
    from nmbench.results.ranking import Table
    from nmbench.results.verification import Verifications

# Names that can be part of an HTML id and of a link.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")


def gather(
    tables: Sequence[Table],
    rankings: Sequence[OverallRanking],
    rows: Mapping[str, Row],
    paths: Sequence[str],
    commands: Commands,
    report: Callable[[str], None],
    verified: Verifications,
) -> dict[str, Any]:
    """All data for the template. rows: run id to row. `nmbench.report.page.write` describes the other arguments."""
    trained = [(table, entry) for table in tables for entry in table.models]
    anchors = {id(entry): f"entry-{i}" for i, (_, entry) in enumerate(trained, start=1)}
    by_task: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        by_task[table.task].append(table)
    task_ids = {task: f"task-{task if _PLAIN.fullmatch(task) else i}" for i, task in enumerate(by_task, start=1)}
    styles = model_styles.styles({entry.label: entry.model for _, entry in trained})
    with_tier = any(entry.tier for _, entry in trained)
    sources = sections.Sources(rows, paths, commands, styles, anchors, verified, with_tier)
    made = []
    for task, members in by_task.items():
        report(task)
        made.append(sections.section(task, members, task_ids[task], sources))
    lines = [
        board_tables.all_row(table, entry, rows, styles, f"#{anchors[id(entry)]}", f"#{task_ids[table.task]}", with_tier)
        for table, entry in trained
        if not entry.external  # it has a line already, with the protocol external
    ]
    headings = [*board_tables.ALL, *([board_tables.TIER] if with_tier else [])]
    caption = "One line per model and configuration. Small print: 95% intervals and remarks. Click a heading to sort."
    return {
        "made": provenance.utc_now().replace("T", " ").replace("+00:00", " UTC"),
        "n_rows": len(rows),
        "n_models": len({entry.model for _, entry in trained}),
        "all": HtmlTable("all-caption", caption, headings, lines, id="all"),
        "tiers": list(enumerate(verification.TIERS, start=1)) if with_tier else [],
        "overview": _overview(tables, styles, task_ids),
        "tasks": list(by_task),
        "protocols": sorted({table.protocol for table in tables}),
        "rankings": [_ranking(ranking, f"overall-{i}", styles) for i, ranking in enumerate(rankings, start=1)],
        "sections": made,
    }


def _overview(tables: Sequence[Table], styles: Mapping[str, Style], task_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """The panels of the picture at the top of the page, one per task."""
    import matplotlib

    panels = []
    with matplotlib.rc_context(dict(svg.STYLE)):
        for i, table in enumerate(overview.main_tables(tables), start=1):
            drawn = table.models
            others = {e.model for t in tables if t.task == table.task for e in t.models}
            left_out = sorted(others - {entry.model for entry in drawn})
            notes = [f"{table.protocol}, {size_name(table.budget)}."]
            for entry in overview.dashed(table):
                notes.append(f"Dashed: {entry.label}, {number(entry.median.value)}.")
            if len(drawn) > overview.MOST_LINES:
                notes.append(f"Only the first {overview.MOST_LINES} of {len(drawn)} models are shown.")
            if left_out:
                notes.append(f"Only in other tables: {', '.join(left_out)}.")
            plot = svg.plot(figures.models(table, styles), f"overview-{i}", table.task, " ".join(notes))
            panels.append({**plot, "link": f"#{task_ids[table.task]}"})
    return panels


def _ranking(ranking: OverallRanking, key: str, styles: Mapping[str, Style]) -> dict[str, Any]:
    names = [task_name(table.task, table.budget) for table in ranking.tables]
    rows = [
        HtmlRow(
            [
                board_tables.model_cell(entry.label, styles),
                number_cell(entry.rank, str, f"group {entry.group}" if entry.group else ""),
                estimate_cell(entry.score, one_decimal),
                *(number_cell(score, one_decimal) for score in entry.scores),
            ]
        )
        for entry in ranking.entries
    ]
    headings = [Heading("Model", False), Heading("Rank"), Heading("Mean score"), *map(Heading, names)]
    caption = f"Protocol {ranking.protocol}: mean score over tasks of equal weight."
    left = [f"{label} ({', '.join(task_name(*t) for t in lacks)})" for label, lacks in ranking.left_out.items()]
    return {
        "table": HtmlTable(key, caption, headings, rows),
        "left_out": ", ".join(left),
        "unused": ", ".join(task_name(*table) for table in ranking.unused),
    }
