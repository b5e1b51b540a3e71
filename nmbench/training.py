"""The training engine: any phases, several runs ("lanes") in one compiled program, data drawn on the device.

A lane is one (seed, learning rate). Lanes are sharded over devices; within a device each step goes through them one after
another. That is measured faster than vectorising over them, since one lane's activations fit into the cache and several do
not, and a lane's parameters then do not depend on its neighbours by a single bit. Lanes share the training batches, since
data never depends on the model or its seed, and nothing else: one that diverges leaves the others as they are. Steps run in
compiled chunks of `validate_every`; after each, the validation loss decides which parameters to keep. Memory does not grow
with the number of steps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nmbench import params as flat_params
from nmbench.errors import NmbenchError
from nmbench.input_weights import check_new_inputs, start_new_inputs
from nmbench.model import Baseline, Model
from nmbench.optimizer import rate_factor, transform
from nmbench.protocol import Phase
from nmbench.task import Batch, Task

VALIDATION_TRIALS_AT_ONCE = 500


class Lane(NamedTuple):
    """One run among those trained together."""

    seed: int
    learning_rate: float


class CurvePoint(NamedTuple):
    """One row of a training curve: after `step` steps in all, mean training loss since the last point, validation loss."""

    step: int
    train_loss: float
    validation_loss: float


@dataclasses.dataclass(frozen=True)
class Trained:
    """What one lane ends with.

    Attributes:
      params: the selected parameters, NumPy leaves in the model's own tree.
      last_params: those after the last step.
      selected_step: step (counted over all phases) that `params` come from; 0 is the initial state.
      validation_loss: of `params`.
      phase_losses: selected validation loss of every phase, each on the phase's own validation set.
      stages: parameters selected by the phases that carry a stage's name.
      curve: one point per validation.
      diverged_at: first step whose loss was not finite or above the limit (the last step if only the validation loss
        never was finite), None if all was well.
    """

    params: Any
    last_params: Any
    selected_step: int
    validation_loss: float
    phase_losses: list[float]
    stages: dict[str, Any]
    curve: list[CurvePoint]
    diverged_at: int | None


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds spent compiling and training, over all lanes together, and the number of devices used."""

    compile_s: float
    train_s: float
    devices: int


Report = Callable[[int, np.ndarray], None]
Log = Callable[[int, np.ndarray, np.ndarray], None]


def masked_mse(outputs, targets, mask):
    """Mean of mask * (outputs - targets)^2 over what the mask selects. outputs, targets: `[T, B, O]`; mask broadcasts."""
    error, weight = masked_sums(outputs, targets, mask)
    return error / weight


def masked_sums(outputs, targets, mask):
    """(sum of mask * (outputs - targets)^2, sum of mask): numerator and denominator of `masked_mse`."""
    weights = jnp.broadcast_to(mask, targets.shape)
    return jnp.sum(weights * (outputs - targets) ** 2), jnp.sum(weights)


