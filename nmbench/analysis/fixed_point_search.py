"""Fixed and slow points: states that do not change, or hardly change, under a constant input.

For a network with the update x_{t+1} = F(x_t), the search minimises q(x) = |F(x) - x|^2 / 2 from many starts at once
(Sussillo and Barak 2013, Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural networks,
Neural Computation 25(3)). It uses the Levenberg-Marquardt method on the residual F(x) - x, in float64. The eigenvalues of
the Jacobian of F classify the points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.analysis import states
from nmbench.analysis.network import Network, finite, floats
from nmbench.analysis.observers import Observer, observer_of
from nmbench.contracts import unroll
from nmbench.support.errors import NmbenchError


@dataclasses.dataclass(frozen=True)
class FixedPoints:
    """Fixed and slow points, slowest first.

    Attributes:
      points: `[n, S]`, carried states.
      speeds: `[n]`, |F(x) - x| in units of state per step.
      fixed: booleans `[n]`, true for a fixed point, false for a slow one.
      eigenvalues: complex `[n, S]`, eigenvalues of the Jacobian of F by decreasing modulus.
      kinds: one per point: "stable" if all moduli are below 1, "unstable" if all are above, "saddle" if only some are above,
        "marginal" if none is above but some are 1 within the tolerance.
      states: the points as states of the model's equations, name to `[n, features]`; empty for a bare function.
    """

    points: np.ndarray
    speeds: np.ndarray
    fixed: np.ndarray
    eigenvalues: np.ndarray
    kinds: tuple[str, ...]
    states: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.points)


def fixed_points(
    network: Network, constant_input: Any, inputs: Any = None, *, starts: int = 100, seed: int = 0, **options: Any
):
    """Fixed and slow points of a network under a constant input, searched from states that it visits.

    Speeds and distances are measured in the states of the model's equations. The eigenvalues are those of the carried state:
    for a low-rank network, of the subspace that it can reach. All other directions decay by the factor 1 - 1/tau per step.

    Args:
      network: a network whose model is a `Core` or an `hk.RNNCore`.
      constant_input: leaves `[channels]`, as in the spec.
      inputs: trials that visit the starts, leaves `[T, B, channels]`; by default those of the task's test set.
      starts: largest number of starts; they are drawn from the states after all steps of all trials.
      seed: seed of this draw.
      **options: fixed_speed, slow_speed, apart, marginal and iterations, as in `find_fixed_points`.

    Returns:
      `FixedPoints`.

    Raises:
      NmbenchError: the model is a pair of functions, the constant input does not fit the spec, there are neither `inputs`
        nor a task, an option is out of range, the state contains integers, or the model's observer hides a part of the
        state that changes the rest, or is not linear.
    """
    states.check_network(network)
    if not (network.is_core or network.is_rnn_core):
        raise NmbenchError(
            f"model {network.baseline.name!r} has its own apply, so nmbench does not know a single step of it; write this "
            f"step as a function F of the state [S], with network.params and the constant input inside, and call "
            f"analysis.find_fixed_points(F, starts), where starts are some states [n, S]"
        )
    wanted = tree.map_structure(lambda spec: (spec.channels,), network.spec.inputs)
    given = tree.map_structure(np.shape, constant_input)
    if given != wanted:
        raise NmbenchError(f"the constant input has shapes {given}, but the spec of the network has {wanted}")
    for leaf in tree.flatten(constant_input):
        finite(leaf, "the constant input")
    if not isinstance(starts, int | np.integer) or isinstance(starts, bool) or starts < 1:
        raise NmbenchError(f"starts is the number of starts, an integer of at least 1; got {starts!r}")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise NmbenchError(f"seed is an integer from 0 to 2^32 - 1; got {seed!r}")
    with jax.enable_x64(True):
        params = floats(network.params)
        column = floats(tree.map_structure(lambda a: np.asarray(a)[None, None], constant_input))
        all_states = unroll.core_states if network.is_core else _rows_of_states
        carried = jax.jit(network.with_module(all_states))(params, floats(states.trials(network, inputs)))
        to_rows = lambda a: a.swapaxes(1, 2) if network.is_core else a  # a core's states are columns, [T, features, B]
        visited = [to_rows(np.asarray(leaf)) for leaf in tree.flatten(carried)]
        if not all(np.issubdtype(rows.dtype, np.floating) for rows in visited):
            raise NmbenchError(f"the state of {network.baseline.name!r} contains integers; only floats have fixed points")
        reached = np.concatenate([rows.reshape(-1, rows[0, 0].size) for rows in visited], axis=1)
        chosen = reached[np.random.RandomState(seed).permutation(len(reached))[:starts]]
        one = tree.map_structure(lambda leaf: leaf[0, :, :1] if network.is_core else leaf[0, :1], carried)
        unravel = jax.flatten_util.ravel_pytree(one)[1]
        flat = lambda state: jax.flatten_util.ravel_pytree(state)[0]

        def step(core, x):
            if network.is_rnn_core:
                return flat(core(unroll.concat_inputs(column)[0], unravel(x))[1])
            driven = core.input_map(unroll.to_columns(column))
            return flat(core.step(unravel(x), tree.map_structure(lambda a: a[0], driven)))

        def see(core, x):
            if network.is_rnn_core:
                return {name: leaf[0].reshape(-1, 1) for name, leaf in Observer().states(core, unravel(x)).items()}
            return observer_of(type(core)).states(core, unravel(x))

        seen = lambda x: network.with_module(see)(params, x)
        update, shown = lambda x: network.with_module(step)(params, x), lambda x: flat(seen(x))
        units = np.asarray(jax.jacfwd(shown)(jnp.zeros(reached.shape[1], jnp.result_type(float))))
        _check_observer(network.baseline.name, update, shown, units, chosen[:3])
        found = find_fixed_points(update, chosen, units=units, **options)
        named = jax.vmap(seen)(jnp.asarray(found.points)) if len(found) else {}
    return dataclasses.replace(found, states={name: np.asarray(values)[..., 0] for name, values in named.items()})


def _check_observer(model: str, step, shown, units: np.ndarray, starts: np.ndarray) -> None:
    """Raise `NmbenchError` unless what the observer shows is `units @ x` plus a constant, and is all that drives it.

    starts: `[n, S]`, states at which this is tested. What is not shown may move, but must not move what is shown.
    """
    origin = shown(jnp.zeros(units.shape[1]))
    _, sizes, directions = np.linalg.svd(units)
    rank = np.count_nonzero(sizes > 1e-9 * sizes.max(initial=0))
    hidden = directions[rank:].T
    for x in jnp.asarray(starts):
        linear = units @ x + origin
        if np.abs(shown(x) - linear).max() > 1e-6 * max(1.0, np.abs(linear).max()):
            raise NmbenchError(f"the states that the observer of {model!r} returns must be linear in the carried state")
        moved = units @ np.asarray(jax.jacrev(step)(x)) @ hidden
        if moved.size and np.abs(moved).max() > 1e-6 * np.abs(units).max():
            raise NmbenchError(
                f"the observer of {model!r} hides a part of the state that changes the rest, so what it shows has no fixed "
                "points of its own; let Observer.states return the whole state"
            )


def _rows_of_states(core: hk.RNNCore, inputs: Any) -> Any:
    """States of an `hk.RNNCore` after each step, leaves `[T, B, ...]`."""
    sequence = unroll.concat_inputs(inputs)
    return hk.dynamic_unroll(core, sequence, core.initial_state(sequence.shape[1]), return_all_states=True)[1]


def find_fixed_points(
    step: Callable[[jax.Array], jax.Array],
    starts: np.ndarray,
    *,
    units: np.ndarray | None = None,
    fixed_speed: float = 1e-8,
    slow_speed: float = 1e-3,
    apart: float = 1e-3,
    marginal: float = 1e-3,
    iterations: int = 200,
) -> FixedPoints:
    """Fixed and slow points of a map.

    Args:
      step: F, `[S]` to `[S]`, differentiable in reverse mode; traced in float64.
      starts: `[n, S]`.
      units: `[D, S]`; speeds and distances are measured in `units @ x`, by default in x.
      fixed_speed: largest |F(x) - x| of a fixed point, in units of state per step.
      slow_speed: largest speed of a slow point; faster points are left out.
      apart: smallest distance between two points, in units of state; of closer points, only the slowest is kept.
      marginal: a modulus of an eigenvalue counts as 1 if it differs from 1 by no more than this.
      iterations: number of iterations from each start.

    Raises:
      NmbenchError: the starts have the wrong shape or are not finite, or another argument is out of range.
    """
    starts = np.asarray(starts, np.float64)
    if starts.ndim != 2 or not np.isfinite(starts).all():
        raise NmbenchError(f"starts must be finite and of shape [n, S]; got {starts.shape}")
    if not min(fixed_speed, slow_speed, apart) > 0 or not 0 <= marginal < 1:
        raise NmbenchError(
            f"fixed_speed, slow_speed and apart must be positive, marginal in [0, 1); got {fixed_speed}, {slow_speed}, "
            f"{apart}, {marginal}"
        )
    if not isinstance(iterations, int | np.integer) or iterations < 1:
        raise NmbenchError(f"iterations is an integer of at least 1; got {iterations!r}")
    size = starts.shape[1]
    if units is not None and (np.ndim(units) != 2 or np.shape(units)[1] != size):
        raise NmbenchError(f"units must be of shape [D, S] with S = {size}; got {np.shape(units)}")
    with jax.enable_x64(True):
        made = jax.eval_shape(step, jax.ShapeDtypeStruct((size,), np.float64))
        if getattr(made, "shape", None) != (size,):
            given = getattr(made, "shape", type(made).__name__)
            raise NmbenchError(f"step must return the shape ({size},) of its argument; it returns {given}")
        measure = jnp.eye(size) if units is None else jnp.asarray(units, jnp.float64)
        jacobian = jax.jacrev(step)
        search = jax.jit(jax.vmap(lambda x: _minimise(step, jacobian, measure, x, iterations)))
        points, speeds = map(np.asarray, search(jnp.asarray(starts)))
        slow = np.isfinite(speeds) & (speeds <= slow_speed)
        order = np.flatnonzero(slow)[np.argsort(speeds[slow], kind="stable")]
        kept = _distinct(points @ np.asarray(measure).T, order, apart)
        matrices = np.asarray(jax.jit(jax.vmap(jacobian))(jnp.asarray(points[kept])))
    eigenvalues = np.linalg.eigvals(matrices) if kept else np.zeros((0, size), complex)
    by_modulus = np.argsort(-np.abs(eigenvalues), axis=1, kind="stable")
    eigenvalues = np.take_along_axis(eigenvalues.astype(complex), by_modulus, axis=1)
    kinds = tuple(_kind(np.abs(values), marginal) for values in eigenvalues)
    return FixedPoints(points[kept], speeds[kept], speeds[kept] <= fixed_speed, eigenvalues, kinds, {})


def _minimise(step, jacobian, measure, start, iterations: int):
    """Levenberg-Marquardt from one start: (point, speed). Moves that do not lower the speed are rejected."""
    residual = lambda x: measure @ (step(x) - x)

    def body(_, carry):
        x, speed, damping = carry
        r, J = residual(x), measure @ (jacobian(x) - jnp.eye(x.size))
        # Least squares with a ridge, by QR decomposition, because J^T J would lose half of the digits.
        ridge = jnp.concatenate([J, jnp.sqrt(damping) * jnp.eye(x.size)])
        Q, upper = jnp.linalg.qr(ridge)
        move = jax.scipy.linalg.solve_triangular(upper, Q[: r.size].T @ r)
        after = jnp.linalg.norm(residual(x - move))
        better = after < speed
        x = jnp.where(better, x - move, x)
        damping = jnp.clip(jnp.where(better, damping / 5, damping * 4), 1e-15, 1e10)
        return x, jnp.where(better, after, speed), damping

    x, speed, _ = jax.lax.fori_loop(0, iterations, body, (start, jnp.linalg.norm(residual(start)), jnp.asarray(1e-2)))
    return x, speed


def _distinct(points: np.ndarray, order: np.ndarray, apart: float) -> list[int]:
    """Indices in `order` whose points are at least `apart` from all points kept before."""
    kept: list[int] = []
    for i in order:
        if all(np.linalg.norm(points[i] - points[j]) >= apart for j in kept):
            kept.append(int(i))
    return kept


def _kind(moduli: np.ndarray, marginal: float) -> str:
    above, below = moduli > 1 + marginal, moduli < 1 - marginal
    if above.all():
        return "unstable"
    if above.any():
        return "saddle"
    return "stable" if below.all() else "marginal"
