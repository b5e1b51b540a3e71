"""Ladders: models of one task and protocol at several parameter budgets, and the budget at which each reaches the threshold.

A model reaches the threshold at a budget if the median of its primary metric over seeds (a lost seed counts as the floor) is
at least as good as the threshold. `Curve.first` is the smallest such budget among those at which the model was trained. The
model might also reach the threshold at smaller budgets at which it was not trained (`Curve.not_run`), and it may miss the
threshold at larger budgets (`Curve.fell_back`).
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Sequence

from nmbench.results import config_json
from nmbench.results.ranking import RankingEntry, Table

# Parts of a configuration that may differ between budgets: size, learning rate, code.
_PER_BUDGET = frozenset({"budget", "hparams", "learning_rate", "tuning_trials", *config_json.CODE})


@dataclasses.dataclass(frozen=True)
class Point:
    """A model at one budget.

    Attributes:
      budget: parameter budget.
      entry: the model's line in the table of that budget.
      reached: whether the median reaches the threshold; None without a threshold.
    """

    budget: int
    entry: RankingEntry
    reached: bool | None


@dataclasses.dataclass(frozen=True)
class Curve:
    """A model at all budgets at which it was trained.

    Attributes:
      label: as in the tables; it identifies the model across budgets.
      points: smallest budget first.
      first: smallest budget at which the model reaches the threshold; None if there is none, or without a threshold.
      fell_back: budgets above `first` at which the model misses the threshold.
      not_run: budgets of the ladder at which the model was not trained, below `first` if there is one.
      changed: settings that should be equal at all points but differ, such as training steps, with their values, e.g.
        "protocol.phases.0.steps 300 -> 600"; "" if there are none.
    """

    label: str
    points: tuple[Point, ...]
    first: int | None
    fell_back: tuple[int, ...]
    not_run: tuple[int, ...]
    changed: str

    def at(self, budget: int) -> Point | None:
        """The point at this budget; None if there is none."""
        return next((point for point in self.points if point.budget == budget), None)


@dataclasses.dataclass(frozen=True)
class Ladder:
    """All models of one task and protocol, over two or more budgets.

    Attributes:
      tables: one per budget, smallest first; task, metric and threshold are the same in all of them.
      curves: in order of `first`, None last; then of the score at the model's largest budget, best first.
      left_out: labels that end in a number (`config_json.is_numbered`). Such labels cannot be matched across tables.
    """

    tables: tuple[Table, ...]
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...]

    @property
    def task(self) -> str:
        return self.tables[0].task

    @property
    def protocol(self) -> str:
        return self.tables[0].protocol

    @property
    def budgets(self) -> tuple[int, ...]:
        return tuple(table.budget for table in self.tables if table.budget is not None)

    @property
    def threshold(self) -> float | None:
        return self.tables[0].threshold


def ladders(tables: Sequence[Table]) -> list[Ladder]:
    """One ladder for each task and protocol in which a model has two or more budgets, in the order of the tables.

    Tables without a budget, whose sizes were given, are left out.
    """
    groups: dict[tuple[str, str], list[Table]] = defaultdict(list)
    for table in tables:
        if table.budget is not None:
            groups[table.task, table.protocol].append(table)
    found = [_ladder(sorted(members, key=lambda t: t.budget or 0)) for members in groups.values()]
    return [one for one in found if any(len(curve.points) > 1 for curve in one.curves)]


def _ladder(tables: Sequence[Table]) -> Ladder:
    points: dict[str, list[Point]] = defaultdict(list)
    left_out = set()
    for table in tables:
        for entry in table.entries:
            if config_json.is_numbered(entry.label):
                left_out.add(entry.label)
            elif not (entry.reference or entry.external) and table.budget is not None:
                points[entry.label].append(Point(table.budget, entry, _reached(entry, table)))
    budgets = [table.budget for table in tables if table.budget is not None]
    curves = [_curve(label, members, budgets) for label, members in points.items()]
    never = budgets[-1] + 1
    curves.sort(key=lambda c: (never if c.first is None else c.first, -c.points[-1].entry.score.value, c.label))
    return Ladder(tuple(tables), tuple(curves), tuple(sorted(left_out)))


def _reached(entry: RankingEntry, table: Table) -> bool | None:
    if table.threshold is None:
        return None
    value = entry.median.value
    return value >= table.threshold if table.higher_is_better else value <= table.threshold


def _curve(label: str, points: Sequence[Point], budgets: Sequence[int]) -> Curve:
    first = next((point.budget for point in points if point.reached), None)
    run = {point.budget for point in points}
    return Curve(
        label=label,
        points=tuple(points),
        first=first,
        fell_back=tuple(p.budget for p in points if first is not None and p.budget > first and not p.reached),
        not_run=tuple(b for b in budgets if b not in run and (first is None or b < first)),
        changed=_changed([point.entry.config for point in points]),
    )


def _changed(configs: Sequence[str]) -> str:
    """`Curve.changed` of configurations (JSON), in order of budget."""
    flat = [config_json.flatten({k: v for k, v in json.loads(c).items() if k not in _PER_BUDGET}) for c in configs]
    # The learning rate is tuned for each budget, and phases repeat it.
    names = sorted({name for one in flat for name in one if name.rpartition(".")[2] != "learning_rate"})
    differences = []
    for name in names:
        values = list(dict.fromkeys(config_json.short(one.get(name)) for one in flat))
        if len({repr(one.get(name)) for one in flat}) > 1:
            differences.append(f"{name} {' -> '.join(values)}")
    return ", ".join(differences)
