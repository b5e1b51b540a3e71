"""Contracts of specs, metrics, protocols, models of other frameworks and checkpoints, and what they refuse."""

import dataclasses
import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.metrics import Metric, accuracy, cross_entropy, one_hot, squared_error
from nmbench.contracts.parameters import flatten, is_learned, split, unflatten
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.registration import register_baseline
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.contracts.task import Batch, FixedData, Sampler
from nmbench.support.errors import NmbenchError
from nmbench.training import parameter_files
from nmbench.training.prediction import predictor
from support.models import RowGRU

SPEC = SequenceSpec(4, {"sensory": ArraySpec(3), "context": ArraySpec(2)}, ArraySpec(1))


def test_spec_sizes_and_zeros():
    assert (SPEC.input_size, SPEC.output_size) == (5, 1)
    assert (SPEC.size_of("sensory"), SPEC.size_of("context", "nothing")) == (3, 2)
    zeros = SPEC.zeros(batch=7)
    assert zeros["sensory"].shape == (4, 7, 3) and zeros["context"].shape == (4, 7, 2)
    SPEC.validate_inputs(zeros)
    SPEC.validate_outputs(np.zeros((4, 7, 1)), 7)


@pytest.mark.parametrize(
    "inputs",
    [
        {"sensory": np.zeros((4, 7, 3))},
        {"sensory": np.zeros((4, 7, 3)), "contxt": np.zeros((4, 7, 2))},
        {"sensory": np.zeros((4, 7, 3)), "context": np.zeros((4, 6, 2))},
        {"sensory": np.zeros((4, 7, 3)), "context": np.zeros((4, 7, 3))},
        {"sensory": np.zeros((5, 7, 3)), "context": np.zeros((5, 7, 2))},
        {"sensory": np.zeros((4, 3)), "context": np.zeros((4, 7, 2))},
    ],
)
def test_spec_refuses_other_inputs(inputs):
    with pytest.raises(NmbenchError):
        SPEC.validate_inputs(inputs)


def test_spec_refuses_other_outputs():
    with pytest.raises(NmbenchError, match="the task needs"):
        SPEC.validate_outputs(np.zeros((4, 7)), 7)
    with pytest.raises(NmbenchError, match="at least 1 channel"):
        ArraySpec(0)


def test_squared_error_by_hand():
    """Two trials, two steps, two outputs; the mask drops the first step and the second trial's last output."""
    predictions = np.array([[[9.0, 9.0], [9.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]]])
    mask = np.array([[[0, 0], [0, 0]], [[1, 1], [1, 0]]])
    arrays = {"targets": np.zeros((2, 2, 2)), "mask": mask}
    np.testing.assert_array_equal(squared_error(predictions, arrays), [2.5, 9.0])


