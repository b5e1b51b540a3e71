"""The multitask against its definition (supplement C.2, C.4): context, phases, frozen sets."""

import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution
from nmbench.experiments.request import Request
from nmbench.tasks import _pro_anti_trials as trials
from support.pro_anti import check_trials

SPLITS = ("train", "validation", "test", "retrain", "validation_retrain")
# No manifest contains the training data, so their hashes are here; after a change, raise the task's version.
TRAINING_SHA256 = {"train": "86823c86dd2aad2d", "retrain": "353ef716737cf4ac"}


@pytest.fixture(scope="module")
def task():
    return TASKS.get("multitask")


@pytest.mark.parametrize("split", SPLITS)
def test_sets_obey_the_definition(task, split):
    arrays = task.draw_set(split)
    check_trials(arrays, task.unpack(arrays))


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("train", None),
        ("validation", None),
        ("test", [1000, 1000, 1000, 1000]),
        ("retrain", [0, 0, 0, 1000]),
        ("validation_retrain", [0, 0, 0, 300]),
    ],
)
def test_tasks_of_every_set(task, split, counts):
    found = np.bincount(task.draw_set(split)["task"], minlength=4)
    if counts is not None:
        assert found.tolist() == counts
    else:
        total = {"train": 3000, "validation": 600}[split]
        assert found.sum() == total and found[3] == 0
        # A third each, within five standard deviations.
        assert np.all(np.abs(found[:3] - total / 3) < 5 * np.sqrt(total * 2 / 9))


@pytest.mark.parametrize("split", SPLITS)
def test_context_is_one_hot_constant_and_identifies_the_task(task, split):
    arrays = task.draw_set(split)
    inputs = task.unpack(arrays).inputs
    assert set(inputs) == {"sensory", "context"}
    context = inputs["context"]
    assert context.shape == (100, len(arrays["task"]), 4) and context.dtype == np.float32
    assert np.all(context == context[:1])
    assert set(np.unique(context)) == {0.0, 1.0} and np.all(context.sum(axis=-1) == 1)
    np.testing.assert_array_equal(context[0].argmax(axis=-1), arrays["task"])
    task.spec.validate_inputs(inputs)


def test_the_first_phase_never_uses_the_fourth_context_channel(task):
    """Its training and validation data are 0 there; retraining uses no other context channel."""
    for protocol in task.protocols:
        for model in ("nmrnn", "lstm"):
            first, second = protocol.phases_for(model)
            for batch in (task.training[first.data].arrays(), task.unpack(task.frozen(first.validation).arrays)):
                assert not batch.inputs["context"][..., 3].any()
            for batch in (task.training[second.data].arrays(), task.unpack(task.frozen(second.validation).arrays)):
                assert batch.inputs["context"][..., 3].all()
                # The authors' code adds noise to these channels.
                assert protocol.name == "paper_code" or not batch.inputs["context"][..., :3].any()


def test_noisy_training_data(task):
    """`retrain_noisy_context` differs from `retrain` by N(0, 0.1) on the three old context channels, drawn once."""
    clean, noisy, again = (task.training[n].arrays() for n in ("retrain", *["retrain_noisy_context"] * 2))
    np.testing.assert_array_equal(noisy.inputs["sensory"], clean.inputs["sensory"])
    np.testing.assert_array_equal(noisy.inputs["context"], again.inputs["context"])
    np.testing.assert_array_equal(noisy.inputs["context"][..., 3], 1)
    noise = noisy.inputs["context"][..., :3]
    np.testing.assert_allclose(noise.std(axis=(0, 1)), [0.1] * 3, rtol=0.02)
    assert abs(noise.mean()) < 5 * 0.1 / np.sqrt(noise.size)
    for name in ("sensory", "context"):
        difference = task.training["train_noisy"].arrays().inputs[name] - task.training["train"].arrays().inputs[name]
        assert difference.std() == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("split", ["validation", "validation_retrain", "test"])
def test_frozen_sets_rebuild_byte_for_byte(task, split):
    frozen, rebuilt = task.frozen(split), task.draw_set(split)
    assert frozen.n == task.set_sizes[split] == len(rebuilt["task"])
    assert frozen_sets.digest(rebuilt) == frozen.sha256
    for name, array in rebuilt.items():
        assert array.tobytes() == frozen.arrays[name].tobytes() and array.dtype == frozen.arrays[name].dtype


