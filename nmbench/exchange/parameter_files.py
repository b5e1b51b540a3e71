"""The number of learned parameters in a file of a model trained elsewhere: .safetensors, or .npz of NumPy."""

from __future__ import annotations

import math
import os
import pathlib
import zipfile
from typing import NamedTuple

import safetensors

from nmbench.exchange.array_files import read_header, reading
from nmbench.support.errors import NmbenchError

_REMEDY = "save the learned arrays, by name, with safetensors or numpy.savez"


class Count(NamedTuple):
    """The numbers in a file: `numbers` in `arrays` arrays of floats. A complex number counts as two."""

    numbers: int
    arrays: int


def count(path_text: str) -> Count:
    """Count the numbers of all float and complex arrays in a file. Arrays of integers and booleans do not count.

    Only headers are read, and compared with the size of the data. Nothing is unpickled.

    Raises:
      NmbenchError: the file is missing, damaged, of another kind, or has no array of floats.
    """
    path, where = pathlib.Path(os.path.expanduser(path_text)), f"--params_file={path_text}"
    if path.suffix not in (".safetensors", ".npz"):
        raise NmbenchError(f"{where} is neither a .safetensors nor a .npz file; {_REMEDY}")
    with reading(path, where, f"no {path.suffix} file", _REMEDY):
        sizes = _safetensors(path) if path.suffix == ".safetensors" else _npz(path, where)
    found = [size for size in sizes if size]
    if not found:
        raise NmbenchError(f"{where} has no array of floats; {_REMEDY}")
    return Count(sum(found), len(found))


def _safetensors(path: pathlib.Path) -> list[int]:
    """Numbers per array. `safe_open` checks that shapes and types in the header fit the size of the file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 (the file is no dict)
        return [math.prod(one.get_shape()) * _numbers(one.get_dtype()) for one in slices]


def _numbers(dtype: str) -> int:
    """Numbers per entry of an array of safetensors. Names of types are F32, BF16, C64, I8, U8, BOOL and the like."""
    return 1 if dtype.startswith(("F", "BF")) else 2 if dtype.startswith("C") else 0


def _npz(path: pathlib.Path, where: str) -> list[int]:
    sizes = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                shape, dtype = read_header(member, where)
                held = info.file_size - member.tell()
            if held != math.prod(shape) * dtype.itemsize:
                raise NmbenchError(f"{where}: the size of the array {info.filename!r} does not fit its shape; {_REMEDY}")
            if dtype.kind not in "fiucb":
                raise NmbenchError(
                    f"{where}: the numbers of the array {info.filename!r}, of type {dtype}, cannot be counted; save float32"
                )
            sizes.append(math.prod(shape) * {"f": 1, "c": 2}.get(dtype.kind, 0))
    return sizes
