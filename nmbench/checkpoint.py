"""Parameter trees on disk: safetensors with one tensor per leaf, named "module|parameter". No pickle anywhere."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from nmbench.errors import NmbenchError
from nmbench.params import flatten, unflatten


def save_params(path: pathlib.Path, params: Any, metadata: dict[str, str] | None = None) -> None:
    """Write the leaves of `params` to a safetensors file."""
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in flatten(params).items()}
    safetensors.numpy.save_file(tensors, str(path), metadata=metadata)


def load_params(path: pathlib.Path, like: Any) -> Any:
    """Read a file written by `save_params` into the structure of `like` (arrays or `ShapeDtypeStruct`s).

    Raises:
      NmbenchError: no such file, not a safetensors file, or names or shapes differ from `like`.
    """
    try:
        tensors = safetensors.numpy.load_file(str(path))
    except (OSError, safetensors.SafetensorError) as error:
        raise NmbenchError(f"cannot read parameters from {path}: {error}") from error
    wanted = {name: tuple(leaf.shape) for name, leaf in flatten(like).items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        different = sorted(set(wanted.items()) ^ set(found.items()))
        raise NmbenchError(f"{path} does not hold this model's parameters; differing: {different[:4]}")
    return unflatten(like, tensors)
