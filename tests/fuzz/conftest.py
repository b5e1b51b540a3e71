"""Fixtures for fuzzing: a guard and the folders that it watches."""

import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from support.guard import Guard


@pytest.fixture(scope="module")
def toy_sets(tmp_path_factory):
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def guard(tmp_path_factory, toy_sets, toy_maker):
    """A guard with its own folders. The toy task is registered."""
    import matplotlib.font_manager  # noqa: F401, writes its list of fonts before the guard watches

    root = tmp_path_factory.mktemp("fuzz")
    for name in ("work", "home", "given"):
        (root / name).mkdir()
    task = toy_maker(toy_sets)
    with pytest.MonkeyPatch.context() as patch, TASKS.restored(), BASELINES.restored():
        patch.setenv("HOME", str(root / "home"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))  # compiled programs, which are not watched
        patch.chdir(root / "work")
        TASKS.register("toy", task, origin="tests/support/toys.py:1", tags=("testing",), summary=task.summary)
        yield Guard(root)
