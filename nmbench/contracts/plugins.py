"""`--plugin=FILE.py`: run a user's file so that it registers its models and tasks."""

from __future__ import annotations

import hashlib
import importlib.util
import pathlib
import sys
from collections.abc import Iterable

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support.errors import NmbenchError


def load_all(paths: Iterable[str]) -> None:
    """Run the files given with `--plugin`, in order. Raises as `load` does."""
    for path in paths:
        load(path)


def load(path_text: str) -> list[str]:
    """Execute a Python file once and return the names it registered.

    Raises:
      NmbenchError: not a Python file, it cannot be read, it fails, or it registers nothing.
    """
    path = pathlib.Path(path_text).expanduser()
    if path.suffix != ".py" or not path.is_file():
        raise NmbenchError(f"--plugin={path_text}: no such Python file; give the path of a .py file that registers a model")
    path = path.resolve()
    module_name = f"nmbench_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if module_name in sys.modules:
        return []
    before = {e.name for r in (TASKS, BASELINES) for e in r.entries()}
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except NmbenchError:
        del sys.modules[module_name]
        raise
    except SyntaxError as error:
        del sys.modules[module_name]
        raise NmbenchError(f"--plugin={path_text}: syntax error in line {error.lineno}: {error.msg}") from error
    except KeyboardInterrupt:
        del sys.modules[module_name]
        raise
    except BaseException as error:  # a user's file may raise anything; the user needs one line
        del sys.modules[module_name]
        line = _line_in(error, str(path))
        raise NmbenchError(f"--plugin={path_text}: {type(error).__name__}{line}: {_said(error)}") from error
    registered = sorted({e.name for r in (TASKS, BASELINES) for e in r.entries()} - before)
    if not registered:
        del sys.modules[module_name]
        raise NmbenchError(
            f"--plugin={path_text} registers nothing; it needs @register_baseline(...) on a model or register_task(...)"
        )
    return registered


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # not even that can be relied on
        return "(no message)"


def _line_in(error: BaseException, path: str) -> str:
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = f" in line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
