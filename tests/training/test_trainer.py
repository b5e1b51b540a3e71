"""The trainer against a plain Python loop; independence of runs, phases, selection and divergence."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.parameters import flatten
from nmbench.contracts.protocol import Phase
from nmbench.contracts.task import Sampler
from nmbench.support.errors import NmbenchError
from nmbench.training import phase_program
from nmbench.training.phase_program import masked_mse, mean_loss
from nmbench.training.trainer import Trainer, TrainingRun, TrainingSetup


def setup(task, name="rnn"):
    baseline = BASELINES.get(name)
    return baseline, baseline.build(task.spec, {**baseline.hparams, baseline.free_size: 6})


def trainer_of(task, phases, runs, name="rnn", validate_every=10, **options):
    baseline, model = setup(task, name)
    options |= {"task": task, "phases": phases, "validate_every": validate_every}
    return Trainer(TrainingSetup(model=model, baseline=baseline, **options), runs)


def run(task, phases, runs, name="rnn", validate_every=10, **options):
    trainer = trainer_of(task, phases, runs, name, validate_every, **options)
    for _ in trainer:
        pass
    return trainer.results()


def plain_loop(task, phase, seed, optimizer):
    """The loop that a user would write: one jitted step in a Python loop."""
    _, model = setup(task)
    params = jax.jit(model.init)(jax.random.key(seed))
    state = optimizer.init(params)
    data = task.training["train"]
    key = jax.random.fold_in(jax.random.key(0), 0)

    @jax.jit
    def step(params, state, batch):
        loss = lambda p: masked_mse(model.apply(p, batch.inputs), batch.targets, batch.mask)
        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    draw = jax.jit(lambda d, i: phase_program.as_float(data.draw(d, jax.random.fold_in(key, i), phase.batch_size)))
    losses = []
    for i in range(phase.steps):
        batch = draw(data.arrays(), i)
        params, state, value = step(params, state, batch)
        losses.append(float(value))
    return params, losses


PHASES = {
    "adam": (Phase(steps=25), 1e-2, optax.adam(1e-2)),
    "adamw with options, clipped elements": (
        Phase(steps=25, weight_decay=0.1, clip_value=0.01, optimizer_options={"eps": 1e-3, "b1": 0.5}),
        3e-3,
        optax.chain(optax.clip(0.01), optax.adamw(3e-3, b1=0.5, eps=1e-3, weight_decay=0.1)),
    ),
    "cosine, clipped norm, batches": (
        Phase(steps=25, schedule="cosine", clip_norm=0.1, batch_size=5),
        1e-2,
        optax.chain(optax.clip_by_global_norm(0.1), optax.adam(optax.cosine_decay_schedule(1e-2, 25))),
    ),
    "sgd with warm-up": (
        Phase(steps=25, optimizer="sgd", warmup_steps=10, relative_rate=0.1),
        1e-1,
        optax.sgd(lambda t: 1e-2 * jnp.minimum(1.0, (t + 1).astype(float) / 10)),
    ),
}


@pytest.mark.parametrize("label", PHASES)
def test_trainer_equals_a_plain_loop_in_float64(toy_task, label):
    phase, rate, optimizer = PHASES[label]
    with jax.enable_x64(True):
        (trained,) = run(toy_task, [phase], [TrainingRun(3, rate)])
        params, losses = plain_loop(toy_task, phase, 3, optimizer)
    for name, leaf in flatten(params).items():
        np.testing.assert_allclose(flatten(trained.last_params)[name], leaf, rtol=1e-10, atol=1e-12)
    assert [p.step for p in trained.curve] == [10, 20, 25]
    expected = [np.mean(losses[:10]), np.mean(losses[10:20]), np.mean(losses[20:])]
    np.testing.assert_allclose([p.train_loss for p in trained.curve], expected, rtol=1e-10)


@pytest.mark.slow
def test_optimizer_restarts_at_the_given_interval(toy_task):
    """A phase with a reset at step ten equals two phases of ten steps, each with a new optimiser state."""
    with jax.enable_x64(True):
        (trained,) = run(toy_task, [Phase(steps=20, reset_optimizer_every=10)], [TrainingRun(0, 1e-2)])
        (fresh,) = run(toy_task, [Phase(steps=10)] * 2, [TrainingRun(0, 1e-2)], selection="last")
    for name, leaf in flatten(fresh.last_params).items():
        np.testing.assert_allclose(flatten(trained.last_params)[name], leaf, rtol=1e-10, atol=1e-12)


@pytest.mark.exact
def test_runs_do_not_depend_on_the_runs_beside_them(toy_task):
    """Each of five runs, trained alone, has bit for bit the same parameters and validation losses."""
    phase = Phase(steps=30)
    runs = [TrainingRun(0, 1e-2), TrainingRun(1, 1e-2), TrainingRun(2, 1e-3), TrainingRun(0, 1e-3), TrainingRun(4, 3e-2)]
    together = run(toy_task, [phase], runs)
    for one, trained in zip(runs, together, strict=True):
        (alone,) = run(toy_task, [phase], [one])
        assert alone.selected_step == trained.selected_step
        assert [p.validation_loss for p in alone.curve] == [p.validation_loss for p in trained.curve]
        # Only the reported mean training loss may differ, because it is summed in another order.
        np.testing.assert_allclose([p.train_loss for p in alone.curve], [p.train_loss for p in trained.curve], rtol=1e-6)
        for name, leaf in flatten(alone.params).items():
            np.testing.assert_array_equal(flatten(trained.params)[name], leaf)


@pytest.mark.exact
def test_a_single_run_of_a_real_task_equals_the_run_beside_others():
    """On this task, XLA once compiled a program for one run per device differently from one for several."""
    task, baseline = TASKS.get("mwg_rank3"), BASELINES.get("nmrnn")
    model = baseline.build(task.spec, {**baseline.defaults(task.name, "matched"), "N": 20})
    phase = dataclasses.replace(task.protocol("matched").phases_for("nmrnn")[0], steps=100)
    options = {"task": task, "baseline": baseline, "phases": [phase], "validate_every": 50}
    losses = []
    for seeds in ([0], [0, 1, 2]):
        trainer = Trainer(TrainingSetup(model=model, **options), [TrainingRun(seed, 1e-2) for seed in seeds])
        for _ in trainer:
            pass
        losses.append([point.validation_loss for point in trainer.results()[0].curve])
    assert losses[0] == losses[1]


def test_one_device_and_two_give_the_same_parameters(toy_task):
    runs = [TrainingRun(seed, 1e-2) for seed in range(3)]
    one = run(toy_task, [Phase(steps=20)], runs, max_devices=1)
    two = run(toy_task, [Phase(steps=20)], runs, max_devices=2)
    for a, b in zip(one, two, strict=True):
        for name, leaf in flatten(a.params).items():
            np.testing.assert_array_equal(flatten(b.params)[name], leaf)


def test_the_same_program_repeats_exactly(toy_task):
    runs = [TrainingRun(seed, 1e-2) for seed in range(4)]
    a, b = (run(toy_task, [Phase(steps=20)], runs) for _ in range(2))
    for x, y in zip(a, b, strict=True):
        assert x.curve == y.curve
        for name, leaf in flatten(x.params).items():
            np.testing.assert_array_equal(flatten(y.params)[name], leaf)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moving", "still"),
    [("output_subnetwork", "neuromodulatory_subnetwork"), ("neuromodulatory_subnetwork", "output_subnetwork")],
)
def test_frozen_parameters_do_not_change_by_one_bit(toy_task, moving, still):
    """Even with weight decay and clipping, only the partition changes, and all of its parameters do."""
    baseline, model = setup(toy_task, "nmrnn")
    phase = Phase(steps=15, weight_decay=0.1, clip_norm=1.0, partition=moving)
    (trained,) = run(toy_task, [phase], [TrainingRun(5, 1e-2)], "nmrnn")
    before = flatten(jax.jit(model.init)(jax.random.key(5)))
    for name, leaf in flatten(trained.last_params).items():
        if baseline.partition(still)(*name.split("|")):
            np.testing.assert_array_equal(leaf, before[name], err_msg=name)
        else:
            assert not np.array_equal(leaf, before[name]), name


@pytest.mark.slow
def test_a_frozen_partition_stays_through_a_staged_protocol(toy_task):
    """In every phase, untrained parameters are bit for bit those that the previous phase selected."""
    baseline, model = setup(toy_task, "nmrnn")
    order = ["output_subnetwork", "neuromodulatory_subnetwork", "learned"]
    phases = [Phase(steps=10, weight_decay=0.1, clip_norm=1.0, partition=name, stage=name) for name in order]
    (trained,) = run(toy_task, phases, [TrainingRun(5, 1e-2)], "nmrnn")
    before = flatten(jax.jit(model.init)(jax.random.key(5)))
    for name in order:
        after = flatten(trained.stages[name])
        moves = baseline.partition(name)
        for parameter, leaf in after.items():
            same = np.array_equal(leaf, before[parameter])
            assert same != moves(*parameter.split("|")), (name, parameter)
        before = after
    for parameter, leaf in flatten(trained.params).items():
        np.testing.assert_array_equal(leaf, before[parameter])
    assert trained.phase_losses[-1] == trained.validation_loss and len(trained.phase_losses) == 3


@pytest.mark.parametrize("name", ["rnn", *(pytest.param(n, marks=pytest.mark.slow) for n in ("nmrnn", "lrrnn", "lstm"))])
def test_weights_of_a_new_input_start_at_the_given_value(toy_task, name):
    """With learning rate 0, the second phase keeps its start: the named column is 0.25, all else is from the first phase."""
    phases = [Phase(steps=5, stage="first"), Phase(steps=1, relative_rate=0.0, new_inputs={"context/0": 0.25})]
    (trained,) = run(toy_task, phases, [TrainingRun(2, 1e-2)], name)
    before, after = flatten(trained.stages["first"]), flatten(trained.params)
    # dm-tree sorts "context" before "sensory", so it is column 0 of weights that read both. B_x reads only `sensory`.
    readers = {"nmrnn": {"B_z"}, "nmrnn_linear": {"B_z"}, "lrrnn": {"B"}, "rnn": {"B"}, "lstm": {"W_u"}}[name]
    for parameter, leaf in after.items():
        if parameter.split("|")[-1] in readers:
            np.testing.assert_array_equal(leaf[:, 0], np.float32(0.25))
            np.testing.assert_array_equal(leaf[:, 1:], before[parameter][:, 1:])
            assert not np.any(before[parameter][:, 0] == np.float32(0.25))
        else:
            np.testing.assert_array_equal(leaf, before[parameter])


def test_fixed_numbers_never_change(toy_task):
    baseline = BASELINES.get("lstm")
    model = baseline.build(toy_task.spec, {"N": 4, "drawn_start": True})
    runs = [TrainingRun(7, 1e-2), TrainingRun(8, 1e-2)]
    options = {"task": toy_task, "baseline": baseline, "validate_every": 5}
    trainer = Trainer(TrainingSetup(model=model, phases=[Phase(steps=10, weight_decay=0.5)], **options), runs)
    assert sum(piece.validation_losses is not None for piece in trainer) == 2
    results = trainer.results()
    starts = []
    for one, trained in zip(runs, results, strict=True):
        before = flatten(jax.jit(model.init)(jax.random.key(one.seed)))
        np.testing.assert_array_equal(flatten(trained.last_params)["lstm|fixed_h0"], before["lstm|fixed_h0"])
        starts.append(before["lstm|fixed_h0"])
    assert not np.array_equal(*starts)


def test_best_parameters_are_those_of_the_lowest_validation_loss(toy_task):
    """The learning rate is so high that the loss oscillates; the kept parameters reproduce the curve's minimum."""
    (trained,) = run(toy_task, [Phase(steps=60)], [TrainingRun(0, 2.0)], validate_every=5)
    losses = [p.validation_loss for p in trained.curve]
    assert trained.validation_loss == min(losses)
    assert trained.selected_step == trained.curve[int(np.argmin(losses))].step
    _, model = setup(toy_task)
    batch = toy_task.unpack(toy_task.frozen("validation").arrays)
    again = masked_mse(model.apply(trained.params, batch.inputs), batch.targets, batch.mask)
    np.testing.assert_allclose(again, min(losses), rtol=1e-5)


