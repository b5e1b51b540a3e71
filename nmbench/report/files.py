"""Output files of reports: checked before anything is computed, and replaced atomically."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Sequence

from nmbench.results import verification
from nmbench.results.store import Store
from nmbench.support import files
from nmbench.support.errors import NmbenchError


def check(flag: str, path_text: str, inputs: Sequence[str] = ()) -> pathlib.Path:
    """Check that a file can be written, without writing it, and return its path.

    Args:
      flag: name of the flag with the path, for messages.
      path_text: the file; it may exist.
      inputs: input files and folders, in which nothing must be overwritten that a command reads.

    Raises:
      NmbenchError: the path is a folder or an input, or its folder does not exist or cannot be written.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    where = f"--{flag}={path_text}"
    try:
        if not path_text or path.is_dir():
            raise NmbenchError(f"{where} is a folder; name a file")
        if not path.parent.is_dir():
            raise NmbenchError(f"{where}: there is no folder {path.parent}; make it first")
        if any(_is_input(os.path.expanduser(given), path) for given in inputs):
            raise NmbenchError(f"{where} is an input, or would be read as one in this folder; name another file")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except (OSError, ValueError) as error:  # a null byte is a ValueError
        raise NmbenchError(f"{where} cannot be written ({getattr(error, 'strerror', None) or error})") from error
    return path


def check_folder(flag: str, path_text: str) -> pathlib.Path:
    """Check that files can be written into a folder, which need not exist, and return its path; nothing is left behind.

    Raises:
      NmbenchError: the path is not a folder or cannot be written.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    made: list[pathlib.Path] = []
    try:
        if not path_text or (path.exists() and not path.is_dir()):
            raise NmbenchError(f"--{flag}={path_text} is not a folder; name a folder, which need not exist")
        made = [p for p in (path, *path.parents) if not p.exists()]
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NmbenchError(f"--{flag}={path_text} cannot be written ({reason}); name a folder you may write to") from error
    finally:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
    return path


def make_folder(path: pathlib.Path) -> None:
    """Make a folder unless it exists; raises `NmbenchError` if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NmbenchError(f"cannot make {path}: {error.strerror or error}") from error


def _is_input(given: str, path: pathlib.Path) -> bool:
    """Whether `path` is the file `given`, is or would be one of the CSVs in the folder `given`, or is read with them."""
    if not os.path.exists(given):
        return False
    if path.exists() and os.path.samefile(given, path):
        return True
    folder = given if os.path.isdir(given) else os.path.dirname(given) or "."
    if not os.path.samefile(folder, path.parent):
        return False
    if path.suffix == ".csv" and folder == given:  # beside run folders, no CSV is read
        return path.name == "results.csv" or not Store(folder).folders()
    return path.name == verification.FILE or path.suffix == ".safetensors"


def write(path: pathlib.Path, text: str) -> None:
    """Write `text` (UTF-8, LF) to `path` atomically; raises `NmbenchError` if that fails."""
    try:
        files.replace(path, text.encode())
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
