"""Snapshots: training resumed from any of them, through a file and back, gives bit for bit the same result."""

import dataclasses

import jax
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.parameters import flatten
from nmbench.contracts.protocol import Phase
from nmbench.training import parameter_files, snapshot
from nmbench.training.trainer import Trainer, TrainingRun, TrainingSetup

PHASES = (Phase(steps=25, batch_size=5, schedule="cosine"), Phase(steps=15, optimizer="radam", partition="input_weights"))
RUNS = [TrainingRun(0, 1e-2), TrainingRun(1, 1e30), TrainingRun(2, 3e-3)]


def train(task, runs=RUNS, resume=()):
    """Results, and snapshots at the start of every phase and after every chunk."""
    baseline = BASELINES.get("rnn")
    model = baseline.build(task.spec, {**baseline.hparams, "N": 6})
    setup = TrainingSetup(model=model, task=task, baseline=baseline, phases=PHASES, validate_every=10)
    trainer = Trainer(setup, runs, resume)
    kept = [trainer.snapshots() for piece in trainer if piece.train_losses is None or piece.validation_losses is not None]
    return trainer.results(), kept


def through_a_file(path, one):
    arrays, facts = snapshot.pack(one)
    parameter_files.save_arrays(path, arrays, facts)
    return snapshot.unpack(*parameter_files.load_arrays(path))


def assert_same(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("params", "last_params"):
            a, b = ([leaf.tobytes() for leaf in flatten(x).values()] for x in (a, b))
        assert str(a) == str(b) if field.name == "curve" else a == b, field.name


@pytest.mark.slow
def test_resuming_from_a_snapshot_gives_the_same_result(toy_task, tmp_path):
    """Two phases with different optimisers and partitions; one run of three diverges."""
    whole, kept = train(toy_task)
    assert [(k[0].phase, k[0].step) for k in kept] == [(0, 0), (0, 10), (0, 20), (0, 25), (1, 0), (1, 10), (1, 15)]
    assert whole[1].diverged_at is not None and whole[0].diverged_at is None
    for i in (1, 4, 6):
        resume = [through_a_file(tmp_path / "x", one) for one in kept[i]]
        hashes = [[snapshot.content_hash(*snapshot.pack(one)) for one in some] for some in (resume, kept[i])]
        assert hashes[0] == hashes[1]
        for one, other in zip(whole, train(toy_task, resume=resume)[0], strict=True):
            assert_same(one, other)
    # A run resumed without the others gives the same result, too.
    ((alone,), _) = train(toy_task, [RUNS[2]], resume=[kept[2][2]])
    assert [leaf.tobytes() for leaf in jax.tree.leaves(alone.params)] == [
        leaf.tobytes() for leaf in jax.tree.leaves(whole[2].params)
    ]
    assert alone.selected_step == whole[2].selected_step


def test_the_hash_covers_every_array_and_fact():
    made = snapshot.Snapshot(
        phase=1,
        step=10,
        state={"w": np.arange(3.0)},
        outcomes=[snapshot.PhaseOutcome({"w": np.ones(3)}, {"w": np.zeros(3)}, 20, 0.5)],
        curve=[snapshot.CurvePoint(10, 1.0, float("inf"))],
        diverged_at=None,
    )
    seen = {snapshot.content_hash(*snapshot.pack(made))}
    changes = [("phase", 0), ("step", 20), ("state", {"w": np.arange(3.0) + 1}), ("outcomes", []), ("curve", [])]
    for name, value in [*changes, ("diverged_at", 3), ("train_s", 1.0)]:
        seen.add(snapshot.content_hash(*snapshot.pack(dataclasses.replace(made, **{name: value}))))
    assert len(seen) == 8
