"""A small model, trained on the toy task, as a submission that a test may damage."""

import pathlib
import shutil
from typing import NamedTuple

import pytest

from nmbench import conformance
from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments.train import train
from nmbench.submissions import asking, board_seeds, folder, making, verifying
from support.submissions import LEAKY, register_toy

SEEDS = 4
QUICK_RULES = ("M01", "M02", "M03", "M07")
ABOUT = {"name": "Leaky", "authors": ["A. Person"], "citation": "none", "licence": "MIT", "description": "A leaky network."}


class Made(NamedTuple):
    """The files of the submitter: a plugin and a results folder."""

    plugin: pathlib.Path
    results: pathlib.Path


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
