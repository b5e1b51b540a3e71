"""Tools for fuzzing: a guard that calls commands and watches folders, and a loop over cases."""

import contextlib
import importlib
import io
import os
import pathlib
import re
import shutil
import signal
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from nmbench import __main__
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support import cli
from nmbench.support.errors import NmbenchError

SECONDS = 60  # a page takes 2 s alone, and more than 20 beside other work
# Number of cases of each kind in the fast and in the weekly tests.
FEW = 5
COUNTS = {
    "configurations": 40,
    "csv": 450,
    "run folders": 200,
    "predictions": 200,
    "parameters": 150,
    "shipped tuning records": 150,
    "tuning records of a results folder": 100,
    "flags": 250,
    "hparams": 150,
    "sweep files": 150,
    "plugins": 200,
}
# Control characters and characters that change the direction of text.
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class TooLong(BaseException):
    """Raised by the alarm of `time_limit`."""


@contextlib.contextmanager
def time_limit():
    alarms = []

    def ring(signum, frame):
        alarms.append(frame)
        raise TooLong(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        assert not alarms, f"no answer within {SECONDS} s"


def tree_of(folder: pathlib.Path, without: pathlib.Path | None = None) -> dict[str, tuple]:
    """Map every path below `folder`, except `without`, to (mode, size, modification time); links are not followed."""
    found = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f != "__pycache__" and pathlib.Path(parent, f) != without]
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            stat = os.lstat(path)
            found[path] = (stat.st_mode, stat.st_size, stat.st_mtime_ns) if name in files else (stat.st_mode,)
    return found


class Guard:
    """Calls commands in process and fails unless they end cleanly.

    Args:
      root: watched folder with `work` (the current folder), `home`, and `given` for the files of a case.
    """

    def __init__(self, root: pathlib.Path):
        self.root, self.given = root, root / "given"

    def folder(self) -> pathlib.Path:
        """Create the folder of one case, and remove the folder of the previous case."""
        shutil.rmtree(self.given / "case", ignore_errors=True)
        (self.given / "case").mkdir()
        for name in [name for name in sys.modules if name.startswith("nmbench_plugin_")]:
            del sys.modules[name]  # the next case may write another plugin to the same path
        return self.given / "case"

    def call(self, name: str, *argv: str, may_write: pathlib.Path | None = None) -> tuple[int, str, str]:
        """Call a command that may write only below `may_write`; return (exit code, stdout, stderr).

        Fails on an exception, an error of several lines, an exit code other than 0, 1 and 2, a change outside `may_write`, a
        duration of more than a minute, or unprintable characters.
        """
        module = importlib.import_module(f"nmbench.{name}")
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
        before = tree_of(self.root, may_write)
        with (
            time_limit(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            TASKS.restored(),
            BASELINES.restored(),
        ):
            operands = __main__.COMMANDS[name]
            code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", operands, list(argv))
        stdout, stderr = (stream.buffer.getvalue().decode() for stream in (out, err))
        assert tree_of(self.root, may_write) == before, "something was written, changed or removed outside the chosen folder"
        assert code in (0, 1, 2), f"exit code {code}"
        assert "Traceback" not in stderr
        if code == 2:
            assert stdout == "", "output in spite of bad input"
            notes = [line for line in stderr.splitlines() if line.startswith("nmbench: ")]  # such as two copies of a run
            (error,) = [line for line in stderr.splitlines() if line not in notes]
            assert error.startswith(f"nmbench.{name}: ") and stderr.endswith("\n"), stderr
        for text in (stdout, stderr):
            assert not UNPRINTABLE.search(text), f"control characters in {text!r}"
        return code, stdout, stderr

    def answers(self, function, *args):
        """The result of `function`, or the one-line message of its `NmbenchError`."""
        with time_limit():
            try:
                return function(*args)
            except NmbenchError as error:
                assert len(str(error).splitlines()) == 1
                return str(error)


def cases(kind: str):
    """Decorator for a test with the argument `count`: few cases in the fast tests, all in the weekly ones.

    FUZZ_CASES in the environment replaces the number of cases in the weekly tests.
    """
    many = int(os.environ.get("FUZZ_CASES", COUNTS[kind]))
    return pytest.mark.parametrize("count", [FEW, pytest.param(many, marks=pytest.mark.release)])


def fuzz(count: int, strategy, check) -> list:
    """Call `check` with at least `count` cases of `strategy`; return its results.

    The cases are the same every time, unless FUZZ_AT_RANDOM is set in the environment.
    """
    answers = []

    @settings(
        max_examples=count,
        derandomize="FUZZ_AT_RANDOM" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(strategy)
    def run(case):
        answers.append(check(case))

    run()
    return answers
