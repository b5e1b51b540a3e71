"""A small model, trained on the toy task, as a submission that a test may damage."""

import dataclasses
import pathlib
import shutil
from typing import NamedTuple

import pytest

from nmbench import conformance
from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments.train import train
from nmbench.submissions import asking, board_seeds, folder, making, verifying

SEEDS = 4
QUICK_RULES = ("M01", "M02", "M03", "M07")
LEAKY = '''
import jax
import jax.numpy as jnp
import nmbench


@nmbench.register_baseline("leaky", free_size="N")
class Leaky(nmbench.Core):
    """x_t = x_{t-1} + tanh(W x_{t-1} + b) / 10 + B u_t;  y_t = C x_t."""

    def __init__(self, spec, N: int):
        super().__init__(spec)
        self.W = self.learned("W", (N, N), 1 / N**0.5)
        self.B = self.learned("B", (N, spec.input_size), 1.0)
        self.b = self.learned("b", (N, 1), 0.1)
        self.C = self.learned("C", (spec.output_size, N), 1 / N**0.5)
        self.N = N

    def input_map(self, inputs):
        return self.B @ self.concat(inputs)

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size))

    def step(self, x, u):
        return x + jnp.tanh(self.W @ x + self.b) / 10 + u

    def readout(self, x):
        return self.C @ x
'''
ABOUT = {"name": "Leaky", "authors": ["A. Person"], "citation": "none", "licence": "MIT", "description": "A leaky network."}


class Made(NamedTuple):
    """The files of the submitter: a plugin and a results folder."""

    plugin: pathlib.Path
    results: pathlib.Path


def register_toy(make, folder, **changes):
    """The toy task with a grid of learning rates that tuning does not extend."""
    task = make(folder, **changes)
    grid = dataclasses.replace(task.protocols[0], learning_rate_grid=(1e-2, 1e-1, 1.0))
    task = dataclasses.replace(task, protocols=(grid, task.protocols[1]))
    TASKS.register("toy", task, origin="tests/support/toys.py:1")
    return task


@pytest.fixture(scope="session")
def made(tmp_path_factory, toy_maker):
    """`leaky`, tuned and trained on the toy task with the seeds 0 to 3."""
    home = tmp_path_factory.mktemp("made")
    plugin = home / "leaky.py"
    plugin.write_text(LEAKY)
    with TASKS.restored(), BASELINES.restored():
        register_toy(toy_maker, home / "testsets")
        train("leaky", "toy", seeds=SEEDS, tune=True, plugin=str(plugin), results_dir=str(home / "results"), quiet=True)
    return Made(plugin, home / "results")


@pytest.fixture
def submitter(made, toy_maker, tmp_path, monkeypatch):
    """The files of a submitter, in a folder of the test; the board asks for four seeds, and `check` has few rules."""
    monkeypatch.setattr(board_seeds, "wanted", lambda task: SEEDS)
    monkeypatch.setattr(conformance, "MODEL_RULES", [r for r in conformance.MODEL_RULES if r.id.startswith(QUICK_RULES)])
    plugin = tmp_path / "home" / "leaky.py"
    plugin.parent.mkdir()
    shutil.copy(made.plugin, plugin)
    shutil.copytree(made.results, tmp_path / "home" / "results")
    with TASKS.restored(), BASELINES.restored():
        register_toy(toy_maker, tmp_path / "testsets")
        yield Made(plugin, tmp_path / "home" / "results")


@pytest.fixture
def submitted(submitter, tmp_path):
    """A submission of `leaky`."""
    place = tmp_path / "submissions" / "leaky"
    place.mkdir(parents=True)
    plugins.load(str(submitter.plugin))
    said, complete = making.about(ABOUT, ["leaky"], submitter.plugin, "")
    assert complete
    rows = making.choose_rows(str(submitter.results), ["leaky"], [], "matched")
    making.write(place, said, rows, str(submitter.results), submitter.plugin)
    return place


@pytest.fixture
def verify(submitter):
    """A function that verifies a submission in this process; returns the outcome of its one experiment."""

    def call(place, tier="re-scored"):
        submission = folder.read_submission(place)
        with asking.this_process([str(submitter.plugin)]) as model:
            (outcome,) = verifying.verify(submission, submission.experiments(), tier, model)
        return outcome

    return call
