"""Pictures for files: look, styles of models, and writing."""

from __future__ import annotations

import contextlib
import io
import pathlib
from collections.abc import Mapping
from typing import Any

from nmbench.report import model_styles
from nmbench.report.captions import Caption
from nmbench.report.model_styles import Style
from nmbench.support import files
from nmbench.support.errors import NmbenchError

MOST_MODELS = model_styles.PAIRS
_LOOK: dict[Any, Any] = {
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": "#59636f",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e3e7ec",
    "svg.hashsalt": "nmbench",
}


def styles(models: Mapping[str, str], flag: str) -> dict[str, Style]:
    """Label to style; raises `NmbenchError`, which names the flag, if there are too many labels.

    models: label to the name of its model, as in `nmbench.report.model_styles.styles`.
    """
    if len(models) > MOST_MODELS:
        raise NmbenchError(f"--{flag} can draw {MOST_MODELS} models, not {len(models)}; choose with --task and --protocol")
    return model_styles.styles(models)


def look() -> contextlib.AbstractContextManager:
    """Context in which matplotlib draws pictures with nmbench's settings."""
    import matplotlib

    return matplotlib.rc_context(_LOOK)


def write(path: pathlib.Path, figure: Any, caption: Caption | None = None) -> None:
    """Write a figure, without a date, to a .png, .svg or .pdf file; raises `NmbenchError` if it cannot be written.

    caption: its text and its rows become part of the metadata of a .png or .svg file, as `captions.check` reads them.
    """
    buffer = io.BytesIO()
    form = path.suffix.lower()[1:]
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    if caption is not None:
        metadata |= {"Description": caption.text, "Keywords": caption.mark}
    figure.savefig(buffer, format=form, dpi=150, metadata=metadata)
    try:
        files.replace(path, buffer.getvalue())
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
