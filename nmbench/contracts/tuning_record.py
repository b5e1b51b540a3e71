"""Tuning records: the learning rates that tuning tried, their validation losses, and the rule that chooses one of them.

The rule: the learning rate with the lowest mean logarithm of the validation loss over the tuning seeds. Losses spread over
orders of magnitude, so their plain mean would be decided by the worst seed. A diverged run counts as the largest loss of any
tuning run. If the lowest or the highest learning rate wins, the next one of the series 1, 3, 10, ... beyond it is tried too,
at most `MOST_BEYOND` on each side of the protocol's grid. If every run diverged, lower learning rates are tried.

A stored record is data from elsewhere: `check` computes the choice again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

RULE = "lowest mean log10 validation loss over seeds; a diverged run (null) counts as the largest loss of all runs"
MOST_BEYOND = 2
_SERIES = tuple(float(f"{digit}e{power}") for power in range(-8, 3) for digit in (1, 3))
_SMALLEST = 1e-30  # of a loss, so that a loss of 0 has a logarithm
_LONGEST = 200  # entries of a grid and of seeds, characters of a name

# Validation losses `[learning rates][seeds]`, None for a run that diverged.
Losses = Sequence[Sequence[float | None]]


def logs(losses: Losses) -> list[list[float]]:
    """Log10 losses `[learning rates][seeds]`, with the largest of all for runs that diverged.

    Raises:
      ValueError: all runs diverged.
    """
    finite = [loss for row in losses for loss in row if loss is not None]
    if not finite:
        raise ValueError("every run diverged")
    worst = max(finite)
    return [[math.log10(max(worst if loss is None else loss, _SMALLEST)) for loss in row] for row in losses]


def mean_logs(losses: Losses) -> list[float]:
    """Mean log10 loss of each learning rate, `[learning rates]`; raises `ValueError` if all runs diverged."""
    return [math.fsum(row) / len(row) for row in logs(losses)]


def choose(rates: Sequence[float], losses: Losses) -> float:
    """The learning rate that the rule chooses, of equally good ones the lowest; `ValueError` if all runs diverged."""
    means = mean_logs(losses)
    return min(zip(means, rates, strict=True))[1]


def failures(losses: Losses) -> list[int]:
    """Failed runs of each learning rate: they diverged, or have more than ten times the (lower) median loss at the best one.

    Raises:
      ValueError: all runs diverged.
    """
    means = mean_logs(losses)
    ordered = sorted(math.inf if loss is None else loss for loss in losses[means.index(min(means))])
    limit = 10 * ordered[(len(ordered) - 1) // 2]
    return [sum(loss is None or loss > limit for loss in row) for row in losses]


def next_rate(grid: Sequence[float], rates: Sequence[float], losses: Losses) -> float | None:
    """The learning rate to try next because the lowest or the highest of `rates` wins; None if there is none.

    If every run diverged, the lowest counts as the winner.

    Args:
      grid: the protocol's grid, ascending.
      rates: all learning rates tried so far, ascending.
      losses: their losses.
    """
    diverged = all(loss is None for row in losses for loss in row)
    chosen = rates[0] if diverged else choose(rates, losses)
    if chosen == rates[0]:
        below = [rate for rate in _SERIES if rate < rates[0] * (1 - 1e-9)]
        return below[-1] if below and sum(rate < grid[0] for rate in rates) < MOST_BEYOND else None
    if chosen == rates[-1]:
        above = [rate for rate in _SERIES if rate > rates[-1] * (1 + 1e-9)]
        return above[0] if above and sum(rate > grid[-1] for rate in rates) < MOST_BEYOND else None
    return None


def check(record: Any) -> dict[str, Any]:
    """Return `record`, parsed JSON; raises `ValueError` with a message of one line if it is not a tuning record.

    The choice must be the one that the rule makes from the record's losses.
    """
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    for name in ("model", "task", "protocol", "rule"):
        if not _is_name(record.get(name)):
            raise ValueError(f"{name!r} is not a text of 1 to {_LONGEST} characters")
    for name in ("task_version", "steps", "engine", "params"):
        if not _is_integer(record.get(name)) or record[name] < 1:
            raise ValueError(f"{name!r} is not a positive whole number")
    for name, is_valid in (("hparams", _is_plain), ("validation_sha256", _is_name), ("training_sha256", _is_name)):
        values = record.get(name, {} if name == "training_sha256" else None)
        if not isinstance(values, dict) or len(values) > _LONGEST or not all(map(is_valid, values.values())):
            raise ValueError(f"{name!r} is not a JSON object of plain values")
    unknown = sorted(record.keys() - _NAMES)
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} is not an entry of a tuning record")
    for name, is_valid in (("grid", _is_learning_rate), ("seeds", _is_integer)):
        values = record.get(name)
        if not isinstance(values, list) or not 0 < len(values) <= _LONGEST or not all(map(is_valid, values)):
            raise ValueError(f"{name!r} is not a list of 1 to {_LONGEST} numbers")
    rates, seeds = record["grid"], record["seeds"]
    if sorted(set(rates)) != rates or len(set(seeds)) != len(seeds):
        raise ValueError("'grid' must ascend, and 'seeds' must differ")
    losses = _table(record, "validation_losses", _is_loss)
    _table(record, "test_values", lambda value: value is None or _is_number(value))
    by_phase = record.get("losses_by_phase", [])
    if not isinstance(by_phase, list) or len(by_phase) > _LONGEST:
        raise ValueError(f"'losses_by_phase' is not a list of at most {_LONGEST} tables")
    for table in by_phase:
        _table({**record, "losses_by_phase": table}, "losses_by_phase", _is_loss)
    try:
        expected = choose(rates, losses)
    except ValueError as error:
        raise ValueError(f"'validation_losses': {error}") from None
    if not _is_number(record.get("chosen")) or record["chosen"] != expected:
        raise ValueError(f"'chosen' is {record.get('chosen')!r:.40}, but its losses choose {expected:g} ({RULE})")
    if record.get("failed") != failures(losses):
        raise ValueError(f"'failed' is {record.get('failed')!r:.40}, but its losses give {failures(losses)}"[:200])
    if not _is_number(record.get("train_s", 0)) or record.get("train_s", 0) < 0:
        raise ValueError("'train_s' is not a number of seconds")
    for name in ("source", "model_sha256"):
        if not _is_name(record.get(name, "none")):
            raise ValueError(f"{name!r} is not a text of 1 to {_LONGEST} characters")
    return record


_NAMES = {
    *("engine", "model", "task", "task_version", "protocol", "hparams", "params", "steps", "validation_sha256", "rule"),
    *("grid", "seeds", "validation_losses", "failed", "test_values", "chosen", "train_s", "source"),
    *("training_sha256", "model_sha256", "losses_by_phase"),
}


def _table(record: Mapping[str, Any], name: str, is_valid) -> Losses:
    """The entry `name`, checked to have one list per learning rate with one valid value per seed."""
    table = record.get(name)
    if not isinstance(table, list) or len(table) != len(record["grid"]):
        raise ValueError(f"{name!r} needs one list per learning rate of 'grid'")
    for row in table:
        if not isinstance(row, list) or len(row) != len(record["seeds"]) or not all(map(is_valid, row)):
            raise ValueError(f"{name!r} needs one number per seed, or null")
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300  # not inf, not NaN


def _is_learning_rate(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1e30


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool) or _is_name(value) or _is_number(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62


def _is_loss(value: Any) -> bool:
    return value is None or (_is_number(value) and value >= 0)
