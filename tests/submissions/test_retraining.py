"""Tier re-trained: which seeds are drawn, how values are compared, and what is noticed on the toy task."""

import numpy as np
import pytest

from nmbench.experiments.train import train
from nmbench.results import curves, store
from nmbench.results.store import Store
from nmbench.results.verification import SubmittedExperiment
from nmbench.submissions import asking, retraining
from nmbench.submissions.retraining import DISTRIBUTION, EXACT, Draw
from nmbench.support.errors import NmbenchError

EXPERIMENT = SubmittedExperiment("my_model", "element_finder", "matched", 500)
CONTENT = "85ec1f650ea8c909f1a897815319ae4bd920e9308cfb9812f59fa085e33ad270"


def test_the_drawn_seeds_are_these():
    """Literal, because other versions of nmbench, Python and NumPy must draw the same seeds."""
    assert retraining.draw_seeds(CONTENT, EXPERIMENT, 30, Draw(5)) == [6, 7, 11, 16, 21]
    assert retraining.draw_seeds(CONTENT, EXPERIMENT._replace(task="mwg_rank3"), 30, Draw(5)) == [1, 10, 15, 16, 29]
    assert retraining.draw_seeds(CONTENT, EXPERIMENT, 30, Draw(5, salt="x")) == [1, 10, 20, 21, 24]


def test_more_seeds_than_there_are():
    assert retraining.draw_seeds(CONTENT, EXPERIMENT, 3, Draw(10)) == [0, 1, 2]


def test_every_seed_is_drawn_about_equally_often():
    counts = np.bincount([s for i in range(600) for s in retraining.draw_seeds(str(i), EXPERIMENT, 10, Draw(3))])
    assert counts.min() > 140 and counts.max() < 220  # 180 expected, standard deviation 11


def compare(submitted, retrained, machines=None, here="here", counts=False):
    names = dict(enumerate(machines or ["there"] * len(submitted)))
    return retraining.compare(dict(enumerate(submitted)), dict(enumerate(retrained)), names, here, False, counts)


def test_equal_values_need_no_test():
    found = compare([0.1, 0.2, 0.3], [0.1, 0.2])
    assert (found.passed, found.method, found.p) == (True, EXACT, None)


def test_on_the_same_machine_every_value_must_be_equal():
    found = compare([0.1, 0.2, 0.3], [0.1, 0.2 + 1e-15], ["here"] * 3)
    assert (found.passed, found.method, found.unequal) == (False, EXACT, (1,))


def test_one_equal_value_shows_that_the_machine_computes_alike():
    """So an edited value is noticed although the row names another commit or processor."""
    assert compare([0.1, 0.2, 0.3], [0.1, 0.21]).unequal == (1,)


def test_an_equal_share_of_trials_proves_nothing():
    shares = [k / 1440 for k in (3, 4, 2, 5, 3, 6, 2, 4, 7, 3)]
    found = compare(shares, [k / 1440 for k in (4, 4, 3, 2, 5)], counts=True)
    assert (found.passed, found.method, found.equal) == (True, retraining.DISTRIBUTION, (1,))
    # On the machine of the rows, they must be equal.
    assert compare(shares, [k / 1440 for k in (4, 4)], ["here"] * 10, counts=True).unequal == (0,)


def test_rows_of_another_machine_are_tested_by_rank():
    found = compare([0.1, 0.2, 0.3], [0.1, 0.21, 0.31], ["here", "there", "there"])
    assert (found.passed, found.method, found.equal) == (True, DISTRIBUTION, (0,))


def test_that_a_run_diverges_again_proves_nothing():
    found = compare([None, 0.2, 0.3], [None, 0.21])
    assert (found.method, found.unequal, found.equal) == (DISTRIBUTION, (), (0,))


def test_retrained_values_that_are_much_worse():
    claimed = np.linspace(0.01, 0.02, 30).tolist()
    found = compare(claimed, [2 * value for value in claimed[:10]])
    assert (found.passed, found.method) == (False, DISTRIBUTION) and found.p < 1e-5


@pytest.fixture
def trained(toy_task, tmp_path):
    """Rows and training curves of six seeds on the toy task."""
    train("rnn", "toy", seeds=6, allow_budget_miss=True, results_dir=str(tmp_path), quiet=True)
    rows = sorted(store.read(str(tmp_path)), key=lambda row: row["seed"])
    return rows, {row["seed"]: curves.read_curve(Store(tmp_path).runs / row["run_id"]) for row in rows}


@pytest.mark.exact
def test_an_honest_experiment_and_its_frauds(trained):
    rows, found = trained
    with asking.this_process() as model:
        values = retraining.check_values(rows, [1, 4], model)
        assert (values.details["method"], values.difference) == (EXACT, 0.0)
        assert values.details["values"]["4"] == [rows[4]["value"], rows[4]["value"]]
        assert retraining.check_starts(rows, found, model).details["recognised"] == 6
        halved = [{**row, "value": row["value"] / 2} for row in rows]
        with pytest.raises(NmbenchError, match="2 of 2 retrained seeds have other values than their rows"):
            retraining.check_values(halved, [1, 4], model)
        renumbered = {seed: found[(seed + 1) % 6] for seed in found}
        with pytest.raises(NmbenchError, match="the training curves of 6 of 6 seeds do not begin like these seeds"):
            retraining.check_starts(rows, renumbered, model)


@pytest.mark.parametrize("answer", [None, "x", [], [[1.0, 2.0]], [[[1.0, 2.0], ["a", 1.0]]]])
def test_a_process_that_answers_nonsense(answer):
    with pytest.raises(NmbenchError, match="returned no training losses"):
        retraining._losses(answer, 1)


@pytest.mark.parametrize("answer", [None, {}, [], [{}], [{"stages": ["../x"]}], [{"stages": "params"}]])
def test_a_process_that_answers_other_runs(answer, toy_task):
    with pytest.raises(NmbenchError, match="returned no runs"):
        retraining._stages(answer, 1, toy_task)
