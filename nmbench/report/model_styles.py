"""Colour and marker of every model: the only table of them, used by all figures, pictures and pages.

A model that comes with nmbench has a pair of its own, whatever other models are drawn: the models of the publication (tag
"paper") take the first pairs in alphabetical order, then the others, and last those of the tag "control", which came later.
A model of a plugin takes one of the remaining pairs by a hash of its name. If the hashes of two such models in one figure
agree, the second one by name takes the next free pair.
Readers with a colour-vision deficiency can tell the colours apart (a test simulates three kinds), also by their lightness,
and the contrast with the backgrounds of the page is high enough. Models that share a colour differ in their markers and in
the dashes of their lines.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from nmbench.contracts.catalog import BASELINES

# Each colour on a light and on a dark background.
COLOURS = (
    ("#0067a5", "#62b6f2"),
    ("#bb4a00", "#ff9d5c"),
    ("#00795b", "#45cf9f"),
    ("#9a3f78", "#ec9cca"),
    ("#593501", "#fff04a"),
    ("#042681", "#d9f2ff"),
    ("#8453fb", "#8a78ff"),
    ("#211c22", "#8b8580"),
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
# Eight colours and seven markers: after this many pairs they repeat.
PAIRS = len(COLOURS) * len(MARKERS)


@dataclasses.dataclass(frozen=True)
class Style:
    """How a model is drawn. colour: on a light background. dashes: line style of matplotlib."""

    colour: str
    marker: str
    dashes: Any = "solid"


def styles(models: Mapping[str, str]) -> dict[str, Style]:
    """The style of each line of a figure.

    Args:
      models: label of the line to the name of its model. Several configurations of a model share its colour and dashes; the
        first by label has the model's marker, the others have other markers.
    """
    numbers = _numbers(set(models.values()))
    found = {}
    for name, number in numbers.items():
        labels = sorted(label for label, model in models.items() if model == name)
        for i, label in enumerate(labels):
            found[label] = _style(number, MARKERS[(number + 2 * i) % len(MARKERS)])
    return {label: found[label] for label in models}


def _numbers(names: set[str]) -> dict[str, int]:
    """Name of each model to the number of its pair."""
    shipped = [entry for entry in BASELINES.entries() if entry.origin.startswith("baselines/")]
    first = sorted(shipped, key=lambda entry: ("paper" not in entry.tags, "control" in entry.tags, entry.name))
    fixed = {entry.name: i for i, entry in enumerate(first)}
    numbers = {name: fixed[name] for name in sorted(names & fixed.keys())}
    free = [number for number in range(PAIRS) if number >= len(fixed)]
    for name in sorted(names - fixed.keys()):
        start = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % PAIRS
        # If all pairs are taken, pairs repeat.
        numbers[name] = min(free, key=lambda number: (number - start) % PAIRS, default=start)
        free = [number for number in free if number != numbers[name]]
    return numbers


def _style(number: int, marker: str) -> Style:
    dashes = DASHES[number // len(COLOURS) % len(DASHES)]
    return Style(COLOURS[number % len(COLOURS)][0], marker, dashes)