def test_accuracy_and_cross_entropy_by_hand():
    """Two trials of three steps, two classes; the mask drops the first step, and the last step of trial 1 has no class."""
    labels, mask = np.array([[0, 0], [0, 1], [1, 5]]), np.array([0.0, 1.0, 1.0]).reshape(3, 1, 1)
    arrays = {"targets": one_hot(labels, 2), "mask": mask}
    np.testing.assert_array_equal(arrays["targets"][:, 1], [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(jax.jit(one_hot, static_argnums=1)(labels, 2), arrays["targets"])
    predictions = np.broadcast_to(np.log([3.0, 1.0]), (3, 2, 2)) + 700  # the exponential of 700 would overflow float32
    np.testing.assert_array_equal(accuracy(predictions, arrays), [0.5, 0.0])
    expected = [(np.log(4 / 3) + np.log(4)) / 2, np.log(4)]
    np.testing.assert_allclose(cross_entropy(predictions, arrays), expected, rtol=1e-12)
    integers = {"targets": labels, "mask": mask}
    np.testing.assert_array_equal(accuracy(predictions, integers), [0.5, 0.0])
    np.testing.assert_allclose(cross_entropy(predictions, integers), expected, rtol=1e-12)


def test_scores_run_from_floor_to_ceiling_in_both_directions():
    low = Metric("e", squared_error, higher_is_better=False, floor=4.0, ceiling=0.0, threshold=1.0)
    high = Metric("p", squared_error, higher_is_better=True, floor=0.1, ceiling=1.0, threshold=0.9)
    assert [low.score(v) for v in (5.0, 4.0, 1.0, 0.0)] == [0.0, 0.0, 75.0, 100.0]
    assert [high.score(v) for v in (0.0, 0.1, 0.55, 1.0)] == pytest.approx([0.0, 0.0, 50.0, 100.0])
    assert low.solved(0.5) and not low.solved(1.5) and high.solved(0.9) and not high.solved(0.5)


def test_steps_are_shared_among_phases_in_proportion():
    protocol = Protocol(name="p", phases=(Phase(steps=10_000), Phase(steps=10_000), Phase(steps=50_000)))
    assert [p.steps for p in protocol.phases_for("m", steps=70)] == [10, 10, 50]
    assert [p.steps for p in protocol.phases_for("m", steps=3)] == [1, 1, 1]
    assert [p.steps for p in protocol.phases_for("m")] == [10_000, 10_000, 50_000]
    for total in range(3, 60):
        shared = [p.steps for p in protocol.phases_for("m", steps=total)]
        assert sum(shared) == total and min(shared) >= 1
    with pytest.raises(NmbenchError, match="too few"):
        protocol.phases_for("m", steps=2)


def test_phases_of_one_model():
    two = (Phase(steps=2), Phase(steps=3, relative_rate=10.0))
    protocol = Protocol(name="p", phases=(Phase(steps=1),), phases_by_model={"a": two})
    assert [p.steps for p in protocol.phases_for("a")] == [2, 3]
    assert [p.steps for p in protocol.phases_for("b")] == [1]
    resolved = protocol.resolve(protocol.phases_for("a"), 0.5)
    assert [p["learning_rate"] for p in resolved["phases"]] == [0.5, 5.0]


def test_a_phase_trains_the_first_partition_that_the_model_has():
    protocol = Protocol(name="p", phases=(Phase(steps=1, partition=("modulation", "input_weights")),))
    moved = lambda *partitions: protocol.phases_for("m", partitions)[0].partition
    assert moved("input_weights", "modulation") == "modulation"
    assert moved("input_weights") == moved() == "input_weights"


def test_fixed_data_gives_all_trials_or_draws_with_replacement():
    batch = Batch({"sensory": np.arange(12.0).reshape(2, 6, 1)}, np.arange(12.0).reshape(2, 6, 1), np.ones((2, 1, 1)))
    data = FixedData(lambda: batch)
    whole = data.draw(data.arrays(), jax.random.key(0), 0)
    np.testing.assert_array_equal(whole.targets, batch.targets)
    drawn = data.draw(data.arrays(), jax.random.key(0), 64)
    assert drawn.targets.shape == (2, 64, 1) and drawn.mask.shape == (2, 64, 1)
    np.testing.assert_array_equal(drawn.inputs["sensory"], drawn.targets)
    assert set(np.asarray(drawn.targets[0, :, 0])) == set(range(6))
    with pytest.raises(NmbenchError, match="batch_size"):
        Sampler(lambda key, n: batch).draw((), jax.random.key(0), 0)


def test_parameters_are_flattened_split_and_restored():
    tree_ = {"net/~/a": {"w": 1, "fixed_x0": 2}, "net": {"b": 3}}
    flat = flatten(tree_)
    assert flat == {"net|b": 3, "net/~/a|fixed_x0": 2, "net/~/a|w": 1}
    assert unflatten(tree_, flat) == tree_
    moving, still = split(flat, is_learned)
    assert set(moving) == {"net|b", "net/~/a|w"} and set(still) == {"net/~/a|fixed_x0"}


def test_two_parameters_with_the_same_name_are_refused():
    """The two would become one tensor in a file and one parameter in training."""
    with pytest.raises(NmbenchError, match="two parameters of this model are called 'w' in module 'a/b'"):
        flatten({"a/b": {"w": 1}, "a": {"b": {"w": 2}}})


def test_checkpoint_round_trip_and_refusals(tmp_path):
    params = {"m": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([1.0])}}
    path = tmp_path / "p.safetensors"
    parameter_files.save_params(path, params)
    loaded = parameter_files.load_params(path, jax.eval_shape(lambda: params))
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    with pytest.raises(NmbenchError, match="does not hold this model's parameters"):
        parameter_files.load_params(path, {"m": {"w": np.zeros((3, 2)), "b": np.zeros(1)}})
    for other in (np.int32, np.float64):
        with pytest.raises(NmbenchError, match=rf"m\|b: float32 \(1,\), should be {other.__name__} \(1,\)"):
            parameter_files.load_params(path, jax.tree.map(lambda array, other=other: array.astype(other), params))
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(NmbenchError, match="cannot read parameters"):
        parameter_files.load_params(path, params)
    with pytest.raises(NmbenchError, match="cannot read parameters"):
        parameter_files.load_params(tmp_path / "missing", params)


def test_an_ordinary_haiku_core_runs_through_the_generic_path():
    with BASELINES.restored(), jax.numpy_rank_promotion("allow"):  # Haiku promotes ranks when it adds biases
        register_baseline("row_gru", free_size="N")(RowGRU)
        model = BASELINES.get("row_gru").build(SPEC, {"N": 6})
        params = model.init(jax.random.key(0))
        inputs = {"sensory": jnp.ones((4, 2, 3)), "context": jnp.zeros((4, 2, 2))}
        outputs = model.apply(params, inputs)
        transformed = hk.without_apply_rng(
            hk.transform(lambda u: hk.dynamic_unroll(RowGRU(SPEC, 6), u, jnp.zeros((2, 6)))[0])
        )
        rows = jnp.concatenate([inputs["context"], inputs["sensory"]], axis=-1)
        np.testing.assert_allclose(outputs, transformed.apply(params, rows), rtol=1e-6)


def test_a_function_must_return_a_pair_of_functions():
    with BASELINES.restored():
        pair = (lambda key: {"w": jnp.zeros((3,))}, lambda params, inputs: inputs["sensory"] @ params["w"])
        register_baseline("pair", free_size="N")(lambda spec, N: pair)
        assert BASELINES.get("pair").build(SPEC, {"N": 1}) == pair
        register_baseline("three", free_size="N")(lambda spec, N: (1, 2, 3))
        with pytest.raises(NmbenchError, match="or of hk.RNNCore, or a function that returns"):
            BASELINES.get("three").build(SPEC, {"N": 1})


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"M": "five"}, "nmrnn.M must be a whole number, got 'five'"),
        ({"M": 2.5}, "must be a whole number"),
        ({"tau_x": "x"}, "must be a finite number"),
        ({"feedback": "maybe"}, "must be true or false"),
        ({"taux": 1}, "no hyperparameter 'taux'; did you mean 'tau_x'"),
    ],
)
def test_hyperparameters_of_the_wrong_type_are_refused(hparams, message):
    with pytest.raises(NmbenchError, match=message):
        BASELINES.get("nmrnn").check_hparams(hparams)


