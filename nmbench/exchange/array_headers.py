"""Headers of .npy files, which give shape and type of an array before its data are read."""

from __future__ import annotations

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