@pytest.mark.slow
def test_a_second_phase_continues_the_curve_of_the_first(toy_task):
    first, second = Phase(steps=20), Phase(steps=10, relative_rate=0.1)
    with jax.enable_x64(True):
        (both,) = run(toy_task, [first, second], [TrainingRun(1, 1e-2)], selection="last")
        (one,) = run(toy_task, [first], [TrainingRun(1, 1e-2)], selection="last")
    assert [p.step for p in both.curve] == [10, 20, 30]
    np.testing.assert_allclose(both.curve[1].validation_loss, one.curve[1].validation_loss, rtol=1e-12)
    assert both.selected_step == 30


def test_divergence_is_recorded_and_leaves_others_unharmed(toy_task):
    good, wild = TrainingRun(0, 1e-2), TrainingRun(1, 1e12)
    phase = Phase(steps=30, optimizer="sgd")
    (alone,) = run(toy_task, [phase], [good])
    results = run(toy_task, [phase], [good, wild, good])
    assert [r.diverged_at is not None for r in results] == [False, True, False]
    assert 1 < results[1].diverged_at <= 10
    for index in (0, 2):
        for name, leaf in flatten(alone.params).items():
            np.testing.assert_allclose(flatten(results[index].params)[name], leaf, rtol=2e-4, atol=2e-5)


