"""What changed between results files, and which models of one file can be told apart."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.results import experiment_rows, statistics
from nmbench.results.experiment_rows import ExperimentRows, Source, TableKey
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pandas

MOST_LINES = 20_000

COLUMNS = {
    "task": "registered name",
    "protocol": "name of the training protocol",
    "budget": "parameter budget, missing where sizes were given",
    "file_a": "the baseline: the first file",
    "file_b": "the file compared with it; of a single file, the same",
    "model_a": "model of A, its configuration in brackets where it has several; missing if only in B",
    "model_b": "model of B",
    "metric": "name of the primary metric",
    "higher_is_better": "its direction",
    "seeds_a": "number of seeds of A",
    "seeds_b": "number of seeds of B",
    "lost_a": "seeds of A that diverged, failed or timed out; they count as the metric's floor",
    "lost_b": "the same of B",
    "shared": "number of seeds that both have",
    "pairing": "paired over shared seeds, or unpaired with fewer than two of them",
    "median_a": "median over all seeds of A",
    "median_b": "median over all seeds of B",
    "difference": "mean difference, B - A",
    "low": "lower bound of its 95% bootstrap interval",
    "high": "upper bound",
    "median_difference": "median difference, B - A",
    "median_low": "lower bound of its 95% bootstrap interval",
    "median_high": "upper bound",
    "p": "two-sided permutation test of the mean difference",
    "p_holm": "p corrected by Holm over all lines of its task, protocol and budget",
    "least_p": "smallest p that so few seeds can give",
    "improvement": "probability that a seed of B is better than a seed of A, ties half",
    "verdict": "of B: better, worse, cannot tell, cannot tell: one seed, only in A, only in B",
    "changed": "fields of the configuration that differ between the files",
}


def compare_results(
    paths: str | os.PathLike | Sequence[str | os.PathLike], task: str | None = None, protocol: str | None = None
) -> pandas.DataFrame:
    """Compare results files with the first one, or the models of a single file with each other.

    Two files or more: one line per other file, task, protocol, budget, model and (where a file has several of a model)
    configuration. One file: one line per pair of models within a task, protocol and budget.

    B is "better" or "worse" than A where p, corrected by Holm over all lines of the same task, protocol and budget, is below
    0.05, by the direction of the mean difference; `nmbench.results.statistics.compare` says how p, differences and intervals are
    computed. The same files give the same frame.

    Args:
      paths: results CSVs or results folders, the baseline first.
      task, protocol: only these.

    Returns:
      A frame with the columns of `COLUMNS`, in order of file, task, protocol, budget and model.

    Raises:
      NmbenchError: no such file, nothing in it, rows of a task judged by different test sets or task versions, or more than
        20,000 lines.
    """
    import pandas

    names = [os.fspath(p) for p in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not names:
        raise NmbenchError("name at least one results CSV or results folder")
    sources = experiment_rows.read_all(names, task, protocol)
    pairs = _pairs_within(sources[0]) if len(sources) == 1 else _pairs_between(sources)
    if len(pairs) > MOST_LINES:
        raise NmbenchError(f"{len(pairs)} lines to compare, {MOST_LINES} at most; choose some with --task and --protocol")
    found = iter(
        statistics.compare_all([(a.sample, b.sample) for _, _, a, b, _, _ in pairs if a is not None and b is not None])
    )
    lines = [_line(pair, next(found) if pair[2] and pair[3] else None) for pair in pairs]
    families: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        families[line["task"], line["protocol"], line["budget"]].append(line)
    for family in families.values():
        for line, p in zip(family, statistics.holm([line["p"] for line in family]), strict=True):
            line["p_holm"] = p
    for line in lines:
        line["verdict"] = line["verdict"] or _verdict(line)
        line.pop("favours_b", None)
    frame = pandas.DataFrame(lines, columns=list(COLUMNS))
    whole = ("budget", "seeds_a", "seeds_b", "lost_a", "lost_b", "shared")
    floats = [
        "median_a",
        "median_b",
        "difference",
        "low",
        "high",
        "median_difference",
        "median_low",
        "median_high",
        "p",
        "p_holm",
        "least_p",
        "improvement",
    ]
    return frame.astype({**dict.fromkeys(whole, "Int64"), **dict.fromkeys(floats, float), "higher_is_better": bool})


Pair = tuple[str, str, ExperimentRows | None, ExperimentRows | None, str, str]


def _pairs_within(source: Source) -> list[Pair]:
    tables: dict[TableKey, list[ExperimentRows]] = defaultdict(list)
    for cell in source.cells:
        tables[cell.table].append(cell)
    total = sum(len(members) * (len(members) - 1) // 2 for members in tables.values())
    if total > MOST_LINES:
        raise NmbenchError(
            f"{source.path}: {total} pairs of models, {MOST_LINES} at most; choose some with --task and --protocol"
        )
    pairs: list[Pair] = []
    for members in tables.values():
        named = [(label, cell) for label, cell in _labelled(members)]
        for (name_a, a), (name_b, b) in itertools.combinations(named, 2):
            pairs.append((source.path, source.path, a, b, name_a, name_b))
    return pairs


def _labelled(members: list[ExperimentRows]) -> list[tuple[str, ExperimentRows]]:
    """Cells of one table with their labels, in order of label."""
    labels = {
        (model, config): label
        for model in {cell.model for cell in members}
        for config, label in experiment_rows.labels([cell for cell in members if cell.model == model]).items()
    }
    return sorted(((labels[cell.model, cell.config], cell) for cell in members), key=lambda pair: pair[0])


def _pairs_between(sources: list[Source]) -> list[Pair]:
    base = sources[0]
    pairs: list[Pair] = []
    for source in sources[1:]:
        groups: dict[tuple[TableKey, str], tuple[list[ExperimentRows], list[ExperimentRows]]] = defaultdict(lambda: ([], []))
        for side, cell in [*((0, cell) for cell in base.cells), *((1, cell) for cell in source.cells)]:
            groups[cell.table, cell.model][side].append(cell)
        for key in sorted(groups):
            matched = experiment_rows.match(*groups[key])
            shown = [a or b for a, b in matched]
            labels = experiment_rows.labels([cell for cell in shown if cell is not None])
            found = [(labels[cell.config], a, b) for cell, (a, b) in zip(shown, matched, strict=True) if cell is not None]
            for label, a, b in sorted(found, key=lambda one: one[0]):
                pairs.append((base.path, source.path, a, b, label, label))
    return pairs


def _line(pair: Pair, found: statistics.Comparison | None) -> dict[str, Any]:
    """found: how B differs, None where one of them is missing."""
    file_a, file_b, a, b, name_a, name_b = pair
    some = a or b
    assert some is not None
    task, protocol, budget = some.table
    line: dict[str, Any] = {
        "task": task,
        "protocol": protocol,
        "budget": budget or None,
        "file_a": file_a,
        "file_b": file_b,
        "metric": some.metric,
        "higher_is_better": some.sample.higher_is_better,
        "p": None,
        "verdict": "",
        "changed": "",
        "pairing": "",
    }
    for side, cell, name in (("a", a, name_a), ("b", b, name_b)):
        line[f"model_{side}"] = None if cell is None else name
        line[f"seeds_{side}"] = 0 if cell is None else len(cell.sample)
        line[f"lost_{side}"] = 0 if cell is None else int(np.count_nonzero(cell.sample.lost))
        line[f"median_{side}"] = None if cell is None else float(np.median(cell.sample.values))
    if a is None or b is None or found is None:
        return line | {"verdict": "only in B" if a is None else "only in A", "shared": 0}
    return line | {
        "shared": found.shared,
        "pairing": found.pairing,
        "difference": found.mean.value,
        "low": found.mean.low,
        "high": found.mean.high,
        "median_difference": found.median.value,
        "median_low": found.median.low,
        "median_high": found.median.high,
        "p": found.p,
        "least_p": found.least_p,
        "improvement": found.improvement,
        "favours_b": found.favours_b,
        "changed": "" if file_a == file_b else experiment_rows.changes(a, b),
    }


def _verdict(line: dict[str, Any]) -> str:
    if line["p_holm"] is None:
        return "cannot tell: one seed"
    if line["p_holm"] >= statistics.ALPHA or line["favours_b"] is None:
        return "cannot tell"
    return "better" if line["favours_b"] else "worse"
