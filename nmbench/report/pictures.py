"""Pictures for files: look, styles of models, and writing."""

from __future__ import annotations

import contextlib
import io
import pathlib
from collections.abc import Sequence
from typing import Any

from nmbench.report.axes import MARKERS, Style
from nmbench.support import files
from nmbench.support.errors import NmbenchError

# Colours that have enough contrast on white and that colour-blind readers can tell apart.
_COLOURS = ("#0067a5", "#bb4a00", "#00795b", "#9a3f78", "#846000", "#1a7890", "#6650b8", "#4f5965")
MOST_MODELS = len(_COLOURS) * len(MARKERS)  # with more, combinations of colour and marker would repeat
_LOOK: dict[Any, Any] = {
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": "#59636f",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e3e7ec",
    "svg.hashsalt": "nmbench",
}


def styles(labels: Sequence[str], flag: str) -> dict[str, Style]:
    """Label to style; raises `NmbenchError`, which names the flag, if there are too many labels."""
    if len(labels) > MOST_MODELS:
        raise NmbenchError(f"--{flag} can draw {MOST_MODELS} models, not {len(labels)}; choose with --task and --protocol")
    return {label: Style(_COLOURS[i % len(_COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}


def look() -> contextlib.AbstractContextManager:
    """Context in which matplotlib draws pictures with nmbench's settings."""
    import matplotlib

    return matplotlib.rc_context(_LOOK)


def write(path: pathlib.Path, figure: Any) -> None:
    """Write a figure, without a date, to a .png, .svg or .pdf file; raises `NmbenchError` if it cannot be written."""
    buffer = io.BytesIO()
    form = path.suffix.lower()[1:]
    undated = {"png": None, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    figure.savefig(buffer, format=form, dpi=150, metadata=undated)
    try:
        files.replace(path, buffer.getvalue())
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
