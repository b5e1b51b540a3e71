"""Check Pro/Anti trials, one by one, against their definition (supplement C.2). The tests of two task files use it."""

import cmath
import itertools
import math

import numpy as np

from nmbench.tasks import _pro_anti_trials as trials

# Epochs in order, with the ranges of their durations in seconds.
DURATIONS = {
    "delay": {"fixation": (0.3, 0.7), "stimulus": (0.2, 1.5), "go": (0.3, 0.7)},
    "memory": {"fixation": (0.3, 0.7), "stimulus": (0.2, 1.6), "memory": (0.2, 1.6), "go": (0.3, 0.7)},
}


def check_trials(arrays, batch):
    """Check about 500 trials, spread over the set, mainly by their inputs and targets."""
    sensory, targets = batch.inputs["sensory"], batch.targets
    n = len(arrays["task"])
    assert sensory.shape == targets.shape == (100, n, 3) and sensory.dtype == targets.dtype == np.float32
    np.testing.assert_array_equal(np.broadcast_to(batch.mask, targets.shape), 1)
    for i in range(0, n, max(1, n // 500)):
        name = trials.NAMES[arrays["task"][i]]
        kind = name.split("_")[0]
        epochs = trials.epochs(arrays, i)
        check_epochs(epochs, DURATIONS[kind])
        first = {epoch: start for epoch, start, _ in epochs}
        fixation, sine, cosine = sensory[:, i].T
        go = first["go"]
        np.testing.assert_array_equal(fixation, [1] * go + [0] * (100 - go))
        # From its onset to the end (Delay) or to the memory epoch (Memory), the stimulus is constant with amplitude 1.
        gone = first.get("memory", 100)
        on = np.hypot(sine, cosine)
        np.testing.assert_allclose(on[first["stimulus"] : gone], 1, atol=1e-6)
        assert not on[: first["stimulus"]].any() and not on[gone:].any()
        assert len(np.unique(sensory[first["stimulus"] : gone, i, 1:], axis=0)) == 1
        # Targets before go: 0.8 for fixation, 0 for the angle. From go on: 0 for fixation, and the angle or its opposite.
        np.testing.assert_array_equal(targets[:go, i], np.tile(np.float32([0.8, 0, 0]), (go, 1)))
        sign = -1 if name.endswith("anti") else 1
        start = first["stimulus"]
        np.testing.assert_allclose(targets[go:, i], [[0, sign * sine[start], sign * cosine[start]]] * (100 - go), atol=1e-6)
        angle = math.atan2(sine[start], cosine[start])
        assert abs(cmath.phase(cmath.rect(1, angle - arrays["theta_in"][i]))) < 1e-6


def check_epochs(epochs, durations):
    """Epochs are in order and fill 100 steps without gaps; one trial length in seconds explains all their durations."""
    assert [name for name, _, _ in epochs] == list(durations)
    assert epochs[0][1] == 0 and epochs[-1][2] == 100
    assert all(before[2] == after[1] for before, after in itertools.pairwise(epochs))
    shortest, longest = sum(lo for lo, _ in durations.values()), sum(hi for _, hi in durations.values())
    for name, start, stop in epochs:
        # Both ends are rounded up, which changes a duration by less than one step.
        assert stop - start >= 6
        shortest = max(shortest, 100 * durations[name][0] / (stop - start + 1))
        longest = min(longest, 100 * durations[name][1] / (stop - start - 1))
    assert shortest < longest
