"""Snapshots: training that goes on from any of them, through a file and back, ends with the same bits."""

import dataclasses

import jax
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.parameters import flatten
from nmbench.contracts.protocol import Phase
from nmbench.support.errors import NmbenchError
from nmbench.training import parameter_files, snapshot, state
from nmbench.training.trainer import TrainingRun, train

PHASES = (Phase(steps=25, batch_size=5, schedule="cosine"), Phase(steps=15, optimizer="radam", partition="input_weights"))
LANES = [TrainingRun(0, 1e-2), TrainingRun(1, 1e30), TrainingRun(2, 3e-3)]


def setup(task):
    baseline = BASELINES.get("rnn")
    return baseline, baseline.build(task.spec, {**baseline.hparams, "N": 6})


def run(task, lanes=LANES, **options):
    baseline, model = setup(task)
    return train(model, task, baseline, PHASES, lanes, validate_every=10, **options)[0]


def through_a_file(task, path, one):
    baseline, model = setup(task)
    arrays, facts = snapshot.pack(one)
    parameter_files.save_arrays(path, arrays, facts)
    return snapshot.unpack(*parameter_files.load_arrays(path), PHASES, 10, *state.shapes(model, baseline, PHASES))


def assert_same(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("params", "last_params"):
            a, b = ([leaf.tobytes() for leaf in flatten(x).values()] for x in (a, b))
        assert str(a) == str(b) if field.name == "curve" else a == b, field.name


@pytest.fixture
def trained(toy_task):
    """(what the lanes end with, their snapshots before the first chunk and after each, per phase)."""
    kept = []
    return run(toy_task, keep=lambda snapshots: kept.append(snapshots())), kept


@pytest.mark.slow
def test_every_snapshot_leads_to_the_same_end(toy_task, trained, tmp_path):
    """Two phases of another optimiser and partition each, one lane of three diverging on the way."""
    whole, kept = trained
    assert [(k[0].phase, k[0].step) for k in kept] == [(0, 0), (0, 10), (0, 20), (0, 25), (1, 0), (1, 10), (1, 15)]
    assert whole[1].diverged_at is not None and whole[0].diverged_at is None
    for i in (1, 4, 6):
        resume = [through_a_file(toy_task, tmp_path / "x", one) for one in kept[i]]
        assert all(snapshot.seal(*snapshot.pack(a)) == snapshot.seal(*snapshot.pack(b)) for a, b in zip(resume, kept[i]))
        for one, other in zip(whole, run(toy_task, resume=resume), strict=True):
            assert_same(one, other)
    # And so does a lane that goes on without the others.
    (alone,) = run(toy_task, [LANES[2]], resume=[kept[2][2]])
    assert [leaf.tobytes() for leaf in jax.tree.leaves(alone.params)] == [
        leaf.tobytes() for leaf in jax.tree.leaves(whole[2].params)
    ]
    assert alone.selected_step == whole[2].selected_step


SPOILT = {
    "a phase too many": lambda a, f: f.update(phase=2),
    "a negative step": lambda a, f: f.update(step=-1),
    "more steps than the phase has": lambda a, f: f.update(step=30),
    "between two validations": lambda a, f: f.update(step=7),
    "a step that is true": lambda a, f: f.update(step=True),
    "an endless time": lambda a, f: f.update(train_s=float("inf")),
    "a time in words": lambda a, f: f.update(train_s="long"),
    "divergence in the future": lambda a, f: f.update(diverged_at=1000),
    "no facts": lambda a, f: f.clear(),
    "a leaf too few": lambda a, f: a.pop(next(iter(a))),
    "a leaf too many": lambda a, f: a.update(more=np.zeros(3)),
    "another shape": lambda a, f: a.update({"state/.best_loss": np.zeros(2, np.float32)}),
    "another type": lambda a, f: a.update({"state/.best_loss": np.zeros((), np.float64)}),
    "another curve": lambda a, f: a.update(curve=a["curve"] + 1),
    "a curve of nothing": lambda a, f: a.update(curve=a["curve"] * np.nan),
    "another outcome": lambda a, f: a.update(outcomes=np.full((1, 2), 1e9)),
    "an outcome of nothing": lambda a, f: a.update(outcomes=np.full((1, 2), np.nan)),
}


def test_what_is_not_a_snapshot_of_the_run_is_refused(toy_task, trained):
    baseline, model = setup(toy_task)
    shapes = state.shapes(model, baseline, PHASES)
    for label, spoil in SPOILT.items():
        arrays, facts = snapshot.pack(trained[1][5][0])
        sealed = snapshot.seal(arrays, facts)
        spoil(arrays, facts)
        if label != "an endless time":
            assert snapshot.seal(arrays, facts) != sealed, label
        with pytest.raises(NmbenchError):
            snapshot.unpack(arrays, facts, PHASES, 10, *shapes)
            pytest.fail(label)
