"""What a tuning record must hold to be believed: a file that others may have edited, or a disk may have damaged."""

from __future__ import annotations

from typing import Any


def check(record: Any) -> dict[str, Any]:
    """Return `record`, the contents of a tuning record; raises `ValueError`, one line, where it is not one."""
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    for name, is_one in (("grid", _rate), ("seeds", _whole), ("mean_validation_loss", _loss)):
        held = record.get(name)
        if not isinstance(held, list) or not held or not all(map(is_one, held)):
            raise ValueError(f"{name!r} is not a list of numbers")
    if len(record["mean_validation_loss"]) != len(record["grid"]):
        raise ValueError("'mean_validation_loss' has not one number per rate of the grid")
    if not _rate(record.get("chosen")):
        raise ValueError("'chosen' is not a learning rate")
    return record


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300  # NaN is not


def _rate(value: Any) -> bool:
    return _number(value) and 0 < value <= 1e30


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _loss(value: Any) -> bool:
    return value is None or _number(value)
