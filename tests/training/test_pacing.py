"""Chunks in pieces: the same bits, and a report on the way."""

import time

import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.parameters import flatten
from nmbench.contracts.protocol import Phase
from nmbench.training import pacing
from nmbench.training.trainer import TrainingRun, train


class Clock:
    """`time.perf_counter` that only moves when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_pieces_last_about_two_seconds(clock):
    pieces = pacing.Pace()
    assert pieces.steps(250) == pacing.FIRST == 4
    clock.now += 0.4
    pieces.ran(4)
    assert not pieces.due()
    assert pieces.steps(246) == 20
    clock.now += 40.0
    pieces.ran(20)
    assert pieces.due() and not pieces.due()
    assert pieces.steps(226) == 1
    pieces.ran(1)  # in no time at all
    assert pieces.steps(225) == 225


def test_a_chunk_in_pieces_is_the_chunk(toy_task, monkeypatch):
    """Three steps at a time, a report after each piece; parameters, curves and selection to the last bit."""
    baseline = BASELINES.get("rnn")
    model = baseline.build(toy_task.spec, {**baseline.hparams, "N": 5})

    def run(report):
        lanes = [TrainingRun(0, 1e-2), TrainingRun(1, 3e-2), TrainingRun(2, 1e-3)]
        return train(model, toy_task, baseline, [Phase(steps=20)], lanes, validate_every=10, report=report)[0]

    told, pieces_told = [], []
    monkeypatch.setattr(pacing.Pace, "steps", lambda self, left: left)
    whole = run(lambda step, losses: told.append((step, losses)))
    monkeypatch.setattr(pacing.Pace, "steps", lambda self, left: min(left, 3))
    monkeypatch.setattr(pacing.Pace, "due", lambda self: True)
    pieces = run(lambda step, losses: pieces_told.append((step, losses)))
    assert [step for step, _ in told] == [10, 20]
    assert [step for step, _ in pieces_told] == [3, 6, 9, 10, 13, 16, 19, 20]
    for a, b in zip(whole, pieces, strict=True):
        assert (a.curve, a.selected_step, a.validation_loss) == (b.curve, b.selected_step, b.validation_loss)
        for name, leaf in flatten(a.last_params).items():
            np.testing.assert_array_equal(flatten(b.last_params)[name], leaf)
    # On the way it is the mean of the chunk so far.
    np.testing.assert_array_equal(pieces_told[3][1], told[0][1])
    assert not np.array_equal(pieces_told[0][1], told[0][1])
