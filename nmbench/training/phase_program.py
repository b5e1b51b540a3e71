"""The compiled program of one phase: training steps and validation of several runs, one run after another.

Steps are grouped in chunks that end with a validation. A chunk can be executed in pieces, so that progress can be shown. The
number of steps is an argument of the compiled program, and the pieces give exactly the result of the whole chunk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nmbench.contracts import parameters as flat_params
from nmbench.contracts.model import Baseline
from nmbench.contracts.protocol import ResolvedPhase
from nmbench.contracts.task import CROSS_ENTROPY, SQUARED_ERROR, Batch, Task
from nmbench.support.errors import NmbenchError
from nmbench.training.optimizer import rate_factor, transform
from nmbench.training.state import State, fresh, names

VALIDATION_TRIALS_AT_ONCE = 500


def masked_mse(outputs, targets, mask):
    """Mean of (outputs - targets)^2, weighted by the mask. outputs, targets: `[T, B, O]`; mask broadcasts."""
    error, weight = masked_sums(outputs, targets, mask)
    return error / weight


def masked_sums(outputs, targets, mask):
    """(sum of mask * (outputs - targets)^2, sum of mask): numerator and denominator of `masked_mse`."""
    weights = jnp.broadcast_to(mask, targets.shape)
    return jnp.sum(weights * (outputs - targets) ** 2), jnp.sum(weights)


def cross_entropy_sums(outputs, targets, mask):
    """(sum of weight * -log softmax(outputs) of the right class, sum of weight), where the weight is mask * targets.

    targets are 1 for the right class and 0 elsewhere; shapes as for `masked_mse`.
    """
    weights = jnp.broadcast_to(mask, targets.shape) * targets
    return -jnp.sum(weights * jax.nn.log_softmax(outputs, axis=-1)), jnp.sum(weights)


# Name of a loss to its numerator and denominator.
LOSS_SUMS = {SQUARED_ERROR: masked_sums, CROSS_ENTROPY: cross_entropy_sums}


def mean_loss(task: Task, outputs, targets, mask):
    """The task's loss of a batch; see `masked_mse` for the shapes."""
    error, weight = LOSS_SUMS[task.loss](outputs, targets, mask)
    return error / weight


def over_runs(f: Callable[..., Any], count: Any, *trees: Any) -> Any:
    """Apply `f` to one run after another. The leaves of `trees` and of the result are `[runs, ...]`.

    XLA would replace a loop over one run by straight code and fuse it differently from a loop over several runs, so that the
    results would differ in their last bits. Two things prevent this: `count`, the number of runs, is a traced integer, and
    the leaves have room for at least two runs (`_twice`).
    """
    take = lambda i: jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), trees)
    runs = jax.tree.leaves(trees)[0].shape[0]
    empty = jax.tree.map(lambda s: jnp.zeros((runs, *s.shape), s.dtype), jax.eval_shape(lambda: f(*take(0))))
    put = lambda i: lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, i, 0)
    return jax.lax.fori_loop(0, count, lambda i, filled: jax.tree.map(put(i), filled, f(*take(i))), empty)


def _twice(tree: Any) -> Any:
    """Leaves `[1, ...]` repeated to `[2, ...]`, so that XLA does not know that there is a single run."""
    return jax.tree.map(lambda a: jnp.concatenate([a, a]), tree)