def test_runaway_loss_counts_as_diverged(toy_task):
    (trained,) = run(toy_task, [Phase(steps=20)], [TrainingRun(0, 1e-3)], loss_limit=1e-6)
    assert trained.diverged_at == 1


@pytest.mark.slow
def test_training_data_depends_on_its_own_seed_only(toy_task):
    """The keys of a sampler change with the step and the data seed, but not with the run."""

    def sample(key, batch_size):
        batch = toy_task.training["train"].make()
        level = jax.random.uniform(key)
        batch = jax.tree.map(lambda a: jnp.asarray(a)[:, :batch_size], batch._replace(mask=np.ones((5, 12, 1))))
        return batch._replace(targets=jnp.full_like(batch.targets, 1e4) * level)

    task = dataclasses.replace(toy_task, training={"train": Sampler(sample)})
    phase = Phase(steps=3, batch_size=2)
    curves = lambda **options: [
        [p.train_loss for p in r.curve]
        for r in run(task, [phase], [TrainingRun(0, 0.0), TrainingRun(1, 0.0)], validate_every=1, **options)
    ]
    (a, b), (c, _) = curves(), curves(data_seed=1)
    np.testing.assert_allclose(a, b, rtol=0.05)  # the same targets, different networks
    assert len({round(x) for x in a}) == 3
    assert not np.allclose(a, c, rtol=0.05)


