"""The leaderboard as a pandas frame: one line per entry, all columns, full precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nmbench.results import experiment_rows
from nmbench.results.frames import Results
from nmbench.results.ranking import RankingEntry, Table, rank_tables
from nmbench.results.schema import metric_column
from nmbench.results.statistics import Estimate

if TYPE_CHECKING:
    import pandas

_WHOLE = ("task_version", "budget", "rank", "params", "seeds", "lost", "solved", "tuning_trials", "n_test")
_BOOLEAN = ("reference", "higher_is_better", "geometric")
_TEXT = (
    "task",
    "protocol",
    "group",
    "label",
    "model",
    "tied",
    "metric",
    "median_interval",
    "testset_sha256",
    "run_ids",
    "tier",
)


def rank_results(results: Results = "results", task: str | None = None, protocol: str | None = None) -> pandas.DataFrame:
    """Rank the models of results: the tables of the command `leaderboard` as one frame.

    There is one line per model (or configuration of it) and per reference of the task, in the order of the tables: by task,
    protocol (with departures from it) and budget, then by rank. The most important columns:

    - `rank`: 1 + the number of models that are significantly better; missing for a reference, and for a model with one seed.
    - `group`: letters; models that share a letter cannot be told apart. `tied` names them.
    - `model`, and `label`, which also tells configurations of one model apart.
    - `median`, `median_low`, `median_high`: median of the primary metric over seeds and its bounds; `median_interval` says
      what they are: "95%", or "range" for fewer than six seeds. `score`, `mean` (the geometric mean of errors; see
      `geometric`) and `success_rate` (the share of seeds that solved the task) have bounds too.
    - `seeds`, `lost`, `solved`: numbers of seeds, of those that diverged or failed, and of those that solved the task.
    - `tier`: how the rows were verified: "self-reported", "re-scored", "re-trained", or "" if they were not.

    `python -m nmbench.leaderboard --format=csv` prints the same columns.

    Args:
      results: results CSVs, results folders or frames of `read_results`. If a run is in several, the last one counts.
      task, protocol: rank only results of these.

    Raises:
      NmbenchError: a path does not exist or is invalid, there are no rows (of this task or protocol), or rows of a task were
        evaluated on different test sets or task versions.
    """
    import pandas

    lines = lines_of(rank_tables(experiment_rows.read_all(results, task, protocol)))
    frame = pandas.DataFrame(lines, columns=list(lines[0]))
    types = {**dict.fromkeys(_WHOLE, "Int64"), **dict.fromkeys(_BOOLEAN, "bool")}
    text = dict.fromkeys((*_TEXT, "config_json"), "string")
    return frame.astype({**dict.fromkeys(frame.columns, "float64"), **types, **text})


def lines_of(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """One line per entry of all tables, including references. The columns "metrics.NAME" are medians over seeds."""
    metrics = sorted({name for table in tables for name in table.metrics})
    return [entry_line(table, entry, metrics) for table in tables for entry in table.entries]


def entry_line(table: Table, entry: RankingEntry, metrics: Sequence[str]) -> dict[str, Any]:
    """Column to value for one entry of a table; `metrics` are the names of the other metrics to include."""
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
        **estimate_columns("median", entry.median),
        "median_interval": None if entry.median.low is None else "95%" if entry.median.covers else "range",
        "geometric": table.logarithmic,
        **estimate_columns("mean", entry.mean),
        "best": entry.median.value if values is None else float(best(values)),
        "worst": entry.median.value if values is None else float(worst(values)),
        **estimate_columns("score", entry.score),
        "threshold": table.threshold,
        "solved": entry.solved,
        **estimate_columns("success_rate", entry.success),
        "beats_next": entry.beats_next,
        "last_median": entry.last,
        "train_s": entry.train_s,
        "learning_rate": entry.learning_rate,
        "tuning_trials": entry.tuning_trials,
        "chosen_again": None if entry.tuning is None else entry.tuning.stability,
        "tier": entry.tier,
        "floor": table.floor,
        "ceiling": table.ceiling,
        "n_test": table.n_test,
        "testset_sha256": table.testset_sha256,
        "run_ids": " ".join(entry.run_ids),
        "config_json": entry.config,
        **{metric_column(name): entry.others.get(name) for name in metrics},
    }


def estimate_columns(name: str, found: Estimate | None) -> dict[str, float | None]:
    value, low, high = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
