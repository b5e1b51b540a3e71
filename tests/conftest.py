"""Settings for all tests: two host devices with one thread each, no silent rank promotion, compiled programs kept.

It imports neither JAX nor NumPy: the process that starts pytest's workers loads it as well.
"""

import importlib.util
import os
import pathlib

import pytest

from nmbench.support import devices
from support import compiled

os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
compiled.keep_in(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "compiled")
devices.prepare(2)
OLDER_EMITTER = "--xla_cpu_use_fusion_emitters=false"


def pytest_configure(config):
    """Compile quickly inside the processes of pytest: without LLVM's optimisations, and with XLA's older emitter.

    Together this halves the time of compilation, but results then differ in the last bits from one program to another, so
    `pytest -m exact` and `-m release` compile as users do, like the commands that slow tests start as processes
    (`support.processes`). Like nmbench's own flags, this one is no part of a run id. XLA for GPUs crashes with these
    settings.
    """
    if importlib.util.find_spec("jax_plugins") and os.environ.get("JAX_PLATFORMS") != "cpu":
        return
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", 0)
    if runs_tests and config.option.markexpr not in ("exact", "release"):
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
        os.environ["XLA_FLAGS"] += f" {OLDER_EMITTER}"
        devices.own_flags.add(OLDER_EMITTER)


# Slow tests that mostly wait for other processes: they start first, beside the others.
WAITING = ("test_slurm", "test_site", "test_resume", "test_sweep", "test_processes")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: WAITING.index(item.path.stem) if item.path.stem in WAITING else len(WAITING))


@pytest.fixture(scope="session")
def toy_maker():
    """`make_toy_task`, for fixtures of wider scope than `toy_task`."""
    from support.toys import make_toy_task

    return make_toy_task


@pytest.fixture(scope="module", autouse=True)
def _programs_of_other_workers():
    """What one worker has compiled, the other need not compile again."""
    compiled.share()


@pytest.fixture
def toy_task(tmp_path, toy_maker):
    """The toy task, registered for the duration of a test."""
    from nmbench.contracts.catalog import BASELINES, TASKS

    task = toy_maker(tmp_path / "testsets")
    with TASKS.restored(), BASELINES.restored():
        TASKS.register("toy", task, origin="tests/support/toys.py:1", tags=("testing",), summary=task.summary)
        yield task


@pytest.fixture
def nmbench(capsys):
    """A function that calls a command with the arguments that a user would type; returns (exit code, stdout, stderr)."""
    import importlib

    from nmbench import __main__
    from nmbench.contracts.catalog import BASELINES, TASKS
    from nmbench.support import cli

    def call(name, *argv):
        module = importlib.import_module(f"nmbench.{name}")
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
        out, err = capsys.readouterr()
        return code, out, err

    with TASKS.restored(), BASELINES.restored():
        yield call
