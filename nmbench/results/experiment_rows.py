"""Rows of one file or folder as cells: a sample of seeds per task, protocol, budget, model and configuration.

Cells are small where rows are large, so that files of 100,000 rows can be compared.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nmbench.results import store
from nmbench.results.schema import BY_NAME, METRIC_PREFIX, canonical_json
from nmbench.results.statistics import Sample, sample
from nmbench.support.errors import NmbenchError, did_you_mean, printable

# What must be the same in all rows of a task, lest numbers mean different things.
JUDGED_BY = (
    "schema_version",
    "task_version",
    "testset_sha256",
    "metric",
    "higher_is_better",
    "floor",
    "ceiling",
)
# What a configuration holds of one run alone.
RUN_ONLY = ("seed", "predictions_sha256")
# What a configuration holds about the code that ran it, not about what was asked for.
CODE = ("engine", "model_sha256")
# Beyond these, sums of values overflow, and so do the integers of a frame.
LARGEST = {"value": 1e150, "floor": 1e150, "seed": 2**62, "params_target": 2**62}
_DEEPEST = 20
# What tells apart two results of one configuration and seed, and what else a cell is made of.
_RESULT = ("run_id", "seed", "status", "value", "floor", "higher_is_better")
_KEPT = (*_RESULT, "params_actual", "params_dev", "learning_rate", "tuning_trials", "train_s", "last_value")

TableKey = tuple[str, str, int]


@dataclasses.dataclass(frozen=True)
class ExperimentRows:
    """All seeds of one model and configuration. Arrays and run ids are in the order of `sample.seeds`.

    Attributes:
      table: task, protocol and parameter budget, 0 where sizes were given.
      model: registered name.
      config: configuration without what belongs to one run (`RUN_ONLY`), canonical JSON.
      sample: primary metric per seed.
      metric: its name.
      run_ids: `S` names.
      params: number of learned parameters.
      deviation: (params - budget) / budget, None where sizes were given.
      learning_rate, tuning_trials: None where not known.
      train_s: `[S]` seconds of training, NaN where not known.
      last: `[S]` primary metric after the last step, NaN where not known.
      others: the task's other metrics, name to `[S]`, NaN where not known.
    """

    table: TableKey
    model: str
    config: str
    sample: Sample
    metric: str
    run_ids: tuple[str, ...]
    params: int
    deviation: float | None
    learning_rate: float | None
    tuning_trials: int | None
    train_s: np.ndarray
    last: np.ndarray
    others: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """What a file or folder holds.

    Attributes:
      path: as given.
      cells: in order of table, model and configuration.
      judges: task to (run_id, values of `JUDGED_BY`) of its first row.
      trials: task to the number of its test trials.
      tasks, protocols: all that occur in it, with those that were not asked for.
    """

    path: str
    cells: list[ExperimentRows]
    judges: dict[str, tuple[str, tuple]]
    trials: dict[str, int]
    tasks: frozenset[str]
    protocols: frozenset[str]


def read(path: str, task: str | None = None, protocol: str | None = None) -> Source:
    """Cells of a results CSV or results folder, only of `task` and `protocol` where given.

    Raises:
      NmbenchError: not readable, rows of a task that cannot be compared, or a seed twice in a cell.
    """
    return gather(path, store.iterate(path), task, protocol)


def read_all(paths: Sequence[str], task: str | None = None, protocol: str | None = None) -> list[Source]:
    """Cells of several results CSVs or results folders, only of `task` and `protocol` where given.

    Raises:
      NmbenchError: as `read`; no rows, or none of this task or protocol; rows of a task that were not judged alike.
    """
    sources = [read(path, task, protocol) for path in paths]
    for field, wanted, known in (
        ("task", task, {t for s in sources for t in s.tasks}),
        ("protocol", protocol, {p for s in sources for p in s.protocols}),
    ):
        if wanted is not None and wanted not in known:
            raise NmbenchError(f"no rows with {field} {wanted!r}{did_you_mean(wanted, known)}")
    if not any(source.cells for source in sources):
        raise NmbenchError(f"no rows in {', '.join(paths)}" + (" with this task and protocol" if task or protocol else ""))
    check_alike(sources)
    return sources


def gather(path: str, rows: Iterable[Mapping[str, Any]], task: str | None = None, protocol: str | None = None) -> Source:
    """As `read`, of rows that have been read. path: what to call them in messages."""
    groups: dict[tuple[TableKey, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    judges: dict[str, tuple[str, tuple]] = {}
    trials: dict[str, int] = {}
    configs: dict[str, str] = {}
    tasks, protocols = set(), set()
    for row in rows:
        tasks.add(row["task"])
        protocols.add(row["protocol"])
        if task not in (None, row["task"]) or protocol not in (None, row["protocol"]):
            continue
        _check_sizes(path, row)
        judge = row["run_id"], tuple(row[name] for name in JUDGED_BY)
        first = judges.setdefault(row["task"], judge)
        if judge[1] != first[1]:
            check_judges(row["task"], path, judge, path, first)
        trials.setdefault(row["task"], row["n_test"])
        table = row["task"], row["protocol"], row["params_target"] or 0
        members = groups[table, row["model"], _without_seed(row["config_json"], row["seed"], configs)]
        kept = {name: row[name] for name in _KEPT}
        kept |= {name: row[name] for name in row.keys() - BY_NAME.keys() if row[name] is not None}
        before = members.setdefault(row["seed"], kept)
        if any(before[name] != kept[name] for name in _RESULT):
            raise NmbenchError(
                f"{path}: {before['run_id']} and {row['run_id']} are two results of one configuration with one seed "
                f"({row['seed']}); keep one of them"
            )
    metric = JUDGED_BY.index("metric")
    cells = [_cell(*key, list(groups[key].values()), judges[key[0][0]][1][metric]) for key in sorted(groups)]
    return Source(path, cells, judges, trials, frozenset(tasks), frozenset(protocols))


def _cell(table: TableKey, model: str, config: str, rows: list[dict[str, Any]], metric: str) -> ExperimentRows:
    rows.sort(key=lambda row: row["seed"])
    names = sorted({name for row in rows for name in row if name.startswith(METRIC_PREFIX)})
    return ExperimentRows(
        table=table,
        model=model,
        config=config,
        sample=sample(rows),
        metric=metric,
        run_ids=tuple(row["run_id"] for row in rows),
        params=rows[0]["params_actual"],
        deviation=rows[0]["params_dev"],
        learning_rate=rows[0]["learning_rate"],
        tuning_trials=rows[0]["tuning_trials"],
        train_s=_column(rows, "train_s"),
        last=_column(rows, "last_value"),
        others={name.removeprefix(METRIC_PREFIX): _column(rows, name) for name in names},
    )


def _column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([math.nan if row.get(name) is None else row[name] for row in rows], float)


def check_alike(sources: Sequence[Source]) -> None:
    """Refuse sources whose rows of one task were not judged alike; raises `NmbenchError`."""
    first: dict[str, tuple[str, tuple[str, tuple]]] = {}
    for source in sources:
        for task, judge in source.judges.items():
            path, other = first.setdefault(task, (source.path, judge))
            check_judges(task, source.path, judge, path, other)


def merge(sources: Sequence[Source]) -> list[ExperimentRows]:
    """Cells of all sources, in order of table, model and configuration; a run in several counts as the last one has it."""
    groups: dict[tuple[TableKey, str, str], list[ExperimentRows]] = defaultdict(list)
    for source in sources:
        for cell in source.cells:
            groups[cell.table, cell.model, cell.config].append(cell)
    return [_merged(groups[key]) for key in sorted(groups)]


def _merged(members: list[ExperimentRows]) -> ExperimentRows:
    """One cell of the seeds of several of one configuration."""
    last = members[-1]
    if len(members) == 1:
        return last
    seeds = np.concatenate([cell.sample.seeds for cell in members])
    held = {int(seed): i for i, seed in enumerate(seeds)}
    index = np.array([held[seed] for seed in sorted(held)])
    pick = lambda arrays: np.concatenate(list(arrays))[index]
    nothing = lambda cell: np.full(len(cell.sample), math.nan)
    ids = [name for cell in members for name in cell.run_ids]
    return dataclasses.replace(
        last,
        sample=Sample(
            seeds[index],
            pick(cell.sample.values for cell in members),
            pick(cell.sample.lost for cell in members),
            last.sample.higher_is_better,
        ),
        run_ids=tuple(ids[i] for i in index),
        train_s=pick(cell.train_s for cell in members),
        last=pick(cell.last for cell in members),
        others={
            name: pick(cell.others[name] if name in cell.others else nothing(cell) for cell in members)
            for name in sorted({name for cell in members for name in cell.others})
        },
    )


def _check_sizes(path: str, row: Mapping[str, Any]) -> None:
    for name, largest in LARGEST.items():
        if row[name] is not None and abs(row[name]) > largest:
            raise NmbenchError(f"{path}: {row['run_id']} has a {name} beyond +-{largest:.3g}, which cannot be compared")


def check_judges(task: str, path: str, judge: tuple[str, tuple], other_path: str, other: tuple[str, tuple]) -> None:
    """Refuse rows of `task` that were not judged alike. judge, other: as in `Source.judges`.

    Raises:
      NmbenchError: names files, rows and the field that differs.
    """
    for name, value, expected in zip(JUDGED_BY, judge[1], other[1], strict=True):
        if value != expected:
            raise NmbenchError(
                f"{path}: {judge[0]} has {name} {value}, but {other[0]} in {other_path} has {expected}; "
                f"rows of {task} can be compared only where {name} is the same"
            )


def _without_seed(text: str, seed: int, known: dict[str, str]) -> str:
    """Canonical JSON of a configuration without its seed. known: what was found before, to parse each text once."""
    mark = f'"seed":{seed}'
    before, found, after = text.partition(mark)
    # `"seed":` cannot lie inside a JSON string. Where it occurs once, texts that differ in its number alone have one answer.
    once = bool(found) and after[:1] in (",", "}") and text.count('"seed":') == 1
    key = f'{before}"seed":{after}'
    if once and key in known:
        return known[key]
    bare = shared_config(text)
    if once and json.loads(text).get("seed") == seed:
        known[key] = bare
    return bare


def shared_config(text: str) -> str:
    """What all seeds of a cell have in common: a configuration (JSON) without what belongs to one run, canonical JSON."""
    return canonical_json({name: value for name, value in json.loads(text).items() if name not in RUN_ONLY})


def match(
    a: Sequence[ExperimentRows], b: Sequence[ExperimentRows]
) -> list[tuple[ExperimentRows | None, ExperimentRows | None]]:
    """Pair the cells of one table and model in two files, None where a cell has no partner.

    Where each file has one configuration, these are a pair, however they differ. Otherwise equal configurations are pairs,
    then those that differ only in the code that ran them (`CODE`).
    """
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    pairs: list[tuple[ExperimentRows | None, ExperimentRows | None]] = []
    rest_a, rest_b = list(a), list(b)
    for key in (lambda cell: cell.config, _asked_for):
        keyed_a, keyed_b = _unique(rest_a, key), _unique(rest_b, key)
        found = [(cell, keyed_b[text]) for text, cell in keyed_a.items() if text in keyed_b]
        pairs += found
        used = {id(cell) for pair in found for cell in pair}
        rest_a = [cell for cell in rest_a if id(cell) not in used]
        rest_b = [cell for cell in rest_b if id(cell) not in used]
    return [*pairs, *((cell, None) for cell in rest_a), *((None, cell) for cell in rest_b)]


def _asked_for(cell: ExperimentRows) -> str:
    return canonical_json({k: v for k, v in json.loads(cell.config).items() if k not in CODE})


def _unique(cells: Iterable[ExperimentRows], key: Any) -> dict[str, ExperimentRows]:
    groups: dict[str, list[ExperimentRows]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return {text: members[0] for text, members in groups.items() if len(members) == 1}


def labels(cells: Sequence[ExperimentRows]) -> dict[str, str]:
    """Configuration to label, for cells of one model."""
    return variant_labels(cells[0].model, [cell.config for cell in cells])


def variant_labels(model: str, configs: Sequence[str]) -> dict[str, str]:
    """Configuration (JSON) to label: the model's name, and in brackets what differs where there are several."""
    if len(configs) == 1:
        return {configs[0]: model}
    flat = {config: flatten(json.loads(config)) for config in configs}
    names = sorted({n for f in flat.values() for n in f if len({repr(g.get(n)) for g in flat.values()}) > 1})
    shown = [n for n in names if n.startswith("hparams.")] or names
    made = {}
    for config, values in flat.items():
        details = " ".join(f"{n.split('.')[-1]}={short(values.get(n))}" for n in shown[:6])
        made[config] = f"{model} [{details}]"
    if len(set(made.values())) == len(made):
        return made
    return {config: f"{label[:-1]} #{i}]" for i, (config, label) in enumerate(made.items(), start=1)}


def changes(a: ExperimentRows, b: ExperimentRows) -> str:
    """What differs between two configurations, "hparams.N 5 -> 9, ..."; "" where nothing does."""
    if a.config == b.config:
        return ""
    before, after = flatten(json.loads(a.config)), flatten(json.loads(b.config))
    names = [n for n in sorted({*before, *after}) if repr(before.get(n)) != repr(after.get(n))]
    return ", ".join(f"{n} {short(before.get(n))} -> {short(after.get(n))}" for n in names)


def flatten(config: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested dicts and lists as one dict with dotted names; what lies deeper than 20 levels is JSON text."""
    if not isinstance(config, dict | list) or (prefix and not config):
        return {prefix.rstrip("."): config}
    if depth == _DEEPEST:
        return {prefix.rstrip("."): canonical_json(config)}
    parts = config if isinstance(config, dict) else dict(enumerate(config))
    return {name: v for k, part in parts.items() for name, v in flatten(part, f"{prefix}{k}.", depth + 1).items()}


def short(value: Any) -> str:
    """A value of a configuration in at most twelve characters."""
    text = f"{value:g}" if isinstance(value, float) else printable(str(value))
    return text if len(text) <= 12 else text[:8]
