"""Delay and Memory Pro/Anti against their definition (supplement C.2, C.4), their metrics by hand, their frozen sets."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution
from nmbench.experiments.request import Request
from nmbench.tasks import _pro_anti_scores as scores
from nmbench.tasks import _pro_anti_trials as trials
from support.pro_anti import DURATIONS, check_trials

SINGLE = ("delay_pro", "delay_anti", "memory_pro", "memory_anti")
# No manifest contains the training data, so their hashes are here; after a change, raise the task's version.
TRAINING_SHA256 = {
    "delay_pro": "6a3711ea657487d5",
    "delay_anti": "3bc9e3a4416c10fa",
    "memory_pro": "bb31795b8732ed5b",
    "memory_anti": "8e76abff15f15582",
}


@pytest.fixture(scope="module", params=SINGLE)
def task(request):
    return TASKS.get(request.param)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_trials_of_any_seed_obey_the_definition(seed, n):
    arrays = trials.draw_mixture(np.random.RandomState(seed), n, 4)
    check_trials(arrays, trials.unpack(arrays, context=False))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_sets_obey_the_definition(task, split):
    arrays = task.draw_set(split)
    assert set(arrays["task"]) == {trials.NAMES.index(task.name)}
    assert set(task.unpack(arrays).inputs) == {"sensory"}
    check_trials(arrays, task.unpack(arrays))


@pytest.mark.parametrize("kind", ["delay", "memory"])
def test_durations_are_uniform_in_seconds(kind):
    """Mean of every boundary as a share of the trial, within five standard errors of an independent simulation."""
    n = 40_000
    index = trials.NAMES.index(f"{kind}_pro")
    arrays = trials.draw_trials(np.random.RandomState(5), np.full(n, index))
    simulated = np.random.default_rng(6)
    ends = np.cumsum([simulated.uniform(lo, hi, n) for lo, hi in DURATIONS[kind].values()], axis=0)
    for name, seconds in zip(("onset", "offset", "go"), [ends[0], ends[1], ends[-2]], strict=True):
        if (kind, name) == ("delay", "offset"):
            assert set(arrays[name]) == {100}
            continue
        expected = 100 * seconds / ends[-1]
        # Rounding up adds half a step on average.
        error = arrays[name].mean() - 0.5 - expected.mean()
        assert abs(error) < 5 * expected.std() * math.sqrt(2 / n) + 0.02
    theta = arrays["theta_in"]
    assert theta.min() >= 0 and theta.max() < 2 * np.pi
    counts = np.histogram(theta, bins=20, range=(0, 2 * np.pi))[0]
    assert np.all(np.abs(counts - n / 20) < 5 * np.sqrt(n / 20))


def test_noise_is_off_by_default_and_has_the_requested_size():
    arrays = trials.draw_mixture(np.random.RandomState(1), 2000, 4)
    clean = trials.unpack(arrays, context=True)
    noisy = trials.unpack(arrays, context=True, input_noise=0.3, noise_seed=7)
    again = trials.unpack(arrays, context=True, input_noise=0.3, noise_seed=7)
    for name, channels in {"sensory": 3, "context": 4}.items():
        np.testing.assert_array_equal(noisy.inputs[name], again.inputs[name])
        noise = noisy.inputs[name] - clean.inputs[name]
        assert noise.dtype == np.float32
        np.testing.assert_allclose(noise.std(axis=(0, 1)), [0.3] * channels, rtol=0.02)
        assert abs(noise.mean()) < 5 * 0.3 / math.sqrt(noise.size)
    np.testing.assert_array_equal(noisy.targets, clean.targets)


def one_trial(name, theta_in, go=50):
    """Arrays of a single trial."""
    fill = {"task": trials.NAMES.index(name), "theta_in": theta_in, "onset": 10, "offset": 30, "go": go}
    dtypes = {"task": np.int8, "theta_in": np.float64}
    return {k: np.array([v], dtypes.get(k, np.int16)) for k, v in fill.items()}


def answer(arrays, angle, length=1.0, fixation=0.8):
    """Predictions `[100, 1, 3]` that hold `fixation` until go and then point at `angle` with a vector of some length."""
    predictions = np.zeros((100, 1, 3))
    predictions[: arrays["go"][0], 0, 0] = fixation
    predictions[-1, 0, 1:] = length * math.sin(angle), length * math.cos(angle)
    return predictions


def judge(predictions, arrays):
    return scores.percent_correct(predictions, arrays)[0], scores.percent_correct_published(predictions, arrays)[0]


@pytest.mark.parametrize(
    ("name", "theta_in", "angle", "correct", "published"),
    [
        ("delay_pro", 1.0, 1.0, 100, 100),
        ("delay_pro", 1.0, 1.0 + 0.31, 100, 100),
        ("delay_pro", 1.0, 1.0 - 0.32, 0, 0),
        ("delay_pro", 1.0, 1.0 + math.pi, 0, 100),  # opposite: the published metric does not distinguish Pro and Anti
        ("memory_anti", 1.0, 1.0 + math.pi, 100, 100),
        ("memory_anti", 1.0, 1.0, 0, 100),
        ("memory_anti", 6.2, 6.2 - math.pi + 0.1, 100, 100),
        ("delay_pro", math.pi - 0.1, -math.pi + 0.1, 100, 100),  # across +-pi
        ("delay_pro", math.pi + 0.1, math.pi - 0.1, 100, 100),
        ("delay_pro", 0.05, 2 * math.pi - 0.05, 100, 100),  # across 0
        ("delay_anti", 2 * math.pi - 0.01, math.pi + 0.2, 100, 100),
        ("delay_pro", math.pi / 2 - 0.05, math.pi / 2 + 0.05, 100, 0),  # across the vertical: arctan jumps by pi
        ("delay_pro", math.pi / 2 - 0.05, -math.pi / 2 - 0.05, 0, 100),
    ],
)
def test_percent_correct_by_hand(name, theta_in, angle, correct, published):
    arrays = one_trial(name, theta_in)
    for length in (1.0, 0.01, 30.0):
        assert judge(answer(arrays, angle, length), arrays) == (correct, published)


def test_fixation_must_be_held_at_every_step_before_go():
    arrays = one_trial("memory_pro", 1.0)
    for fixation, correct in ((0.51, 100), (0.5, 0), (-0.8, 0)):
        assert judge(answer(arrays, 1.0, fixation=fixation), arrays) == (correct, correct)
    for step in (0, 20, 49):
        broken = answer(arrays, 1.0)
        broken[step, 0, 0] = 0.4
        assert judge(broken, arrays) == (0, 0)
    late = answer(arrays, 1.0)
    late[50:, 0, 0] = -3.0
    early = answer(arrays, 1.0)
    early[:99, 0, 1:] = 5.0
    assert judge(late, arrays) == judge(early, arrays) == (100, 100)


def test_zero_and_non_finite_answers_do_not_warn():
    arrays = one_trial("delay_pro", math.pi / 2)
    up = answer(arrays, 0.0)
    up[-1, 0, 1:] = 1.0, 0.0
    assert judge(up, arrays) == (100, 100)
    nothing = answer(arrays, 0.0, length=0.0)
    assert judge(nothing, arrays) == (0, 0)
    for value in (np.nan, np.inf):
        assert judge(np.full((100, 1, 3), value), arrays) == (0, 0)


def _correct_in_plain_python(predictions, arrays, i):
    """Percent correct of trial i, written from the supplement's text, with complex numbers instead of angles."""
    if any(predictions[t, i, 0] <= 0.5 for t in range(int(arrays["go"][i]))):
        return 0.0
    sign = -1 if trials.NAMES[arrays["task"][i]].endswith("anti") else 1
    target = sign * cmath.exp(1j * arrays["theta_in"][i])
    given_ = complex(predictions[-1, i, 2], predictions[-1, i, 1])
    return 100.0 * (abs(cmath.phase(given_ / target)) < math.pi / 10)


