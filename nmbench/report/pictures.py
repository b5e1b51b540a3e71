"""Pictures for files: look, styles of models, and writing."""

from __future__ import annotations

import contextlib
import io
import pathlib
from collections.abc import Mapping
from typing import Any

from nmbench.report import files as output_files
from nmbench.report import model_styles
from nmbench.report.captions import Caption
from nmbench.report.model_styles import Style
from nmbench.support import files, libraries
from nmbench.support.errors import NmbenchError

MOST_MODELS = model_styles.PAIRS
FORMATS = ("png", "svg", "pdf")
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


def check_library() -> None:
    """Raise `NmbenchError` if matplotlib is missing."""
    libraries.check("pictures need", "matplotlib")


def check(flag: str, text: str) -> pathlib.Path:
    """The file of a flag such as --plot, checked before anything is computed.

    Raises:
      NmbenchError: matplotlib is missing, the suffix is not one of `FORMATS`, or the file cannot be written.
    """
    check_library()
    if pathlib.Path(text).suffix.lower()[1:] not in FORMATS:
        raise NmbenchError(f"--{flag}={text}: the name of a picture must end in .{' or .'.join(FORMATS)}")
    return output_files.check(flag, text)


def write(path: pathlib.Path, figure: Any, caption: Caption | None = None, dpi: int = 150) -> None:
    """Write a figure atomically to a .png, .svg or .pdf file. It has no date, so the same figure gives the same bytes.

    caption: its text and its rows become part of the metadata, as `captions.check` reads them.

    Raises:
      NmbenchError: the file cannot be written.
    """
    buffer = io.BytesIO()
    form = path.suffix.lower()[1:]
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    if caption is not None:
        metadata |= {"Subject" if form == "pdf" else "Description": caption.text, "Keywords": caption.mark}
    figure.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    try:
        files.replace(path, buffer.getvalue())
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