def train(
    model: Model,
    task: Task,
    baseline: Baseline,
    phases: Sequence[Phase],
    lanes: Sequence[Lane],
    *,
    validate_every: int,
    selection: str = "best",
    loss_limit: float = 1e8,
    data_seed: int = 0,
    max_devices: int | None = None,
    report: Report = lambda step, losses: None,
    log: Log = lambda step, losses, validation: None,
) -> tuple[list[Trained], Timing]:
    """Train all lanes through all phases.

    Each phase starts from the parameters that the phase before selected, with a fresh optimiser.

    Args:
      model: what to train.
      task: gives training data and validation sets.
      baseline: gives the partitions that phases refer to.
      phases: each with one partition.
      lanes: the runs.
      validate_every: steps per compiled chunk.
      selection: "best" or "last".
      loss_limit: see `Protocol`.
      data_seed: seed of the training data stream.
      max_devices: bound on the number of devices; all by default.
      report: called after every chunk with the steps done so far and the latest mean training loss per lane, `[lanes]`.
      log: the same with the validation losses, `[lanes]`, as third argument.

    Returns:
      one `Trained` per lane in order, and the timing.
    """
    check(task, baseline, phases)
    devices = jax.devices()[: min(len(lanes), max_devices or len(lanes))]
    padded = [*lanes, *lanes[: -len(lanes) % len(devices)]]
    mesh = Mesh(np.asarray(devices), ("lanes",))
    init = jax.jit(model.init)
    trees = [init(jax.random.key(lane.seed)) for lane in padded]
    like = jax.eval_shape(model.init, jax.random.key(0))
    current = {name: jnp.stack([flat_params.flatten(t)[name] for t in trees]) for name in flat_params.flatten(like)}
    rates = jnp.asarray([lane.learning_rate for lane in padded], jnp.result_type(float))
    apply = lambda flat, inputs: model.apply(flat_params.unflatten(like, flat), inputs)

    pick = lambda flat, i: flat_params.unflatten(like, {name: leaf[i] for name, leaf in flat.items()})

    curves: list[list[CurvePoint]] = [[] for _ in lanes]
    diverged: list[int | None] = [None] * len(lanes)
    outcomes: list[_Outcome] = []
    done, compile_s, train_s = 0, 0.0, 0.0
    for number, phase in enumerate(phases):
        program = _PhaseProgram(apply, task, baseline, phase, mesh, loss_limit)
        key = jax.random.fold_in(jax.random.key(data_seed), number)
        began = time.perf_counter()
        current = start_new_inputs(current, baseline.input_weights, task.spec, phase.new_inputs)
        state = program.start(current)
        compiled = program.compile(state, rates, key)
        compile_s += time.perf_counter() - began
        began = time.perf_counter()
        for first in range(0, phase.steps, validate_every):
            n = min(validate_every, phase.steps - first)
            state, losses, validation = compiled(state, first, n)
            losses, validation, bad = jax.device_get((losses, validation, state.first_bad))
            for i in range(len(lanes)):
                curves[i].append(CurvePoint(done + first + n, float(losses[i]), float(validation[i])))
                if bad[i] >= 0 and diverged[i] is None:
                    diverged[i] = done + int(bad[i]) + 1
            report(done + first + n, losses[: len(lanes)])
            log(done + first + n, losses[: len(lanes)], validation[: len(lanes)])
            if all(at is not None for at in diverged):
                break
        train_s += time.perf_counter() - began
        outcomes.append(_outcome(state, selection, done, [curve[-1] for curve in curves]))
        for i in range(len(lanes)):
            if diverged[i] is None and not np.isfinite(outcomes[-1].losses[i]):
                diverged[i] = curves[i][-1].step
        current = _merge(state, selection)
        done += phase.steps
        if all(at is not None for at in diverged):
            break
    end = outcomes[-1]
    results = [
        Trained(
            params=pick(end.chosen, i),
            last_params=pick(end.last, i),
            selected_step=end.steps[i],
            validation_loss=end.losses[i],
            phase_losses=[outcome.losses[i] for outcome in outcomes],
            stages={p.stage: pick(outcome.chosen, i) for p, outcome in zip(phases, outcomes, strict=False) if p.stage},
            curve=curves[i],
            diverged_at=diverged[i],
        )
        for i in range(len(lanes))
    ]
    return results, Timing(compile_s, train_s, len(devices))


class _Outcome(NamedTuple):
    """What a phase ends with, per lane: parameters `[lanes, ...]`, the step selected (over all phases) and its loss."""

    chosen: flat_params.Flat
    last: flat_params.Flat
    steps: list[int]
    losses: list[float]


def _outcome(state: _State, selection: str, done: int, ends: Sequence[CurvePoint]) -> _Outcome:
    chosen, last = jax.device_get((_merge(state, selection), _merge(state, "last")))
    if selection == "last":
        return _Outcome(chosen, last, [end.step for end in ends], [end.validation_loss for end in ends])
    steps, losses = jax.device_get((state.best_step, state.best_loss))
    return _Outcome(chosen, last, [done + int(step) for step in steps], [float(loss) for loss in losses])


