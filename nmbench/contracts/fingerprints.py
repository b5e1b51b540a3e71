"""Fingerprints of Python source that depend on its meaning, not on its text.

A fingerprint ignores comments, docstrings, layout, messages of exceptions, the summary, citation and tags of a model, a
task or a protocol, the tuning seeds of a protocol, and whether a metric is a share of trials. So prose can be improved
while stored rows remain repeatable. Any other change, down to the last digit of a number, changes the fingerprint. A source
has the same fingerprint in every version of Python that can parse it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable

from nmbench.support.errors import NmbenchError

# Keyword arguments of these calls that have no effect on a run: descriptions, the seeds of other runs that choose its
# learning rate, which its tuning record contains, and how finished runs are compared.
WITHOUT_EFFECT = frozenset({"summary", "citation", "tags", "tuning_seeds", "share_of_trials"})
_DESCRIBED = ("register_baseline", "register_task", "Protocol", "Metric", "replace")
# Path of each imported module that registers a model or a task, or draws training data, to its fingerprint at that time.
_imported: dict[str, str] = {}
_INSTALLED = {"site-packages", "dist-packages"}  # names of the folders in which pip puts packages beside each other
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
    """sha256 of a module and of its own files: those that it imports, directly or through another such file.

    Its own files are those of its package and files beside it, as in `from ._shared import f` or `import helper`. For a file
    that is neither in a package nor installed, they include packages beside it, as in `from library.cells import f`. Other
    imports, such as those of JAX or of nmbench, are not followed: a row records the versions of these packages.
    """
    return of_files(with_own_files(pathlib.Path(path)))


def remember(path: str | pathlib.Path) -> None:
    """Keep the fingerprint of a module that is being imported, for `of_imported`; nothing if there is no such file."""
    with contextlib.suppress(OSError):
        _imported[os.path.realpath(path)] = of_module(path)


def of_imported(path: str | pathlib.Path) -> str:
    """`of_module`, which must still be what it was when the module was imported.

    Raises:
      NmbenchError: the module, or one of its own files, has changed since then, so Python runs other code than the file has.
      OSError: it cannot be read.
    """
    now, name = of_module(path), pathlib.Path(path).name
    if _imported.get(os.path.realpath(path), now) != now:
        raise NmbenchError(
            f"{name} has changed since it was loaded; start Python again, or call nmbench.load_plugin again with your file"
        )
    return now


def with_own_files(start: pathlib.Path) -> list[pathlib.Path]:
    """The file first, then its own files (see `of_module`), sorted by path."""
    found, waiting = {start}, [start]
    while waiting:
        for file in _imported_by(waiting.pop()) - found:
            found.add(file)
            waiting.append(file)
    return [start, *sorted(found - {start})]


def _imported_by(path: pathlib.Path) -> set[pathlib.Path]:
    """The own files that a file names in its imports."""
    package = [path.parent]  # the folder of the file, and those above it as long as they are packages
    for above in path.parent.parents:
        if not (package[-1] / "__init__.py").is_file():
            break
        package.append(above)
    top = package[-2].name if len(package) > 1 else ""
    found: set[pathlib.Path] = set()
    for level, module, names in _read(path.read_bytes())[1]:
        parts = module.split(".") if module else []
        if level == 0 and "nmbench" in (parts[0], top):  # the version of nmbench is in the row
            continue
        if level == 0 and parts[0] != top:
            installed = bool(_INSTALLED.intersection(path.parts))
            beside = path.parent / f"{parts[0]}.py"
            found |= {beside} if beside.is_file() and (top or not installed) else set()
            folders = [] if top or installed else [path.parent]
        else:
            folders = package[level - 1 : level] if level else package[-1:]
        for own in ([*parts], *([*parts, name] for name in names)):
            found |= {file for folder in folders for file in _files(folder, own)}
    return found


def _files(folder: pathlib.Path, parts: list[str]) -> set[pathlib.Path]:
    """The file of the module a.b.c below a folder, and the `__init__.py` of each package on the way."""
    places = [folder.joinpath(*parts[:i]) for i in range(1, len(parts) + 1)]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}


@functools.lru_cache(maxsize=256)
def _read(source: bytes) -> tuple[str, frozenset[tuple[int, str, tuple[str, ...]]]]:
    """sha256 of the meaning of a source, and its imports: number of leading dots, module, imported names."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a null byte is either, depending on the version of Python
        return hashlib.sha256(source).hexdigest(), frozenset()
    imports: set[tuple[int, str, tuple[str, ...]]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {(0, alias.name, ()) for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imports.add((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return hashlib.sha256(_canonical(tree).encode()).hexdigest(), frozenset(imports)


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
