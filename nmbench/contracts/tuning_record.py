"""Validation of tuning records: the learning rates that tuning tried, their validation losses and the chosen one."""

from __future__ import annotations

from typing import Any


def check(record: Any) -> dict[str, Any]:
    """Return `record`, parsed JSON; raises `ValueError` with a message of one line if it is not a tuning record."""
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    for name, is_valid in (("grid", _is_learning_rate), ("seeds", _is_integer), ("mean_validation_loss", _is_loss)):
        values = record.get(name)
        if not isinstance(values, list) or not values or not all(map(is_valid, values)):
            raise ValueError(f"{name!r} is not a list of numbers")
    if len(record["mean_validation_loss"]) != len(record["grid"]):
        raise ValueError("'mean_validation_loss' needs one number per learning rate of 'grid'")
    if not _is_learning_rate(record.get("chosen")):
        raise ValueError("'chosen' is not a learning rate")
    return record


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300  # not inf, not NaN


def _is_learning_rate(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1e30


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_loss(value: Any) -> bool:
    return value is None or _is_number(value)
