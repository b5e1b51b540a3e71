"""Measure-Wait-Go against its definition (supplement C.2), its frozen sets, metrics and references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.support.errors import NmbenchError
from nmbench.tasks import measure_wait_go as mwg

NAMES = ["mwg_rank1", "mwg_rank3", "mwg_rank3_code"]
TRAINED, BETWEEN, OUTSIDE = {12, 14, 16, 18}, {13, 15, 17}, {4, 6, 8, 10, 20, 22, 24, 26}
TEST_INTERVALS = dict(zip(NAMES, ({7, 15, 23}, TRAINED | BETWEEN | OUTSIDE, TRAINED | BETWEEN | OUTSIDE)))
VALIDATION_INTERVALS = dict(zip(NAMES, (TRAINED, TRAINED | BETWEEN, TRAINED | BETWEEN)))


@pytest.fixture(params=NAMES)
def task(request):
    return TASKS.get(request.param)


@pytest.fixture
def code():
    return TASKS.get("mwg_rank3_code")


def cue_times(batch):
    """(interval, t_measure, t_wait, t_go) of every trial, read only from the input pulses."""
    sensory = np.asarray(batch.inputs["sensory"])
    trials = []
    for b in range(sensory.shape[1]):
        measure, wait, go = (int(np.flatnonzero(sensory[:, b, channel])[0]) for channel in range(3))
        trials.append((wait - measure, measure, wait, go))
    return trials


def check_trials(batch):
    """Every entry of inputs and targets, by a plain loop over trials and steps."""
    sensory, targets, mask = batch.inputs["sensory"], batch.targets, batch.mask
    trials = sensory.shape[1]
    assert set(batch.inputs) == {"sensory"}
    assert sensory.shape == (110, trials, 3) and targets.shape == (110, trials, 1)
    assert sensory.dtype == targets.dtype == mask.dtype == np.float32
    assert np.all(mask == 1) and np.broadcast_shapes(mask.shape, targets.shape) == targets.shape
    for b, (interval, measure, wait, go) in enumerate(cue_times(batch)):
        assert 0 <= measure < wait < go and go + interval < 110
        for t in range(110):
            assert list(sensory[t, b]) == [10.0 * (t == measure), 10.0 * (t == wait), 10.0 * (t == go)]
            if t <= go:
                expected = -0.5
            elif t <= go + interval:
                expected = (t - go) / interval - 0.5
            else:
                expected = 0.5
            assert targets[t, b, 0] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_frozen_trials_obey_the_definition(task, split):
    arrays = task.frozen(split).arrays
    batch = task.unpack(arrays)
    check_trials(batch)
    names = ("interval", "t_measure", "t_wait", "t_go")
    assert list(zip(*(arrays[name].tolist() for name in names))) == cue_times(batch)
    assert all(arrays[name].dtype == np.int16 for name in names) and set(arrays) == set(names)


def test_training_trials_are_the_forty_of_the_supplement(task):
    data = task.training["train"]
    batch = data.make()
    check_trials(batch)
    varying_delay = task.name == "mwg_rank3"
    expected = set()
    for interval in (12, 14, 16, 18):
        for value in range(10, 20):
            measure, delay = (15, value) if varying_delay else (value, 15)
            expected.add((interval, measure, measure + interval, measure + interval + delay))
    assert len(cue_times(batch)) == 40 and set(cue_times(batch)) == expected
    np.testing.assert_array_equal(batch.targets, data.make().targets)
    # A batch size of 0 takes all forty at every step.
    assert data.draw(data.arrays(), None, 0).targets.shape == (110, 40, 1)
    assert all(phase.batch_size == 0 for protocol in task.protocols for phase in protocol.phases)


def test_sets_contain_the_declared_trials_and_do_not_overlap(task):
    training = set(cue_times(task.training["train"].make()))
    validation, test = (cue_times(task.unpack(task.frozen(split).arrays)) for split in ("validation", "test"))
    # The varying time is the start or the delay.
    varying = (lambda t: t[3] - t[2]) if task.name == "mwg_rank3" else (lambda t: t[1])
    for trials, intervals, values in (
        (test, TEST_INTERVALS[task.name], set(range(10, 20))),
        (validation, VALIDATION_INTERVALS[task.name], {8, 9, 20, 21}),
    ):
        assert {(t[0], varying(t)) for t in trials} == {(i, v) for i in intervals for v in values}
        assert len(trials) == len(intervals) * len(values) == len(set(trials))
    assert (len(validation), len(test)) == {"mwg_rank1": (16, 30)}.get(task.name, (28, 150))
    assert dict(task.set_sizes) == {"validation": len(validation), "test": len(test)}
    assert not set(validation) & (set(test) | training)
    # The rank-3 test sets contain the training trials, as in the supplement; mse_trained is their error.
    assert training & set(test) == (set() if task.name == "mwg_rank1" else training)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_frozen_sets_rebuild_byte_for_byte(task, split):
    frozen, rebuilt = task.frozen(split), task.draw_set(split)
    assert frozen_sets.digest(rebuilt) == frozen.sha256
    assert set(rebuilt) == set(frozen.arrays)
    for name, array in rebuilt.items():
        assert array.tobytes() == frozen.arrays[name].tobytes()
        assert (array.dtype, array.shape) == (frozen.arrays[name].dtype, (frozen.n,))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_any_times_that_fit_obey_the_definition(data):
    """Trials with random times have correct pulses, ramps and epochs; a perfect answer has the rise time 0.9 I."""
    measure = data.draw(st.integers(0, 109 - 3), label="t_measure")
    delay = data.draw(st.integers(1, 109 - measure - 2), label="delay")
    interval = data.draw(st.integers(1, (109 - measure - delay) // 2), label="interval")
    arrays = mwg.make_trials(interval, measure, [delay, 1])
    batch = mwg.unpack(arrays)
    check_trials(batch)
    wait = measure + interval
    assert cue_times(batch) == [(interval, measure, wait, wait + delay), (interval, measure, wait, wait + 1)]
    spans = mwg.epochs(arrays, 0)
    assert [name for name, _, _ in spans] == ["fixation", "measure", "wait", "go", "hold"]
    assert [first for _, first, _ in spans] == [0, measure, wait, wait + delay, wait + delay + interval]
    assert [last for _, _, last in spans] == [first for _, first, _ in spans[1:]] + [110]
    np.testing.assert_allclose(mwg.rise_time(batch.targets, arrays["t_go"]), 0.9 * interval, atol=1e-5)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(measure=st.integers(0, 109), delay=st.integers(1, 109), interval=st.integers(1, 109))
def test_times_are_refused_exactly_when_the_ramp_does_not_fit(measure, delay, interval):
    if measure + interval + delay + interval <= 109:
        assert int(mwg.make_trials(interval, measure, delay)["t_go"][0]) == measure + interval + delay
    else:
        with pytest.raises(NmbenchError, match="ends its ramp at step"):
            mwg.make_trials(interval, measure, delay)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((0, 15, 15), "interval must lie in 1..109 steps, got 0"),
        (([12, -3], 15, 15), "interval must lie in 1..109 steps, got -3"),
        ((2**62, 15, 15), f"interval must lie in 1..109 steps, got {2**62}"),
        ((12, -1, 15), "t_measure must lie in 0..109 steps, got -1"),
        ((12, 15, 0), "delay must lie in 1..109 steps, got 0"),
        ((12.0, 15, 15), "interval must be a whole number of steps, got dtype float64"),
        (
            ([12, 40], 15, 15),
            "interval 40 with t_measure 15 and delay 15 ends its ramp at step 110, after the last step, 109: "
            "the interval can be at most 39",
        ),
        (
            (12, 100, 15),
            "interval 12 with t_measure 100 and delay 15 ends its ramp at step 139, after the last step, 109: "
            "no interval fits, take an earlier time",
        ),
    ],
)
def test_bad_times_are_refused_with_one_line(times, message):
    with pytest.raises(NmbenchError) as raised:
        mwg.make_trials(*times)
    assert str(raised.value) == message


def test_the_longest_interval_that_fits_is_accepted():
    """t_measure 15 + 40 + delay 14 + 40 = 109: the ramp is complete at the last step and not before."""
    targets = mwg.unpack(mwg.make_trials(40, 15, 14)).targets[:, 0, 0]
    assert targets[108] < 0.5 and targets[109] == 0.5


def test_errors_by_hand(code):
    """Three trials, one of each group: shifted by 0.3, perfect, and off by 2 in 11 of 110 steps."""
    arrays = mwg.make_trials([12, 13, 20], 10, 15)
    predictions = np.array(mwg.unpack(arrays).targets, np.float64)
    predictions[:, 0] += 0.3
    predictions[:11, 2] -= 2.0
    judged = code.evaluate(predictions, arrays)
    np.testing.assert_allclose(judged["per_trial"]["mse"], [0.09, 0, 0.4], atol=1e-12)
    expected = {"mse_trained": 0.09, "mse_interpolated": 0.0, "mse_extrapolated": 0.4, "mse": 0.49 / 3}
    assert {name: judged["values"][name] for name in expected} == pytest.approx(expected)
    assert judged["conditions"]["mse"] == pytest.approx({"12": 0.09, "13": 0.0, "20": 0.4})
    # Raised by 0.3, the ramp of 12 crosses 0.4 when the true one is at 0.1: after 0.6 * 12 steps instead of 0.9 * 12.
    assert judged["conditions"]["interval_error"] == pytest.approx({"12": 3.6, "13": 0.0, "20": 0.0}, abs=1e-5)


def test_rise_time_by_hand():
    """Rise times are crossings of 0.4, counted from go = 2; each trial has six steps."""
    go = np.full(6, 2)
    outputs = np.array(
        [
            [-0.5, -0.5, -0.5, 0.5, 0.5, 0.5],  # 0.9 of the way from step 2 to step 3
            [-0.5, -0.5, -0.5, -0.1, 0.4, 0.5],  # reaches 0.4 at step 4 and exceeds it right after
            [0.5, 0.5, -0.5, -0.5, 0.3, 0.5],  # values before go do not count
            [0.5, 0.5, 0.5, -0.5, -0.5, -0.5],  # above at go
            [-0.5, -0.5, -0.5, 0.0, 0.2, 0.4],  # never above
            [-0.5, -0.5, -0.5, 0.5, -0.5, 0.5],  # the first crossing counts
        ]
    ).T[..., None]
    np.testing.assert_allclose(mwg.rise_time(outputs, go), [0.9, 2.0, 2.5, 0.0, 4.0, 0.9])


def test_the_primary_metric_comes_first(task):
    names = [m.name for m in task.metrics]
    trained = [] if task.name == "mwg_rank1" else ["mse_trained"]
    assert names == ["mse_extrapolated", *trained, "mse_interpolated", "mse", "interval_error"]
    arrays = task.frozen("test").arrays
    judged = task.evaluate(np.zeros((110, task.set_sizes["test"], 1)), arrays)
    every = {str(i) for i in TEST_INTERVALS[task.name]}
    assert {name: set(labels) for name, labels in judged["conditions"].items()} == {"mse": every, "interval_error": every}
    # The answer 0 never crosses, so its rise time is all steps from go to the end; the correct one is 0.9 I.
    np.testing.assert_allclose(
        judged["per_trial"]["interval_error"], 110 - arrays["t_go"] - 0.9 * arrays["interval"], atol=1e-5
    )


def test_references_reach_floor_threshold_and_ceiling(task):
    arrays = task.frozen("test").arrays
    values = {label: task.evaluate(predict(arrays), arrays)["values"] for label, predict in task.references.items()}
    assert list(values) == ["best constant", "fixed ramp of 15 steps", "interval clamped to [12, 18]", "perfect"]
    assert set(values["perfect"].values()) == {0.0}
    for metric in task.metrics:
        # The one interval between those of training in mwg_rank1 is 15, so there the fixed ramp is perfect.
        perfect = (task.name, metric.name) == ("mwg_rank1", "mse_interpolated")
        at_floor = "best constant" if perfect else "fixed ramp of 15 steps"
        assert values[at_floor][metric.name] == pytest.approx(metric.floor) and metric.floor > 0
        assert metric.score(values[at_floor][metric.name]) == pytest.approx(0, abs=1e-9)
        assert (metric.ceiling, metric.score(0.0)) == (0.0, 100.0)
    clamped = values["interval clamped to [12, 18]"]["mse_extrapolated"]
    assert task.primary.threshold == pytest.approx(clamped)
    assert task.primary.solved(0.9 * clamped) and not task.primary.solved(1.1 * clamped)
    interval_errors = np.abs(arrays["interval"] - 15)
    assert task.metrics[-1].floor == pytest.approx(0.9 * interval_errors.mean(), abs=1e-5)


def test_references_have_independently_computed_errors():
    """Mean squared errors of the references on the rank-3 tasks.

    A fixed ramp of 15 steps has 9.5e-4 on trained and 1.14e-2 on extrapolated intervals; the clamped interval has 5.7e-3
    on extrapolated ones; the best constant has 0.227 on each group and on all trials. The plain loop and the metrics
    agree. Both tasks have t_go = 15 + I + value, so they have the same targets and the same references.
    """

    def target(t, go, duration):
        return min(max((t - go) / duration, 0.0), 1.0) - 0.5

    def loop(intervals, answer):
        squares = []
        for interval in intervals:
            for start in range(10, 20):
                go = start + interval + 15
                squares += [(answer(t, go, interval) - target(t, go, interval)) ** 2 for t in range(110)]
        return sum(squares) / len(squares)

    # Each group of intervals has mean 15, so one constant, 1/44, is best for all of them, and their floors hardly differ.
    groups = {
        "mse_trained": (TRAINED, 0.22686),
        "mse_interpolated": (BETWEEN, 0.22686),
        "mse_extrapolated": (OUTSIDE, 0.22691),
    }
    for name in ("mwg_rank3", "mwg_rank3_code"):
        task = TASKS.get(name)
        arrays = task.frozen("test").arrays
        values = {label: task.evaluate(predict(arrays), arrays)["values"] for label, predict in task.references.items()}
        assert float(task.references["best constant"](arrays)[0, 0, 0]) == pytest.approx(1 / 44)
        for metric, (intervals, best) in groups.items():
            assert values["best constant"][metric] == pytest.approx(best, abs=1e-5)
            assert values["best constant"][metric] == pytest.approx(loop(intervals, lambda t, go, i: 1 / 44))
            assert values["best constant"][metric] == pytest.approx(0.227, abs=5e-4)
            fixed = loop(intervals, lambda t, go, i: target(t, go, 15))
            assert values["fixed ramp of 15 steps"][metric] == pytest.approx(fixed, rel=1e-5)
            clamped = loop(intervals, lambda t, go, i: target(t, go, min(max(i, 12), 18)))
            assert values["interval clamped to [12, 18]"][metric] == pytest.approx(clamped, rel=1e-5)
        assert values["best constant"]["mse"] == pytest.approx(0.227, abs=5e-4)
        fixed, clamped = values["fixed ramp of 15 steps"], values["interval clamped to [12, 18]"]
        assert fixed["mse_trained"] == pytest.approx(9.5e-4, abs=5e-6)
        assert fixed["mse_extrapolated"] == pytest.approx(1.14e-2, abs=5e-5)
        assert clamped["mse_extrapolated"] == pytest.approx(5.7e-3, abs=5e-5)
        assert (clamped["mse_trained"], clamped["mse_interpolated"]) == (0.0, 0.0)


def test_paper_protocols_follow_the_supplement(code):
    """Rank 3: 10k + 10k + 50k steps for the NM-RNN, in either order; 70k for the LR-RNN; 50k for the RNN and LSTM."""
    paper, other = code.protocol("paper"), code.protocol("paper_neuromodulation_first")
    subnetworks = ["output_subnetwork", "neuromodulatory_subnetwork"]
    for protocol, order in ((paper, subnetworks), (other, subnetworks[::-1])):
        assert [p.partition for p in protocol.phases_for("nmrnn")] == [*order, "learned"]
        assert [p.steps for p in protocol.phases_for("nmrnn")] == [10_000, 10_000, 50_000]
        assert [p.steps for p in protocol.phases_for("lrrnn")] == [70_000]
        for model in ("rnn", "lstm"):
            assert [(p.steps, p.relative_rate) for p in protocol.phases_for(model)] == [(50_000, 1.0)]
        assert (protocol.learning_rate, protocol.sizes) == (1e-2, "published")
        phases = [p for model in ("nmrnn", "lrrnn", "rnn", "lstm") for p in protocol.phases_for(model)]
        assert all((p.clip_value, p.weight_decay, p.schedule) == (1.0, 1e-4, "constant") for p in phases)
    rank1 = TASKS.get("mwg_rank1").protocol("paper")
    (phase,) = rank1.phases_for("nmrnn")
    assert (phase.steps, phase.weight_decay, phase.clip_value, phase.clip_norm) == (50_000, 0.0, 0.0, 0.0)
    assert rank1.learning_rate == 1e-3
