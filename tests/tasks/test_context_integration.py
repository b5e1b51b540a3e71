"""Context-dependent integration against its definition, its metrics by hand, its frozen sets."""

import jax
import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.tasks import context_integration as module

NOISE = 1 / np.sqrt(10)


@pytest.fixture(scope="module")
def task():
    return TASKS.get("context_integration")


@pytest.fixture(scope="module")
def drawn(task):
    """Training trials from the device, as NumPy arrays."""
    batch = jax.jit(task.training["train"].sample, static_argnums=1)(jax.random.key(1), 2000)
    return jax.tree.map(np.asarray, batch)


@pytest.fixture(scope="module", params=["train", "validation", "test"])
def batch(request, task, drawn):
    return drawn if request.param == "train" else task.unpack(task.frozen(request.param).arrays)


def test_trials_obey_the_definition(batch):
    """Ranges, and targets from a plain loop over steps."""
    sensory, context = batch.inputs["sensory"], batch.inputs["context"]
    assert sensory.shape == context.shape == batch.targets.shape and sensory.shape[::2] == (85, 2)
    assert {sensory.dtype, context.dtype, batch.mask.dtype} == {np.dtype("float32")}
    assert not sensory[:5].any() and not sensory[80:].any()
    counts = sensory[5:80] * 64 - 0.5
    np.testing.assert_array_equal(counts, np.round(counts))
    assert counts.min() >= -128 and counts.max() <= 127
    np.testing.assert_array_equal(context, np.broadcast_to(context[0], context.shape))
    np.testing.assert_array_equal(batch.mask[:, 0, 0], [0] * 80 + [1] * 5)
    for trial in range(0, sensory.shape[1], 11):
        stream = 0 if context[0, trial, 0] == 1 else 1
        assert context[0, trial].tolist() == [1 - stream, stream]
        total = 0.0
        for t in range(85):
            total += float(sensory[t, trial, stream])
        assert batch.targets[:, trial].tolist() == [[0.0, 1.0] if total > 0 else [1.0, 0.0]] * 85


def test_training_and_validation_have_the_same_distribution(task, drawn):
    """Means of the streams, noise around them, contexts and choices, each within five standard errors of its expectation."""
    validation = task.unpack(task.frozen("validation").arrays)
    for one in (drawn, validation):
        evidence = one.inputs["sensory"][5:80]
        means, n = evidence.mean(axis=0), evidence.shape[1]
        # A uniform coherence plus the mean of 75 noises and of the rounding.
        spread = np.sqrt(0.375**2 / 12 + (NOISE**2 + 1 / 64**2 / 12) / 75)
        assert abs(means.mean()) < 5 * spread / np.sqrt(2 * n)
        assert means.std() == pytest.approx(spread, rel=5 / np.sqrt(4 * n))
        assert (evidence - means).std() * np.sqrt(75 / 74) == pytest.approx(NOISE, rel=5 / np.sqrt(300 * n) + 1e-3)
        assert abs(np.corrcoef(means.T)[0, 1]) < 5 / np.sqrt(n)
        assert np.all(np.abs(one.inputs["context"][0].mean(axis=0) - 0.5) < 2.5 / np.sqrt(n))
        assert np.all(np.abs(one.targets[-1].mean(axis=0) - 0.5) < 2.5 / np.sqrt(n))


def test_the_test_set_has_all_combinations_and_the_published_noise(task):
    arrays = task.frozen("test").arrays
    relevant = np.where(arrays["context"] == 0, arrays["motion"], arrays["colour"])
    irrelevant = np.where(arrays["context"] == 0, arrays["colour"], arrays["motion"])
    found, counts = np.unique(np.stack([arrays["context"], relevant, irrelevant]), axis=1, return_counts=True)
    assert found.shape == (3, 2 * 6 * 10) and set(counts) == {30}
    np.testing.assert_array_equal(np.unique(relevant), [-0.15, -0.036, -0.009, 0.009, 0.036, 0.15])
    np.testing.assert_array_equal(np.unique(np.abs(irrelevant)), [0.009, 0.036, 0.15, 0.3, 0.6])
    evidence = (arrays["evidence"] + 0.5) / 64
    for i, name in enumerate(("motion", "colour")):
        noise = evidence[..., i] - arrays[name]
        # The largest coherence is cut off at 2, 4.4 standard deviations away.
        assert noise.std() == pytest.approx(NOISE, rel=5 / np.sqrt(2 * noise.size) + 1e-3)
        assert np.all(np.abs(noise.mean(axis=0)) < 5 * NOISE / np.sqrt(75))
        steps = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
        assert abs(steps) < 5 / np.sqrt(noise.size)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_frozen_sets_rebuild_byte_for_byte(task, split):
    assert frozen_sets.digest(task.draw_set(split)) == task.frozen(split).sha256
    assert task.frozen(split).n == {"validation": 1000, "test": 3600}[split]


