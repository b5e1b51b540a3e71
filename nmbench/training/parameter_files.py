"""Parameters and snapshots on disk: safetensors, a plain table of named arrays. No pickle anywhere."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from nmbench.contracts.parameters import flatten, unflatten
from nmbench.support import files
from nmbench.support.errors import NmbenchError


def save_params(path: pathlib.Path, params: Any, metadata: dict[str, str] | None = None) -> None:
    """Write the leaves of `params`, one tensor each, named "module|parameter"; raises `OSError`."""
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in flatten(params).items()}
    # Written from here and not by the library, whose errors do not say what the disk says.
    files.write(path, safetensors.numpy.save(tensors, metadata=metadata))


def load_params(path: pathlib.Path, like: Any) -> Any:
    """Read a file written by `save_params` into the structure of `like` (arrays or `ShapeDtypeStruct`s).

    Raises:
      NmbenchError: no such file, not a safetensors file, or names or shapes differ from `like`.
    """
    try:
        tensors = safetensors.numpy.load_file(str(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, safetensors.SafetensorError) as error:
        raise NmbenchError(f"cannot read parameters from {path}: {error}") from error
    wanted = {name: tuple(leaf.shape) for name, leaf in flatten(like).items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        different = sorted(set(wanted.items()) ^ set(found.items()))
        raise NmbenchError(f"{path} does not hold this model's parameters; differing: {different[:4]}")
    return unflatten(like, tensors)


def save_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and plain facts in the place of whatever `path` holds, whole or not at all; raises `OSError`."""
    metadata = {"facts": json.dumps(facts, sort_keys=True)}
    tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    files.replace(path, safetensors.numpy.save(tensors, metadata=metadata))


def load_arrays(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """(arrays, facts) of a file written by `save_arrays`, None if there is no file.

    Raises:
      NmbenchError: it cannot be read or is no such file.
    """
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
            facts = json.loads((file.metadata() or {})["facts"])
        if not isinstance(facts, dict):
            raise NmbenchError("its facts are not an object")
    except FileNotFoundError:
        return None
    except NmbenchError:
        raise
    # Whatever a foreign file makes of the readers, it is a file that cannot be read.
    except (Exception, RecursionError) as error:
        reason = str(error).split("\n")[0][:100]
        raise NmbenchError(f"it is damaged or none ({type(error).__name__}: {reason})") from error
    return arrays, facts
