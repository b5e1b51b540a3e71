"""The leaderboard as text: tables, ladders and overall rankings for a terminal, in Markdown, LaTeX and CSV."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import TASKS
from nmbench.report import ladder_text, leaderboard_csv, sentences, tables
from nmbench.report.tables import FORMATS, WIDTH, Section, TextTable
from nmbench.report.text import (
    column_number,
    direction,
    escape,
    filled,
    interval,
    number,
    number_or_blank,
    one_decimal,
    percent,
    probability,
    size_name,
    task_name,
)
from nmbench.results import experiment_rows
from nmbench.results.ladders import Ladder
from nmbench.results.ladders import ladders as find_ladders
from nmbench.results.overall import OverallRanking
from nmbench.results.ranking import RankingEntry, Table, rank_tables
from nmbench.results.schema import EXTERNAL
from nmbench.results.significance import UNEQUAL
from nmbench.results.statistics import Estimate
from nmbench.support import terminal

__all__ = ["FORMATS", "LEGEND", "WIDTH", "of_rows", "render"]

LEGEND = filled(
    "rank: 1 + the number of models that are significantly better: unpaired permutation test over seeds, of log "
    f"errors or of other metrics as they are ({UNEQUAL}), corrected by Shaffer for all pairs of a table, p < 0.05. "
    "Models that share a letter of group cannot be told apart. 95%: interval of the median (order statistics, and the"
    " choice of a tuned learning rate); (range): smallest and largest of fewer than six seeds. score: that of the "
    "median, 0 at the floor, 100 at the ceiling. beats next: probability that a seed is better than one of the model "
    "in the next line. Runs that depart from their protocol have tables of their own, whose titles say how. Lost "
    "seeds (diverged, failed or timed out) count as the floor, in tests as the worst finished seed if that is worse. "
    "Lines in brackets are references, which need no training."
)

TIERS = (
    "tier: what nmbench verify checked of all seeds: self-reported (files and configurations), re-scored (the stored "
    "parameters give the scores), re-trained (seeds drawn by the verifier were trained again); empty: not verified."
)


def of_rows(rows: Sequence[Mapping[str, Any]], columns: int | None = None) -> str:
    """Tables of these rows for a terminal, with ladders if there are several budgets. columns: see `render`."""
    ranked = rank_tables([experiment_rows.gather("results", rows)])
    return render(ranked, [], "terminal", ladders=find_ladders(ranked), columns=columns)


def render(
    ranked: Sequence[Table],
    overall: Sequence[OverallRanking],
    form: str,
    wide: bool = False,
    ladders: Sequence[Ladder] = (),
    columns: int | None = None,
) -> str:
    """Text of all tables, ladders and overall rankings.

    Args:
      ranked, overall, ladders: from `rank_tables`, `overall_rankings` and `ladders`. A ladder follows its tables.
      form: one of `FORMATS`. "csv" has one line per entry in full precision and contains only the first kind that is given:
        tables, ladders or overall rankings.
      wide: show all columns ("csv" always does).
      columns: width of the terminal, for the form "terminal"; None for text that does not depend on it.
    """
    if form == "csv":
        if ranked or not (overall or ladders):
            return leaderboard_csv.tables(ranked)
        return leaderboard_csv.ladders(ladders) if ladders else leaderboard_csv.overall(overall)
    sections: list[Section] = []
    waiting = {(ladder.task, ladder.protocol): ladder for ladder in ladders}
    for key, members in itertools.groupby(ranked, lambda table: (table.task, table.protocol)):
        sections += [_section(table, form, wide) for table in members]
        if key in waiting:
            sections.append(ladder_text.section(waiting.pop(key), wide))
    sections += [ladder_text.section(ladder, wide) for ladder in waiting.values()]
    sections += [_overall_section(ranking) for ranking in overall]
    parts = tables.render(sections, form, columns)
    if form == "latex":
        parts.insert(0, "\n".join(f"% {line}" for line in ("\\usepackage{booktabs,graphicx}", *LEGEND)))
    else:
        legend = "\n".join(escape(line, form) for line in LEGEND)
        parts.append(terminal.fill(legend, columns) if form == "terminal" else legend)
    return "\n\n".join(parts)


def _section(table: Table, form: str, wide: bool) -> Section:
    title = (
        f"{table.task} v{table.task_version}, protocol {table.protocol}, {size_name(table.budget)}: {table.metric} "
        f"({direction(table.higher_is_better)})"
    )
    headers = ["rank", "model", "group", "params", "seeds", "median", "95%", "score", "beats next"]
    headers += ["s/seed"] if table.threshold is None else ["solved", "s/seed"]
    verified = any(entry.tier for entry in table.entries)
    headers += ["tier"] if verified else []
    show = column_number(value for entry in table.entries for value in _with_bounds(entry.median))
    shown = [
        TextTable(headers, [[*_ranks(entry, table, show), *([entry.tier] if verified else [])] for entry in table.entries])
    ]
    if wide:
        mean = "geometric mean" if table.logarithmic else "mean"
        details = ["model", mean, "95%", "best", "worst", "score 95%", "solved 95%", "last step"]
        details += ["learning rate", "tuning runs", "chosen again"]
        values = [[*_with_bounds(e.mean), *(e.sample.values if e.sample else ()), e.last] for e in table.models]
        show = column_number(itertools.chain.from_iterable(values))
        rows = [_details(entry, table, show) for entry in table.models]
        shown.append(TextTable(details, rows, "Means, extremes, learning rates"))
    if table.metrics and (wide or form != "latex"):
        shows = {name: column_number(e.others.get(name) for e in table.entries) for name in table.metrics}
        rows = [
            [_name(e), *(number_or_blank(e.others.get(name), shows[name]) for name in table.metrics)] for e in table.entries
        ]
        shown.append(TextTable(["model", *table.metrics], rows, "Medians of the other metrics"))
    return Section(title, shown, _notes(table, wide), f"{table.task}-{table.protocol}-{table.budget or 'sizes'}")


def _with_bounds(estimate: Estimate) -> tuple[float | None, ...]:
    return estimate.value, estimate.low, estimate.high


def _ranks(entry: RankingEntry, table: Table, show: Callable[[float], str]) -> list[str]:
    seeds = "" if entry.sample is None else str(len(entry.sample)) + (f" ({entry.lost} lost)" if entry.lost else "")
    solved = [] if table.threshold is None else ["" if entry.solved is None else f"{entry.solved}/{len(entry.run_ids)}"]
    deviation = "" if entry.deviation is None else f" ({entry.deviation:+.1%})"
    deviation += ", declared" if entry.declared else ""
    return [
        "" if entry.rank is None else str(entry.rank),
        _name(entry),
        entry.group,
        "" if entry.params is None else f"{entry.params}{deviation}",
        seeds,
        show(entry.median.value),
        interval(entry.median, show),
        one_decimal(entry.score.value),
        "" if entry.beats_next is None else probability(entry.beats_next),
        *solved,
        "" if entry.train_s is None else one_decimal(entry.train_s),
    ]


def _details(entry: RankingEntry, table: Table, show: Callable[[float], str]) -> list[str]:
    assert entry.sample is not None
    best, worst = (max, min) if table.higher_is_better else (min, max)
    finished = entry.sample.values[~entry.sample.lost]
    return [
        entry.label,
        show(entry.mean.value),
        interval(entry.mean, show),
        show(best(finished if len(finished) else entry.sample.values)),
        show(worst(entry.sample.values)),
        interval(entry.score, one_decimal),
        interval(entry.success, percent),
        number_or_blank(entry.last, show),
        "" if entry.learning_rate is None else f"{entry.learning_rate:g}",
        "" if entry.tuning_trials is None else str(entry.tuning_trials),
        "" if entry.tuning is None else percent(entry.tuning.stability),
    ]


def _name(entry: RankingEntry) -> str:
    return f"({entry.label})" if entry.reference else entry.label


def _notes(table: Table, wide: bool) -> list[str]:
    how = (
        "trained outside nmbench"
        if table.protocol == EXTERNAL
        else "parameters selected on validation loss" + ("; last step: median without selection" if wide else "")
    )
    notes = [
        f"{table.n_test} test trials (sha256 {table.testset_sha256[:12]}); floor {table.floor:.4g}, ceiling "
        f"{table.ceiling:.4g}; {how}."
    ]
    if table.threshold is not None:
        notes.append(
            f"solved: seeds with {table.metric} {'>=' if table.higher_is_better else '<='} {number(table.threshold)}."
        )
    if table.task not in TASKS:
        notes.append(
            f"{table.task} is not registered here, so there are neither references nor solved seeds; give --plugin."
        )
    if differs := sentences.other_data(table):
        notes.append(differs)
    if any(entry.external for entry in table.entries):
        notes.append(
            "(external): trained outside nmbench, with steps and tuning that it does not know; they have no rank, and beats "
            "next skips them."
        )
    if any(entry.declared for entry in table.entries):
        notes.append("declared: nmbench did not count these parameters; score --params_file does.")
    if any(entry.tier for entry in table.entries):
        notes.append(TIERS)
    return notes + sentences.few_seeds(table)


def _overall_section(ranking: OverallRanking) -> Section:
    ranks, scores = [], []
    for entry in ranking.entries:
        seeds = sorted(set(entry.seeds))
        count = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
        score = [one_decimal(entry.score.value), interval(entry.score, one_decimal)]
        ranks.append([str(entry.rank), entry.label, entry.group, count, *score])
        scores.append([entry.label, *map(one_decimal, entry.scores)])
    names = [task_name(table.task, table.budget) for table in ranking.tables]
    shown = [
        TextTable(["rank", "model", "group", "seeds", "score", "95%"], ranks),
        TextTable(["model", *names], scores, "Scores by task and budget"),
    ]
    title = f"Overall, protocol {ranking.protocol}: mean score over {', '.join(names)}"
    return Section(title, shown, _overall_notes(ranking), f"overall-{ranking.protocol}")


def _overall_notes(ranking: OverallRanking) -> list[str]:
    notes = [
        "score: mean over tasks, with a bootstrap interval without the choice of learning rates. rank: by the probability "
        "that a seed of one model beats a seed of the other, averaged over tasks. All tasks have equal weight, as do all "
        "budgets of one task."
    ]
    if ranking.left_out:
        lacks = (f"{label} ({', '.join(task_name(*one) for one in lacks)})" for label, lacks in ranking.left_out.items())
        notes.append(f"Not ranked, because they lack two seeds under one name on a task: {'; '.join(lacks)}.")
    if ranking.unused:
        names = ", ".join(task_name(*one) for one in ranking.unused)
        notes.append(f"Not counted, because at least one ranked model has no results: {names}.")
    return notes
