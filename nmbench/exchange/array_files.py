"""Files of arrays from users: one line if a file cannot be read, and headers of .npy files, to check before reading."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO

import numpy as np

from nmbench.support.errors import NmbenchError

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of a .npy file: (shape, dtype). `where` names the file in messages.

    Raises:
      NmbenchError: another format, or an array of Python objects.
      Exception: whatever NumPy raises for a damaged header.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise NmbenchError(f"{where}: .npy format {version} is not a format of plain arrays of numbers")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise NmbenchError(f"{where} holds pickled Python objects, which are not read; save a plain array of float32")
    return shape, dtype


@contextlib.contextmanager
def reading(path: str | os.PathLike, where: str, what: str, remedy: str) -> Iterator[None]:
    """Read a user's file inside this block; whatever a missing or damaged file raises becomes one line.

    Args:
      path: the file.
      where: its name in messages.
      what: what else it may be, such as "no .npz file".
      remedy: what the user can do.

    Raises:
      NmbenchError: there is no such file, or the block raised an exception.
    """
    if not os.path.isfile(path):
        raise NmbenchError(f"{where}: no such file; {remedy}")
    try:
        yield
    except NmbenchError:
        raise
    except Exception as error:  # a damaged file can raise anything
        reason = str(error).split("\n")[0][:100]
        raise NmbenchError(
            f"{where} cannot be read; it is damaged or {what} ({type(error).__name__}: {reason}); {remedy}"
        ) from error