def test_percent_correct_against_plain_python():
    """3,000 noisy answers of all four tasks, near the right angle and anywhere, some with broken fixation."""
    random = np.random.RandomState(3)
    arrays = trials.draw_mixture(random, 3000, 4)
    predictions = trials.response(arrays, trials.theta_out(arrays)) + 0.08 * random.standard_normal((100, 3000, 3))
    predictions[-1, :, 1:] += 0.5 * random.standard_normal((3000, 2))
    expected = [_correct_in_plain_python(predictions, arrays, i) for i in range(3000)]
    assert 500 < np.count_nonzero(expected) < 2500
    np.testing.assert_array_equal(scores.percent_correct(predictions, arrays), expected)


def test_chance_is_10_percent_and_19_as_published():
    """A random angle with fixation held: 40,000 trials, within five standard deviations of the floors."""
    n = 40_000
    random = np.random.RandomState(4)
    arrays = trials.draw_mixture(random, n, 4)
    predictions = trials.response(arrays, random.uniform(0, 2 * np.pi, n))
    for metric, chance in ((scores.percent_correct, 10.0), (scores.percent_correct_published, 19.0)):
        bound = 5 * math.sqrt(chance * (100 - chance) / n)
        assert metric(predictions, arrays).mean() == pytest.approx(chance, abs=bound)


