"""Fingerprints of Python source that depend on its meaning, not on its text.

A fingerprint ignores comments, docstrings, layout, messages of exceptions, the summary, citation and tags of a model, a
task or a protocol, the tuning seeds of a protocol, and whether a metric is a share of trials. So prose can be improved
while stored rows remain repeatable. Any other change, down to the last digit of a number, changes the fingerprint. A source
has the same fingerprint in every version of Python that can parse it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import pathlib
from collections.abc import Iterable

# Keyword arguments of these calls that have no effect on a run: descriptions, the seeds of other runs that choose its
# learning rate, which its tuning record contains, and how finished runs are compared.
WITHOUT_EFFECT = frozenset({"summary", "citation", "tags", "tuning_seeds", "share_of_trials"})
_DESCRIBED = ("register_baseline", "register_task", "Protocol", "Metric", "replace")
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def of_files(paths: Iterable[pathlib.Path]) -> str:
    """sha256 over the names and meanings of several files, in the given order.

    A file that this version of Python cannot parse counts byte by byte.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\n{_read(path.read_bytes())[0]}\n".encode())
    return digest.hexdigest()


def of_module(path: str | pathlib.Path) -> str:
    """sha256 of a module and of the files beside it that it imports, directly or through another such file.

    Such imports are `from ._shared import f`, or `import helper` if there is a helper.py beside it. Other imports, such as
    those of JAX or of nmbench, are not followed: a row records the versions of these packages.
    """
    return of_files(with_siblings(pathlib.Path(path)))


def with_siblings(start: pathlib.Path) -> list[pathlib.Path]:
    """The file first, then the files beside it that it imports (see `of_module`), sorted by path."""
    found, waiting = {start}, [start]
    while waiting:
        for sibling in _siblings(waiting.pop()) - found:
            found.add(sibling)
            waiting.append(sibling)
    return [start, *sorted(found - {start})]


def _siblings(path: pathlib.Path) -> set[pathlib.Path]:
    names = _read(path.read_bytes())[1]
    return {file for name in names if (file := path.parent / f"{name}.py").is_file()}


@functools.lru_cache(maxsize=256)
def _read(source: bytes) -> tuple[str, frozenset[str]]:
    """sha256 of the meaning of a source, and the names of the modules that it imports, relatively or not."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a null byte is either, depending on the version of Python
        return hashlib.sha256(source).hexdigest(), frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level <= 1:
            names |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return hashlib.sha256(_canonical(tree).encode()).hexdigest(), frozenset(names)


def _canonical(node: object) -> str:
    """Text of a syntax tree without empty fields, because versions of Python differ in these."""
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!a}"  # `!a`: the characters that `repr` escapes depend on the version of Python
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        fields["exc"] = node.exc.func
    if isinstance(node, ast.Call) and _called(node) in _DESCRIBED:
        fields["keywords"] = [keyword for keyword in node.keywords if keyword.arg not in WITHOUT_EFFECT]
    parts = [f"{name}={_canonical(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({','.join(parts)})"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