def test_a_phase_that_cannot_run_is_refused_before_anything_is_computed(toy_task):
    for phase, word in [
        (Phase(steps=1, partition="input_wieghts"), "did you mean 'input_weights'"),
        (Phase(steps=1, data="retrain"), "no training data"),
        (Phase(steps=1, validation="nowhere"), "no frozen set"),
        (Phase(steps=1, optimizer_options={"epsilon": 1.0}), "refuses"),
        (Phase(steps=1, new_inputs={"context/1": 0.1}), "no input channel 'context/1'; channels: context/0, sensory/0"),
    ]:
        with pytest.raises(NmbenchError, match=word):
            run(toy_task, [phase], [TrainingRun(0, 1e-2)])
    for options in ({"optimizer": "adm"}, {"schedule": "linear"}, {"clip_norm": -1.0}):
        with pytest.raises(NmbenchError):
            Phase(steps=1, **options)
    with pytest.raises(NmbenchError):
        Phase(steps=0)


def test_training_ends_with_the_phase_in_which_every_run_diverged(toy_task):
    phases = [Phase(steps=20, optimizer="sgd"), Phase(steps=20, relative_rate=0.0)]
    trainer = trainer_of(toy_task, phases, [TrainingRun(0, 1e12)])
    assert [piece.step for piece in trainer if piece.validation_losses is not None] == [10]
    assert trainer.results()[0].diverged_at is not None


