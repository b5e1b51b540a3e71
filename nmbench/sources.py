"""Fingerprint of the source that a model is made of: its file, and the files beside it that this one imports."""

from __future__ import annotations

import ast
import hashlib
import pathlib


def sha256(path: str | pathlib.Path) -> str:
    """Hex digest over names and bytes of a Python file and of what it imports relatively from its own folder, and so on.

    What it imports absolutely, such as JAX or nmbench itself, is not followed: rows name the versions of those.
    """
    digest = hashlib.sha256()
    for file in _files(pathlib.Path(path)):
        digest.update(f"{file.name}\n{file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _files(start: pathlib.Path) -> list[pathlib.Path]:
    """The file first, then its siblings by name."""
    found, waiting = {start}, [start]
    while waiting:
        for sibling in _siblings(waiting.pop()) - found:
            found.add(sibling)
            waiting.append(sibling)
    return [start, *sorted(found - {start})]


def _siblings(path: pathlib.Path) -> set[pathlib.Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # it has run, so it is of another Python's syntax, or has been edited since
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return {file for name in names if (file := path.parent / f"{name}.py").is_file()}
