"""Comparisons as text: one table per pair of files, task, protocol and budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nmbench.report import tables
from nmbench.report.tables import FORMATS, Section, TextTable
from nmbench.report.text import column_number, direction, escape, filled, number, probability, size_name
from nmbench.results import csv_files
from nmbench.results.significance import ALPHA, UNEQUAL
from nmbench.support import terminal

if TYPE_CHECKING:
    import pandas

__all__ = ["FORMATS", "LEGEND", "render"]

_EMPTY = "Nothing to compare: there is a single file, and none of its tables has two models."
LEGEND = (
    "B / A: ratio of the geometric means of errors; B - A: difference of the means of other metrics. 95%: Welch's interval.",
    *filled(
        f"p: two-sided unpaired permutation test over seeds, of log errors or of other metrics as they are ({UNEQUAL}); "
        "corrected for all lines of a task, protocol and budget (Shaffer for the models of one file, Holm for several "
        "files)."
    ),
    "P(B better): share of pairs of seeds in which B is better; ties count half. solved: seeds that reach the threshold.",
    "verdict: whether B is better or worse, if p < 0.05. Lost seeds (diverged, failed or timed out) count as "
    "the floor, or as the worst finished seed if that is worse.",
)


def render(frame: pandas.DataFrame, form: str, columns: int | None = None) -> str:
    """Text of a frame from `compare_results`.

    Args:
      frame: the comparisons.
      form: one of `FORMATS`; "csv" has all columns in full precision.
      columns: width of the terminal, for the form "terminal"; None for text that does not depend on it.
    """
    if form == "csv":
        return frame.map(csv_files.plain).to_csv(index=False, lineterminator="\n").rstrip("\n")
    lines = [dict(zip(frame.columns, values, strict=True)) for values in frame.itertuples(index=False, name=None)]
    for line in lines:
        line["budget"] = None if _missing(line["budget"]) else int(line["budget"])
    newline = {"markdown": "  \n", "latex": "\n\n"}.get(form, "\n")
    notes = newline.join(escape(note, form) for note in [*(LEGEND if lines else [_EMPTY]), *_few_seeds(lines)])
    parts = [*tables.render(_sections(lines), form, columns), terminal.fill(notes, columns if form == "terminal" else None)]
    return "\n\n".join(parts)


def _sections(lines: list[dict[str, Any]]) -> list[Section]:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault(tuple(line[n] for n in ("file_a", "file_b", "task", "protocol", "budget")), []).append(line)
    sections = []
    for (file_a, file_b, task, protocol, budget), members in groups.items():
        metric, better = members[0]["metric"], direction(members[0]["higher_is_better"])
        # Within one file, different models are compared; between two files, the same model.
        one_file = any(line["model_a"] != line["model_b"] for line in members if "only" not in line["verdict"])
        files = file_a if one_file else f"A = {file_a}, B = {file_b}"
        title = f"{task}, protocol {protocol}, {size_name(budget)}: {metric} ({better}); {files}"
        headers = ["A", "B"] if one_file else ["model"]
        effect = "B / A" if members[0]["kind"] == "ratio" else "B - A"
        solved = any(not _missing(line[f"solved_{side}"]) for line in members for side in "ab")
        headers += ["seeds A", "seeds B", "median A", "median B", *(["solved A", "solved B"] if solved else [])]
        headers += [effect, "95%", "p", "P(B better)", "verdict"]
        changed = [f"{line['model_b']}: {line['changed']}" for line in members if line["changed"]]
        notes = [f"Configuration, A -> B: {'; '.join(changed)}."] if changed else []
        show = {
            group: column_number(None if _missing(line[name]) else line[name] for line in members for name in names)
            for group, names in _SAME_FORMAT.items()
        }
        table = TextTable(headers, [_cells(line, one_file, solved, show) for line in members])
        sections.append(Section(title, [table], notes, f"{task}-{protocol}-{budget or 'sizes'}"))
    return sections


# Columns of the frame whose numbers have one format.
_SAME_FORMAT = {"medians": ("median_a", "median_b"), "effect": ("effect", "low", "high"), "p": ("p_corrected",)}


def _cells(line: dict[str, Any], one_file: bool, solved: bool, show: dict[str, Callable[[float], str]]) -> list[str]:
    a, b = line["model_a"], line["model_b"]
    interval = "" if _missing(line["low"]) else f"{show['effect'](line['low'])} .. {show['effect'](line['high'])}"
    return [
        *([str(a), str(b)] if one_file else [str(b if _missing(a) else a)]),
        _seeds(line["seeds_a"], line["lost_a"]),
        _seeds(line["seeds_b"], line["lost_b"]),
        _number(line["median_a"], show["medians"]),
        _number(line["median_b"], show["medians"]),
        *(["" if _missing(line[f"solved_{side}"]) else str(line[f"solved_{side}"]) for side in "ab"] if solved else []),
        _number(line["effect"], show["effect"]),
        interval,
        _number(line["p_corrected"], show["p"]),
        "" if _missing(line["improvement"]) else probability(line["improvement"]),
        line["verdict"],
    ]


def _few_seeds(lines: list[dict[str, Any]]) -> list[str]:
    """Warnings about tasks, protocols and budgets with too few seeds for any line to be significant."""
    families: dict[tuple, list[float]] = {}
    for line in lines:
        if not _missing(line["least_p"]):
            # As in `compare_results`: in several files, departures from the protocol do not divide a family.
            one_file = line["file_a"] == line["file_b"]
            protocol = line["protocol"] if one_file else line["protocol"].partition(" (")[0]
            families.setdefault((line["task"], protocol, line["budget"]), []).append(line["least_p"])
    return [
        f"{task}, protocol {protocol}: with so few seeds, even the largest difference would not be significant. p is at "
        f"least {number(min(least))} before its correction for {len(least)} line{'' if len(least) == 1 else 's'}. Train "
        f"more seeds, or compare fewer models and files at once."
        for (task, protocol, _), least in families.items()
        if min(least) * len(least) >= ALPHA
    ]


def _seeds(count: Any, lost: Any) -> str:
    return "" if not count else f"{count} ({lost} lost)" if lost else str(count)


def _number(value: Any, show: Callable[[float], str]) -> str:
    return "" if _missing(value) else show(value)


def _missing(value: Any) -> bool:
    import pandas

    return bool(pandas.isna(value))
