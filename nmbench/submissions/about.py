"""`submission.toml`: who submits which models, and which code they are.

name = "My model"
models = ["my_model"]                # registered names
authors = ["Ada Lovelace"]
citation = "Lovelace (1843), Notes"
licence = "MIT"                      # of the model's code
description = "One paragraph."
contact = "ada@example.org"          # optional

[model_file]                         # the one file that registers the models, in the same folder
path = "my_model.py"
sha256 = "..."

[package]                            # or, instead of the file, an installed package with an entry point
name = "my-package"
version = "1.2.0"
sha256 = "..."                       # of its installed files, see `package_hash`
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES
from nmbench.results import store
from nmbench.results.schema import CONTROL
from nmbench.support import files
from nmbench.support.errors import NmbenchError

FILE = store.SUBMISSION
LARGEST_FILE = 1 << 16  # bytes
LONGEST = {"name": 100, "citation": 1000, "licence": 100, "description": 4000, "contact": 200}
MOST_MODELS, MOST_AUTHORS, LONGEST_AUTHOR = 20, 100, 200
MODEL_FILE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\.py")
_PACKAGE, _VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}"), re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!\-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What the submitter fills in.
HINTS = {
    "name": 'title, such as "Low-rank GRU"',
    "authors": 'such as ["Ada Lovelace", "Alan Turing"]',
    "citation": "of the model",
    "licence": 'of your code, such as "MIT"',
    "description": "what the model is, in a few sentences",
    "contact": "optional: an address for questions, which will be public",
}
REQUIRED = ("name", "models", "authors", "citation", "licence", "description")


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """The contents of `submission.toml`.

    Attributes:
      name: title of the submission.
      models: registered names.
      authors: names of people.
      citation: how to cite the model.
      licence: licence of the model's code.
      description: what the model is.
      contact: address for questions, "" for none.
      model_file: name of the file that registers the models; "" if a package does.
      package: (name, version) of that package; None if a file does.
      sha256: hash of that file, or of the installed files of that package (`package_hash`).
    """

    name: str
    models: tuple[str, ...]
    authors: tuple[str, ...]
    citation: str
    licence: str
    description: str
    contact: str = ""
    model_file: str = ""
    package: tuple[str, str] | None = None
    sha256: str = ""

    def to_toml(self) -> str:
        """Text of the file."""
        lines = [f"{name} = {toml(getattr(self, name))}" for name in (*REQUIRED, "contact") if getattr(self, name)]
        if self.package is None:
            code = ["[model_file]", f"path = {toml(self.model_file)}"]
        else:
            code = ["[package]", f"name = {toml(self.package[0])}", f"version = {toml(self.package[1])}"]
        return "\n".join([*lines, "", *code, f"sha256 = {toml(self.sha256)}", ""])


def read(path: pathlib.Path) -> About:
    """The contents of a `submission.toml`.

    Raises:
      NmbenchError: the file cannot be read, or an entry is missing, unknown or not valid.
    """
    return from_dict(read_toml(path), str(path))


def read_toml(path: pathlib.Path) -> dict[str, Any]:
    """A TOML file of at most 64 kB, parsed; raises `NmbenchError`."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE} bytes")
        return tomllib.loads(files.read(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise NmbenchError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def from_dict(entries: Mapping[str, Any], where: str) -> About:
    """Check parsed entries; `where` is their name in messages. Raises `NmbenchError`."""
    unknown = sorted(entries.keys() - {*REQUIRED, "contact", "model_file", "package"})
    if unknown:
        raise NmbenchError(
            f"{where}: unknown entry {unknown[0][:40]!r}; the entries are {', '.join(REQUIRED)}, contact, "
            f"and [model_file] or [package]"
        )
    missing = [name for name in REQUIRED if not entries.get(name)]
    if missing:
        raise NmbenchError(f"{where}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    for name, longest in LONGEST.items():
        _check_text(entries.get(name, ""), longest, f"{where}: {name!r}", lines=name in ("description", "citation"))
    models = _texts(entries["models"], MOST_MODELS, 64, f"{where}: 'models'")
    for model in models:
        BASELINES.check_name(model)
    given = [name for name in ("model_file", "package") if name in entries]
    if len(given) != 1:
        raise NmbenchError(f"{where}: it needs either a table [model_file] or a table [package]")
    code = entries[given[0]]
    fields = {"model_file": {"path": MODEL_FILE}, "package": {"name": _PACKAGE, "version": _VERSION}}[given[0]]
    for name, pattern in {**fields, "sha256": _SHA256}.items():
        value = code.get(name) if isinstance(code, dict) else None
        if not isinstance(value, str) or not pattern.fullmatch(value):
            example = {"path": "my_model.py", "name": "my-package", "version": "1.2.0", "sha256": "64 digits from 0 to f"}
            raise NmbenchError(f"{where}: [{given[0]}] {name} is {str(value)[:40]!r}; expected e.g. {example[name]}")
    if code.keys() != {*fields, "sha256"}:
        raise NmbenchError(f"{where}: [{given[0]}] has other entries than {', '.join(fields)} and sha256")
    return About(
        **{name: entries[name].strip() for name in ("name", "citation", "licence", "description")},
        models=models,
        authors=_texts(entries["authors"], MOST_AUTHORS, LONGEST_AUTHOR, f"{where}: 'authors'"),
        contact=entries.get("contact", ""),
        model_file=code.get("path", ""),
        package=None if given[0] == "model_file" else (code["name"], code["version"]),
        sha256=code["sha256"],
    )


def package_hash(name: str) -> tuple[str, str]:
    """(version, sha256) of an installed package. The hash is over paths and contents of its installed files.

    Files that the installation itself writes (the metadata folder, compiled bytecode, commands) do not count. Nothing is
    imported.

    Raises:
      NmbenchError: the package is not installed, or its files are not in one place, as after `pip install -e`.
    """
    try:
        found = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise NmbenchError(f"the package {name!r} is not installed") from None
    listed = [path for path in found.files or () if _is_source(path)]
    if not any(path.suffix == ".py" and len(path.parts) > 1 for path in listed):
        raise NmbenchError(f"the package {name!r} is installed as a link to its sources; install it with pip install FOLDER")
    digest = hashlib.sha256()
    for path in sorted(listed, key=str):
        try:
            content = pathlib.Path(str(path.locate())).read_bytes()
        except OSError as error:
            raise NmbenchError(f"the package {name!r}: cannot read {path}: {error.strerror}") from None
        digest.update(f"{path.as_posix()}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    return found.version, digest.hexdigest()


def _is_source(path: importlib.metadata.PackagePath) -> bool:
    """Whether a file comes from the package itself. A command, `../../../bin/NAME`, names the Python that runs it."""
    return not (".dist-info" in path.parts[0] or "__pycache__" in path.parts or path.parts[0] == "..")


def _check_text(value: Any, longest: int, where: str, lines: bool = False) -> None:
    text = value.replace("\n", " ").replace("\t", " ") if lines and isinstance(value, str) else value
    if not isinstance(text, str) or len(text) > longest or CONTROL.search(text):
        kind = "text" if lines else "one line of text"
        raise NmbenchError(f"{where} must be {kind} of at most {longest} printable characters")


def _texts(value: Any, most: int, longest: int, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= most or len(set(map(str, value))) != len(value):
        raise NmbenchError(f"{where} must be a list of 1 to {most} different texts")
    for text in value:
        _check_text(text, longest, where)
        if not text.strip():
            raise NmbenchError(f"{where} holds an empty text")
    return tuple(value)


def toml(value: str | Sequence[str]) -> str:
    """A TOML value. JSON's escapes are among those of TOML's basic strings."""
    return json.dumps(value if isinstance(value, str) else list(value), ensure_ascii=False)
