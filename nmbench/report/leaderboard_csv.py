"""The leaderboard as CSV: one line per entry, all columns, full precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nmbench.results.csv_files import plain, write_lines
from nmbench.results.ladders import Ladder
from nmbench.results.overall import OverallRanking
from nmbench.results.ranking import Table
from nmbench.results.ranking_frame import entry_line, estimate_columns, lines_of


def tables(given: Sequence[Table]) -> str:
    """One line per entry of all tables, including references. The columns "metrics.NAME" are medians over seeds."""
    return _text(lines_of(given))


def overall(given: Sequence[OverallRanking]) -> str:
    """One line per ranked model of all rankings, with its scores as "TASK:BUDGET=SCORE; ..."."""
    lines = []
    for ranking in given:
        names = [f"{table.task}:{table.budget or ''}" for table in ranking.tables]
        for entry in ranking.entries:
            lines.append(
                {
                    "protocol": ranking.protocol,
                    "rank": entry.rank,
                    "group": entry.group,
                    "label": entry.label,
                    "tied": "; ".join(entry.tied),
                    **estimate_columns("score", entry.score),
                    "tasks": len({table.task for table in ranking.tables}),
                    "scores": "; ".join(f"{n}={s!r}" for n, s in zip(names, entry.scores, strict=True)),
                    "seeds": "; ".join(f"{n}={s}" for n, s in zip(names, entry.seeds, strict=True)),
                }
            )
    return _text(lines)


def ladders(given: Sequence[Ladder]) -> str:
    """One line per model and budget of all ladders: the columns of `tables` without other metrics, then ladder columns.

    "reached" describes the budget of the line. "first_budget", "fell_back", "not_run" and "changed" describe the model (see
    `Curve`) and are equal in all its lines.
    """
    lines = []
    for ladder in given:
        for curve in ladder.curves:
            for table in ladder.tables:
                point = None if table.budget is None else curve.at(table.budget)
                if point is not None:
                    lines.append(
                        {
                            **entry_line(table, point.entry, ()),
                            "reached": point.reached,
                            "first_budget": curve.first,
                            "fell_back": " ".join(map(str, curve.fell_back)),
                            "not_run": " ".join(map(str, curve.not_run)),
                            "changed": curve.changed,
                        }
                    )
    return _text(lines)


def _text(lines: Sequence[dict[str, Any]]) -> str:
    return write_lines(list(lines[0]), [{name: plain(value) for name, value in line.items()} for line in lines]).rstrip("\n")
