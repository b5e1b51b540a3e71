"""The leaderboard as text: standings in a terminal, in Markdown, as CSV, in LaTeX."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import tabulate

from nmbench.report import ladder_text, leaderboard_csv
from nmbench.report.text import Block, escape_latex, escape_markdown, interval, number
from nmbench.results import experiment_rows
from nmbench.results.ladders import Ladder
from nmbench.results.ladders import ladders as find_ladders
from nmbench.results.ranking import Overall, RankingEntry, Table, standings
from nmbench.results.schema import EXTERNAL
from nmbench.results.statistics import ALPHA

FORMATS = ("terminal", "markdown", "csv", "latex")
WIDTH = 120  # of a terminal
_LONGEST_NAME = 40  # longer ones go on in the next line of a terminal
_LEFT = {"model", "group", "95%", "score 95%", "solved 95%"}
LEGEND = (
    "rank: 1 + the number of models that are significantly better: permutation test of the mean over seeds, paired over",
    "shared seeds, corrected by Holm over all pairs of a table, p < 0.05. Models that share a letter of group cannot be",
    "told apart. 95%: bootstrap interval over seeds. score: mean over seeds, 0 at the floor, 100 at the ceiling. Diverged",
    "seeds count as the floor. Lines in brackets need no training.",
)


def of_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """The terminal's text of tables made from rows, and of ladders where there are several budgets."""
    tables = standings([experiment_rows.gather("results", rows)])
    return render(tables, [], "terminal", ladders=find_ladders(tables))


def render(
    tables: Sequence[Table], overall: Sequence[Overall], form: str, wide: bool = False, ladders: Sequence[Ladder] = ()
) -> str:
    """Text of all tables, ladders and rankings.

    Args:
      tables, overall, ladders: what `standings`, `overall` and `ladders` return. A ladder follows the tables that it is of.
      form: one of `FORMATS`. "csv" is the tables', or without any the ladders', or without these the rankings'; one line per
        entry in full precision.
      wide: show all that is known of an entry ("csv" always does).
    """
    if form == "csv":
        if tables or not (overall or ladders):
            return leaderboard_csv.tables(tables)
        return leaderboard_csv.ladders(ladders) if ladders else leaderboard_csv.overall(overall)
    parts: list[str] = []
    used: dict[str, int] = {}
    waiting = {(ladder.task, ladder.protocol): ladder for ladder in ladders}
    for here, members in itertools.groupby(tables, lambda table: (table.task, table.protocol)):
        for table in members:
            parts += _section(_title(table), _blocks(table, form, wide), _notes(table, wide), form, _key(table), used)
        if here in waiting:
            parts += _section(*ladder_text.section(waiting.pop(here), wide), form, _ladder_key(here), used)
    for here, ladder in waiting.items():
        parts += _section(*ladder_text.section(ladder, wide), form, _ladder_key(here), used)
    for ranking in overall:
        key = f"overall-{ranking.protocol}"
        parts += _section(_overall_title(ranking), _overall_blocks(ranking), _overall_notes(ranking), form, key, used)
    if form == "latex":
        parts.insert(0, "\n".join(f"% {line}" for line in ("\\usepackage{booktabs,graphicx}", *LEGEND)))
    else:
        parts.append("\n".join(escape_markdown(line) if form == "markdown" else line for line in LEGEND))
    return "\n\n".join(parts)


def _title(table: Table) -> str:
    budget = f"budget {table.budget}" if table.budget else "given sizes"
    better = "higher" if table.higher_is_better else "lower"
    return f"{table.task} v{table.task_version}, protocol {table.protocol}, {budget}: {table.metric} ({better} is better)"


def _key(table: Table) -> str:
    return f"{table.task}-{table.protocol}-{table.budget or 'sizes'}"


def _ladder_key(here: tuple[str, str]) -> str:
    return f"{here[0]}-{here[1]}-ladder"


def _blocks(table: Table, form: str, wide: bool) -> list[Block]:
    columns = ["rank", "model", "group", "params", "seeds", "median", "95%", "score"]
    if table.threshold is not None:
        columns.append("solved")
    columns.append("s/seed")
    blocks = [Block("", columns, [_ranks(entry, table) for entry in table.entries])]
    if wide:
        details = [
            "model",
            "iqm",
            "95%",
            "best",
            "worst",
            "score 95%",
            "solved 95%",
            "last step",
            "rate",
            "trials",
        ]
        lines = [_details(entry, table) for entry in table.entries if not entry.reference]
        blocks.append(Block("Interquartile means (iqm), extremes, learning rates", details, lines))
    if table.metrics and (wide or form != "latex"):
        lines = [[_name(e), *(_shown(e.others.get(name)) for name in table.metrics)] for e in table.entries]
        blocks.append(Block("Medians of the other metrics", ["model", *table.metrics], lines))
    return blocks


