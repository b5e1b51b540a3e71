"""Load a file with your own models or tasks in Python, again whenever it has changed, as happens in a notebook."""

from __future__ import annotations

import os
import pathlib
import sys

from nmbench.contracts import fingerprints, plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.plugin_files import PREFIX
from nmbench.support import devices

# Fingerprint of each file when it was loaded.
_loaded: dict[pathlib.Path, str] = {}


def load_plugin(path: str | os.PathLike) -> list[str]:
    """Execute a Python file that registers models or tasks, as `--plugin` does in commands.

    A file that has changed since it was loaded is executed again, and its models and tasks replace the earlier ones.

    Args:
      path: the file.

    Returns:
      The names of the models and tasks that the file registers, sorted.

    Raises:
      NmbenchError: the path is not a Python file, or the file raises an exception or registers nothing.
    """
    devices.prepare()  # the file may use JAX
    try:
        file = pathlib.Path(os.path.expanduser(path)).resolve()
        now = fingerprints.of_module(file) if file.is_file() else ""
    except (TypeError, OSError, ValueError):  # no path, an unreadable file, a null byte
        file, now = pathlib.Path(), ""
    if now and _loaded.get(file) != now:
        _forget(file)
    names = plugins.load(str(path))
    _loaded[file] = now
    return names or _names(file)


def _forget(file: pathlib.Path) -> None:
    """Remove what a file has registered, so that it can be executed again, with the files beside it that it imports."""
    for registry in (TASKS, BASELINES):
        for entry in registry.entries():
            if entry.value is not None and pathlib.Path(entry.value.path) == file:
                registry.forget(entry.name)
    beside = {str(path) for path in fingerprints.with_own_files(file)[1:]}
    for name, module in list(sys.modules.items()):
        loaded_from = getattr(module, "__file__", None)
        if (name.startswith(PREFIX) and loaded_from == str(file)) or loaded_from in beside:
            del sys.modules[name]


def _names(file: pathlib.Path) -> list[str]:
    entries = [entry for registry in (TASKS, BASELINES) for entry in registry.entries()]
    return sorted(entry.name for entry in entries if entry.value is not None and pathlib.Path(entry.value.path) == file)
