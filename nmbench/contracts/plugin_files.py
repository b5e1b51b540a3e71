"""The files that were loaded with `--plugin=FILE.py`, for messages that repeat the flag."""

from __future__ import annotations

import pathlib
import shlex
import sys

# Start of the names of the modules that are loaded from these files.
PREFIX = "nmbench_plugin_"


def flag(path: str) -> str:
    """ " --plugin=PATH" if a file was loaded as a plugin, otherwise "". PATH is relative if it is in the working folder."""
    loaded = {module.__file__ for name, module in list(sys.modules.items()) if name.startswith(PREFIX)}
    if path not in loaded:
        return ""
    file, here = pathlib.Path(path), pathlib.Path.cwd()
    return " " + shlex.quote(f"--plugin={file.relative_to(here) if file.is_relative_to(here) else file}")
