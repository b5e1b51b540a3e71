"""Sweeps over the toy task, whose cells are processes that do what a test says instead of training."""

import sys

import pytest

from nmbench.experiments.resolve_cache import ResolveCache
from nmbench.results.store import Store
from nmbench.sweeps import grid, worker


@pytest.fixture
def asked(toy_task, tmp_path):
    """Two cells of the toy task with three seeds each."""
    (tmp_path / "out").mkdir()
    return grid.Asked(
        models=("rnn", "lstm"), tasks=("toy",), budgets=(160,), seeds=range(3), results_dir=str(tmp_path / "out")
    )


@pytest.fixture
def places(asked):
    return grid.build(asked, ResolveCache(quick=True)).places


@pytest.fixture
def jobs(places, asked):
    Store(asked.results_dir).prepare()
    return [grid.job_of(place, asked, asked.seeds, 1.0) for place in places]


@pytest.fixture
def child(monkeypatch):
    """Have jobs run this Python text instead of `nmbench.run`; `sys.argv[1:]` are the job's arguments."""
    return lambda text: monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-I", "-c", text))
