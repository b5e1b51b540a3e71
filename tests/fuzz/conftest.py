"""Folders to fuzz in, away from everything else."""

import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from support.guard import Guard


@pytest.fixture(scope="module")
def toy_sets(tmp_path_factory):
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def guard(tmp_path_factory, toy_sets, toy_maker):
    """A guard in folders of its own, with the toy task registered."""
    import matplotlib.font_manager  # noqa: F401, which keeps a list of fonts in the home folder

    root = tmp_path_factory.mktemp("fuzz")
    for name in ("work", "home", "given"):
        (root / name).mkdir()
    task = toy_maker(toy_sets)
    with pytest.MonkeyPatch.context() as patch, TASKS.restored(), BASELINES.restored():
        patch.setenv("HOME", str(root / "home"))
        patch.chdir(root / "work")
        TASKS.register("toy", task, origin="tests/conftest.py:1", tags=("testing",), summary=task.summary)
        yield Guard(root)
