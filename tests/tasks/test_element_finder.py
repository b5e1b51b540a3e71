"""The Element Finder against its definition (supplement C.2), and its frozen sets."""

import jax
import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS


@pytest.fixture(scope="module")
def task():
    return TASKS.get("element_finder")


def test_trials_obey_the_definition(task):
    """5,000 fresh trials: ranges, all queries and values present, and the answer is the queried element."""
    batch = jax.jit(task.training["train"].sample, static_argnums=1)(jax.random.key(1), 5000)
    check_trials(batch)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_frozen_trials_obey_the_definition(task, split):
    check_trials(task.unpack(task.frozen(split).arrays))


def check_trials(batch):
    sensory = np.asarray(batch.inputs["sensory"])[..., 0]
    targets, mask = np.asarray(batch.targets)[..., 0], np.asarray(batch.mask)
    assert set(batch.inputs) == {"sensory"}
    assert sensory.shape[0] == 26 and sensory.dtype == np.float32
    assert set(np.unique(sensory[0])) == set(range(25))
    assert set(np.unique(sensory[1:])) == set(range(-10, 11))
    for trial in range(sensory.shape[1]):
        query = int(sensory[0, trial])
        assert targets[25, trial] == sensory[1 + query, trial]
    assert not targets[:25].any()
    np.testing.assert_array_equal(mask[:, 0, 0], [0] * 25 + [1])


def test_queries_and_elements_are_uniform_and_independent(task):
    """Counts within five standard deviations of their expectation; query and answer uncorrelated."""
    batch = jax.jit(task.training["train"].sample, static_argnums=1)(jax.random.key(2), 21000)
    sensory = np.asarray(batch.inputs["sensory"])[..., 0]
    for values, levels in ((sensory[0], 25), (sensory[1:], 21)):
        counts = np.unique(values, return_counts=True)[1]
        expected = values.size / levels
        assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
    assert abs(np.corrcoef(sensory[0], np.asarray(batch.targets)[25, :, 0])[0, 1]) < 5 / np.sqrt(21000)


def test_batches_differ_by_key_and_repeat_with_it(task):
    sample = task.training["train"].sample
    a, b, c = (sample(jax.random.key(k), 16).inputs["sensory"] for k in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_frozen_sets_rebuild_byte_for_byte(task, split):
    frozen, rebuilt = task.frozen(split), task.draw_set(split)
    assert frozen_sets.digest(rebuilt) == frozen.sha256
    for name, array in rebuilt.items():
        assert array.tobytes() == frozen.arrays[name].tobytes()
        assert array.dtype == frozen.arrays[name].dtype


def test_sets_have_the_declared_sizes_and_do_not_overlap(task):
    columns = {}
    for split, n in {"validation": 2000, "test": 10000}.items():
        arrays = task.frozen(split).arrays
        assert arrays["query"].shape == (n,) and task.frozen(split).n == n
        columns[split] = {bytes(c) for c in np.vstack([arrays["query"][None], arrays["elements"]]).T.copy()}
    assert not columns["validation"] & columns["test"]


def test_metrics_by_hand(task):
    arrays = {"query": np.array([0, 24, 3], np.int8), "elements": np.zeros((25, 3), np.int8)}
    arrays["elements"][0, 0], arrays["elements"][24, 1], arrays["elements"][3, 2] = 4, -7, 10
    predictions = np.full((26, 3, 1), 99.0)
    predictions[25, :, 0] = [4.0, -6.6, 8.0]
    judged = task.evaluate(predictions, arrays)
    np.testing.assert_allclose(judged["per_trial"]["mse"], [0.0, 0.16, 4.0], atol=1e-12)
    np.testing.assert_array_equal(judged["per_trial"]["exact_match"], [1, 1, 0])
    assert judged["conditions"]["mse"] == pytest.approx({"0": 0.0, "24": 0.16, "3": 4.0})


def test_floor_and_ceiling(task):
    """The floor is the variance of a uniform integer in -10..10, 36.67; the reference rows reach floor and ceiling."""
    assert task.primary.floor == pytest.approx(36.6667, abs=1e-4)
    assert task.primary.floor == pytest.approx(np.mean(np.arange(-10, 11) ** 2))
    arrays = task.frozen("test").arrays
    chance = task.evaluate(task.references["chance (always 0)"](arrays), arrays)["values"]
    perfect = task.evaluate(task.references["perfect"](arrays), arrays)["values"]
    # Five standard errors of a mean of 10,000 squares with standard deviation 32.8.
    assert chance["mse"] == pytest.approx(task.primary.floor, abs=5 * 32.8 / 100)
    assert chance["exact_match"] == pytest.approx(1 / 21, abs=0.011)
    assert perfect == {"mse": 0.0, "exact_match": 1.0}
    assert task.primary.score(36.6667) == pytest.approx(0, abs=1e-3)
    assert (task.primary.score(0.0), task.primary.score(99.0)) == (100.0, 0.0)
    assert task.primary.solved(1.0) and not task.primary.solved(1.01)


def test_every_query_is_reported(task):
    arrays = task.frozen("test").arrays
    zeros = np.zeros((26, 10000, 1))
    assert set(task.evaluate(zeros, arrays)["conditions"]["mse"]) == {str(q) for q in range(25)}
