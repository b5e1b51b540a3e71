"""Files that reports are written to: proved writable before anything is computed, replaced whole."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence

from nmbench.support import files
from nmbench.support.errors import NmbenchError


def check(flag: str, path_text: str, inputs: Sequence[str] = ()) -> pathlib.Path:
    """The path of a file that can be written, in a folder that exists; nothing is left there.

    Args:
      flag: name of the flag that gave it, for messages.
      path_text: the file; an older one may be there.
      inputs: files, and folders of CSVs, that must not be overwritten, because they are read.

    Raises:
      NmbenchError: a folder, in no folder, not writable, or one of `inputs`.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    where = f"--{flag}={path_text}"
    if not path_text or path.is_dir():
        raise NmbenchError(f"{where} is a folder; name a file")
    if not path.parent.is_dir():
        raise NmbenchError(f"{where}: there is no folder {path.parent}; make it first")
    if path.exists() and any(_holds(os.path.expanduser(given), path) for given in inputs):
        raise NmbenchError(f"{where} is read from; name another file")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise NmbenchError(f"{where} cannot be written ({error.strerror or error})") from error
    return path


def _holds(given: str, path: pathlib.Path) -> bool:
    """Whether `path` is the file `given`, or one of the CSVs in the folder `given`."""
    if not os.path.exists(given):
        return False
    return os.path.samefile(given, path) or (path.suffix == ".csv" and os.path.samefile(given, path.parent))


def write(path: pathlib.Path, text: str) -> None:
    """Replace `path` by a file of `text` (UTF-8, LF), whole or not at all; raises `NmbenchError` if the disk refuses."""
    try:
        files.replace(path, text.encode())
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
