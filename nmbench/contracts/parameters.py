"""Parameter trees of any framework as flat dicts: "module|parameter" to array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from nmbench.support.errors import NmbenchError

FIXED_PREFIX = "fixed_"
Predicate = Callable[[str, str], bool]
Flat = dict[str, Any]


def flatten(params: Any) -> Flat:
    """Leaves of a parameter tree by name. The last key of a leaf's path names the parameter, the other keys its module.

    Raises:
      NmbenchError: two leaves have the same name, for example those of {"a/b": ...} and {"a": {"b": ...}}.
    """
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    flat = {"|".join(_split_path(path)): leaf for path, leaf in leaves}
    if len(flat) < len(leaves):
        names = [" in module ".join(map(repr, _split_path(path)[::-1])) for path, _ in leaves]
        twice = next(name for name in names if names.count(name) > 1)
        raise NmbenchError(f"two parameters of this model are called {twice}; give one of them another name")
    return flat


def unflatten(like: Any, flat: Flat) -> Any:
    """The inverse of `flatten` for a tree of the same structure as `like`."""
    return jax.tree.unflatten(jax.tree.structure(like), [flat[name] for name in flatten(like)])


def is_learned(module: str, parameter: str) -> bool:
    """True unless the parameter was made with `Core.fixed` (its name starts with `fixed_`)."""
    del module
    return not parameter.startswith(FIXED_PREFIX)


def split(flat: Flat, predicate: Predicate) -> tuple[Flat, Flat]:
    """Two dicts: the leaves that a predicate on (module, parameter) selects, and all others."""
    chosen = {name: leaf for name, leaf in flat.items() if predicate(*name.rsplit("|", 1))}
    return chosen, {name: leaf for name, leaf in flat.items() if name not in chosen}


def _split_path(path: Any) -> tuple[str, str]:
    keys = [str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path]
    return "/".join(keys[:-1]), keys[-1] if keys else ""
