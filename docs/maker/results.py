"""Tables of the committed rows, for the pages of tasks and models and for the page of results."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from maker import text
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.report import board_snapshots, leaderboard, overview
from nmbench.report.text import interval, number, one_decimal, size_name
from nmbench.results import experiment_rows, ranking
from nmbench.results.overall import OverallRanking, overall_rankings
from nmbench.results.ranking import RankingEntry, Table
from nmbench.support.errors import NmbenchError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNAPSHOTS = ROOT / "results" / "snapshots"
PROTOCOL = "matched"


@dataclasses.dataclass(frozen=True)
class Results:
    """Tables of all committed rows.

    Attributes:
      tables: one per task, protocol and budget.
      overall: rankings over several tasks.
      problem: why there are no tables; "" if there are some.
      files: paths of the rows, relative to the root of the checkout.
    """

    tables: Sequence[Table]
    overall: Sequence[OverallRanking]
    problem: str
    files: Sequence[str]

    def of_task(self, name: str) -> list[Table]:
        return [table for table in self.tables if table.task == name]

    def of_model(self, name: str) -> list[tuple[Table, RankingEntry]]:
        return [(table, entry) for table in self.tables for entry in table.entries if entry.model == name]


def board_files() -> list[pathlib.Path]:
    """The rows of the board: those of the built-in models and those of submissions."""
    return [*sorted((ROOT / "results" / "board").glob("*.csv")), *sorted((ROOT / "submissions").glob("*/*.csv"))]


def load(files: Sequence[pathlib.Path] = ()) -> Results:
    """Read `files`; by default the committed rows: those of the board, and those for the claims."""
    paths = list(files) or [*board_files(), ROOT / "results" / "claims" / "rows.csv"]
    names = [path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name for path in paths]
    try:
        tables = ranking.rank_tables(experiment_rows.read_all([str(path) for path in paths]))
    except NmbenchError as error:
        return Results([], [], str(error).replace(f"{ROOT}/", ""), names)
    return Results(tables, overall_rankings(tables), "", names)


def main_tables(tables: Sequence[Table]) -> list[Table]:
    """A table for each task: protocol `matched` at the task's default budget.

    Rows that depart from the protocol are used only for tasks that have no others.
    """
    chosen = overview.main_tables(tables)
    return [t for t in chosen if t.protocol.partition(" (")[0] == PROTOCOL and t.budget == TASKS.get(t.task).default_budget]


def section(results: Results, tables: Sequence[Table], wide: bool = False) -> str:
    """Tables as Markdown below a heading of level 2, or a line that says that there are none."""
    if not tables:
        return nothing(results)
    rendered = leaderboard.render(tables, [], "markdown", wide=wide).split("\n\n")
    # Headings of level 3, and without the legend at the end, which the page of results has once.
    return "\n\n".join(part.replace("## ", "### ", 1) if part.startswith("## ") else part for part in rendered[:-1])


def nothing(results: Results) -> str:
    reason = f" The rows of this version cannot be read: {text.escape(results.problem)}." if results.problem else ""
    return f"There are no rows yet.{reason}"


def of_model(results: Results, name: str) -> str:
    """One line per table in which the model has rows."""
    found = results.of_model(name)
    if not found:
        return nothing(results)
    rows = []
    for table, entry in found:
        others = sum(not other.reference for other in table.entries)
        rows.append(
            [
                f"[{text.escape(table.task)}](../tasks/{table.task}.md)",
                text.escape(
                    ", ".join([table.protocol, size_name(table.budget), *([entry.label] if entry.label != name else [])])
                ),
                "one seed" if entry.rank is None else f"{entry.rank} of {others}",
                0 if entry.sample is None else len(entry.sample),
                f"{text.escape(table.metric)} {number(entry.median.value)}",
                interval(entry.median),
                one_decimal(entry.score.value),
                "" if entry.learning_rate is None else f"{entry.learning_rate:g}",
            ]
        )
    headers = ("task", "protocol, size", "rank", "seeds", "median", "95%", "score", "learning rate")
    return text.table(headers, rows)


def history(name: str, folder: pathlib.Path | None = None, root: str = "../") -> list[str]:
    """The medians of a model in the snapshots of the board, below a heading; [] if it is in none.

    root: path from the page to the root of the site.
    """
    lines = board_snapshots.history(folder or SNAPSHOTS, name)
    if not lines:
        return []
    rows = []
    for line in lines:
        task, low, high = line["task"], line["median_low"], line["median_high"]
        spread = f"{number(float(low))} .. {number(float(high))}" if low and high else ""
        where = [line["protocol"], f"budget {line['budget']}" if line["budget"] else "given sizes"]
        where += [line["label"]] if line["label"] != name else []
        rows.append(
            [
                line["date"].replace("-", "\N{NON-BREAKING HYPHEN}"),
                (f"[{text.escape(task)}]({root}tasks/{task}.md)" if task in TASKS else text.escape(task))
                + f" v{line['task_version']}",
                text.escape(", ".join(where)),
                line["seeds"],
                f"{text.escape(line['metric'])} {number(float(line['median']))}",
                spread + (" (range)" if spread and line["median_interval"] == "range" else ""),
                line["tier"] or "not verified",
            ]
        )
    headers = ("snapshot", "task", "protocol", "seeds", "median", "95%", "verified")
    return ["## History", f"Medians by [snapshot of the board]({root}rules.md#snapshots).", text.table(headers, rows)]


def make(folder: pathlib.Path, results: Results) -> None:
    """Write the page of results: overall rankings, all tables, and how to read them."""
    parts = [
        "# Results",
        "These tables are computed from the committed rows when the site is built: "
        + ", ".join(f"`{name}`" for name in results.files)
        + '. The <a href="leaderboard/index.html">leaderboard page</a> shows the same rows with every seed, training '
        "curves, outputs of trained networks and the command of every row. [Findings](findings.md) answer questions about "
        "models from these rows.",
    ]
    if results.tables:
        legend = leaderboard.render(results.tables, [], "markdown").split("\n\n")[-1]
        order = [ranked.protocol for ranked in results.overall]
        overall = leaderboard.render([], results.overall, "markdown").split("\n\n")[:-1] if order else []
        parts += ["## How to read the tables", legend, *overall]
        parts += [
            part
            for task in dict.fromkeys(table.task for table in results.tables)
            for part in (f"## {text.escape(task)}", section(results, results.of_task(task)))
        ]
    else:
        parts.append(nothing(results))
    # Models of nmbench have pages with their history; those of submissions do not.
    for name in board_snapshots.models(SNAPSHOTS):
        if name not in BASELINES:
            heading, *rest = history(name, root="")
            parts += [f"{heading} of {text.escape(name)}", *rest]
    text.page(folder / "results.md", parts)