def _ranks(entry: RankingEntry, table: Table) -> list[str]:
    seeds = "" if entry.sample is None else str(len(entry.sample)) + (f" ({entry.lost} diverged)" if entry.lost else "")
    solved = [] if table.threshold is None else ["" if entry.solved is None else f"{entry.solved}/{len(entry.run_ids)}"]
    deviation = "" if entry.deviation is None else f" ({entry.deviation:+.1%})"
    return [
        "" if entry.rank is None else str(entry.rank),
        _name(entry),
        entry.group,
        "" if entry.params is None else f"{entry.params}{deviation}",
        seeds,
        number(entry.median.value),
        interval(entry.median),
        f"{entry.score.value:.1f}",
        *solved,
        "" if entry.train_s is None else f"{entry.train_s:.1f}",
    ]


def _details(entry: RankingEntry, table: Table) -> list[str]:
    assert entry.sample is not None
    best, worst = (max, min) if table.higher_is_better else (min, max)
    score, share = entry.score, entry.success
    return [
        entry.label,
        number(entry.iqm.value),
        interval(entry.iqm),
        number(best(entry.sample.values)),
        number(worst(entry.sample.values)),
        "" if score.low is None or score.high is None else f"{score.low:.1f} .. {score.high:.1f}",
        "" if share is None or share.low is None or share.high is None else f"{share.low:.0%} .. {share.high:.0%}",
        _shown(entry.last),
        "" if entry.learning_rate is None else f"{entry.learning_rate:g}",
        "" if entry.tuning_trials is None else str(entry.tuning_trials),
    ]


def _name(entry: RankingEntry) -> str:
    return f"({entry.label})" if entry.reference else entry.label


def _shown(value: float | None) -> str:
    return "" if value is None else number(value)


def _notes(table: Table, wide: bool) -> list[str]:
    how = (
        "trained outside nmbench, parameters as counted by the submitter"
        if table.protocol == EXTERNAL
        else "parameters selected on validation loss" + (", last step: median without selection" if wide else "")
    )
    notes = [
        f"{table.n_test} test trials (sha256 {table.testset_sha256[:12]}); floor {table.floor:.4g}, ceiling "
        f"{table.ceiling:.4g}; {how}."
    ]
    if table.threshold is not None:
        notes.append(
            f"solved: seeds with {table.metric} {'>=' if table.higher_is_better else '<='} {number(table.threshold)}."
        )
    ranked = sum(not entry.reference for entry in table.entries)
    if ranked > 1 and (table.least_p is None or table.least_p >= ALPHA):
        notes.append(
            "With so few seeds no difference, however large, can be told from chance, so all models share the first rank; "
            "train more seeds."
        )
    return notes


def _overall_title(ranking: Overall) -> str:
    tasks = ", ".join(_where(table.task, table.budget) for table in ranking.tables)
    return f"Overall, protocol {ranking.protocol}: mean score over {tasks}"


def _where(task: str, budget: int | None) -> str:
    return f"{task} ({budget})" if budget else task


def _overall_blocks(ranking: Overall) -> list[Block]:
    ranks, scores = [], []
    for entry in ranking.entries:
        low, high = entry.score.low, entry.score.high
        interval = "" if low is None or high is None else f"{low:.1f} .. {high:.1f}"
        seeds = sorted(set(entry.seeds))
        count = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
        ranks.append([str(entry.rank), entry.label, entry.group, count, f"{entry.score.value:.1f}", interval])
        scores.append([entry.label, *(f"{score:.1f}" for score in entry.scores)])
    return [
        Block("", ["rank", "model", "group", "seeds", "score", "95%"], ranks),
        Block("Scores by task and budget", ["model", *(_where(t.task, t.budget) for t in ranking.tables)], scores),
    ]


def _overall_notes(ranking: Overall) -> list[str]:
    notes = [
        "Tasks have equal weight, and so have the budgets of one task. Seeds are resampled within each task and budget."
    ]
    if ranking.left_out:
        lacks = (f"{label} (no {', '.join(_where(*one) for one in missing)})" for label, missing in ranking.left_out.items())
        notes.append(f"Not ranked: {'; '.join(lacks)}.")
    if ranking.unused:
        notes.append(f"Not counted, for some ranked model lacks it: {', '.join(_where(*one) for one in ranking.unused)}.")
    return notes


