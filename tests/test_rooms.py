"""The layout of the code: commands, public modules of rooms, and names. `lint-imports` checks the order of the rooms."""

import ast
import functools
import pathlib
import re

import pytest

import nmbench
from nmbench import __main__
from nmbench.contracts.catalog import BASELINES, TASKS

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("nmbench", "tasks", "baselines") for path in (ROOT / folder).rglob("*.py"))
REGISTERED = sorted(entry.name for registry in (TASKS, BASELINES) for entry in registry.entries())
# Words that no identifier may contain; CONTRIBUTING.md lists the words to use instead.
JARGON = {"ballast", "heed", "lane", "pace", "pacing", "seal", "standing"}
# These further words are allowed in tests, where they are ordinary words: "models that cannot be told apart".
FORBIDDEN = JARGON | {"anew", "behind", "lest", "spot", "stand", "told"}


@functools.cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path):
    return path.relative_to(ROOT).as_posix()


@functools.cache
def module_file(dotted):
    """The file of a module; None if `dotted` is not a module."""
    path = ROOT.joinpath(*dotted.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imports(path):
    """(module, line) for every import of a file; (`package.name`, line) for a name that a package defines."""
    package = relative(path.parent).split("/")
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                is_package = (module_file(base) or path).name == "__init__.py"
                yield (name if module_file(name) or is_package else base), node.lineno


@functools.cache
def public_names(package):
    """The literal `__all__` of a package; None if it has none."""
    for node in parsed(module_file(package)).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            constants = node.value.elts if isinstance(node.value, ast.List) else []
            lazy = [e.value.id for e in constants if isinstance(e, ast.Starred) and isinstance(e.value, ast.Name)]
            return {e.value for e in constants if isinstance(e, ast.Constant)} | {
                key.value
                for other in parsed(module_file(package)).body
                if isinstance(other, ast.Assign) and getattr(other.targets[0], "id", "") in lazy
                for key in other.value.keys
            }
    return None


def identifiers(path):
    """(name, line) for every name that a file defines or uses; the name of the file itself has line 0."""
    yield path.stem, 0
    for node in ast.walk(parsed(path)):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                yield value, getattr(node, "lineno", 0)


def strings(path):
    """(text, line) for every string literal of a file, except docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value, node.lineno


def test_every_file_outside_the_rooms_is_a_command():
    commands = {path.stem: path for path in (ROOT / "nmbench").glob("*.py") if not path.stem.startswith("__")}
    assert {*commands} == {*__main__.COMMANDS}
    for path in commands.values():
        functions = {node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef)}
        variables = {target.id for node in parsed(path).body if isinstance(node, ast.Assign) for target in node.targets}
        assert "main" in functions and "FLAGS" in variables, path.name


def rooms():
    return sorted(path.name for path in (ROOT / "nmbench").iterdir() if (path / "__init__.py").is_file())


@pytest.mark.parametrize("room", rooms())
def test_a_room_has_a_docstring_and_lists_its_public_modules(room):
    assert len(ast.get_docstring(parsed(ROOT / "nmbench" / room / "__init__.py")) or "") > 40
    names = public_names(f"nmbench.{room}")
    assert names, f"nmbench/{room}/__init__.py has no literal __all__"
    modules = {path.stem for path in (ROOT / "nmbench" / room).iterdir() if not path.stem.startswith("_")}
    defined = {name for path in (ROOT / "nmbench" / room).glob("*.py") for name, _ in identifiers(path)}
    assert names <= modules | defined


def test_other_rooms_import_only_public_modules():
    private = []
    for path in FILES:
        for target, line in imports(path):
            parts = target.split(".")
            if parts[0] != "nmbench" or len(parts) < 3 or not (ROOT / "nmbench" / parts[1]).is_dir():
                continue
            # The folders in paper/ have their own `__all__`.
            for depth in range(2, len(parts)):
                package = ".".join(parts[:depth])
                inside = path.is_relative_to(ROOT.joinpath(*parts[:depth]))
                if inside or (module_file(package) or path).name != "__init__.py":
                    continue
                names = public_names(package)
                if names is not None and parts[depth] not in names:
                    private.append(f"{relative(path)}:{line} imports {target}")
    assert not private, "\n".join(private)


def test_no_two_classes_share_a_name():
    found: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name.lstrip("_"), []).append(f"{relative(path)}:{node.lineno}")
    assert not {name: places for name, places in found.items() if len(places) > 1}


def test_only_the_room_paper_names_models_and_tasks():
    """Docstrings and command-line examples in help texts (`--model=NAME`) may name them."""
    name = "|".join(map(re.escape, REGISTERED))
    in_string, in_identifier = re.compile(rf"(?<![\w=])({name})(?!\w)"), re.compile(rf"(?:^|_)({name})(?:_|$)")
    found = [
        f"{relative(path)}:{line} {text!r}"
        for path in FILES
        if path.is_relative_to(ROOT / "nmbench") and not path.is_relative_to(ROOT / "nmbench" / "paper")
        for pattern, pairs in ((in_string, strings(path)), (in_identifier, identifiers(path)))
        for text, line in pairs
        if pattern.search(text.replace("lru_cache", "").replace("rnn_core", ""))
    ]
    assert not found, "\n".join(found)


def test_files_are_short():
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {path: length for path, length in lengths.items() if length > 400}


def test_forbidden_words_are_no_identifiers():
    others = sorted(path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
    found = [
        f"{relative(path)}:{line} {name}"
        for paths, words in ((FILES, FORBIDDEN), (others, JARGON))
        for path in paths
        for name, line in identifiers(path)
        if words & {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    ]
    assert not found, "\n".join(found)


def test_all_lists_of_public_names_agree():
    """`__all__`, `dir()`, the names that are loaded on first use and the names for type checkers are equal."""
    tree = parsed(ROOT / "nmbench" / "__init__.py")
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert {name: f"nmbench.{module}" for name, module in nmbench._MODULES.items()} == seen
    assert dir(nmbench) == sorted(nmbench.__all__) == sorted([*seen, "__version__"])
