"""Reads a file of questions, such as `questions.toml`, which explains the format."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from nmbench.contracts.catalog import BASELINES
from nmbench.support.errors import NmbenchError, did_you_mean, printable

SHIPPED = pathlib.Path(__file__).with_name("questions.toml")
NEEDS = ("all", "any")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")


class AskedPair(NamedTuple):
    """A comparison that a question asks for: is `model` ahead of `rival`, or not worse if `equal_is_enough`."""

    model: str
    rival: str
    equal_is_enough: bool = False

    @property
    def label(self) -> str:
        return f"{self.model} / {self.rival}"


@dataclasses.dataclass(frozen=True)
class Question:
    """A question. needs: whether "all" or "any" of the comparisons must say yes."""

    name: str
    title: str
    asks: str
    needs: str
    comparisons: tuple[AskedPair, ...]


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The questions of a file, and the protocol whose rows answer them."""

    protocol: str
    questions: tuple[Question, ...]

    @property
    def models(self) -> list[str]:
        """All models of the comparisons, in order of their first occurrence."""
        asked = [pair for question in self.questions for pair in question.comparisons]
        return list(dict.fromkeys(name for pair in asked for name in (pair.model, pair.rival)))


def read(path_text: str | None = None) -> Catalogue:
    """The questions of a TOML file; those of `questions.toml` for None.

    Raises:
      NmbenchError: the file cannot be read, or an entry is missing, unknown, or of the wrong kind.
    """
    path = SHIPPED if path_text is None else pathlib.Path(os.path.expanduser(path_text))
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NmbenchError(printable(f"cannot read questions from {path}: {error}")) from None
    _check_keys(path, "the file", found, {"protocol": str, "questions": list})
    questions = tuple(_question(path, i, one) for i, one in enumerate(found["questions"], start=1))
    names = [question.name for question in questions]
    if not names or len(set(names)) < len(names):
        raise _bad(path, "the file", "needs one question or more, each with a name of its own")
    return Catalogue(found["protocol"], questions)


def check_models(catalogue: Catalogue, of_rows: Collection[str]) -> None:
    """Raise `NmbenchError` for a model that is neither registered nor among these models of rows."""
    known = {entry.name for entry in BASELINES.entries()} | set(of_rows)
    for name in catalogue.models:
        if name not in known:
            raise NmbenchError(f"the questions name an unknown model {name!r}{did_you_mean(name, known)}")


def _question(path: pathlib.Path, number: int, found: Any) -> Question:
    where = f"question {number}"
    kinds = {"name": str, "title": str, "asks": str, "needs": str, "comparisons": list}
    _check_keys(path, where, found, kinds)
    if not _NAME.fullmatch(found["name"]):
        raise _bad(path, where, "needs a name of a letter, then letters, digits, '_' or '-'")
    if found["needs"] not in NEEDS:
        raise _bad(path, where, f"has needs = {found['needs']!r}; write 'all' or 'any'")
    pairs = []
    for one in found["comparisons"]:
        _check_keys(path, f"a comparison of {where}", one, {"model": str, "rival": str}, {"equal_is_enough": bool})
        pairs.append(AskedPair(**one))
        if pairs[-1].model == pairs[-1].rival:
            raise _bad(path, where, f"compares {pairs[-1].model!r} with itself")
    if not pairs or len({pair[:2] for pair in pairs}) < len(pairs):
        raise _bad(path, where, "needs one comparison or more, all different")
    prose = {name: " ".join(found[name].split()) for name in ("title", "asks")}
    return Question(found["name"], **prose, needs=found["needs"], comparisons=tuple(pairs))


def _check_keys(
    path: pathlib.Path, where: str, found: Any, needed: Mapping[str, type], more: Mapping[str, type] | None = None
) -> None:
    """Raise `NmbenchError` unless `found` is a table with these entries, and perhaps `more`, each of its type."""
    kinds = {**needed, **(more or {})}
    if not isinstance(found, dict):
        raise _bad(path, where, f"must be a table with {', '.join(needed)}")
    for name in needed:
        if name not in found:
            raise _bad(path, where, f"lacks {name}")
    for name, value in found.items():
        if name not in kinds:
            raise _bad(path, where, f"has an unknown entry {name!r}{did_you_mean(name, kinds)}")
        if type(value) is not kinds[name]:
            raise _bad(path, where, f"has {name} = {value!r:.60}, which must be {_WORDS[kinds[name]]}")


_WORDS = {str: "text in quotes", list: "a list", bool: "true or false"}


def _bad(path: pathlib.Path, where: str, problem: str) -> NmbenchError:
    return NmbenchError(printable(f"{path}: {where} {problem}"))
