"""The tables of the page: all results, one table per task, protocol and budget, references, and other metrics."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.report import leaderboard_csv
from nmbench.report.page import svg
from nmbench.report.page.html_tables import (
    Heading,
    HtmlRow,
    HtmlTable,
    TableCell,
    cell,
    estimate_cell,
    estimate_column,
    number_cell,
    number_column,
)
from nmbench.report.text import interval, one_decimal, percent, size_name
from nmbench.results import verification

if TYPE_CHECKING:
    from nmbench.report.model_styles import Style
    from nmbench.report.page.row_details import Row
    from nmbench.results.ranking import RankingEntry, Table

MARKS = {"o": "circle", "s": "square", "D": "diamond", "^": "up", "v": "down", "P": "plus", "X": "cross"}

MODEL = Heading("Model", False, "registered name, with differing settings in brackets")
RANK = Heading(
    "Rank",
    True,
    "1 + the number of models that are significantly better; models that share a letter cannot be told apart; no rank: "
    "one seed, or trained outside nmbench and shown beside others",
)
SCORE = Heading(
    "Score", True, "score of the median, 0 at the floor, such as chance, and 100 at a perfect answer, with its 95% interval"
)
SOLVED = Heading("Solved", True, "number of seeds that reach the task's threshold, with the 95% interval of their share")
PARAMETERS = Heading(
    "Parameters",
    True,
    "number of learned parameters, with its deviation from the budget; declared: nmbench did not count them",
)
SEEDS = Heading("Seeds", True, "number of seeds")
STEPS = Heading("Steps", True, "number of training steps")
RATE = Heading("Learning rate", True, "the learning rate and whether it was tuned; phases may use a multiple of it")
TIME = Heading("Time", True, "median seconds of training per seed", minor=True)
TIER = Heading(
    "Tier",
    False,
    "self-reported: files and configurations were checked; re-scored: the stored parameters give the scores; re-trained: "
    "seeds drawn by the verifier were trained again",
)
ALL = (
    MODEL,
    Heading("Task", False, "registered name"),
    Heading("Protocol", False, "training protocol; small print: how the runs depart from it"),
    RANK,
    SCORE,
    SOLVED,
    SEEDS,
    STEPS,
    RATE,
    PARAMETERS,
    TIME,
)


def style_mark(look: Style) -> tuple[str, str]:
    """Name of the marker on the page, and its colour."""
    return MARKS[look.marker], svg.variable(look.colour)


def model_cell(label: str, styles: Mapping[str, Style], link: str = "") -> TableCell:
    return dataclasses.replace(cell(label, link=link), mark=style_mark(styles[label]))


def all_row(
    table: Table,
    entry: RankingEntry,
    rows: Mapping[str, Row],
    styles: Mapping[str, Style],
    link: str,
    task_link: str,
    with_tier: bool,
) -> HtmlRow:
    """The line of an entry in the table of all results. with_tier: whether the table has a column for tiers."""
    protocol, _, departures = table.protocol.partition(" (")
    cells = [
        model_cell(entry.label, styles, link),
        cell(table.task, link=task_link),
        cell(protocol, small=departures.removesuffix(")")),
        *_facts(table, entry, rows),
        *([tier_cell(entry, link)] if with_tier else []),
    ]
    return HtmlRow(cells, table.task, table.protocol, verification.rank(entry.tier))


def tier_cell(entry: RankingEntry, link: str) -> TableCell:
    """The tier of an entry, linked to what was compared; link: that of the entry's details."""
    return cell(entry.tier or "none", link=f"{link}-verification" if entry.tier else "")


def _facts(table: Table, entry: RankingEntry, rows: Mapping[str, Row]) -> list[TableCell]:
    """Cells of the columns that both kinds of table have, from the rank to the time."""
    seeds = 0 if entry.sample is None else len(entry.sample)
    solved = cell("")
    if entry.solved is not None and seeds:
        solved = cell(f"{entry.solved}/{seeds}", entry.solved / seeds, interval(entry.success, percent, " – "))
    sizes = [f"budget {table.budget}"] if table.budget else ["given size"]
    sizes += [] if entry.deviation is None else [f"{entry.deviation:+.1%}"]
    sizes += ["declared"] if entry.declared else []
    trials = entry.tuning_trials
    tuned = "" if trials is None else f"tuned, {trials} runs" if trials else "not tuned"
    return [
        number_cell(entry.rank, str, f"group {entry.group}" if entry.group else ""),
        estimate_cell(entry.score, one_decimal),
        solved,
        number_cell(seeds or None, str, f"{entry.lost} lost" if entry.lost else ""),
        number_cell(rows[entry.run_ids[0]]["train_steps"], str),
        number_cell(entry.learning_rate, lambda value: f"{value:g}", tuned),
        number_cell(entry.params, str, ", ".join(sizes)),
        number_cell(entry.train_s, lambda value: f"{value:.1f} s"),
    ]


