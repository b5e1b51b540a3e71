"""A look at the source of a submitted model, without running it: does it do what a model has no reason to do?

A model computes outputs from inputs with JAX. It needs no files, no network, no processes, and nothing of nmbench beyond the
names that `import nmbench` gives. This check gives an honest author a clear message, with the line. It is no defence
against a determined one, who can write Python that hides what it does; the process of `isolation` is.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

from nmbench.support.errors import NmbenchError

# fmt: off
# Packages that a model may import.
IMPORTS = {
    "__future__", "abc", "chex", "collections", "copy", "dataclasses", "einops", "enum", "equinox", "flax", "functools",
    "haiku", "itertools", "jax", "jaxtyping", "math", "nmbench", "numpy", "operator", "optax", "tree", "typing",
    "typing_extensions", "warnings",
}
# Names that no model uses: they read files, run text as code, or reach nmbench's data and Python's inside.
NAMES = {
    "open", "eval", "exec", "compile", "input", "breakpoint", "globals", "locals", "vars", "__import__", "__builtins__",
    "__loader__", "__globals__", "__subclasses__", "__code__", "f_back", "f_globals", "fromfile", "memmap", "loadtxt",
    "genfromtxt", "tofile", "savez", "ctypeslib", "pure_callback", "io_callback", "debug_callback", "host_callback",
    "frozen", "draw_set", "frozen_sets", "TASKS", "importlib", "sys", "os",
}
# fmt: on
# Of these names, those of Python's functions may name an argument or a variable of the model itself.
_OF_PYTHON = frozenset({"open", "eval", "exec", "compile", "input", "breakpoint", "globals", "locals", "vars"})
# Functions of these names are refused as attributes only: `jnp.load`, but not a method of that name.
_OF_NUMPY = frozenset({"load", "save"})
# Learned numbers belong in the parameters. A file with more numbers, or a longer text, may hold trained weights.
MOST_NUMBERS, LONGEST_TEXT = 1000, 4000
_FILES = ("testsets", "-test.npz", "test.npz", "per_trial", "safetensors")


def check(path: pathlib.Path) -> None:
    """Raise `NmbenchError`, which names the file and the line, if the source does what a model has no reason to do."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NmbenchError(f"{path.name} is not Python: {str(error)[:200]}") from None
    for line, what in sorted(_findings(tree)):
        raise NmbenchError(f"{path.name}, line {line}: it {what}, which is not allowed in a submitted model")


def _findings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    numbers, docstrings = 0, {id(text) for text in _docstrings(tree)}
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((line, what) for what in _imports(node))
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            of_numpy = name in _OF_NUMPY and isinstance(node, ast.Attribute) and _is_numpy(node.value)
            own = name in _OF_PYTHON and (isinstance(node, ast.Attribute) or name in bound)
            if (name in NAMES and not own) or of_numpy:
                yield line, f"uses {name!r}"
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, int | float | complex) and not isinstance(node.value, bool):
                numbers += 1
            elif isinstance(node.value, str | bytes) and id(node) not in docstrings:
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                if len(text) > LONGEST_TEXT:
                    yield line, f"holds a text of {len(text)} characters"
                if any(name in text for name in _FILES):
                    yield line, f"names a file, {text[:60]!r}"
    if numbers > MOST_NUMBERS:
        yield 1, f"holds {numbers} numbers, and {MOST_NUMBERS} are the most, since learned numbers belong in the parameters"


def _is_numpy(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "numpy", "jnp")


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        names = [f"{'.' * node.level}{node.module or ''}"]
    else:
        names = [alias.name for alias in node.names]
    for name in names:
        if name.split(".")[0] not in IMPORTS or name.startswith("nmbench."):
            yield f"imports {name!r}, which is not among {', '.join(sorted(IMPORTS))}"


def _docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            yield body[0].value
