"""The leaderboard as CSV: one line per entry, all columns, full precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nmbench.results.csv_files import write_lines
from nmbench.results.ladders import Ladder
from nmbench.results.overall import OverallRanking
from nmbench.results.ranking import RankingEntry, Table
from nmbench.results.schema import metric_column
from nmbench.results.statistics import Estimate


def tables(given: Sequence[Table]) -> str:
    """One line per entry of all tables, including references. The columns "metrics.NAME" are medians over seeds."""
    metrics = sorted({name for table in given for name in table.metrics})
    return _text([_entry(table, entry, metrics) for table in given for entry in table.entries])


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
                    **_estimate("score", entry.score),
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
                            **_entry(table, point.entry, ()),
                            "reached": point.reached,
                            "first_budget": curve.first,
                            "fell_back": " ".join(map(str, curve.fell_back)),
                            "not_run": " ".join(map(str, curve.not_run)),
                            "changed": curve.changed,
                        }
                    )
    return _text(lines)


def _entry(table: Table, entry: RankingEntry, metrics: Sequence[str]) -> dict[str, Any]:
    values = None if entry.sample is None else entry.sample.values
    best, worst = (max, min) if table.higher_is_better else (min, max)
    return {
        "task": table.task,
        "task_version": table.task_version,
        "protocol": table.protocol,
        "budget": table.budget,
        "rank": entry.rank,
        "group": entry.group,
        "label": entry.label,
        "model": entry.model,
        "reference": entry.reference,
        "tied": "; ".join(entry.tied),
        "params": entry.params,
        "params_dev": entry.deviation,
        "seeds": None if values is None else len(values),
        "lost": None if values is None else entry.lost,
        "metric": table.metric,
        "higher_is_better": table.higher_is_better,
        **_estimate("median", entry.median),
        "median_interval": None if entry.median.low is None else "95%" if entry.median.covers else "range",
        "geometric": table.logarithmic,
        **_estimate("mean", entry.mean),
        "best": entry.median.value if values is None else float(best(values)),
        "worst": entry.median.value if values is None else float(worst(values)),
        **_estimate("score", entry.score),
        "threshold": table.threshold,
        "solved": entry.solved,
        **_estimate("success_rate", entry.success),
        "beats_next": entry.beats_next,
        "last_median": entry.last,
        "train_s": entry.train_s,
        "learning_rate": entry.learning_rate,
        "tuning_trials": entry.tuning_trials,
        "chosen_again": None if entry.tuning is None else entry.tuning.stability,
        "floor": table.floor,
        "ceiling": table.ceiling,
        "n_test": table.n_test,
        "testset_sha256": table.testset_sha256,
        "run_ids": " ".join(entry.run_ids),
        "config_json": entry.config,
        **{metric_column(name): entry.others.get(name) for name in metrics},
    }


def _estimate(name: str, found: Estimate | None) -> dict[str, float | None]:
    value, low, high = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _text(lines: Sequence[dict[str, Any]]) -> str:
    return write_lines(list(lines[0]), [{name: _plain(value) for name, value in line.items()} for line in lines]).rstrip(
        "\n"
    )


def _plain(value: Any) -> Any:
    """The value of a cell; an apostrophe before text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
