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
import functools
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
from nmbench.snapshot import CurvePoint, Outcome, Snapshot
from nmbench.state import State, fresh, merge, names
from nmbench.task import Batch, Task

VALIDATION_TRIALS_AT_ONCE = 500


class Lane(NamedTuple):
    """One run among those trained together."""

    seed: int
    learning_rate: float


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


class Timing(NamedTuple):
    """Seconds spent compiling and training in this call, over all lanes together, and the number of devices used."""

    compile_s: float
    train_s: float
    devices: int


Report = Callable[[int, np.ndarray], None]
Log = Callable[[int, np.ndarray, np.ndarray], None]
# Called between chunks with a function that says where each lane stands; to be called before the next chunk or never.
Keep = Callable[[Callable[[], list[Snapshot]]], None]


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
    keep: Keep = lambda snapshots: None,
    resume: Sequence[Snapshot] = (),
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
      keep: called with a function that returns the lanes' snapshots, before and after every chunk; it may raise to stop.
      resume: where to go on from, one snapshot per lane, all at the same step of the same phase; from the start without.

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

    behind = _Behind.of(lanes, resume)
    start_phase, start_step = (resume[0].phase, resume[0].step) if resume else (0, 0)
    assert all((r.phase, r.step) == (start_phase, start_step) for r in resume)
    done, timing = sum(phase.steps for phase in phases[:start_phase]), [0.0, 0.0]
    for number, phase in enumerate(phases[start_phase:], start=start_phase):
        program = _PhaseProgram(apply, task, baseline, phase, mesh, loss_limit)
        key = jax.random.fold_in(jax.random.key(data_seed), number)
        began = time.perf_counter()
        current = start_new_inputs(current, baseline.input_weights, task.spec, phase.new_inputs)
        state, first = program.start(current), 0
        if resume and number == start_phase:
            padding = [*resume, *resume[: len(padded) - len(lanes)]]
            state, first = program.restore(state, [snapshot.state for snapshot in padding]), start_step
        # What is resumed may be at its end: then there is nothing to compile.
        if first < phase.steps and not behind.all_diverged():
            compiled = program.compile(state, rates, key)
            timing[0] += time.perf_counter() - began
        keep(functools.partial(behind.snapshots, number, first, state, timing))
        while first < phase.steps and not behind.all_diverged():
            began = time.perf_counter()
            n = min(validate_every, phase.steps - first)
            state, losses, validation = compiled(state, first, n)
            losses, validation, bad = jax.device_get((losses, validation, state.first_bad))
            first += n
            behind.add(done, first, losses, validation, bad)
            timing[1] += time.perf_counter() - began
            report(done + first, losses[: len(lanes)])
            log(done + first, losses[: len(lanes)], validation[: len(lanes)])
            keep(functools.partial(behind.snapshots, number, first, state, timing))
        behind.end_phase(state, selection, done)
        current = merge(state, selection)
        done += phase.steps
        if behind.all_diverged():
            break
    return [behind.trained(i, phases, like) for i in range(len(lanes))], Timing(timing[0], timing[1], len(devices))


@dataclasses.dataclass(frozen=True)
class _Behind:
    """What lies behind the lanes: curves, the step at which each diverged, the outcomes of phases; lists over lanes."""

    curves: list[list[CurvePoint]]
    diverged: list[int | None]
    outcomes: list[list[Outcome]]
    seconds: list[tuple[float, float]]

    @classmethod
    def of(cls, lanes: Sequence[Lane], resume: Sequence[Snapshot]) -> _Behind:
        if not resume:
            return cls([[] for _ in lanes], [None] * len(lanes), [[] for _ in lanes], [(0.0, 0.0)] * len(lanes))
        assert len(resume) == len(lanes)
        return cls(
            curves=[list(r.curve) for r in resume],
            diverged=[r.diverged_at for r in resume],
            outcomes=[list(r.outcomes) for r in resume],
            seconds=[(r.compile_s, r.train_s) for r in resume],
        )

    def all_diverged(self) -> bool:
        return all(at is not None for at in self.diverged)

    def add(self, done: int, step: int, losses, validation, bad) -> None:
        """After a chunk that ended at `step` of a phase; `done`: steps of the phases before. The others: `[lanes]`."""
        for i, curve in enumerate(self.curves):
            curve.append(CurvePoint(done + step, float(losses[i]), float(validation[i])))
            if bad[i] >= 0 and self.diverged[i] is None:
                self.diverged[i] = done + int(bad[i]) + 1

    def end_phase(self, state: State, selection: str, done: int) -> None:
        chosen, last = jax.device_get((merge(state, selection), merge(state, "last")))
        steps, losses = jax.device_get((state.best_step, state.best_loss))
        lane = lambda flat, i: {name: leaf[i] for name, leaf in flat.items()}
        for i, (curve, outcomes) in enumerate(zip(self.curves, self.outcomes, strict=True)):
            step, loss = (done + int(steps[i]), float(losses[i])) if selection == "best" else (curve[-1][0], curve[-1][2])
            outcomes.append(Outcome(lane(chosen, i), lane(last, i), step, loss))
            if self.diverged[i] is None and not np.isfinite(loss):
                self.diverged[i] = curve[-1].step

    def snapshots(self, phase: int, step: int, state: State, timing: Sequence[float]) -> list[Snapshot]:
        """Where each lane stands. `timing`: seconds of compiling and of training in this call."""
        names_, leaves = names(state), jax.device_get(jax.tree.leaves(state))
        return [
            Snapshot(
                phase=phase,
                step=step,
                state={name: np.array(leaf[i]) for name, leaf in zip(names_, leaves, strict=True)},
                outcomes=self.outcomes[i][:phase],
                curve=list(self.curves[i]),
                diverged_at=self.diverged[i],
                compile_s=self.seconds[i][0] + timing[0] / len(self.curves),
                train_s=self.seconds[i][1] + timing[1] / len(self.curves),
            )
            for i in range(len(self.curves))
        ]

    def trained(self, i: int, phases: Sequence[Phase], like: Any) -> Trained:
        outcomes = self.outcomes[i]
        tree_of = lambda flat: flat_params.unflatten(like, flat)
        return Trained(
            params=tree_of(outcomes[-1].chosen),
            last_params=tree_of(outcomes[-1].last),
            selected_step=outcomes[-1].step,
            validation_loss=outcomes[-1].loss,
            phase_losses=[outcome.loss for outcome in outcomes],
            stages={p.stage: tree_of(outcome.chosen) for p, outcome in zip(phases, outcomes, strict=False) if p.stage},
            curve=self.curves[i],
            diverged_at=self.diverged[i],
        )


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

    def start(self, current: flat_params.Flat) -> State:
        if not flat_params.split(current, self._partition)[0]:
            raise NmbenchError(f"{self._label} selects no parameter")
        state = fresh(current, self._partition, self._transform)
        return jax.device_put(state, NamedSharding(self._mesh, PartitionSpec("lanes")))

    def restore(self, state: State, lanes: Sequence[flat_params.Flat]) -> State:
        """`state` with the leaves of stored lanes in the place of its own."""
        leaves = [jnp.asarray(np.stack([lane[name] for lane in lanes])) for name in names(state)]
        assert [(a.shape, a.dtype) for a in leaves] == [(b.shape, b.dtype) for b in jax.tree.leaves(state)]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        return jax.device_put(state, NamedSharding(self._mesh, PartitionSpec("lanes")))

    def compile(self, state: State, rates, key) -> Callable[[State, int, int], tuple[State, Any, Any]]:
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

    def _chunk(self, state: State, rates, key, count, first, n, train_arrays, validation):
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
        new = State(
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
