"""Chunks executed in pieces: the result is bit for bit the same, and progress is reported in between."""

import time

import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.parameters import flatten
from nmbench.contracts.protocol import Phase
from nmbench.training import piece_length
from nmbench.training.piece_length import PieceLength
from nmbench.training.trainer import Trainer, TrainingRun, TrainingSetup


class Clock:
    """A `time.perf_counter` that advances only when the test advances it."""

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
    length = PieceLength()
    assert length.start(250) == piece_length.FIRST_STEPS == 4
    clock.now += 0.4
    length.finish(4)
    assert not length.report_due()
    assert length.start(246) == 20
    clock.now += 40.0
    length.finish(20)
    assert length.report_due() and not length.report_due()
    assert length.start(226) == 1
    length.finish(1)  # the clock has not advanced
    assert length.start(225) == 225


def test_pieces_give_the_result_of_the_whole_chunk(toy_task, monkeypatch):
    """With pieces of three steps and a report after each, parameters, curves and selection are the same."""
    baseline = BASELINES.get("rnn")
    model = baseline.build(toy_task.spec, {**baseline.hparams, "N": 5})
    setup = TrainingSetup(model=model, task=toy_task, baseline=baseline, phases=[Phase(steps=20)], validate_every=10)
    runs = [TrainingRun(0, 1e-2), TrainingRun(1, 3e-2), TrainingRun(2, 1e-3)]

    def train():
        trainer = Trainer(setup, runs)
        pieces = [piece for piece in trainer if piece.train_losses is not None]
        return trainer.results(), pieces

    monkeypatch.setattr(PieceLength, "start", lambda self, remaining: remaining)
    whole, chunks = train()
    monkeypatch.setattr(PieceLength, "start", lambda self, remaining: min(remaining, 3))
    monkeypatch.setattr(PieceLength, "report_due", lambda self: True)
    divided, pieces = train()
    assert [piece.step for piece in chunks] == [10, 20]
    assert [piece.step for piece in pieces] == [3, 6, 9, 10, 13, 16, 19, 20]
    assert [piece.validation_losses is not None for piece in pieces] == 2 * [False, False, False, True]
    for a, b in zip(whole, divided, strict=True):
        assert (a.curve, a.selected_step, a.validation_loss) == (b.curve, b.selected_step, b.validation_loss)
        for name, leaf in flatten(a.last_params).items():
            np.testing.assert_array_equal(flatten(b.last_params)[name], leaf)
    # Within a chunk the reported loss is the mean of the chunk so far.
    np.testing.assert_array_equal(pieces[3].train_losses, chunks[0].train_losses)
    assert not np.array_equal(pieces[0].train_losses, chunks[0].train_losses)