def test_hyperparameters_are_read_from_text():
    text = {"M": "5", "tau_x": "2", "feedback": "true", "parametrisation": "published", "N": "7"}
    checked = BASELINES.get("nmrnn").check_hparams(text)
    assert checked == {"M": 5, "tau_x": 2.0, "feedback": True, "parametrisation": "published", "N": 7}
    assert isinstance(checked["tau_x"], float)


def test_predictions_in_pieces_equal_predictions_at_once(toy_task, monkeypatch):
    baseline = BASELINES.get("rnn")
    model = baseline.build(toy_task.spec, {**baseline.hparams, "N": 5})
    params = model.init(jax.random.key(0))
    frozen = toy_task.frozen("test")
    whole = predictor(model, toy_task, frozen)(params)
    monkeypatch.setattr("nmbench.training.prediction.TRIALS_AT_ONCE", 5)
    np.testing.assert_allclose(predictor(model, toy_task, frozen)(params), whole, rtol=1e-6, atol=1e-7)
    assert whole.shape == (5, 12, 1)


def test_the_meaning_of_a_metric_is_read_from_docstrings():
    def hits(predictions, arrays):
        """1 if the largest output
        is the right one, else 0, `[B]`.

        More.
        """

    def late(arrays):
        """Trials with a late cue."""

    metric = Metric("m", hits, higher_is_better=True, floor=0.0, ceiling=1.0)
    assert metric.meaning == "1 if the largest output is the right one, else 0."
    assert dataclasses.replace(metric, subset=late).meaning == f"{metric.meaning} Trials with a late cue."
    plain = dataclasses.replace(metric, per_trial=lambda predictions, arrays: predictions, subset=lambda arrays: arrays)
    assert plain.meaning == dataclasses.replace(metric, per_trial=functools.partial(hits)).meaning == ""


