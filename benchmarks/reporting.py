"""Tables on the terminal and in a Markdown file with the command, the date and the machine."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
from typing import Any

from tabulate import tabulate

from nmbench.results import provenance
from nmbench.support import devices
from nmbench.support.errors import NmbenchError


class Report:
    """Prints each table immediately; `close` writes all tables to `path` as Markdown.

    Args:
      path: Markdown file, or None to write no file.
      notes: lines to write above the tables.
    """

    def __init__(self, path: str | None, notes: list[str]):
        self._path, self._began = path, datetime.datetime.now(datetime.UTC)
        self._lines = [f"- {line}" for line in [*header(), *notes]]
        self._parts: list[str] = []
        for note in notes:
            print(note)

    def table(self, title: str, rows: list[dict[str, Any]]) -> None:
        right = ["right" if isinstance(v, int) or str(v)[:1].isdigit() else "left" for v in rows[0].values()]
        draw = lambda style: tabulate(rows, headers="keys", tablefmt=style, disable_numparse=True, colalign=right)
        print(f"\n{title}\n\n{draw('simple')}", flush=True)
        self._parts.append(f"## {title}\n\n{draw('github')}\n")

    def close(self) -> None:
        if not self._path:
            return
        command = f"- `python benchmarks/{pathlib.Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}`".replace(" `", "`")
        command = command.replace("-`", "- `", 1)
        ended = datetime.datetime.now(datetime.UTC)
        dates = f"- {self._began:%Y-%m-%d %H:%M} to {ended:%H:%M} UTC"
        head = "\n".join(["# Speed", "", command, dates, *self._lines])
        try:
            pathlib.Path(self._path).write_text("\n\n".join([head, *self._parts]), encoding="utf-8")
        except OSError as error:
            raise NmbenchError(f"cannot write {self._path}: {error.strerror}") from error


def header() -> list[str]:
    """Machine and versions, one line each."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("jax", "jaxlib", "dm-haiku", "optax", "torch"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    machine = (
        f"{devices.cores()} cores, {provenance.processor() or 'unknown processor'}, {platform.system()} {platform.machine()}"
    )
    with contextlib.suppress(OSError, AttributeError):  # Windows has no load average
        machine += ", load average before the start {:.2f} (1 min), {:.2f} (5 min)".format(*os.getloadavg())
    return [machine, ", ".join(versions)]


def digits(value: float) -> str:
    """The number with three significant digits, without an exponent."""
    if value <= 0:
        return f"{value:g}"
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text and value > 1 else (f"{value:.6f}" if "e" in text else text)
