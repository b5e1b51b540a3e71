"""Comparisons: changes between results files, or the models of one file with each other."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nmbench.results import config_json, experiment_rows, significance, statistics
from nmbench.results.experiment_rows import ExperimentRows, Source, TableKey
from nmbench.results.frames import Results
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pandas

MOST_LINES = 20_000

COLUMNS = {
    "task": "registered name",
    "protocol": "name of the training protocol, with departures from it in brackets if A and B share them",
    "budget": "parameter budget; missing if sizes were given",
    "file_a": "the baseline: the first file, or frame 1",
    "file_b": "the file that is compared with it; the same file if there is only one",
    "model_a": "model of A, with its configuration in brackets if there are several; missing if only in B",
    "model_b": "model of B",
    "metric": "name of the primary metric",
    "higher_is_better": "whether a higher value of the metric is better",
    "seeds_a": "number of seeds of A",
    "seeds_b": "number of seeds of B",
    "lost_a": "lost seeds of A (diverged, failed, timed out): as the floor, or as the worst finished seed if worse",
    "lost_b": "lost seeds of B",
    "median_a": "median over the seeds of A",
    "median_b": "median over the seeds of B",
    "solved_a": "number of seeds of A that solved the task; missing if the task has no threshold",
    "solved_b": "number of seeds of B that solved the task",
    "kind": "ratio: of geometric means, B / A, for errors; difference: of means, B - A, for other metrics",
    "effect": "this ratio or difference",
    "low": "lower bound of its 95% interval (Welch)",
    "high": "upper bound of this interval",
    "p": "p value of a two-sided permutation test over seeds, of log errors or of other metrics as they are; "
    + significance.UNEQUAL,
    "p_corrected": "p corrected for all lines of the same task, protocol and budget",
    "least_p": "smallest p that these numbers of seeds can give",
    "improvement": "probability that a seed of B is better than a seed of A; ties count half",
    "verdict": "B is better or worse; cannot tell; cannot tell: one seed; only in A; only in B",
    "changed": "fields of the configuration that differ between the files",
}


def compare_results(results: Results, task: str | None = None, protocol: str | None = None) -> pandas.DataFrame:
    """Compare results files with the first one, or the models of a single file with each other.

    The command `compare` prints this frame.

    With several files, there is one line per other file, task, protocol, budget and model, and one per configuration if a
    file has several configurations of the model. With one file, there is one line per pair of models (or configurations)
    within a task, protocol and budget, and only among runs that depart from their protocol in the same way.

    B is "better" or "worse" than A if p, corrected for all lines of the same task, protocol and budget, is below 0.05: by
    Shaffer for the pairs of one file, by Holm for several files. `nmbench.results.significance` describes how p, effects and
    intervals are computed. The same files give the same frame.

    Args:
      results: results CSVs, results folders or frames of `read_results`, the baseline first. A frame counts as one file.
      task, protocol: restrict the comparison to these.

    Returns:
      A frame with the columns of `COLUMNS`, in order of file, task, protocol, budget and model.

    Raises:
      NmbenchError: a file does not exist or is invalid, there are no rows (of this task or protocol), rows of a task were
        evaluated on different test sets or task versions, or there are more than 20,000 lines.
    """
    import pandas

    sources = experiment_rows.read_all(results, task, protocol)
    pairs = _pairs_within(sources[0]) if len(sources) == 1 else _pairs_between(sources)
    if len(pairs) > MOST_LINES:
        raise NmbenchError(f"{len(pairs)} lines to compare, {MOST_LINES} at most; choose some with --task and --protocol")
    complete = [(pair.a.sample, pair.b.sample) for pair in pairs if pair.a is not None and pair.b is not None]
    found = iter(significance.compare_all(complete))
    tasks = experiment_rows.registered_tasks(sources)
    thresholds = {name: None if task is None else task.primary.threshold for name, task in tasks.items()}
    lines = [_line(pair, next(found) if pair.a and pair.b else None, thresholds) for pair in pairs]
    families: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for pair, line in zip(pairs, lines, strict=True):
        some = pair.a or pair.b
        assert some is not None
        # In several files, a model is compared across departures from the protocol, so these do not divide a family.
        families[some.table if len(sources) == 1 else _across_recipes(some)].append(line)
    for family in families.values():
        ps = [line["p"] for line in family]
        models = (1 + math.isqrt(1 + 8 * len(ps))) // 2  # of one file: its pairs, in the order of itertools.combinations
        corrected = significance.shaffer(models, ps) if len(sources) == 1 else significance.holm(ps)
        for line, p in zip(family, corrected, strict=True):
            line["p_corrected"] = p
    for line in lines:
        line["verdict"] = line["verdict"] or _verdict(line)
        line.pop("favours_b", None)
    frame = pandas.DataFrame(lines, columns=list(COLUMNS))
    whole = ("budget", "seeds_a", "seeds_b", "lost_a", "lost_b", "solved_a", "solved_b")
    floats = ("median_a", "median_b", "effect", "low", "high", "p", "p_corrected", "least_p", "improvement")
    return frame.astype({**dict.fromkeys(whole, "Int64"), **dict.fromkeys(floats, float), "higher_is_better": bool})


class Pair(NamedTuple):
    """Two experiments to compare. `a` is None if the first file lacks the experiment, `b` if the second file does."""

    file_a: str
    file_b: str
    a: ExperimentRows | None
    b: ExperimentRows | None
    label_a: str
    label_b: str


def _pairs_within(source: Source) -> list[Pair]:
    tables: dict[TableKey, list[ExperimentRows]] = defaultdict(list)
    for one in source.experiments:
        tables[one.table].append(one)
    total = sum(len(members) * (len(members) - 1) // 2 for members in tables.values())
    if total > MOST_LINES:
        raise NmbenchError(
            f"{source.path}: {total} pairs of models, {MOST_LINES} at most; choose some with --task and --protocol"
        )
    pairs = []
    for members in tables.values():
        labels = experiment_rows.labels(members)
        named = sorted(((labels[one.model, one.config], one) for one in members), key=lambda item: item[0])
        for (label_a, a), (label_b, b) in itertools.combinations(named, 2):
            pairs.append(Pair(source.path, source.path, a, b, label_a, label_b))
    return pairs


def _pairs_between(sources: list[Source]) -> list[Pair]:
    base = sources[0]
    pairs: list[Pair] = []
    for source in sources[1:]:
        groups: dict[tuple[TableKey, str], tuple[list[ExperimentRows], list[ExperimentRows]]] = defaultdict(lambda: ([], []))
        for side, experiments in enumerate((base.experiments, source.experiments)):
            for one in experiments:
                groups[_across_recipes(one), one.model][side].append(one)
        for key in sorted(groups):
            matched, (_, model) = _match(*groups[key]), key
            shown = [one for a, b in matched if (one := a or b) is not None]
            labels = config_json.labels(model, [one.config for one in shown])
            named = [(labels[one.config], a, b) for one, (a, b) in zip(shown, matched, strict=True)]
            for label, a, b in sorted(named, key=lambda item: item[0]):
                pairs.append(Pair(base.path, source.path, a, b, label, label))
    return pairs


def _across_recipes(one: ExperimentRows) -> TableKey:
    """Task, protocol and budget: the key of a table, without departures from the protocol."""
    task, _, budget = one.table
    return task, one.protocol, budget


def _match(
    a: Sequence[ExperimentRows], b: Sequence[ExperimentRows]
) -> list[tuple[ExperimentRows | None, ExperimentRows | None]]:
    """Pair the experiments of one table and model in two files; None stands for a missing partner.

    If each file has one configuration, the two are a pair, however they differ. Otherwise, equal configurations are paired
    first, then configurations that differ only in the code that ran them.
    """
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    pairs: list[tuple[ExperimentRows | None, ExperimentRows | None]] = []
    rest_a, rest_b = list(a), list(b)
    for key in (lambda config: config, config_json.requested_config):
        unique_a, unique_b = _unique(rest_a, key), _unique(rest_b, key)
        found = [(one, unique_b[text]) for text, one in unique_a.items() if text in unique_b]
        pairs += found
        used = {id(one) for pair in found for one in pair}
        rest_a = [one for one in rest_a if id(one) not in used]
        rest_b = [one for one in rest_b if id(one) not in used]
    return [*pairs, *((one, None) for one in rest_a), *((None, one) for one in rest_b)]


def _unique(experiments: Iterable[ExperimentRows], key: Callable[[str], str]) -> dict[str, ExperimentRows]:
    """Map keys of configurations to experiments, for keys that occur once."""
    groups: dict[str, list[ExperimentRows]] = defaultdict(list)
    for one in experiments:
        groups[key(one.config)].append(one)
    return {text: members[0] for text, members in groups.items() if len(members) == 1}


def _line(pair: Pair, found: significance.Comparison | None, thresholds: Mapping[str, float | None]) -> dict[str, Any]:
    """One line of the frame.

    Args:
      pair: two experiments.
      found: their comparison; None if one of the two is missing.
      thresholds: task to the value that solves it.
    """
    file_a, file_b, a, b, label_a, label_b = pair
    some = a or b
    assert some is not None
    task, protocol, budget = some.table if a is None or b is None or a.table == b.table else _across_recipes(some)
    threshold = thresholds[task]
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
        "kind": "ratio" if some.sample.logarithmic else "difference",
    }
    for side, one, label in (("a", a, label_a), ("b", b, label_b)):
        line[f"model_{side}"] = None if one is None else label
        line[f"seeds_{side}"] = 0 if one is None else len(one.sample)
        line[f"lost_{side}"] = 0 if one is None else int(np.count_nonzero(one.sample.lost))
        line[f"median_{side}"] = None if one is None else float(np.median(one.sample.values))
        if one is not None and threshold is not None:
            line[f"solved_{side}"] = int(np.count_nonzero(statistics.reached(one.sample, threshold)))
    if a is None or b is None or found is None:
        return line | {"verdict": "only in B" if a is None else "only in A"}
    return line | {
        "effect": found.effect.value,
        "low": found.effect.low,
        "high": found.effect.high,
        "p": found.p,
        "least_p": found.least_p,
        "improvement": found.improvement,
        "favours_b": found.favours_b,
        "changed": "" if file_a == file_b else config_json.changes(a.config, b.config),
    }


def _verdict(line: dict[str, Any]) -> str:
    if line["p_corrected"] is None:
        return "cannot tell: one seed"
    if line["p_corrected"] >= significance.ALPHA or line["favours_b"] is None:
        return "cannot tell"
    return "better" if line["favours_b"] else "worse"
