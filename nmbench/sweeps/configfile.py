"""Flags of a sweep from a TOML or YAML file. The keys of the file are names of flags.

The key `partition` in a table `[slurm]` sets the flag `slurm_partition`. A file cannot name plugins, because these are
executed even by --dry_run. The shell command `slurm_setup` runs only in Slurm jobs.
"""

from __future__ import annotations

import os
import pathlib
import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from absl import flags

from nmbench.support import files
from nmbench.support.errors import NmbenchError, did_you_mean

LARGEST_BYTES = 1 << 20


def apply(path_text: str, values: flags.FlagValues, names: Collection[str]) -> None:
    """Set the flags that a file gives. Flags on the command line take precedence.

    Args:
      path_text: the file.
      values: parsed flags of the command.
      names: flags that a file may set.

    Raises:
      NmbenchError: the file cannot be read, it is neither TOML nor YAML, a key is unknown or names plugins, or a value does
        not fit its flag.
    """
    for name, texts in _texts(path_text, read(path_text)).items():
        if name == "plugin":
            raise NmbenchError(f"{path_text}: a file cannot name plugins, which are code; pass --plugin on the command line")
        if name not in names:
            raise NmbenchError(f"{path_text}: unknown key {name!r}{did_you_mean(name, names)}")
        flag = values[name]
        if flag.present:
            continue
        try:
            flag.parse(texts if isinstance(flag, flags.MultiFlag) else ",".join(texts))
        except flags.Error as error:
            raise NmbenchError(f"{path_text}: {error}") from error


def read(path_text: str) -> dict[str, Any]:
    """The contents of a TOML or YAML file: keys and values.

    Raises:
      NmbenchError: the file cannot be read, it is larger than `LARGEST_BYTES`, or it does not contain keys and values.
    """
    path = pathlib.Path(os.path.expanduser(path_text))
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise NmbenchError(f"--sweep={path_text}: a sweep is a .toml, .yaml or .yml file")
    try:
        files.check_regular(path)
        with open(path, "rb") as file:
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise NmbenchError(f"--sweep={path_text} is larger than {LARGEST_BYTES >> 20} MB, the limit")
        contents = _parse(path.suffix, data.decode("utf-8-sig"))
    except NmbenchError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # syntax errors are ValueErrors
        raise NmbenchError(f"cannot read --sweep={path_text}: {error}") from error
    if not isinstance(contents, dict):
        raise NmbenchError(f"{path_text} contains no keys; write lines such as seeds = 10")
    return contents


def _parse(suffix: str, text: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    import yaml

    class Strict(yaml.SafeLoader):
        """Refuses what YAML would read in silence as something else: a key that is given twice, and 010, which means 8."""

        def construct_mapping(self, node, deep=False):
            names = [key.value for key, _ in node.value]
            for name in names:
                if names.count(name) > 1:
                    raise yaml.YAMLError(f"the key {name!r} is given twice")
            return super().construct_mapping(node, deep)

        def construct_yaml_int(self, node):
            number = super().construct_yaml_int(node)
            if re.search(r"^[-+]?0[0-9_]|:", node.value):
                raise yaml.YAMLError(f"YAML reads {node.value} as {number}; write the number without 0 at its start and ':'")
            return number

    Strict.add_constructor("tag:yaml.org,2002:int", Strict.construct_yaml_int)
    try:
        return yaml.load(text, Strict)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _texts(path_text: str, contents: Mapping[Any, Any], prefix: str = "") -> dict[str, list[str]]:
    """Flag name to its values as text. A key with the value null keeps the default."""
    found: dict[str, list[str]] = {}
    for key, value in contents.items():
        if not isinstance(key, str):
            raise NmbenchError(f"{path_text}: the key {key!r} is not a name")
        if isinstance(value, dict) and not prefix:
            if key != "slurm":
                raise NmbenchError(f"{path_text}: unknown table {key!r}; the only table is 'slurm', for flags --slurm_*")
            new = _texts(path_text, value, f"{key}_")
        else:
            items = value if isinstance(value, list) else [value]
            name = prefix + key
            new = {} if value is None else {name: [_text(path_text, name, item) for item in items]}
        for name in new.keys() & found.keys():
            raise NmbenchError(f"{path_text}: {name!r} is given twice, by itself and in the table 'slurm'")
        found |= new
    return found


def _text(path_text: str, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        try:
            return str(value)
        except ValueError as error:  # a whole number of thousands of digits
            raise NmbenchError(f"{path_text}: the number {key!r} has too many digits") from error
    raise NmbenchError(f"{path_text}: {key!r} holds a {type(value).__name__}; use a text, a number, or a list of them")
