"""Integer targets of tasks with the loss "cross_entropy"."""

import dataclasses

import jax
import numpy as np
import pytest

from nmbench.contracts import class_targets
from nmbench.contracts.metrics import one_hot
from nmbench.contracts.specs import ArraySpec
from nmbench.contracts.task import Batch, FixedData, Sampler
from nmbench.support.errors import NmbenchError

LABELS = np.array([[0, 2], [1, -1]])
BATCH = Batch({"u": np.zeros((2, 2, 1))}, LABELS, np.ones((2, 1, 1)))


@pytest.fixture
def decision(toy_task):
    """A task that gives integers, not yet converted."""
    spec = dataclasses.replace(toy_task.spec, outputs=ArraySpec(3))
    training = {"new": Sampler(lambda key, size: BATCH), "fixed": FixedData(lambda: BATCH)}
    return dataclasses.replace(toy_task, spec=spec, loss="cross_entropy", unpack=lambda arrays: BATCH, training=training)


def test_sets_and_training_data_have_one_form(decision):
    task = class_targets.converted(decision)
    new = jax.jit(lambda key: task.training["new"].draw((), key, 2).targets)(jax.random.key(0))
    for found in (task.unpack({}).targets, new, task.training["fixed"].arrays().targets):
        np.testing.assert_array_equal(found, [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 0]]])
    # The fingerprint of a sampler is that of the file that defines it, and a second conversion changes nothing.
    assert task.training["new"].fingerprint() == decision.training["new"].fingerprint()
    np.testing.assert_array_equal(class_targets.converted(task).unpack({}).targets, task.unpack({}).targets)


def test_a_task_with_another_loss_is_unchanged(toy_task):
    assert class_targets.converted(toy_task) is toy_task


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 2)), r"targets of task 'toy' are float64 \[2, 2\]; .* classes, integers \[T, B\], or .* \[T, B, 3\]"),
        (one_hot(LABELS, 2), r"are float32 \[2, 2, 2\]"),
        (LABELS + 1, "is class 3; its 3 outputs are the classes 0 to 2, and -1 means"),
        (LABELS - 1, "is class -2"),
    ],
)
def test_wrong_targets_are_named(decision, given, message):
    decision = dataclasses.replace(decision, unpack=lambda arrays: BATCH._replace(targets=given))
    with pytest.raises(NmbenchError, match=message):
        class_targets.converted(decision).unpack({})
