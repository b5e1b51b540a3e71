"""A fixture that calls commands in process, with the arguments that a user would type."""

import importlib

import pytest

from nmbench import __main__
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support import cli


@pytest.fixture
def nmbench(capsys):
    """A function that calls a command and returns (exit code, stdout, stderr)."""

    def call(name, *argv):
        module = importlib.import_module(f"nmbench.{name}")
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
        out, err = capsys.readouterr()
        return code, out, err

    with TASKS.restored(), BASELINES.restored():
        yield call
