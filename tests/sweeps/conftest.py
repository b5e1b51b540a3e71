"""Sweeps over the toy task, whose child processes run a test's Python text instead of training."""

import sys

import pytest

from nmbench.results.store import Store
from nmbench.sweeps import grid, worker


@pytest.fixture
def sweep(toy_task, tmp_path):
    """A request for two experiments of the toy task with three seeds each."""
    (tmp_path / "out").mkdir()
    return grid.SweepRequest(
        models=("rnn", "lstm"), tasks=("toy",), budgets=(160,), seeds=range(3), results_dir=str(tmp_path / "out")
    )


@pytest.fixture
def points(sweep):
    return grid.build(sweep).points


@pytest.fixture
def jobs(points, sweep):
    Store(sweep.results_dir).prepare()
    return [grid.make_job(point, sweep, sweep.seeds, 1.0) for point in points]


@pytest.fixture
def child(monkeypatch):
    """Make jobs run this Python text instead of `nmbench.run`; `sys.argv[1:]` are the job's arguments."""
    return lambda text: monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-I", "-c", text))
