"""The flip-flop against its definition, its metrics by hand, its frozen sets."""

import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS

TRAINED, EXTRAPOLATED = (4, 8, 12, 16, 20, 24), (32, 40, 48, 56, 64, 72, 80, 88, 96)
# No manifest contains the training data, so their hash is here; after a change, raise the task's version.
TRAINING_SHA256 = "3d06994e3488e50c"


@pytest.fixture(scope="module")
def task():
    return TASKS.get("flip_flop")


@pytest.fixture(scope="module")
def sets(task):
    return {split: task.draw_set(split) for split in ("train", "validation", "test")}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_trials_obey_the_definition(task, sets, split):
    """Targets and held times from plain loops over steps."""
    arrays = sets[split]
    batch = task.unpack(arrays)
    pulses, targets = batch.inputs["sensory"], batch.targets
    assert set(batch.inputs) == {"sensory"} and pulses.shape == targets.shape == (100, len(arrays["probed"]), 3)
    assert {pulses.dtype, targets.dtype, batch.mask.dtype} == {np.dtype("float32")} and batch.mask.tolist() == [
        [[1.0]]
    ] * 100
    assert set(np.unique(pulses)) == {-1, 0, 1} and np.all(pulses[0] != 0)
    for trial in range(0, pulses.shape[1], 7):
        for channel in range(3):
            bit, age, longest = 0.0, -1, 0
            for t in range(100):
                age += 1
                if pulses[t, trial, channel]:
                    bit, age = pulses[t, trial, channel], 0
                longest = max(longest, age)
                assert targets[t, trial, channel] == bit
            if channel == arrays["probed"][trial]:
                assert age == arrays["held"][trial]
            if split != "test" or channel != arrays["probed"][trial]:
                assert longest <= 24


def test_pulses_before_the_probe_and_in_other_channels_are_those_of_training(sets):
    """Shares of pulses by step agree within five standard errors; in the probed channel, up to its last pulse."""
    train, test = sets["train"], sets["test"]
    trials = np.arange(len(test["probed"]))
    expected = (train["pulses"] != 0).mean(axis=(1, 2))  # [T]
    others = np.ones(test["pulses"].shape[1:], bool)
    others[trials, test["probed"]] = False
    found = (test["pulses"] != 0)[:, others]
    assert np.all(np.abs(found.mean(axis=1) - expected) < 5 * np.sqrt(expected / found.shape[1] + expected / 9000))
    probed = (test["pulses"] != 0)[:, trials, test["probed"]]
    early = probed[:, test["held"] < 30][1:70]
    assert np.all(
        np.abs(early.mean(axis=1) - expected[1:70]) < 5 * np.sqrt(expected[1:70] * (1 / early.shape[1] + 1 / 9000))
    )
    assert {(channel, held) for channel, held in zip(test["probed"], test["held"], strict=True)} == {
        (channel, held) for channel in range(3) for held in TRAINED + EXTRAPOLATED
    }
    last = test["pulses"][99 - test["held"].astype(int), trials, test["probed"]]
    assert set(last) == {-1, 1} and abs(last.mean()) < 5 / np.sqrt(len(last))


def test_times_between_pulses_are_uniform(sets):
    """Each time to the second pulse, 1 to 25 steps, has the expected share within five standard errors."""
    second = np.argmax(sets["train"]["pulses"][1:] != 0, axis=0).ravel()
    counts = np.bincount(second, minlength=25)
    assert len(counts) == 25 and np.all(np.abs(counts - 9000 / 25) < 5 * np.sqrt(9000 / 25))
    signs = sets["train"]["pulses"][sets["train"]["pulses"] != 0]
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)


def test_sets_rebuild_byte_for_byte_and_do_not_overlap(task, sets):
    for split in ("validation", "test"):
        assert frozen_sets.digest(sets[split]) == task.frozen(split).sha256
    assert task.training["train"].fingerprint()[:16] == TRAINING_SHA256
    trials = [{trial.tobytes() for trial in one["pulses"].transpose(1, 0, 2)} for one in sets.values()]
    assert sum(map(len, trials)) == len(set.union(*trials)) == 3000 + 500 + 1800


def small():
    """Three trials that hold +1, -1 and +1 at the end, for 4, 96 and 24 steps, in channels 0, 1 and 2."""
    pulses = np.zeros((100, 3, 3), np.int8)
    pulses[0] = -1
    pulses[95, 0, 0], pulses[3, 1, 1], pulses[75, 2, 2] = 1, -1, 1
    return {"pulses": pulses, "probed": np.array([0, 1, 2], np.int8), "held": np.array([4, 96, 24], np.int8)}


def test_metrics_by_hand(task):
    arrays, predictions = small(), np.full((100, 3, 3), 9.0)
    predictions[-1, [0, 1, 2], [0, 1, 2]] = [0.5, 0.5, 1.0]
    judged = task.evaluate(predictions, arrays)
    np.testing.assert_array_equal(judged["per_trial"]["mse"], [0.25, 2.25, 0.0])
    np.testing.assert_array_equal(judged["per_trial"]["lost_bits"], [0, 1, 0])
    values = judged["values"]
    assert (values["mse_extrapolated"], values["mse_trained"]) == (2.25, 0.125)
    assert judged["conditions"]["mse"] == {"4": 0.25, "24": 0.0, "96": 2.25}
    perfect = task.evaluate(task.unpack(arrays).targets, arrays)["values"]
    assert set(perfect.values()) == {0.0}


def test_references_and_floors(task, sets):
    """The leaky trace by a loop over trials: fitted to the trials of each metric, the best one has the metric's floor."""
    test = sets["test"]
    values = {label: task.evaluate(answer(test), test)["values"] for label, answer in task.references.items()}
    assert (values["always 0"]["mse"], values["perfect"]["mse_extrapolated"]) == (1.0, 0.0)
    assert (values["forgets after 24 steps"]["mse_extrapolated"], values["forgets after 24 steps"]["mse_trained"]) == (
        1.0,
        0.0,
    )
    floors = {m.name: m.floor for m in task.metrics}
    assert values["best leaky trace"]["mse_extrapolated"] == pytest.approx(floors["mse_extrapolated"], abs=1e-8)
    bits = task.unpack(test).targets[-1, np.arange(1800), test["probed"]].astype(float)
    chosen = {"mse_extrapolated": test["held"] > 24, "mse_trained": test["held"] <= 24, "mse": test["held"] > 0}
    for name, trials in chosen.items():
        errors = []
        for leak in (5, 10, 20, 30, 50, 100):
            kernel = np.exp(-np.arange(100)[::-1] / leak)
            traces = np.array([kernel @ test["pulses"][:, i, c] for i, c in enumerate(test["probed"])])[trials]
            errors.append(np.mean((traces * (traces @ bits[trials]) / (traces @ traces) - bits[trials]) ** 2))
        assert min(errors) == pytest.approx(floors[name], abs=1e-8)
    assert [round(floors[name], 3) for name in chosen] == [0.670, 0.458, 0.689]
    assert task.primary.solved(0.04) and not task.primary.solved(0.041)


def test_epochs_end_with_the_held_bit(task):
    assert task.epochs(small(), 0) == [("pulses", 0, 95), ("hold", 95, 100)]
    assert task.epochs({"held": np.array([99])}, 0) == [("hold", 0, 100)]