def test_a_metric_on_a_subset_ignores_the_other_trials():
    parity = lambda arrays: np.arange(6) % 2
    metric = Metric(
        "m",
        squared_error,
        higher_is_better=False,
        floor=1.0,
        ceiling=0.0,
        conditions=parity,
        subset=lambda arrays: np.arange(6) > 1,
    )
    per_trial = np.array([100.0, 100.0, 1.0, 2.0, 3.0, 4.0])
    assert metric.mean(per_trial, {}) == 2.5
    assert metric.by_condition(per_trial, {}) == {"0": 2.0, "1": 3.0}


def test_a_trial_without_a_label_is_refused_unless_it_is_left_out():
    labels = np.array([np.nan, 1, 2, 1, 2, 1])
    metric = Metric(
        "m", squared_error, higher_is_better=False, floor=1.0, ceiling=0.0, conditions=lambda arrays: labels, threshold=0.5
    )
    with pytest.raises(NmbenchError, match="a condition of metric 'm' is NaN; give each trial a label"):
        metric.check({}, 6)
    left_out = dataclasses.replace(metric, subset=lambda arrays: np.arange(6) > 0)
    left_out.check({}, 6)
    assert left_out.by_condition(np.arange(6.0), {}) == {"1.0": 3.0, "2.0": 3.0}
    for wrong, what in (
        ({"conditions": lambda arrays: np.arange(5)}, "labels"),
        ({"subset": lambda arrays: np.ones(5, bool)}, "entries"),
    ):
        with pytest.raises(NmbenchError, match=f"metric 'm' has {what}.* of shape .5,., not one for each of 6 trials"):
            dataclasses.replace(left_out, **wrong).check({}, 6)
    with pytest.raises(NmbenchError, match="the threshold 1.5 must lie between the floor 1 and the ceiling 0"):
        dataclasses.replace(metric, threshold=1.5)


def two_stage(toy_task):
    """A task whose metric is the first output of a trial; trials 0, 1, 2 are judged at the stage "early"."""
    metric = Metric(
        name="first",
        per_trial=lambda predictions, arrays: predictions[0, :, 0],
        higher_is_better=True,
        floor=0.0,
        ceiling=1.0,
        conditions=lambda arrays: np.arange(12) // 6,
        stages=("early", "never"),
        earlier={"early": lambda arrays: np.arange(12) < 3, "never": lambda arrays: np.arange(12) == 11},
    )
    other = dataclasses.replace(metric, name="plain", stages=(), earlier={}, conditions=None)
    return dataclasses.replace(toy_task, metrics=(metric, other))


def test_some_trials_are_judged_with_the_parameters_of_an_earlier_stage(toy_task):
    task, arrays = two_stage(toy_task), toy_task.frozen("test").arrays
    last, early = np.full((5, 12, 1), 1.0, np.float32), np.full((5, 12, 1), 0.5, np.float32)
    judged = task.evaluate(last, arrays, {"early": early, "unused": early})
    # Three trials of 0.5 and nine of 1; the first condition has trials 0 .. 5.
    assert judged["values"] == {"first": 0.875, "first.early": 0.5, "plain": 1.0}
    assert {name: list(values) for name, values in judged["per_trial"].items()} == {
        "first": [0.5] * 3 + [1.0] * 9,
        "first.early": [0.5] * 12,
        "plain": [1.0] * 12,
    }
    assert judged["conditions"] == {"first": {"0": 0.75, "1": 1.0}, "first.early": {"0": 0.5, "1": 0.5}}
    assert task.evaluate(last, arrays)["values"] == {"first": 1.0, "plain": 1.0}


def test_earlier_predictions_need_the_same_shape(toy_task):
    task, arrays = two_stage(toy_task), toy_task.frozen("test").arrays
    with pytest.raises(NmbenchError, match=r"\(5, 11, 1\)"):
        task.evaluate(np.zeros((5, 12, 1)), arrays, {"early": np.zeros((5, 11, 1))})


@pytest.mark.parametrize("stage", ["a/b", "..", "é", "a b"])
def test_a_stage_can_be_part_of_a_file_name(stage):
    with pytest.raises(NmbenchError, match="a stage is named by letters, digits, '_' and '-', not "):
        Phase(steps=1, stage=stage)
