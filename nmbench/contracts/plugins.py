"""`--plugin=FILE.py`: execute a user's file, which registers its models and tasks."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import pathlib
import sys
from collections.abc import Iterable

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.plugin_files import PREFIX
from nmbench.support.errors import NmbenchError


class _Uncached(importlib.machinery.SourceFileLoader):
    """Loads a Python file from its source, and neither reads nor writes `__pycache__` beside the user's file."""

    def path_stats(self, path):
        raise OSError  # without the file's date, Python uses no bytecode


def load_all(paths: Iterable[str]) -> None:
    """Execute the files given with `--plugin`, in order; raises the errors of `load`."""
    for path in paths:
        load(path)


def load(path_text: str) -> list[str]:
    """Execute a Python file and return the names that it registers; [] if the file was loaded before.

    Raises:
      NmbenchError: the path is not a Python file, or the file raises an exception or registers nothing.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    if path.suffix != ".py" or not os.path.isfile(path):  # `path.is_file()` raises for too long a name
        raise NmbenchError(
            f"--plugin={path_text}: no such Python file; give the path of a .py file that registers a model or a task"
        )
    path = path.resolve()
    module_name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if module_name in sys.modules:
        return []
    before = _names()
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_Uncached(module_name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
        registered = sorted({name for _, name in _names() - before})
        if not registered:
            raise NmbenchError(
                f"--plugin={path_text} registers nothing; it needs @register_baseline(...) on a model or register_task(...)"
            )
    except BaseException as error:  # a user's file may raise anything
        del sys.modules[module_name]
        if isinstance(error, NmbenchError | KeyboardInterrupt):
            raise
        if isinstance(error, SyntaxError):
            raise NmbenchError(f"--plugin={path_text}: syntax error in line {error.lineno}: {error.msg}") from error
        line = _line_in(error, str(path))
        raise NmbenchError(f"--plugin={path_text}: {type(error).__name__}{line}: {_message(error)}") from error
    return registered


def _names() -> set[tuple[str, str]]:
    """(kind, name) of every registered task and model."""
    return {(registry.kind, entry.name) for registry in (TASKS, BASELINES) for entry in registry.entries()}


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the user's own __str__ failed
        return "(no message)"


def _line_in(error: BaseException, path: str) -> str:
    """ " in line N" of the deepest frame in the file `path`, "" if there is none."""
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = f" in line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
