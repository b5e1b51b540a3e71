"""How many seeds the board asks for. The numbers are in `board_seeds.toml`, since only the room `paper` names tasks."""

from __future__ import annotations

import functools
import pathlib
import tomllib


def wanted(task: str) -> int:
    """The number of seeds that a model needs on this task."""
    table = _table()
    return table["tasks"].get(task, table["default"])


@functools.cache
def _table() -> dict:
    return tomllib.loads(pathlib.Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