def check(task: Task, baseline: Baseline, phases: Sequence[Phase]) -> None:
    """Raise `NmbenchError` if a phase names data, a set or a partition that does not exist; nothing is computed."""
    for phase in phases:
        assert isinstance(phase.partition, str)
        baseline.partition(phase.partition)
        check_new_inputs(baseline.name, baseline.input_weights, task.spec, phase.new_inputs)
        transform(phase)
        if phase.data not in task.training:
            raise NmbenchError(f"task {task.name!r} has no training data {phase.data!r}: {', '.join(task.training)}")
        if phase.validation not in task.set_sizes:
            raise NmbenchError(f"task {task.name!r} has no frozen set {phase.validation!r}: {', '.join(task.set_sizes)}")


class _State(NamedTuple):
    """Per lane (leading axis): what a phase carries from chunk to chunk."""

    moving: flat_params.Flat
    still: flat_params.Flat
    optimizer: Any
    best: flat_params.Flat
    best_loss: jax.Array
    best_step: jax.Array
    first_bad: jax.Array


def _over_lanes(f: Callable[..., Any], count: Any, *trees: Any) -> Any:
    """`f` of one lane after another; leaves `[lanes, ...]` in and out.

    `count`, the number of lanes, is a traced number: with a constant, XLA would turn a loop over one lane into straight
    code, fuse it otherwise than that of several, and the results would differ in their last bits.
    """
    take = lambda i: jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), trees)
    lanes = jax.tree.leaves(trees)[0].shape[0]
    empty = jax.tree.map(lambda s: jnp.zeros((lanes, *s.shape), s.dtype), jax.eval_shape(lambda: f(*take(0))))
    put = lambda i: lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, i, 0)
    return jax.lax.fori_loop(0, count, lambda i, filled: jax.tree.map(put(i), filled, f(*take(i))), empty)


def _merge(state: _State, selection: str) -> flat_params.Flat:
    return {**state.still, **(state.best if selection == "best" else state.moving)}