def _section(title: str, blocks: list[Block], notes: list[str], form: str, key: str, used: dict[str, int]) -> list[str]:
    """A title, its tables and the notes below. used: labels of LaTeX so far, so that each is its own."""
    if form == "latex":
        return [_latex(title, block, notes if block is blocks[0] else [], key, used) for block in blocks]
    markdown = form == "markdown"
    escape = escape_markdown if markdown else str
    parts = [f"## {escape(title)}" if markdown else title]
    for block in blocks:
        for part in [block] if markdown else _fitted(block):
            parts += [f"{part.name}:"] if part.name else []
            parts.append(
                _grid([escape(c) for c in part.columns], [[escape(c) for c in li] for li in part.lines], part, markdown)
            )
    return [*parts, ("  \n" if markdown else "\n").join(escape(note) for note in notes)]


def _fitted(block: Block) -> list[Block]:
    """The block in as many as a terminal's width takes; each begins with the model. The ranks stay whole."""
    if not block.name:
        return [block]
    widths = (
        [max(len(c), *(len(li[i]) for li in block.lines)) + 2 for i, c in enumerate(block.columns)] if block.lines else []
    )
    groups: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        together = min(widths[0], _LONGEST_NAME + 2) + sum(widths[k] for k in groups[-1]) + widths[i]
        if groups[-1] and together > WIDTH:
            groups.append([])
        groups[-1].append(i)
    pick = lambda cells, group: [cells[0], *(cells[i] for i in group)]
    return [
        Block(
            block.name if n == 0 else f"{block.name}, continued", pick(block.columns, g), [pick(li, g) for li in block.lines]
        )
        for n, g in enumerate(groups)
        if g
    ]


def _grid(columns: list[str], lines: list[list[str]], block: Block, markdown: bool) -> str:
    left = [column in _LEFT for column in block.columns]
    if markdown:
        align = ["left" if one else "right" for one in left]
        return tabulate.tabulate(lines, columns, tablefmt="github", disable_numparse=True, colalign=align)
    broken: list[tuple[str, ...]] = []
    for line in lines:
        parts = [textwrap.wrap(cell, _LONGEST_NAME) or [""] for cell in line]
        broken += itertools.zip_longest(*parts, fillvalue="")
    widths = [max(map(len, column)) for column in zip(columns, *broken, strict=True)]
    pad = lambda cells: "  ".join(c.ljust(w) if one else c.rjust(w) for c, w, one in zip(cells, widths, left, strict=True))
    return "\n".join(pad(cells).rstrip() for cells in (columns, ["-" * w for w in widths], *broken))


def _latex(title: str, block: Block, notes: list[str], key: str, used: dict[str, int]) -> str:
    """One table environment, for the packages booktabs and graphicx; scaled down where it is wider than the line."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{key}-{block.name.split()[0] if block.name else ''}").strip("-").lower()
    used[words] = used.get(words, 0) + 1
    label = f"tab:{words}" + (f"-{used[words]}" if used[words] > 1 else "")
    caption = " ".join([f"{title}.", *([f"{block.name}."] if block.name else []), *notes])
    align = "".join("l" if column in _LEFT else "r" for column in block.columns)
    lines = [
        r"\begin{table}[tbp]",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(map(escape_latex, block.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex_cell, line)) + r" \\" for line in block.lines),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


_NUMBER = r"-?\d[\d.]*(?:e[+-]\d+)?%?"
_INTERVAL = re.compile(rf"({_NUMBER}) \.\. ({_NUMBER})")


def _latex_cell(text: str) -> str:
    """Numbers and intervals as mathematics, anything else as text."""
    if re.fullmatch(_NUMBER, text):
        return _latex_number(text)
    if interval := _INTERVAL.fullmatch(text):
        return f"[{_latex_number(interval[1])}, {_latex_number(interval[2])}]"
    # A line break takes what follows it in square brackets, or a star, for its own.
    return ("{}" if text[:1] in ("[", "*") else "") + escape_latex(text)


def _latex_number(text: str) -> str:
    if text.endswith("%"):
        return escape_latex(text)
    digits, _, power = text.partition("e")
    if power:
        return rf"${digits} \times 10^{{{int(power)}}}$"
    return f"${digits}$" if digits.startswith("-") else digits
