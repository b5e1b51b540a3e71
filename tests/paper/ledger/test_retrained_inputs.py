"""How retraining changes the weights of the inputs sine and cosine."""

import jax
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.parameters import flatten, unflatten
from nmbench.paper.ledger import publication
from nmbench.paper.ledger.evidence import ExperimentKey, resolved
from nmbench.paper.ledger.retrained_inputs import angle_weights, cosine
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.results.store import Store, stage_file
from nmbench.training.parameter_files import save_params
from support.claimed import line_of, make_rows, read

CONTEXT = "multitask"


def ones(model):
    shapes = jax.eval_shape(resolved(ExperimentKey(model, CONTEXT, "paper")).model.init, jax.random.key(0))
    return jax.tree.map(lambda a: np.ones(a.shape, a.dtype), shapes)


@pytest.mark.parametrize(("model", "name"), [("rnn", "B"), ("lstm", "W_u"), ("lrrnn", "B")])
def test_the_weights_of_sine_and_cosine_are_the_last_two_of_seven_columns(model, name):
    """The inputs are four contexts, fixation, sine and cosine, in this order."""
    params = ones(model)
    flat = {key: np.arange(value.size, dtype=np.float32).reshape(value.shape) for key, value in flatten(params).items()}
    (array,) = (value for key, value in flat.items() if key.split("|")[-1] == name)
    found = angle_weights(unflatten(params, flat), BASELINES.get(model), TASKS.get(CONTEXT).spec)
    np.testing.assert_array_equal(found, array[:, 5:].ravel())
    assert array.shape[1] == 7


def test_the_cosine_of_two_vectors():
    before = np.array([3.0, 4.0])
    assert cosine(before, 2 * before).value == pytest.approx(1) and cosine(before, -before).value == pytest.approx(-1)
    assert cosine(before, np.array([-4.0, 3.0])).value == pytest.approx(0)


def test_random_weights_are_seldom_reversed():
    found = [cosine(*np.random.RandomState(seed).randn(2, 36)) for seed in range(4000)]
    assert found[0].limit == pytest.approx(-1 / 3)
    assert np.mean([one.value < one.limit for one in found]) == pytest.approx(0.023, abs=0.007)


def test_networks_with_reversed_weights_are_counted(judge, tmp_path):
    """Two of three networks have reversed weights, one of them learned the new task; of a fourth only a row is here."""
    store, params = Store(tmp_path / "results"), ones("rnn")
    store.prepare()
    learned = [{"new_task": 95.0}, {"new_task": 89.0}, {"new_task": 90.0}, {"new_task": 90.0}]
    rows = [
        row
        for seed, others in enumerate(learned)
        for row in make_rows("rnn", CONTEXT, [80.0], "paper", first_seed=seed, others=others)
    ]
    for row, sign in zip(rows, (-0.5, -2.0, 1.0, None), strict=True):
        store.write(row, None if sign is None else lambda file: save_params(file, params), {}, [])
        if sign is not None:
            before = jax.tree.map(lambda a, sign=sign: sign * a, params)
            save_params(store.runs / row["run_id"] / stage_file("before_retraining"), before)
    (claim,) = publication.choose("reversed_inputs")
    found = claim.measure(read(str(tmp_path / "results")), "paper")
    assert found.verdict is Verdict.DOCUMENTED
    assert found.reason == (
        "Networks that reach 90% on the new task: rnn 1 of the 2 with reversed weights and 1 of the 1 with other weights"
    )
    line = line_of(found, "rnn: cosine of weights before and after, median")
    assert (line.value, line.interval) == ("-1", "-1 .. 1 (range)") and line.note.startswith("2 of 3 reversed; 4 seeds")
    nothing = judge("reversed_inputs", "paper")
    assert nothing.verdict is Verdict.DOCUMENTED and "nothing is measured" in nothing.reason and len(nothing.commands) == 3