class _PhaseProgram:
    """The compiled chunk of one phase."""

    def __init__(self, apply, task: Task, baseline: Baseline, phase: Phase, mesh: Mesh, loss_limit: float):
        self._apply, self._phase, self._mesh, self._limit = apply, phase, mesh, loss_limit
        assert isinstance(phase.partition, str)
        self._partition = baseline.partition(phase.partition)
        self._label = f"phase partition {phase.partition!r} of {baseline.name!r}"
        self._transform = transform(phase)
        self._draw = task.training[phase.data].draw
        replicated = NamedSharding(mesh, PartitionSpec())
        self._train_arrays = jax.device_put(task.training[phase.data].arrays(), replicated)
        validation = task.unpack(task.frozen(phase.validation).arrays)
        self._validation = jax.device_put(_in_pieces(as_float(validation)), replicated)

    def start(self, current: flat_params.Flat) -> _State:
        moving, still = flat_params.split(current, self._partition)
        if not moving:
            raise NmbenchError(f"{self._label} selects no parameter")
        lanes = next(iter(current.values())).shape[0]
        state = _State(
            moving=moving,
            still=still,
            optimizer=jax.vmap(self._transform.init)(moving),
            best=jax.tree.map(jnp.copy, moving),
            best_loss=jnp.full((lanes,), jnp.inf),
            best_step=jnp.zeros((lanes,), jnp.int32),
            first_bad=jnp.full((lanes,), -1, jnp.int32),
        )
        return jax.device_put(state, NamedSharding(self._mesh, PartitionSpec("lanes")))

    def compile(self, state: _State, rates, key) -> Callable[[_State, int, int], tuple[_State, Any, Any]]:
        """Compile the chunk; the result maps (state, first, n) to (state, mean training losses, validation losses)."""
        lane, same = PartitionSpec("lanes"), PartitionSpec()
        # One program per device and no exchange between them: each device runs its own loop at its own pace.
        specs = (lane, lane, same, same, same, same, same, same)
        sharded = jax.shard_map(self._chunk, mesh=self._mesh, in_specs=specs, out_specs=lane, check_vma=False)
        rates = jax.device_put(rates, NamedSharding(self._mesh, lane))
        key = jax.device_put(key, NamedSharding(self._mesh, same))
        data = (self._train_arrays, self._validation)
        jitted = jax.jit(sharded, donate_argnums=0)
        count = jnp.int32(rates.shape[0] // self._mesh.size)
        compiled = jitted.lower(state, rates, key, count, jnp.int32(0), jnp.int32(1), *data).compile()
        return lambda state, first, n: compiled(state, rates, key, count, jnp.int32(first), jnp.int32(n), *data)

    def _chunk(self, state: _State, rates, key, count, first, n, train_arrays, validation):
        lanes = rates.shape[0]

        def body(i, carry):
            moving, optimizer, total, first_bad = carry
            step = first + i
            batch = as_float(self._draw(train_arrays, jax.random.fold_in(key, step), self._phase.batch_size))
            update = lambda m, s, o, r: self._update(m, s, o, r, step, batch)
            moving, optimizer, losses = _over_lanes(update, count, moving, state.still, optimizer, rates)
            bad = ~(losses <= self._limit)  # also true of NaN
            first_bad = jnp.where((first_bad < 0) & bad, step, first_bad)
            return moving, optimizer, total + losses, first_bad

        zero = jnp.zeros((lanes,), rates.dtype)
        carry = (state.moving, state.optimizer, zero, state.first_bad)
        moving, optimizer, total, first_bad = jax.lax.fori_loop(0, n, body, carry)
        losses = _over_lanes(lambda m, s: self._validate({**s, **m}, validation), count, moving, state.still)
        better = (losses < state.best_loss) & (first_bad < 0)
        keep = lambda new, old: jnp.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
        new = _State(
            moving=moving,
            still=state.still,
            optimizer=optimizer,
            best=jax.tree.map(keep, moving, state.best),
            best_loss=keep(losses, state.best_loss),
            best_step=keep(jnp.full((lanes,), first + n, jnp.int32), state.best_step),
            first_bad=first_bad,
        )
        return new, total / n, losses

    def _update(self, moving, still, optimizer, rate, step, batch: Batch):
        loss_of = lambda m: masked_mse(self._apply({**still, **m}, batch.inputs), batch.targets, batch.mask)
        loss, gradients = jax.value_and_grad(loss_of)(moving)
        if self._phase.reset_optimizer_every:
            fresh = self._transform.init(moving)
            restart = step % self._phase.reset_optimizer_every == 0
            optimizer = jax.tree.map(lambda new, old: jnp.where(restart, new, old), fresh, optimizer)
        updates, optimizer = self._transform.update(gradients, optimizer, moving)
        factor = rate * rate_factor(self._phase, step)
        moving = jax.tree.map(lambda p, u: p - factor.astype(p.dtype) * u, moving, updates)
        return moving, optimizer, loss

    def _validate(self, flat, pieces: Batch):
        errors, weights = jax.lax.map(lambda b: masked_sums(self._apply(flat, b.inputs), b.targets, b.mask), pieces)
        return jnp.sum(errors) / jnp.sum(weights)


def as_float(batch: Batch) -> Batch:
    """Cast every leaf to JAX's default float (float32, or float64 under x64)."""
    return Batch(*(tree.map_structure(lambda a: jnp.asarray(a, jnp.result_type(float)), part) for part in batch))


def _in_pieces(batch: Batch) -> Batch:
    """Cut trials into equal pieces of at most `VALIDATION_TRIALS_AT_ONCE`: leaves `[pieces, T, b, ...]`."""
    trials = batch.targets.shape[1]
    pieces = next(p for p in range(1, trials + 1) if trials % p == 0 and trials // p <= VALIDATION_TRIALS_AT_ONCE)
    mask = jnp.broadcast_to(batch.mask, (*batch.mask.shape[:1], trials, *batch.mask.shape[2:]))
    cut = lambda a: jnp.moveaxis(a.reshape(a.shape[0], pieces, trials // pieces, *a.shape[2:]), 1, 0)
    return jax.tree.map(cut, batch._replace(mask=mask))
