"""Comparisons as text: one table per pair of files, task, protocol and budget."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import tabulate

from nmbench.report.text import escape_latex, escape_markdown, number
from nmbench.results.statistics import ALPHA

if TYPE_CHECKING:
    import pandas

FORMATS = ("terminal", "markdown", "csv", "latex")
_EMPTY = "Nothing to compare: a single file, and no table of it has two models."
_TEXT = {"model", "A", "B", "95%", "verdict"}
LEGEND = (
    "difference: B - A, mean over shared seeds (or of all, where fewer than two are shared), with a 95% bootstrap interval.",
    "p: two-sided permutation test of the mean difference, corrected by Holm over all lines of a task, protocol and budget.",
    "P(B better): share of pairs of seeds in which B is better, ties half.",
    "verdict: of B, where p < 0.05. Diverged seeds count as the metric's floor.",
)


def render(frame: pandas.DataFrame, form: str) -> str:
    """Text of what `compare_results` returns. form: one of `FORMATS`; "csv" holds all columns in full precision."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n").rstrip("\n")
    parts = []
    lines = [dict(zip(frame.columns, values, strict=True)) for values in frame.itertuples(index=False, name=None)]
    for title, members in _tables(lines):
        parts.append(_table(title, members, form))
    newline = {"markdown": "  \n", "latex": "\n\n"}.get(form, "\n")
    notes = [*(LEGEND if lines else [_EMPTY]), *_few(lines)]
    return "\n\n".join([*parts, newline.join(_escape(note, form) for note in notes)])


def _tables(lines: list[dict[str, Any]]) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for line in lines:
        budget = None if _missing(line["budget"]) else int(line["budget"])
        groups.setdefault((line["file_a"], line["file_b"], line["task"], line["protocol"], budget), []).append(line)
    for (file_a, file_b, task, protocol, budget), members in groups.items():
        size = f"budget {budget}" if budget else "given sizes"
        better = "higher" if members[0]["higher_is_better"] else "lower"
        files = file_a if _one_file(members) else f"A = {file_a}, B = {file_b}"
        yield f"{task}, protocol {protocol}, {size}: {members[0]['metric']} ({better} is better); {files}", members


def _one_file(members: list[dict[str, Any]]) -> bool:
    return any(line["model_a"] != line["model_b"] for line in members if "only" not in line["verdict"])


def _table(title: str, members: list[dict[str, Any]], form: str) -> str:
    models = ["A", "B"] if _one_file(members) else ["model"]
    columns = [*models, "seeds A", "seeds B", "median A", "median B", "difference", "95%", "p", "P(B better)", "verdict"]
    cells = [_cells(line, len(models)) for line in members]
    align = ["left" if name in _TEXT else "right" for name in columns]
    changed = [f"{line['model_b']}: {line['changed']}" for line in members if line["changed"]]
    note = [f"Configuration, A -> B: {'; '.join(changed)}"] if changed else []
    if form == "latex":
        # tabulate escapes the cells of this format itself.
        body = tabulate.tabulate(cells, columns, tablefmt="latex_booktabs", disable_numparse=True, colalign=align)
        caption = " ".join(_escape(text, form) for text in [f"{title}.", *(f"{text}." for text in note)])
        return f"\\begin{{table}}\n\\caption{{{caption}}}\n{body}\n\\end{{table}}"
    cells = [[_escape(cell, form) for cell in line] for line in cells]
    style = "github" if form == "markdown" else "simple"
    body = tabulate.tabulate(cells, columns, tablefmt=style, disable_numparse=True, colalign=align)
    heading = f"## {_escape(title, form)}" if form == "markdown" else title
    return "\n\n".join([heading, body, *(_escape(text, form) for text in note)])


def _cells(line: dict[str, Any], models: int) -> list[str]:
    a, b = line["model_a"], line["model_b"]
    interval = "" if _missing(line["low"]) else f"{number(line['low'])} .. {number(line['high'])}"
    return [
        *([str(a), str(b)] if models == 2 else [str(b if _missing(a) else a)]),
        _seeds(line["seeds_a"], line["lost_a"]),
        _seeds(line["seeds_b"], line["lost_b"]),
        _number(line["median_a"]),
        _number(line["median_b"]),
        _number(line["difference"]),
        interval,
        _number(line["p_holm"]),
        "" if _missing(line["improvement"]) else f"{line['improvement']:.2f}",
        line["verdict"],
    ]


def _few(lines: list[dict[str, Any]]) -> list[str]:
    """A warning on every task, protocol and budget where no line could have been told apart, whatever its values."""
    families: dict[tuple, list[float]] = {}
    for line in lines:
        if not _missing(line["least_p"]):
            budget = None if _missing(line["budget"]) else int(line["budget"])
            families.setdefault((line["task"], line["protocol"], budget), []).append(line["least_p"])
    return [
        f"{task}, protocol {protocol}: no difference, however large, could be told from chance: with so few seeds p is "
        f"{number(min(least))} or more, before it is corrected for {len(least)} line{'' if len(least) == 1 else 's'}. Train "
        f"more seeds, or compare fewer models and files at once."
        for (task, protocol, _), least in families.items()
        if min(least) * len(least) >= ALPHA
    ]


def _seeds(count: Any, lost: Any) -> str:
    return "" if not count else f"{count} ({lost} diverged)" if lost else str(count)


def _number(value: Any) -> str:
    return "" if _missing(value) else number(value)


def _missing(value: Any) -> bool:
    import pandas

    return bool(pandas.isna(value))


def _escape(text: str, form: str) -> str:
    if form == "latex":
        return escape_latex(text)
    return escape_markdown(text) if form == "markdown" else text