def test_a_run_that_diverged_ends_with_its_phase(toy_task):
    """As it does alone."""
    phases = [Phase(steps=20, optimizer="sgd"), Phase(steps=20, optimizer="sgd", relative_rate=0.1)]
    good, wild = TrainingRun(0, 1e-2), TrainingRun(1, 1e12)
    (alone,) = run(toy_task, phases, [wild])
    _, beside = run(toy_task, phases, [good, wild])
    assert len(beside.phase_losses) == len(alone.phase_losses) == 1
    assert (beside.selected_step, beside.diverged_at) == (alone.selected_step, alone.diverged_at)
    assert beside.curve[-1].step <= 20


def test_memory_of_the_program_does_not_grow_with_steps(toy_task):
    """The number of live buffers is the same after forty chunks as after four."""
    trainer = trainer_of(toy_task, [Phase(steps=40)], [TrainingRun(0, 1e-2)], validate_every=1)
    counts = [len(jax.live_arrays()) for piece in trainer if piece.validation_losses is not None]
    assert len(counts) == 40
    assert max(counts[3:]) == min(counts[3:])


def test_validation_loss_does_not_depend_on_the_trials_at_once(toy_task, monkeypatch):
    whole = run(toy_task, [Phase(steps=5)], [TrainingRun(0, 1e-2)])[0].curve[0].validation_loss
    monkeypatch.setattr(phase_program, "VALIDATION_TRIALS_AT_ONCE", 5)
    pieces = run(toy_task, [Phase(steps=5)], [TrainingRun(0, 1e-2)])[0].curve[0].validation_loss
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_cross_entropy_by_hand():
    """Two steps with logits (log 3, 0) count, with the first class right and then the second; two steps do not count."""
    outputs = jnp.log(jnp.array([[3.0, 1.0]] * 4)).reshape(4, 1, 2)
    targets = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]).reshape(4, 1, 2)
    mask = jnp.array([1.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1)
    task = types.SimpleNamespace(loss="cross_entropy")
    assert float(mean_loss(task, outputs, targets, mask)) == pytest.approx((np.log(4 / 3) + np.log(4)) / 2, rel=1e-6)


def test_squared_error_is_the_same_program_as_before_losses_could_be_chosen(toy_task):
    batch = jnp.ones((3, 2, 1)), jnp.zeros((3, 2, 1)), jnp.ones((3, 1, 1))
    chosen, plain = jax.make_jaxpr(lambda *b: mean_loss(toy_task, *b))(*batch), jax.make_jaxpr(masked_mse)(*batch)
    assert str(chosen) == str(plain)


def test_masked_mse_by_hand():
    outputs = jnp.array([1.0, 5.0, 2.0]).reshape(3, 1, 1)
    targets = jnp.array([0.0, 0.0, 4.0]).reshape(3, 1, 1)
    mask = jnp.array([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    assert float(masked_mse(outputs, targets, mask)) == 2.5
