"""Frozen validation and test sets: .npz files, each with a hash that is verified whenever the set is loaded.

A set is a flat dict of NumPy arrays. Its hash covers name, dtype, shape and bytes of every array, sorted by name, so it
does not depend on compression or on the version of the .npz format.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from nmbench.support import files
from nmbench.support.errors import NmbenchError

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class FrozenSet:
    """Arrays of one split and the hash that identifies them.

    Attributes:
      name: "validation", "test", ...
      arrays: flat dict of read-only arrays; the task chooses the axis of the trials.
      sha256: hex digest, see `digest`.
      n: number of trials.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    sha256: str
    n: int


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over (name, dtype, shape, bytes) of each array, sorted by name; little-endian, C order."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        sha.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def key(task: str, version: int, split: str) -> str:
    """Name of a set: its key in the manifest, and its file name without the suffix."""
    return f"{task}-v{version}-{split}"


def load(folder: pathlib.Path, task: str, version: int, split: str, flags: str = "") -> FrozenSet:
    """Load and verify a set. The arrays are read-only: sets with the same bytes share them.

    Args:
      folder: folder of the sets and their manifest.
      task, version, split: which set.
      flags: further flags of the command that a message gives, with a space before each.

    Raises:
      NmbenchError: the manifest, its entry or the file is missing or unreadable, or the hash of the set differs from the
        manifest's.
    """
    name = key(task, version, split)
    entry = _entry(folder, name)
    command = f"python -m nmbench.freeze --task={task}{flags}"
    remedy = f"restore it, or rebuild it with {command}"
    if entry is None:
        raise NmbenchError(f"no frozen set {name!r} in {folder / MANIFEST}; make it with {command}")
    path = folder / f"{name}.npz"
    try:
        arrays, found = _read(path.read_bytes())
    except FileNotFoundError as error:
        raise NmbenchError(f"the {split} set of {task} is missing: {path}; {remedy}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise NmbenchError(f"the {split} set of {task} is corrupt: {path} ({error}); {remedy}") from error
    if found != entry["sha256"]:
        raise NmbenchError(
            f"the {split} set of {task} does not match its manifest: {path} has sha256 {found[:12]}..., "
            f"expected {entry['sha256'][:12]}...; {remedy}"
        )
    return FrozenSet(split, dict(arrays), found, entry["n"])


@functools.lru_cache(maxsize=64)
def _read(data: bytes) -> tuple[dict[str, np.ndarray], str]:
    """Read-only arrays of an .npz file, given by its bytes, and their hash. Cached: the same bytes are decoded only once."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for array in arrays.values():
        array.setflags(write=False)
    return arrays, digest(arrays)


def read_manifest(folder: pathlib.Path) -> dict:
    """The manifest of a folder of sets, {} if there is none; raises `NmbenchError` if it cannot be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NmbenchError(f"cannot read {folder / MANIFEST}: {error}") from error
    if not isinstance(manifest, dict):
        raise NmbenchError(f"{folder / MANIFEST} is not a JSON object")
    return manifest


def _entry(folder: pathlib.Path, name: str) -> dict | None:
    """The manifest's entry of a set, None if there is none; raises `NmbenchError` if it lacks the hash or the size."""
    entry = read_manifest(folder).get(name)
    if entry is None:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str) or not isinstance(entry.get("n"), int):
        raise NmbenchError(
            f"the entry {name!r} in {folder / MANIFEST} is damaged: it needs sha256, a text, and n, a whole number; restore "
            "the file, or remove the entry and freeze the set again"
        )
    return entry


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Bytes of a compressed .npz file with these arrays.

    `allow_pickle=False` is not given, because NumPy below 2.2 would store it as one more array. The file is made in memory:
    on a full disk, NumPy's archive would raise a second error while closing.
    """
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)  # pyright: ignore[reportArgumentType]
    return archive.getvalue()


def save(folder: pathlib.Path, task: str, version: int, split: str, arrays: Mapping[str, np.ndarray], n: int) -> str:
    """Write a set and its manifest entry, and return its hash.

    Raises:
      NmbenchError: the manifest has a set of this task and version with other bytes, or cannot be read, or the folder cannot
        be written.
    """
    name, found = key(task, version, split), digest(arrays)
    manifest, entry = read_manifest(folder), _entry(folder, name)
    if entry is not None and entry["sha256"] != found:
        raise NmbenchError(
            f"{name} is frozen with other bytes in {folder / MANIFEST}; raise the task's version, or, if nobody has "
            f"used the set, delete its file and its entry there"
        )
    manifest[name] = {
        "sha256": found,
        "n": n,
        "arrays": {k: {"dtype": str(v.dtype), "shape": list(v.shape)} for k, v in sorted(arrays.items())},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / f"{name}.npz", npz_bytes(arrays))
        files.replace(folder / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise NmbenchError(f"{folder} cannot be written ({error.strerror or error}); make it writable") from error
    return found