def ranking_table(
    table: Table,
    key: str,
    rows: Mapping[str, Row],
    styles: Mapping[str, Style],
    anchors: Mapping[int, str],
    with_tier: bool,
) -> HtmlTable:
    """The models of a table in order of rank. anchors: id of each entry object to the HTML id of its details."""
    entries = table.models
    medians = estimate_column([entry.median for entry in entries])
    means = estimate_column([entry.mean for entry in entries])
    lines = []
    for entry, median, mean in zip(entries, medians, means, strict=True):
        rank, *others = _facts(table, entry, rows)
        link = f"#{anchors[id(entry)]}"
        tier = [tier_cell(entry, link)] if with_tier else []
        lines.append(HtmlRow([model_cell(entry.label, styles, link), rank, median, mean, *others, *tier]))
    arrow = "↑" if table.higher_is_better else "↓"
    mean = "Geometric mean" if table.logarithmic else "Mean"
    headings = [
        MODEL,
        RANK,
        Heading(f"Median {table.metric} {arrow}", True, "median over seeds, with its 95% interval"),
        Heading(mean, True, "mean over seeds, with its 95% interval; ranks compare means", minor=True),
        *ALL[4:],
        *([TIER] if with_tier else []),
    ]
    caption = f"{table.protocol}, {size_name(table.budget)}. Small print: 95% intervals and remarks."
    return HtmlTable(key, caption, headings, lines)


def other_metrics(table: Table, key: str, styles: Mapping[str, Style]) -> HtmlTable | None:
    """Medians of the task's other metrics; None if there are none."""
    if not table.metrics:
        return None
    entries = table.models
    columns = [number_column([entry.others.get(name) for entry in entries]) for name in table.metrics]
    names = [model_cell(entry.label, styles) for entry in entries]
    caption = f"Other metrics, medians over seeds ({table.protocol}, {size_name(table.budget)})"
    return HtmlTable(
        key, caption, [MODEL, *map(Heading, table.metrics)], list(map(HtmlRow, zip(names, *columns, strict=True)))
    )


def references(table: Table, key: str) -> HtmlTable | None:
    """The task's references with all their metrics; None if it has none."""
    entries = table.references
    if not entries:
        return None
    metrics = list(dict.fromkeys(name for entry in entries for name in entry.others))
    columns = [
        [cell(entry.label) for entry in entries],
        [number_cell(entry.score.value, one_decimal) for entry in entries],
        number_column([entry.median.value for entry in entries]),
        *(number_column([entry.others.get(name) for entry in entries]) for name in metrics),
    ]
    caption = "References: predictions that need no training. They have no rank."
    headings = [Heading("Reference", False), Heading("Score"), Heading(table.metric), *map(Heading, metrics)]
    return HtmlTable(key, caption, headings, list(map(HtmlRow, zip(*columns, strict=True))))


def download(table: Table) -> dict[str, str]:
    """Name and address of the table as a CSV file, which is part of the page."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "_", f"{table.task}.{table.protocol}.{table.budget or 'sizes'}").strip("_")
    return {
        "name": f"{name}.csv",
        "address": f"data:text/csv;charset=utf-8,{urllib.parse.quote(leaderboard_csv.tables([table]))}",
    }


def commands(table: Table, details: Mapping[int, Mapping[str, Any]]) -> str:
    """The commands that make a table, one line per model. details: id of each entry object to its `row_details`."""
    lines = []
    for entry in table.models:
        found = details[id(entry)]
        if found["trained_here"]:
            lines.append(found["command"] or f"# {entry.label}: see the commands of its rows")
    return "\n".join(lines)


def about(table: Table) -> list[tuple[str, str, str]]:
    """(kind, name, page of the documentation site or "") of the table's task and models."""
    models = sorted({entry.model for entry in table.models})
    task = "task", table.task, site_page("tasks", table.task)
    return [task, *(("model", name, site_page("models", name)) for name in models)]


def site_page(kind: str, name: str) -> str:
    """The page of a task or model on the documentation site, relative to its root; "" for one of a plugin.

    kind: "tasks" or "models".
    """
    registry, folder = (TASKS, "tasks/") if kind == "tasks" else (BASELINES, "baselines/")
    shipped = {entry.name for entry in registry.entries() if entry.origin.startswith(folder)}
    return f"{kind}/{name}.html" if name in shipped else ""


def legend(labels: Sequence[str], styles: Mapping[str, Style]) -> list[tuple[str, str, str]]:
    """(label, marker, colour) of each model in the figures."""
    return [(label, *style_mark(styles[label])) for label in labels]
