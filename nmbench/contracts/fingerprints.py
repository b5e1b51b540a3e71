"""Fingerprints of Python source that read its meaning and not its text.

Comments, docstrings, layout, and the words with which a model or a task describes itself do not count, so that prose can be
improved without making stored rows unrepeatable. Any other change counts, down to the last digit of a number. The same
source has the same fingerprint in every version of Python.
"""

from __future__ import annotations

import ast
import hashlib
import pathlib
from collections.abc import Iterable

# Arguments of `register_baseline` and `register_task` that describe, and change nothing that is computed.
DESCRIPTIONS = frozenset({"summary", "citation", "tags"})
_REGISTER = ("register_baseline", "register_task")
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def of_source(source: str | bytes) -> str:
    """sha256 of the meaning of one Python source; raises `SyntaxError`."""
    return hashlib.sha256(_canonical(ast.parse(source)).encode()).hexdigest()


def of_files(paths: Iterable[pathlib.Path]) -> str:
    """sha256 over the names and meanings of several files, in the given order.

    A file in the syntax of another version of Python is taken byte by byte.
    """
    digest = hashlib.sha256()
    for path in paths:
        data = path.read_bytes()
        try:
            meaning = of_source(data)
        except SyntaxError:
            meaning = hashlib.sha256(data).hexdigest()
        digest.update(f"{path.name}\n{meaning}\n".encode())
    return digest.hexdigest()


def of_module(path: str | pathlib.Path) -> str:
    """sha256 of a module and of the files beside it that it imports relatively (`from ._shared import f`), and so on.

    Absolute imports, such as those of JAX or of nmbench, are not followed: a row records the versions of these.
    """
    return of_files(_with_siblings(pathlib.Path(path)))


def _with_siblings(start: pathlib.Path) -> list[pathlib.Path]:
    """The file first, then its siblings in order of name."""
    found, waiting = {start}, [start]
    while waiting:
        for sibling in _siblings(waiting.pop()) - found:
            found.add(sibling)
            waiting.append(sibling)
    return [start, *sorted(found - {start})]


def _siblings(path: pathlib.Path) -> set[pathlib.Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return {file for name in names if (file := path.parent / f"{name}.py").is_file()}


def _canonical(node: object) -> str:
    """Text of a syntax tree. Empty fields are left out, since versions of Python differ in which ones they have."""
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!r}"
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields = [(name, value[1:] if name == "body" else value) for name, value in fields]
    if isinstance(node, ast.Call) and _called(node) in _REGISTER:
        kept = [keyword for keyword in node.keywords if keyword.arg not in DESCRIPTIONS]
        fields = [(name, kept if name == "keywords" else value) for name, value in fields]
    return type(node).__name__ + "(" + ",".join(f"{name}={_canonical(value)}" for name, value in fields) + ")"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