def test_reference_rows(task):
    arrays = task.frozen("test").arrays
    values = {label: task.evaluate(f(arrays), arrays)["values"] for label, f in task.references.items()}
    floors = {m.name: m.floor for m in task.metrics}
    assert list(floors) == ["percent_correct", "percent_correct_published", "mse"]
    assert [m.ceiling for m in task.metrics] == [100.0, 100.0, 0.0]
    assert values["perfect"] == {"percent_correct": 100.0, "percent_correct_published": 100.0, "mse": 0.0}
    assert values["opposite angle"]["percent_correct"] == 0.0
    assert values["opposite angle"]["percent_correct_published"] == 100.0
    assert values["random angle"]["percent_correct"] == pytest.approx(10, abs=5 * math.sqrt(10 * 90 / 1000))
    assert values["best constant"]["mse"] == pytest.approx(floors["mse"], abs=1e-9)
    # No other constant is better.
    best = task.references["best constant"](arrays)
    for channel in range(3):
        for shift in (-0.01, 0.01):
            other = best + shift * np.eye(3)[channel]
            assert task.evaluate(other, arrays)["values"]["mse"] > floors["mse"]
    assert task.primary.solved(90.0) and not task.primary.solved(89.9)


def test_frozen_sets_rebuild_byte_for_byte(task):
    assert dict(task.set_sizes) == {"validation": 500, "test": 1000}
    for split, n in task.set_sizes.items():
        frozen, rebuilt = task.frozen(split), task.draw_set(split)
        assert frozen.n == n and frozen_sets.digest(rebuilt) == frozen.sha256
        assert set(rebuilt) == set(frozen.arrays)
        for name, array in rebuilt.items():
            assert array.shape == (n,) and array.dtype == frozen.arrays[name].dtype
            assert array.tobytes() == frozen.arrays[name].tobytes()


def test_training_data_are_fixed(task):
    assert frozen_sets.digest(task.draw_set("train"))[:16] == TRAINING_SHA256[task.name]
    a, b = (task.training["train"].arrays() for _ in range(2))
    assert a.targets.shape == (100, 3000, 3)
    np.testing.assert_array_equal(a.inputs["sensory"], b.inputs["sensory"])
    noisy = task.training["train_noisy"].arrays().inputs["sensory"]
    assert (noisy - a.inputs["sensory"]).std() == pytest.approx(0.1, rel=0.01)


def test_no_trial_is_shared_by_two_sets():
    """Angles have 53 random bits, so an equal angle means an equal trial."""
    seen, drawn = set(), 0
    for name in SINGLE:
        for split in ("train", "validation", "test"):
            angles = TASKS.get(name).draw_set(split)["theta_in"]
            seen |= set(angles.tolist())
            drawn += len(angles)
    assert len(seen) == drawn == 4 * 4500


@pytest.mark.slow
def test_models_resolve_under_every_protocol(task):
    """The models of the publication under every protocol, the others, which settings of `paper` do not name, under one."""
    assert [p.name for p in task.protocols] == ["matched", "paper", "smoke"]
    for i, entry in enumerate(BASELINES.entries()):
        for protocol in task.protocols if "paper" in entry.tags else [task.protocols[i % 3]]:
            experiment = resolution.resolve(Request(model=entry.name, task=task.name, protocol=protocol.name))
            assert experiment.n_test == 1000