class PhaseProgram:
    """The compiled steps of one phase."""

    def __init__(self, apply, task: Task, baseline: Baseline, phase: ResolvedPhase, mesh: Mesh, loss_limit: float):
        self._apply, self._phase, self._mesh, self._limit = apply, phase, mesh, loss_limit
        self._task = task
        self._partition = baseline.partition(phase.partition)
        self._label = f"phase partition {phase.partition!r} of {baseline.name!r}"
        self._transform = transform(phase)
        self._draw = task.training[phase.data].draw
        replicated = NamedSharding(mesh, PartitionSpec())
        self._train_arrays = jax.device_put(task.training[phase.data].arrays(), replicated)
        validation = task.unpack(task.frozen(phase.validation).arrays)
        self._validation = jax.device_put(_in_pieces(as_float(validation)), replicated)

    def start(self, current: flat_params.Flat) -> State:
        """The state before the first step, from parameters `[runs, ...]`; raises `NmbenchError` if none is trained."""
        if not flat_params.split(current, self._partition)[0]:
            raise NmbenchError(f"{self._label} selects no parameter")
        # Compiled as a whole: one after the other, its many small operations would take half a second to compile.
        state = jax.jit(lambda flat: fresh(flat, self._partition, self._transform))(current)
        return jax.device_put(state, NamedSharding(self._mesh, PartitionSpec("runs")))

    def restore(self, state: State, stored: Sequence[flat_params.Flat]) -> State:
        """`state` with its leaves replaced by stored ones: for each run, a dict from leaf name to array."""
        leaves = [jnp.asarray(np.stack([run[name] for run in stored])) for name in names(state)]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        return jax.device_put(state, NamedSharding(self._mesh, PartitionSpec("runs")))

    def compile(self, state: State, rates, key) -> Callable[[State, Any, int, int, bool], tuple[State, Any, Any]]:
        """Compile the program of a piece: `n` steps of the phase, starting at step `first`.

        Args:
          state: a state of all runs; the program is compiled for its shapes.
          rates: learning rates, `[runs]`.
          key: random key of the phase's training data.

        Returns:
          A function that maps (state, sums, first, n, last) to (state, sums of training losses `[runs]`, validation losses
          `[runs]`). `sums` come from the earlier piece of the chunk; for the first piece they are `self.zeros(state)`. If
          `last`, validation losses are computed and may select the parameters; otherwise they are 0 and have no effect. The
          function reuses the memory of the given state, so that this state cannot be read afterwards.
        """
        per_run, same = PartitionSpec("runs"), PartitionSpec()
        # One program per device without communication: each device runs its own loop at its own speed.
        specs = (per_run, per_run, per_run, *[same] * 7)
        sharded = jax.shard_map(self._chunk, mesh=self._mesh, in_specs=specs, out_specs=per_run, check_vma=False)
        rates = jax.device_put(rates, NamedSharding(self._mesh, per_run))
        key = jax.device_put(key, NamedSharding(self._mesh, same))
        data = (self._train_arrays, self._validation)
        jitted = jax.jit(sharded, donate_argnums=0)
        count = jnp.int32(rates.shape[0] // self._mesh.size)
        call = lambda f, state, sums, first, n, last: f(
            state, sums, rates, key, count, jnp.int32(first), jnp.int32(n), count if last else jnp.int32(0), *data
        )
        compiled = call(jitted.lower, state, self.zeros(state), 0, 1, True).compile()
        return functools.partial(call, compiled)

    def zeros(self, state: State) -> jax.Array:
        """Sums of training losses before the first step of a chunk, `[runs]`."""
        return jax.device_put(jnp.zeros_like(state.best_loss), NamedSharding(self._mesh, PartitionSpec("runs")))

    def _chunk(self, state: State, sums, rates, *rest):
        if rates.shape[0] > 1:
            return self._steps(state, sums, rates, *rest)
        return jax.tree.map(lambda a: a[:1], self._steps(*_twice((state, sums, rates)), *rest))

    def _steps(self, state: State, sums, rates, key, count, first, n, validated, train_arrays, validation):

        def body(i, carry):
            moving, optimizer, total, first_bad = carry
            step = first + i
            batch = as_float(self._draw(train_arrays, jax.random.fold_in(key, step), self._phase.batch_size))
            update = lambda m, s, o, r: self._update(m, s, o, r, step, batch)
            moving, optimizer, losses = over_runs(update, count, moving, state.still, optimizer, rates)
            bad = ~(losses <= self._limit)  # also true of NaN
            first_bad = jnp.where((first_bad < 0) & bad, step, first_bad)
            return moving, optimizer, total + losses, first_bad

        carry = (state.moving, state.optimizer, sums, state.first_bad)
        moving, optimizer, sums, first_bad = jax.lax.fori_loop(0, n, body, carry)
        # `validated` is the number of runs, or 0 in a piece that is not the last of its chunk.
        losses = over_runs(lambda m, s: self._validate({**s, **m}, validation), validated, moving, state.still)
        better = (losses < state.best_loss) & (first_bad < 0) & (validated > 0)
        keep = lambda new, old: jnp.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
        new = State(
            moving=moving,
            still=state.still,
            optimizer=optimizer,
            best=jax.tree.map(keep, moving, state.best),
            best_loss=keep(losses, state.best_loss),
            best_step=keep(jnp.full_like(state.best_step, first + n), state.best_step),
            first_bad=first_bad,
        )
        return new, sums, losses

    def _update(self, moving, still, optimizer, rate, step, batch: Batch):
        loss_of = lambda m: mean_loss(self._task, self._apply({**still, **m}, batch.inputs), batch.targets, batch.mask)
        loss, gradients = jax.value_and_grad(loss_of)(moving)
        if self._phase.reset_optimizer_every:
            restarted = self._transform.init(moving)
            restart = step % self._phase.reset_optimizer_every == 0
            optimizer = jax.tree.map(lambda new, old: jnp.where(restart, new, old), restarted, optimizer)
        updates, optimizer = self._transform.update(gradients, optimizer, moving)
        factor = rate * rate_factor(self._phase, step)
        moving = jax.tree.map(lambda p, u: p - factor.astype(p.dtype) * u, moving, updates)
        return moving, optimizer, loss

    def _validate(self, flat, pieces: Batch):
        sums = LOSS_SUMS[self._task.loss]
        errors, weights = jax.lax.map(lambda b: sums(self._apply(flat, b.inputs), b.targets, b.mask), pieces)
        return jnp.sum(errors) / jnp.sum(weights)


def as_float(batch: Batch) -> Batch:
    """Cast every leaf to JAX's default float (float32, or float64 under x64)."""
    return Batch(*(tree.map_structure(lambda a: jnp.asarray(a, jnp.result_type(float)), part) for part in batch))


def _in_pieces(batch: Batch) -> Batch:
    """Divide trials into groups of equal size, at most `VALIDATION_TRIALS_AT_ONCE`: leaves `[groups, T, trials, ...]`."""
    trials = batch.targets.shape[1]
    pieces = next(p for p in range(1, trials + 1) if trials % p == 0 and trials // p <= VALIDATION_TRIALS_AT_ONCE)
    mask = jnp.broadcast_to(batch.mask, (*batch.mask.shape[:1], trials, *batch.mask.shape[2:]))
    cut = lambda a: jnp.moveaxis(a.reshape(a.shape[0], pieces, trials // pieces, *a.shape[2:]), 1, 0)
    return jax.tree.map(cut, batch._replace(mask=mask))
