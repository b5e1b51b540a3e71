"""One generic registry, used for tasks and for models.

Names come from four sources, which all end in the same call of `Registry.register`:

1. modules of a scanned package (`nmbench.tasks`, `nmbench.baselines`): their source is read but not imported, so that
   listing names is fast; a module is imported when one of its names is first looked up;
2. entry points of installed distributions, which are imported on first lookup as well;
3. a file given with `--plugin` (see `nmbench.contracts.plugins`), which is executed immediately;
4. a direct call of the function that registers.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import inspect
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from nmbench.contracts import fingerprints
from nmbench.support.errors import NmbenchError, did_you_mean

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")


@dataclasses.dataclass(frozen=True)
class RegistryEntry(Generic[T]):
    """A name, its description, and the registered object if its module has been imported.

    Attributes:
      name: the key.
      origin: "path:line" of the registration, or "distribution (module)" of an entry point.
      tags: words to filter by.
      summary: one line.
      module: the module that registers the object; "" once the object is registered.
      value: the registered object; None while its module is not imported.
    """

    name: str
    origin: str
    tags: tuple[str, ...] = ()
    summary: str = ""
    module: str = ""
    value: T | None = None


class Registry(Generic[T]):
    """A mapping from names to objects of one kind.

    Args:
      kind: what an entry is called in messages ("task", "model").
      register_name: name of the function that registers; scanning reads the literal arguments of its calls.
      package: dotted name of the package to scan.
      group: entry-point group.
    """

    def __init__(self, kind: str, *, register_name: str, package: str, group: str):
        self.kind = kind
        self._register_name = register_name
        self._package = package
        self._group = group
        self._entries: dict[str, RegistryEntry[T]] = {}
        self._indexed = False

    def register(self, name: str, value: T, *, origin: str, tags: tuple[str, ...] = (), summary: str = "") -> None:
        """Add `value` under `name`.

        Raises:
          NmbenchError: the name is malformed or taken, or `tags` is text instead of a tuple of texts.
        """
        self.check_name(name)
        if isinstance(tags, str):
            raise NmbenchError(f"{self.kind} {name!r}: tags must be a tuple, such as ({tags!r},)")
        self._index()
        old = self._entries.get(name)
        # A scanned name or an entry point gets its value from the module that announced it.
        announced = old is not None and old.value is None and _same_source(old, origin)
        if old is not None and not announced:
            # Cells of a notebook have names such as 123.py or <ipython-input-1>.
            in_cell = ", or write the cell to a file with %%writefile" if re.match(r"\d+\.py:|<", old.origin) else ""
            raise NmbenchError(
                f"the {self.kind} {name!r} from {origin} is already registered, at {old.origin}; choose another name"
                f"{in_cell}"
            )
        self._entries[name] = RegistryEntry(name, origin, tuple(tags), summary, value=value)
        fingerprints.remember(getattr(value, "path", ""))

    def forget(self, name: str) -> None:
        """Remove the entry called `name`, so that the file that registered it can be executed again."""
        self._entries.pop(name, None)

    def check_name(self, name: str) -> None:
        """Raise `NmbenchError` if `name` is malformed."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise NmbenchError(
                f"{name!r} cannot name a {self.kind}: use a letter, then letters, digits, '_' or '-', at most 64 in all"
            )

    def get(self, name: str) -> T:
        """Return the object called `name`, importing its module if necessary.

        Raises:
          NmbenchError: the name is unknown (with a suggestion), or its module fails to import or does not register it.
        """
        self._index()
        if name not in self._entries:
            hint = did_you_mean(name, self._entries)
            raise NmbenchError(f"unknown {self.kind} {name!r}{hint}; --plugin=FILE.py loads a {self.kind} of your own")
        entry = self._entries[name]
        if entry.value is None:
            try:
                importlib.import_module(entry.module)
            except NmbenchError:
                raise
            except Exception as error:  # third-party code may raise anything
                raise NmbenchError(
                    f"the {self.kind} {name!r} from {entry.origin} fails to import: {type(error).__name__}: {error}"
                ) from error
            entry = self._entries[name]
            if entry.value is None:
                raise NmbenchError(f"{entry.origin} announces the {self.kind} {name!r} but does not register it")
        assert entry.value is not None
        return entry.value

    def entry(self, name: str) -> RegistryEntry[T]:
        """Return the entry called `name`, with its value; raises the errors of `get`."""
        self.get(name)
        return self._entries[name]

    def entries(self, tag: str | None = None) -> list[RegistryEntry[T]]:
        """All entries sorted by name, or only those with a tag. Nothing is imported."""
        self._index()
        return [e for _, e in sorted(self._entries.items()) if tag is None or tag in e.tags]

    def __contains__(self, name: object) -> bool:
        self._index()
        return name in self._entries

    def __len__(self) -> int:
        self._index()
        return len(self._entries)

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Context for tests: at its end, the entries that were registered in it are removed."""
        self._index()
        names = set(self._entries)
        try:
            yield
        finally:
            # Older entries keep the values that they received in the block, because their modules are not imported twice.
            self._entries = {name: entry for name, entry in self._entries.items() if name in names}

    def _index(self) -> None:
        if self._indexed:
            return
        self._indexed = True
        spec = importlib.util.find_spec(self._package)
        for folder in spec.submodule_search_locations if spec and spec.submodule_search_locations else ():
            for path in sorted(pathlib.Path(folder).glob("*.py")):
                if not path.name.startswith("_"):
                    self._index_file(path)
        for point in importlib.metadata.entry_points(group=self._group):
            distribution = point.dist.name if point.dist else "an installed distribution"
            self._announce(RegistryEntry(point.name, f"{distribution} ({point.module})", module=point.module))

    def _index_file(self, path: pathlib.Path) -> None:
        module = f"{self._package}.{path.stem}"
        try:
            found = scan_source(path.read_text(encoding="utf-8"), self._register_name)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise NmbenchError(f"{path}{f', line {line}' if line else ''}: {getattr(error, 'msg', error)}") from None
        for call in found:
            origin = f"{display_path(path)}:{call.line}"
            self._announce(RegistryEntry(call.name, origin, call.tags, call.summary, module=module))

    def _announce(self, entry: RegistryEntry[T]) -> None:
        if entry.name in self._entries:
            old = self._entries[entry.name]
            raise NmbenchError(f"two {self.kind}s are called {entry.name!r}: {old.origin} and {entry.origin}")
        self._entries[entry.name] = entry


@dataclasses.dataclass(frozen=True)
class RegisterCall:
    """A call `register_x("name", ...)` in source text: its literal arguments and its line."""

    name: str
    tags: tuple[str, ...]
    summary: str
    line: int


def scan_source(source: str, register_name: str) -> list[RegisterCall]:
    """Find the calls of `register_name` whose first argument is a literal string, without running `source`.

    The summary is the argument `summary=` or, for a decorator, the first line of the decorated object's docstring.
    """
    module = ast.parse(source)
    docs: dict[int, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for decorator in node.decorator_list:
                docs[id(decorator)] = (ast.get_docstring(node) or "").split("\n")[0]
    calls = []
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        name = _literal(node.args[0]) if node.args else None
        if called != register_name or not isinstance(name, str):
            continue
        keywords = {k.arg: _literal(k.value) for k in node.keywords}
        tags = keywords.get("tags")
        summary = keywords.get("summary") or docs.get(id(node), "")
        calls.append(RegisterCall(name, tuple(tags) if isinstance(tags, list | tuple) else (), summary, node.lineno))
    return sorted(calls, key=lambda call: call.line)


def call_site(depth: int = 2) -> tuple[str, str]:
    """("path:line", path) of the caller's caller (`depth` 2), such as the code that calls `register_task`."""
    frame = inspect.stack(0)[depth]
    return f"{display_path(pathlib.Path(frame.filename))}:{frame.lineno}", frame.filename


def display_path(path: pathlib.Path) -> str:
    """ "tasks/FILE" or "baselines/FILE" for a file in such a folder, else the file's name; hides personal folders."""
    parts = path.resolve().parts
    for folder in ("tasks", "baselines"):
        if len(parts) >= 2 and parts[-2] == folder:
            return f"{folder}/{parts[-1]}"
    return path.name


def _same_source(entry: RegistryEntry, origin: str) -> bool:
    file_of: Callable[[str], str] = lambda text: text.rsplit(":", 1)[0]
    return "(" in entry.origin or file_of(entry.origin) == file_of(origin)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
