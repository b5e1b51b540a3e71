"""Rows of one file or folder as cells: a sample of seeds per task, protocol, budget, model and configuration.

Cells are small where rows are large, so that files of 100,000 rows can be compared.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nmbench.errors import NmbenchError, printable
from nmbench.results import store
from nmbench.results.schema import canonical_json
from nmbench.results.stats import Sample, sample

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
_KEPT = ("run_id", "seed", "status", "value", "floor", "higher_is_better")

Table = tuple[str, str, int]


@dataclasses.dataclass(frozen=True)
class Cell:
    """All seeds of one model and configuration.

    Attributes:
      table: task, protocol and parameter budget, 0 where sizes were given.
      model: registered name.
      config: configuration without what belongs to one run (`RUN_ONLY`), canonical JSON.
      sample: primary metric per seed.
      metric: its name.
    """

    table: Table
    model: str
    config: str
    sample: Sample
    metric: str


@dataclasses.dataclass(frozen=True)
class Source:
    """What a file or folder holds.

    Attributes:
      path: as given.
      cells: in order of table, model and configuration.
      judges: task to (run_id, values of `JUDGED_BY`) of its first row.
      tasks, protocols: all that occur in it, with those that were not asked for.
    """

    path: str
    cells: list[Cell]
    judges: dict[str, tuple[str, tuple]]
    tasks: frozenset[str]
    protocols: frozenset[str]


def read(path: str, task: str | None = None, protocol: str | None = None) -> Source:
    """Cells of a results CSV or results folder, only of `task` and `protocol` where given.

    Raises:
      NmbenchError: not readable, rows of a task that cannot be compared, or a seed twice in a cell.
    """
    groups: dict[tuple[Table, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    judges: dict[str, tuple[str, tuple]] = {}
    configs: dict[str, str] = {}
    tasks, protocols = set(), set()
    for row in store.iterate(path):
        tasks.add(row["task"])
        protocols.add(row["protocol"])
        if task not in (None, row["task"]) or protocol not in (None, row["protocol"]):
            continue
        _check_sizes(path, row)
        judge = row["run_id"], tuple(row[name] for name in JUDGED_BY)
        check_judges(row["task"], path, judge, path, judges.setdefault(row["task"], judge))
        table = row["task"], row["protocol"], row["params_target"] or 0
        members = groups[table, row["model"], _without_seed(row["config_json"], row["seed"], configs)]
        kept = {name: row[name] for name in _KEPT}
        before = members.setdefault(row["seed"], kept)
        if before != kept:
            raise NmbenchError(
                f"{path}: {before['run_id']} and {row['run_id']} are two results of one configuration with one seed "
                f"({row['seed']}); keep one of them"
            )
    metric = JUDGED_BY.index("metric")
    cells = [Cell(*key, sample(list(groups[key].values())), metric=judges[key[0][0]][1][metric]) for key in sorted(groups)]
    return Source(path, cells, judges, frozenset(tasks), frozenset(protocols))


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


def match(a: Sequence[Cell], b: Sequence[Cell]) -> list[tuple[Cell | None, Cell | None]]:
    """Pair the cells of one table and model in two files, None where a cell has no partner.

    Where each file has one configuration, these are a pair, however they differ. Otherwise equal configurations are pairs,
    then those that differ only in the code that ran them (`CODE`).
    """
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    pairs: list[tuple[Cell | None, Cell | None]] = []
    rest_a, rest_b = list(a), list(b)
    for key in (lambda cell: cell.config, _asked_for):
        keyed_a, keyed_b = _unique(rest_a, key), _unique(rest_b, key)
        found = [(cell, keyed_b[text]) for text, cell in keyed_a.items() if text in keyed_b]
        pairs += found
        used = {id(cell) for pair in found for cell in pair}
        rest_a = [cell for cell in rest_a if id(cell) not in used]
        rest_b = [cell for cell in rest_b if id(cell) not in used]
    return [*pairs, *((cell, None) for cell in rest_a), *((None, cell) for cell in rest_b)]


def _asked_for(cell: Cell) -> str:
    return canonical_json({k: v for k, v in json.loads(cell.config).items() if k not in CODE})


def _unique(cells: Iterable[Cell], key: Any) -> dict[str, Cell]:
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return {text: members[0] for text, members in groups.items() if len(members) == 1}


def labels(cells: Sequence[Cell]) -> dict[str, str]:
    """Configuration to label, for cells of one model."""
    return variant_labels(cells[0].model, [cell.config for cell in cells])


def variant_labels(model: str, configs: Sequence[str]) -> dict[str, str]:
    """Configuration (JSON) to label: the model's name, and in brackets what differs where there are several."""
    flat = {config: flatten(json.loads(config)) for config in configs}
    if len(flat) == 1:
        return {configs[0]: model}
    names = sorted({n for f in flat.values() for n in f if len({repr(g.get(n)) for g in flat.values()}) > 1})
    shown = [n for n in names if n.startswith("hparams.")] or names
    made = {}
    for config, values in flat.items():
        details = " ".join(f"{n.split('.')[-1]}={short(values.get(n))}" for n in shown[:6])
        made[config] = f"{model} [{details}]"
    if len(set(made.values())) == len(made):
        return made
    return {config: f"{label[:-1]} #{i}]" for i, (config, label) in enumerate(made.items(), start=1)}


def changes(a: Cell, b: Cell) -> str:
    """What differs between two configurations, "hparams.N 5 -> 9, ..."; "" where nothing does."""
    if a.config == b.config:
        return ""
    before, after = flatten(json.loads(a.config)), flatten(json.loads(b.config))
    names = [n for n in sorted({*before, *after}) if repr(before.get(n)) != repr(after.get(n))]
    return ", ".join(f"{n} {short(before.get(n))} -> {short(after.get(n))}" for n in names)


def flatten(config: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested dicts and lists as one dict with dotted names; what lies deeper than 20 levels is JSON text."""
    if not isinstance(config, dict | list):
        return {prefix.rstrip("."): config}
    if depth == _DEEPEST:
        return {prefix.rstrip("."): canonical_json(config)}
    parts = config if isinstance(config, dict) else dict(enumerate(config))
    return {name: v for k, part in parts.items() for name, v in flatten(part, f"{prefix}{k}.", depth + 1).items()}


def short(value: Any) -> str:
    """A value of a configuration in at most twelve characters."""
    text = f"{value:g}" if isinstance(value, float) else printable(str(value))
    return text if len(text) <= 12 else text[:8]
