"""Captions of pictures, and the rows that a picture shows.

A picture carries the run ids of its rows and their values in its metadata, and `captions.md` beside it lists the same. A
run id does not change if a run is trained again on another machine, but its value does. `check` compares both with rows, so
that no picture of another training passes for a picture of these.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nmbench.report import files
from nmbench.support.errors import NmbenchError, printable

FILE = "captions.md"
# In the order in which a page prefers them.
SUFFIXES = (".svg", ".png", ".pdf")
_MARK = re.compile(rb"nmbench rows: ([^;]*);")
_ENTRY = re.compile(r"^\*\*(\S+?)\.\*\* (.*?) !\[[^\n]*\n\nRows of \S+: (.*?)$", re.M | re.S)
_ROW = re.compile(r"`([^`]+)` (\S+?)(?:, |$)")

# From run id to the value of the primary metric.
Values = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Caption:
    """A picture's caption and rows.

    Attributes:
      name: name of the picture's files, without suffix.
      text: the caption.
      rows: the rows that the picture shows.
    """

    name: str
    text: str
    rows: Values

    @property
    def mark(self) -> str:
        """The rows as text for the metadata of a PNG, SVG or PDF file."""
        return f"nmbench rows: {' '.join(f'{run_id}={value!r}' for run_id, value in self.rows.items())};"

    def markdown(self, picture: str) -> str:
        """The entry in `captions.md`, which shows this file."""
        rows = ", ".join(f"`{run_id}` {value!r}" for run_id, value in self.rows.items())
        return f"**{self.name}.** {self.text} ![{self.name}]({picture})\n\nRows of {self.name}: {rows}"


class Shown(NamedTuple):
    """A figure that shows given rows: its caption, its files in the order of `SUFFIXES`, and the protocols of its rows."""

    caption: Caption
    files: list[pathlib.Path]
    protocols: list[str]


def write(folder: pathlib.Path, captions: Iterable[Caption]) -> None:
    """Write `captions.md` with these captions and those of other pictures in the folder.

    Raises:
      NmbenchError: the file cannot be written.
    """
    entries = {caption.name: caption for caption in read(folder) if _pictures(folder, caption.name)}
    entries |= {caption.name: caption for caption in captions}
    parts = []
    for name, caption in entries.items():
        found = [path.name for path in _pictures(folder, name)]
        png = f"{name}.png"  # preferred, because it is shown everywhere
        parts.append(caption.markdown(found[0] if found and png not in found else png))
    files.write(folder / FILE, "\n\n".join(["# Figures", *parts]) + "\n")


def read(folder: pathlib.Path) -> list[Caption]:
    """The captions in a folder; none if it has no `captions.md`.

    Raises:
      NmbenchError: the file cannot be read.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return [Caption(name, said, _floats(_ROW.findall(rows))) for name, said, rows in _ENTRY.findall(text)]
    except (OSError, ValueError) as error:
        raise NmbenchError(f"cannot read {path}: {error}") from error


def rows_of(picture: pathlib.Path) -> Values | None:
    """The rows in the metadata of a picture, {} if all that it shows are lost; None if nmbench did not draw it.

    Raises:
      NmbenchError: the file cannot be read.
    """
    try:
        found = _MARK.search(picture.read_bytes())
        return _floats(item.split("=") for item in found[1].decode().split()) if found else None
    except (OSError, ValueError) as error:
        raise NmbenchError(f"cannot read {picture}: {error}") from error


def check(folder: pathlib.Path, rows: Iterable[Mapping[str, Any]]) -> dict[str, Shown]:
    """Check that the pictures in a folder show these rows.

    Args:
      folder: with pictures and `captions.md`.
      rows: all rows that the pictures may show; several may have the same run id.

    Returns:
      From the name of a picture to what it shows, in the order of `captions.md`.

    Raises:
      NmbenchError: a picture has no caption, names no rows or others than its caption, or a row is missing or has another
        value.
    """
    captions = {caption.name: caption for caption in read(folder)}
    known = {(row["run_id"], row["value"]): row["protocol"] for row in rows}
    ids = {run_id for run_id, _ in known}
    for picture in sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.is_file()):
        shown = rows_of(picture)
        caption = captions.get(picture.stem)
        problem = ""
        if shown is None:
            problem = "does not name the rows that it shows"
        elif caption is None or dict(caption.rows) != dict(shown):
            problem = f"shows other rows than its caption in {FILE}" if caption else f"has no caption in {FILE}"
        elif other := [item for item in shown.items() if item not in known]:
            run_id, value = other[0]
            where = "which the rows give another value" if run_id in ids else "which is not among the rows"
            problem = f"shows {run_id} with value {value:g}, {where} ({len(other)} such of {len(shown)})"
        if problem:
            raise NmbenchError(printable(f"{picture} {problem}; draw it again with python -m nmbench.figures, or remove it"))
    found = {}
    for name, caption in captions.items():
        if pictures := _pictures(folder, name):
            found[name] = Shown(caption, pictures, sorted({known[item] for item in caption.rows.items()}))
    return found


def _pictures(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    return [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]


def _floats(pairs: Iterable[Iterable[str]]) -> dict[str, float]:
    return {run_id: float(value) for run_id, value in pairs}
