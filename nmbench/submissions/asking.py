"""Whom to ask the questions of `probe`: this process, about trusted code, or another one, about a stranger's."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nmbench.submissions import probe


class Respondent(NamedTuple):
    """Somebody who answers questions.

    Attributes:
      files: folder for the files of questions and answers.
      ask: function from a question to its answer; see `nmbench.submissions.probe`.
      protection: what stands between the model's code and this machine.
    """

    files: pathlib.Path
    ask: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    protection: str = "none, the code is trusted"


@contextlib.contextmanager
def this_process(plugins: Sequence[str] = ()) -> Iterator[Respondent]:
    """Answers in this process, for models whose code is trusted. plugins: files that register them."""
    with tempfile.TemporaryDirectory(prefix="nmbench-") as text:
        files = pathlib.Path(text)
        yield Respondent(files, lambda question: probe.answer({**question, "plugins": list(plugins)}, files))
