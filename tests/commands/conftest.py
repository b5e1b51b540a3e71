"""Commands called in process, as a user types them."""

import importlib

import pytest

from nmbench import __main__
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support import cli


@pytest.fixture
def nmbench(capsys):
    """Call a command; returns (exit code, stdout, stderr)."""

    def call(name, *argv):
        module = importlib.import_module(f"nmbench.{name}")
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
        out, err = capsys.readouterr()
        return code, out, err

    with TASKS.restored(), BASELINES.restored():
        yield call
