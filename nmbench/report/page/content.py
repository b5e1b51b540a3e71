"""What the page says, as plain data for its template: the table of all entries, the overall rankings, a section per task."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nmbench.report.page import figures, sections
from nmbench.report.page.table_cells import cell, estimate
from nmbench.report.text import number
from nmbench.results import provenance, schema

if TYPE_CHECKING:
    from nmbench.results.ranking import Overall, RankingEntry, Table

# Names that can be part of an id and of a link as they are.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")
Row = Mapping[str, Any]

# What says where a row comes from; where seeds agree it is said once for all of them.
PROVENANCE = (
    "task_version",
    "testset_sha256",
    "n_test",
    "model_origin",
    "data_seed",
    "learning_rate",
    "tuning_trials",
    "train_steps",
    "seeds_together",
    *(column.name for column in schema.COLUMNS if column.name.endswith("_version") and column.name != "task_version"),
    "git_sha",
    "git_dirty",
    "platform",
    "device_kind",
    "n_cpu",
    "n_devices",
    "x64",
    "prng_impl",
    "xla_flags",
    "started_utc",
)


class Command(Protocol):
    """How rows of one configuration are made again; see `nmbench.experiments.row_commands.Rerun`."""

    @property
    def exact(self) -> bool: ...
    @property
    def note(self) -> str: ...
    def command(self, first_seed: int, seeds: int = 1) -> str: ...


Commands = Callable[[Row], Command]


def gather(
    tables: Sequence[Table],
    rankings: Sequence[Overall],
    rows: Mapping[str, Row],
    paths: Sequence[str],
    commands: Commands,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """All that the template needs. rows: run id to row; see `nmbench.report.page.write` for the other arguments."""
    anchors = {id(e): f"entry-{i}" for i, e in enumerate((e for t in tables for e in t.entries if not e.reference), start=1)}
    by_task: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        by_task[table.task].append(table)
    places = {task: f"task-{task if _PLAIN.fullmatch(task) else i}" for i, task in enumerate(by_task, start=1)}
    labels = dict.fromkeys(e.label for t in tables for e in t.entries if not e.reference)
    styles = {label: figures.style(i) for i, label in enumerate(labels)}
    made = []
    for task, members in by_task.items():
        report(task)
        section = sections.section(task, members, rows, paths, places[task], styles)
        section["entries"] = [
            {"protocol": t.protocol, "budget": budget(t), **_runs(e, anchors[id(e)], rows, commands)}
            for t in members
            for e in t.entries
            if not e.reference
        ]
        made.append(section)
    return {
        "made": provenance.utc_now().replace("T", " ").replace("+00:00", " UTC"),
        "n_rows": len(rows),
        "n_models": len({e.model for t in tables for e in t.entries if not e.reference}),
        "columns": COLUMNS,
        "lines": [
            _line(table, entry, anchors.get(id(entry)), places[table.task]) for table in tables for entry in table.entries
        ],
        "tasks": list(by_task),
        "protocols": sorted({table.protocol for table in tables}),
        "rankings": [_ranking(ranking) for ranking in rankings],
        "sections": made,
    }


# Heading, whether it is sorted as numbers, what it means.
COLUMNS = (
    ("Model", False, "registered name; in brackets what differs between configurations; italic: needs no training"),
    ("Task", False, "task"),
    ("Protocol", False, "training protocol"),
    ("Budget", True, "parameter budget"),
    (
        "Rank",
        True,
        "1 + the number of models that are significantly better; models that share a letter cannot be told apart",
    ),
    ("Score", True, "mean over seeds, 0 at chance and 100 at a perfect answer, with its 95% interval"),
    ("Metric", False, "the task's primary metric; the arrow says which way is better"),
    ("Median", True, "of the metric over seeds, with its 95% interval"),
    ("IQM", True, "interquartile mean of the metric, with its 95% interval"),
    ("Solved", True, "seeds that reach the task's threshold, with the 95% interval of their share"),
    ("Parameters", True, "learned parameters, and how far they are off the budget"),
    ("Seeds", True, "number of seeds"),
    ("Rate", True, "learning rate"),
    ("Time", True, "median seconds of training per seed"),
)


def budget(table: Table) -> str:
    return f"budget {table.budget}" if table.budget else "given sizes"


def _line(table: Table, entry: RankingEntry, anchor: str | None, place: str) -> dict[str, Any]:
    seeds = 0 if entry.sample is None else len(entry.sample)
    lost = f"{entry.lost} diverged" if entry.lost else ""
    one = lambda value: f"{value:.1f}"
    solved = cell("")
    if entry.solved is not None and seeds:
        share = entry.success
        interval = "" if share is None or share.low is None else f"{share.low:.0%} – {share.high:.0%}"
        solved = cell(f"{entry.solved}/{seeds}", entry.solved / seeds, interval)
    cells = [
        cell(entry.label, link=f"#{anchor}" if anchor else ""),
        cell(table.task, link=f"#{place}"),
        cell(table.protocol),
        cell(str(table.budget) if table.budget else "given", table.budget),
        cell("" if entry.rank is None else str(entry.rank), entry.rank, f"group {entry.group}" if entry.group else ""),
        estimate(entry.score, one),
        cell(f"{table.metric} {'↑' if table.higher_is_better else '↓'}"),
        estimate(entry.median),
        estimate(None if entry.reference else entry.iqm),
        solved,
        cell(
            "" if entry.params is None else str(entry.params),
            entry.params,
            "" if entry.deviation is None else f"{entry.deviation:+.1%}",
        ),
        cell(str(seeds) if seeds else "", seeds or None, lost),
        cell("" if entry.learning_rate is None else f"{entry.learning_rate:g}", entry.learning_rate),
        cell("" if entry.train_s is None else f"{entry.train_s:.1f} s", entry.train_s),
    ]
    return {"cells": cells, "reference": entry.reference, "task": table.task, "protocol": table.protocol}


def _ranking(ranking: Overall) -> dict[str, Any]:
    name = lambda task, size: f"{task} ({size})" if size else task
    one = lambda value: f"{value:.1f}"
    tables = [name(table.task, table.budget) for table in ranking.tables]
    lines = [
        [
            cell(entry.label),
            cell(str(entry.rank), entry.rank, f"group {entry.group}" if entry.group else ""),
            estimate(entry.score, one),
            *(cell(one(score), score) for score in entry.scores),
        ]
        for entry in ranking.entries
    ]
    left = [f"{label} (no {', '.join(name(*t) for t in lacks)})" for label, lacks in ranking.left_out.items()]
    return {
        "protocol": ranking.protocol,
        "columns": [("Model", False), ("Rank", True), ("Mean score", True), *((table, True) for table in tables)],
        "lines": lines,
        "left_out": ", ".join(left),
        "unused": ", ".join(name(*table) for table in ranking.unused),
    }


def _runs(entry: RankingEntry, anchor: str, rows: Mapping[str, Row], commands: Commands) -> dict[str, Any]:
    """Provenance and commands of an entry's rows: once what they share, per seed what differs."""
    members = [rows[run_id] for run_id in entry.run_ids]
    known = [commands(row) for row in members]
    shared = [name for name in PROVENANCE if len({repr(row[name]) for row in members}) == 1]
    varying = [name for name in PROVENANCE if name not in shared]
    seeds = [row["seed"] for row in members]
    together = ""
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[0] + len(seeds))) and len({c.command(0) for c in known}) == 1:
        together = known[0].command(seeds[0], len(seeds))
    settings = json.dumps(json.loads(entry.config), indent=1, sort_keys=True, ensure_ascii=False)
    return {
        "anchor": anchor,
        "label": entry.label,
        "command": together,
        "notes": sorted({command.note for command in known} - {""}),
        "exact": all(command.exact for command in known),
        "trained_here": any(command.command(0) for command in known),
        "shared": [(name, schema.BY_NAME[name].meaning, _text(members[0][name])) for name in shared],
        "varying": varying,
        "config": settings,
        "rows": [
            {
                "seed": row["seed"],
                "status": row["status"],
                "error": row["error"] or "",
                "value": "" if row["value"] is None else number(row["value"]),
                "score": "" if row["score"] is None else f"{row['score']:.1f}",
                "selected": "" if row["selected_step"] is None else str(row["selected_step"]),
                "varying": [_text(row[name]) for name in varying],
                "run_id": row["run_id"],
                "command": command.command(row["seed"]),
            }
            for row, command in zip(members, known, strict=True)
        ],
    }


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