def small():
    """Four trials with an evidence of (1/2)/64 or -(1/2)/64 but for one step; streams agree in trials 0 and 3."""
    evidence = np.zeros((75, 4, 2), np.int8)
    evidence[0, 1, 1], evidence[3, 2, 0], evidence[74, 3] = -90, -90, -90
    return {
        "evidence": evidence,
        "context": np.array([0, 0, 1, 1], np.int8),
        "motion": np.array([0.009, 0.15, -0.6, 0.036]),
        "colour": np.array([0.3, -0.6, 0.036, 0.009]),
    }


def test_metrics_by_hand(task):
    """The sums are positive, but for colour in trial 1, motion in trial 2 and both in trial 3."""
    arrays, predictions = small(), np.zeros((85, 4, 2))
    predictions[-1] = [[0, 1], [0, 1], [2, 1], [-2, -1]]  # right, right, left, right
    judged = task.evaluate(predictions, arrays)
    np.testing.assert_array_equal(judged["per_trial"]["error"], [0, 0, 1, 1])
    np.testing.assert_array_equal(judged["per_trial"]["accuracy"], [1, 1, 0, 1])  # trial 3: the ideal observer errs
    values = judged["values"]
    assert [values[f"error{name}"] for name in ("", "_trained", "_extrapolated", "_incongruent")] == [0.5, 1, 1 / 3, 0.5]
    assert judged["conditions"]["accuracy"] == {"motion 0.009": 1, "motion 0.15": 1, "colour 0.036": 0, "colour 0.009": 1}
    assert judged["conditions"]["error_incongruent"] == {"motion -0.6": 0, "colour -0.6": 1}
    assert task.evaluate(1e3 * task.unpack(arrays).targets, arrays)["values"]["error"] == 0


def test_references_floors_and_ceilings(task):
    """Yardsticks from sums in float64; the expectations follow from the normal distribution of the sums."""
    arrays = task.frozen("test").arrays
    sums = ((arrays["evidence"] + 0.5) / 64).sum(axis=0)
    relevant, irrelevant = (np.where(arrays["context"] == c, sums[:, 0], sums[:, 1]) for c in (0, 1))
    strong = np.abs(np.where(arrays["context"] == 0, arrays["colour"], arrays["motion"])) > 0.2
    metrics = {m.name: m for m in task.metrics}
    both = (relevant + irrelevant > 0) != (relevant > 0)
    for name, chosen in {"error_extrapolated": strong, "error_trained": ~strong, "error": strong | True}.items():
        assert metrics[name].floor == both[chosen].mean() and metrics[name].ceiling == 0
    assert metrics["error_incongruent"].floor == both[(relevant > 0) != (irrelevant > 0)].mean()
    values = {label: task.evaluate(answer(arrays), arrays)["values"] for label, answer in task.references.items()}
    assert values["sum of both streams"]["error"] == metrics["error"].floor
    assert values["ideal observer"] == {name: metric.ceiling for name, metric in metrics.items()}
    assert values["the other stream"]["error_incongruent"] == 1
    # Of 50 steps of 75, the sum has another sign with probability arccos(sqrt(50/75)) / pi at coherence 0.
    assert values["last 50 steps of the relevant stream"]["error"] < np.arccos(np.sqrt(50 / 75)) / np.pi
    # Accuracy of the ideal observer: mean of Phi(coherence sqrt(75) / noise) over the three coherences, .597, .837, 1.
    assert metrics["accuracy"].ceiling == pytest.approx(0.8115, abs=5 * 0.38 / 60)
    assert task.primary.solved(0.05) and not task.primary.solved(0.051)


def test_the_sum_of_a_stream_is_never_zero():
    """75 odd multiples of 1/128 add up to an odd multiple, so every trial has a right choice."""
    random = np.random.RandomState(3)
    counts = module._counts(np, NOISE * random.standard_normal((75, 2000, 2)))
    assert np.all((2 * counts + 1).sum(axis=0) % 2 == 1)
    np.testing.assert_array_equal(
        module._counts(np, np.array([-9.0, -0.001, 0.0, 0.0156, 0.0157, 9.0])), [-128, -1, 0, 0, 1, 127]
    )


def test_epochs_cover_the_trial(task):
    assert task.epochs({}, 0) == [("context", 0, 5), ("evidence", 5, 80), ("response", 80, 85)]
