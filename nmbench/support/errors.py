"""The exception for bad input. Its message is one line that says what is wrong and what would be right."""

from __future__ import annotations

import contextlib
import difflib
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class NmbenchError(Exception):
    """Bad input of any kind. Commands print the message as one line and exit with code 2."""

    def __str__(self) -> str:
        return printable(" ".join(super().__str__().split()))


def printable(text: str) -> str:
    """`text` with unprintable characters (control characters, changes of text direction) written as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; with the second line if the first ends with a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def place(error: BaseException, path: str) -> str:
    """ " in line 3 of FILE": the last line of a file that was running when the exception was raised; "" if there is none."""
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if os.path.realpath(f.filename) == os.path.realpath(path)
    ]
    return f" in line {lines[-1]} of {os.path.basename(path)}" if lines else ""


@contextlib.contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn any exception that third-party code raises inside the block into an `NmbenchError` of one line.

    Args:
      what: start of the message: what has failed.

    Raises:
      NmbenchError: the block raised an exception.
    """
    try:
        yield
    except NmbenchError:
        raise
    except Exception as error:
        raise NmbenchError(f"{what}: {type(error).__name__}: {error}") from error


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint for an unknown name: "; did you mean 'x'?" if a known name is similar, and the list of known names.

    Upper and lower case count as equal.
    """
    known = sorted(names)
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[close[0]]!r}?" if close else ""
    return f"{hint} (known: {', '.join(known) or 'none'})"


def choose(what: str, text: str, known: Mapping[str, T]) -> list[T]:
    """Values of `known` selected by a comma-separated list of names, without repetitions; "" selects all.

    Args:
      what: kind of the named things, such as "figure", for the message.
      text: the list, such as "a,b".
      known: name to value.

    Raises:
      NmbenchError: a name is unknown.
    """
    names = [name.strip() for name in text.split(",") if name.strip()] if text else list(known)
    if not names:
        raise NmbenchError(f"the list {text!r} names no {what}; there are {', '.join(known)}")
    for name in names:
        if name not in known:
            raise NmbenchError(f"there is no {what} {name!r}{did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names)]
