"""The names of modules that were loaded with `--plugin=FILE.py`, and their files, for messages that repeat the flag."""

from __future__ import annotations

import pathlib
import sys

# Start of the names of these modules.
PREFIX = "nmbench_plugin_"


def file_of(function: object) -> str:
    """The plugin that defines a function, relative to the working folder if it lies there; "" if it is in no plugin."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None or not module.__name__.startswith(PREFIX):
        return ""
    path, here = pathlib.Path(module.__file__ or ""), pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
