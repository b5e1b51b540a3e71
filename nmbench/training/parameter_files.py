"""Files of parameters and snapshots, in the safetensors format: named arrays without pickle."""

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
    """Write each leaf of `params` as a tensor named "module|parameter"; raises `OSError`."""
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in flatten(params).items()}
    # Not `safetensors.numpy.save_file`: it turns an `OSError`, such as a full disk, into its own exception.
    files.write(path, safetensors.numpy.save(tensors, metadata=metadata))


def load_params(path: pathlib.Path, like: Any) -> Any:
    """Read a file written by `save_params` into the structure of `like` (arrays or `ShapeDtypeStruct`s).

    Raises:
      NmbenchError: the file cannot be read, or its names, shapes or types differ from those of `like`.
    """
    try:
        files.check_regular(path)
        tensors = safetensors.numpy.load_file(str(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, safetensors.SafetensorError) as error:
        raise NmbenchError(f"cannot read parameters from {path}: {error}") from error
    wanted, found = ({n: f"{a.dtype} {tuple(a.shape)}" for n, a in leaves.items()} for leaves in (flatten(like), tensors))
    if wanted != found:
        names = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
        first = "; ".join(f"{n}: {found.get(n, 'missing')}, should be {wanted.get(n, 'absent')}" for n in names[:3])
        raise NmbenchError(f"{path} does not hold this model's parameters ({first})")
    return unflatten(like, tensors)


def save_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts (JSON values) to `path`, atomically replacing an existing file; raises `OSError`."""
    metadata = {"facts": json.dumps(facts, sort_keys=True)}
    tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    files.replace(path, safetensors.numpy.save(tensors, metadata=metadata))


def load_arrays(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """(arrays, facts) of a file written by `save_arrays`, None if the file does not exist.

    Raises:
      NmbenchError: the file cannot be read, or `save_arrays` did not write it.
    """
    try:
        files.check_regular(path)
        with safetensors.safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
            facts = json.loads((file.metadata() or {})["facts"])
        if not isinstance(facts, dict):
            raise NmbenchError("its facts are not a JSON object")
    except FileNotFoundError:
        return None
    except NmbenchError:
        raise
    # A damaged or foreign file can make the readers raise almost any exception.
    except (Exception, RecursionError) as error:
        reason = str(error).split("\n")[0][:100]
        raise NmbenchError(f"it is damaged or not a checkpoint ({type(error).__name__}: {reason})") from error
    return arrays, facts