def test_training_data_are_fixed(task):
    for name, sha256 in TRAINING_SHA256.items():
        assert frozen_sets.digest(task.draw_set(name))[:16] == sha256


def test_no_trial_is_shared_by_two_sets(task):
    """Angles have 53 random bits, so an equal angle means an equal trial. The single tasks are included."""
    angles = [task.draw_set(split)["theta_in"] for split in SPLITS]
    angles += [TASKS.get(name).draw_set(split)["theta_in"] for name in trials.NAMES for split in SPLITS[:3]]
    assert len(set(np.concatenate(angles).tolist())) == sum(map(len, angles)) == 8900 + 4 * 4500


def test_metrics_are_reported_per_task(task):
    """Answers are right on Pro and opposite on Anti: half are correct, all are correct by the published metric."""
    arrays = task.frozen("test").arrays
    judged = task.evaluate(trials.response(arrays, arrays["theta_in"]), arrays)
    assert judged["values"]["percent_correct"] == 50.0
    expected = {"delay_pro": 100.0, "delay_anti": 0.0, "memory_pro": 100.0, "memory_anti": 0.0}
    assert judged["conditions"]["percent_correct"] == expected
    assert judged["values"]["percent_correct_published"] > 99.9
    assert set(judged["conditions"]["mse"]) == set(trials.NAMES)
    assert task.primary.name == "percent_correct" and task.primary.threshold == 90.0


def test_old_tasks_are_judged_before_retraining(task):
    """Before retraining, the three old tasks are right and the new one is wrong; after it, it is the other way round."""
    arrays = task.frozen("test").arrays
    right, wrong = (trials.response(arrays, trials.theta_out(arrays) + shift) for shift in (0, np.pi))
    new = (arrays["task"] == trials.MEMORY_ANTI)[None, :, None]
    before, after = np.where(new, wrong, right), np.where(new, right, wrong)
    judged = task.evaluate(after, arrays, {"before_retraining": before})
    values = judged["values"]
    assert values["percent_correct"] == 100.0 and values["mse"] == 0.0
    assert judged["conditions"]["percent_correct"] == dict.fromkeys(trials.NAMES, 100.0)
    assert (values["old_tasks"], values["old_tasks.before_retraining"]) == (0.0, 100.0)
    assert (values["new_task"], values["new_task.before_retraining"]) == (100.0, 0.0)
    assert task.evaluate(after, arrays)["values"]["percent_correct"] == 25.0  # without the earlier parameters


def test_reference_rows(task):
    arrays = task.frozen("test").arrays
    values = {label: task.evaluate(f(arrays), arrays)["values"] for label, f in task.references.items()}
    percent = [m.name for m in task.metrics if m.higher_is_better]
    assert len(percent) == 4 and values["perfect"] == {"mse": 0.0, **dict.fromkeys(percent, 100.0)}
    assert values["opposite angle"]["percent_correct"] == 0.0
    assert values["opposite angle"]["percent_correct_published"] == 100.0
    # Five standard deviations of a mean over 4,000 trials.
    assert values["random angle"]["percent_correct"] == pytest.approx(10, abs=2.4)
    assert values["random angle"]["percent_correct_published"] == pytest.approx(19, abs=3.1)
    assert values["best constant"]["mse"] == pytest.approx(task.metrics[2].floor, abs=1e-9)


@pytest.mark.slow
def test_retraining_trains_only_part_of_every_model(task):
    """Every model under the default protocol, the models of the publication under all."""
    for entry in BASELINES.entries():
        for protocol in task.protocols if "paper" in entry.tags else task.protocols[:1]:
            experiment = resolution.resolve(Request(model=entry.name, task="multitask", protocol=protocol.name))
            first, second = experiment.resolved_protocol()["phases"]
            assert (first["partition"], first["data"], first["validation"]) == ("learned", "train", "validation")
            modulated = entry.name.startswith("nmrnn") or entry.name in ("gain_rnn", "hyper_rnn")
            assert second["partition"] == ("neuromodulatory_subnetwork" if modulated else "input_weights")
            assert second["data"] == ("retrain_noisy_context" if protocol.name == "paper_code" else "retrain")
            assert second["new_inputs"] == {"context/3": 0.1} and first["new_inputs"] == {}
            assert second["validation"] == "validation_retrain"
