"""The leaderboard: rows of runs grouped into cells, ranked per task, protocol and budget."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tabulate

from nmbench.catalog import TASKS
from nmbench.errors import NmbenchError
from nmbench.report.text import escape_markdown, number
from nmbench.results.cells import shared_config, variant_labels
from nmbench.results.schema import EXTERNAL, METRIC_PREFIX
from nmbench.task import Task

# A table with more columns of other metrics than this does not fit on a screen.
INLINE_METRICS = 1


@dataclasses.dataclass(frozen=True)
class Board:
    """One table: all cells that may be compared.

    Attributes:
      title: task, protocol and budget.
      columns: headings.
      lines: one list of cells per line, text.
      notes: lines below the table.
      more_columns, more_lines: a second table, medians of the task's other metrics, where they are too many for the first.
    """

    title: str
    columns: list[str]
    lines: list[list[str]]
    notes: list[str]
    more_columns: list[str] = dataclasses.field(default_factory=list)
    more_lines: list[list[str]] = dataclasses.field(default_factory=list)


def boards(rows: Sequence[Mapping[str, Any]]) -> list[Board]:
    """Tables for all tasks, protocols and budgets in `rows`, in that order.

    Raises:
      NmbenchError: rows of one task that were judged on different test sets or task versions.
    """
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    sets: dict[str, tuple] = {}
    for row in rows:
        judged_by = (row["task_version"], row["testset_sha256"])
        if sets.setdefault(row["task"], judged_by) != judged_by:
            raise NmbenchError(
                f"rows of {row['task']} come from different test sets: {row['run_id']} has version {row['task_version']}, "
                f"sha256 {row['testset_sha256'][:12]}..., others version {sets[row['task']][0]}, "
                f"{sets[row['task']][1][:12]}...; they cannot share a table"
            )
        groups[(row["task"], row["protocol"], row["params_target"] or 0)].append(row)
    return [_board(task, protocol, target, groups[task, protocol, target]) for task, protocol, target in sorted(groups)]


def _board(task_name: str, protocol: str, target: int, rows: list[Mapping[str, Any]]) -> Board:
    task = TASKS.get(task_name) if task_name in TASKS else None
    first = rows[0]
    others = sorted({n for row in rows for n in row if n.startswith(METRIC_PREFIX) and row[n] is not None})
    if task is not None:
        order = [METRIC_PREFIX + name for m in task.metrics for name in (*(f"{m.name}.{s}" for s in m.stages), m.name)]
        others.sort(key=lambda name: order.index(name) if name in order else len(order))
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["model"], shared_config(row["config_json"])].append(row)
    summaries = [_summarise(members, others, task) for members in cells.values()]
    summaries.sort(key=lambda s: s["order"])
    _label_variants(summaries)
    for rank, summary in enumerate(summaries, start=1):
        summary["rank"] = str(rank)
    summaries += _references(task, first, others)
    summaries.sort(key=lambda s: s["order"])
    columns = ["rank", "model", "params", "seeds", f"{first['metric']} median", "quartiles", "best", "worst", "score"]
    inline = others if len(others) <= INLINE_METRICS else []
    columns += [f"{name.removeprefix(METRIC_PREFIX)} median" for name in inline]
    threshold = task.primary.threshold if task else None
    if threshold is not None:
        sign = ">=" if first["higher_is_better"] else "<="
        columns.append(f"{sign} {number(threshold)}")
    columns += ["last step", "rate", "trials", "s/seed"]
    budget = f"budget {target}" if target else "given sizes"
    title = f"{task_name} v{first['task_version']}, protocol {protocol}, {budget}"
    arrow = "higher" if first["higher_is_better"] else "lower"
    notes = [
        f"{first['metric']} on {first['n_test']} test trials (sha256 {first['testset_sha256'][:12]}): {arrow} is better, "
        f"floor {first['floor']:.4g}, ceiling {first['ceiling']:.4g}; {_how_trained(protocol)}."
    ]
    if any(s.get("diverged") for s in summaries):
        notes.append("Diverged seeds count as the floor.")
    keys = ["rank", "model", "params", "seeds", "median", "quartiles", "best", "worst", "score", *inline]
    keys += (["solved"] if threshold is not None else []) + columns[-4:]
    pick = lambda names: [[s.get(name, "") for name in names] for s in summaries]
    if inline or not others:
        return Board(title, columns, pick(keys), notes)
    more = ["model", *(f"{name.removeprefix(METRIC_PREFIX)}" for name in others)]
    return Board(title, columns, pick(keys), notes, more, pick(["model", *others]))


def _how_trained(protocol: str) -> str:
    if protocol == EXTERNAL:
        return "trained outside nmbench, parameters as counted by the submitter"
    return "parameters selected on validation loss, last step: median without selection"


def _summarise(rows: list[Mapping[str, Any]], others: list[str], task: Task | None) -> dict[str, Any]:
    first = rows[0]
    ok = [row for row in rows if row["status"] == "ok"]
    lost = len(rows) - len(ok)
    floor, better = first["floor"], (max if first["higher_is_better"] else min)
    values = np.array([row["value"] if row["status"] == "ok" else floor for row in rows])
    last = [row["last_value"] for row in ok if row["last_value"] is not None]
    scores = [row["score"] if row["status"] == "ok" else 0.0 for row in rows]
    median = float(np.median(values))
    low, high = np.percentile(values, [25, 75])
    worse = min if first["higher_is_better"] else max
    target = first["params_target"]
    seconds = [row["train_s"] for row in rows if row["train_s"] is not None]
    summary = {
        "model": first["model"],
        "config": shared_config(first["config_json"]),
        "params": str(first["params_actual"]) + (f" ({first['params_dev']:+.1%})" if target else ""),
        "seeds": str(len(rows)) + (f" ({lost} diverged)" if lost else ""),
        "diverged": lost,
        "median": number(median),
        "quartiles": f"{number(low)} .. {number(high)}",
        "best": number(better(values)),
        "worst": number(worse(values)),
        "score": f"{np.median(scores):.1f}",
        "last step": number(np.median(last)) if last else "",
        "rate": "" if first["learning_rate"] is None else f"{first['learning_rate']:g}",
        "trials": "" if first["tuning_trials"] is None else str(first["tuning_trials"]),
        "s/seed": f"{np.median(seconds):.1f}" if seconds else "",
        "order": (-median if first["higher_is_better"] else median, 0, first["model"]),
    }
    for name in others:
        found = [row[name] for row in ok if row.get(name) is not None]
        summary[name] = number(np.median(found)) if found else ""
    if task is not None and task.primary.threshold is not None:
        solved = sum(task.primary.solved(row["value"]) for row in ok)
        summary["solved"] = f"{solved}/{len(rows)}"
    return summary


def _label_variants(summaries: list[dict[str, Any]]) -> None:
    """Where a model has several cells in a table, name what differs between them."""
    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for summary in summaries:
        by_model[summary["model"]].append(summary)
    for model, variants in by_model.items():
        labels = variant_labels(model, [summary["config"] for summary in variants])
        for summary in variants:
            summary["model"] = labels[summary["config"]]


def _references(task: Task | None, first: Mapping[str, Any], others: list[str]) -> list[dict[str, Any]]:
    """Rows that need no training, computed on the test set that the other rows were judged on."""
    if task is None or not task.references:
        return []
    frozen = task.frozen("test")
    if (task.version, frozen.sha256) != (first["task_version"], first["testset_sha256"]):
        return []
    lines = []
    for label, predict in task.references.items():
        values = task.evaluate(predict(frozen.arrays), frozen.arrays)["values"]
        value = values[task.primary.name]
        line = {
            "model": f"({label})",
            "median": number(value),
            "score": f"{task.primary.score(value):.1f}",
            "order": (-value if task.primary.higher_is_better else value, 1, label),
        }
        known = {METRIC_PREFIX + name: number(found) for name, found in values.items()}
        lines.append(line | {name: known[name] for name in others if name in known})
    return lines


def render(tables: Sequence[Board], form: str) -> str:
    """Text of all tables. form: "terminal" or "markdown"."""
    parts = []
    for board in tables:
        parts += [f"## {board.title}" if form == "markdown" else board.title, _table(board.columns, board.lines, form)]
        if board.more_lines:
            parts += ["Medians of the other metrics:", _table(board.more_columns, board.more_lines, form)]
        parts.append("\n".join(board.notes))
    return "\n\n".join(parts)


def _table(columns: list[str], lines: list[list[str]], form: str) -> str:
    markdown = form == "markdown"
    lines = [[escape_markdown(cell) for cell in line] for line in lines] if markdown else lines
    align = ["left" if column in ("model", "quartiles") else "right" for column in columns]
    style = "github" if markdown else "simple"
    return tabulate.tabulate(lines, columns, tablefmt=style, disable_numparse=True, colalign=align)
