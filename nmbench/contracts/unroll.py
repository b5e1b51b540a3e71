"""Running a core over a sequence: the hoisted path for `Core`, the generic path for `hk.RNNCore`.

Inside a `Core` trials lie in the last axis, `[features, B]`: the equations then read as printed (`W @ x`), and the vector
lanes of the machine run over trials. Outside, everything is time-major `[T, B, channels]`.
"""

from __future__ import annotations

import math
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import tree


def to_columns(inputs: Any) -> Any:
    """`[T, B, C]` to `[T, C, B]` in every leaf."""
    return tree.map_structure(lambda a: jnp.swapaxes(a, 1, 2), inputs)


def concat_inputs(inputs: Any, axis: int = -1) -> jax.Array:
    """Concatenate all leaves of nested inputs along their channels, in dm-tree's (sorted) order."""
    leaves = tree.flatten(inputs)
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=axis)


def core_states(core: Any, inputs: Any) -> Any:
    """States of a `Core` after each step: its state structure with leaves `[T, features, B]`. inputs: `[T, B, C]`."""
    columns = to_columns(inputs)
    batch = tree.flatten(columns)[0].shape[-1]
    driven = core.input_map(columns)

    def body(state, v_t):
        state = core.step(state, v_t)
        return state, state

    _, states = jax.lax.scan(body, core.initial_state(batch), driven)
    return states


def unroll_core(core: Any, inputs: Any, remat: bool = False) -> jax.Array:
    """Outputs `[T, B, O]` of a `Core` on inputs `[T, B, C]`: input map and readout act on the whole sequence at once.

    With `remat` they act on segments of about sqrt(T) steps, and of each segment only its first state is kept for the
    gradient, which recomputes the rest: memory grows with sqrt(T) instead of T, for one more forward pass.
    """
    if remat:
        return jnp.swapaxes(_segments(core, to_columns(inputs)), 1, 2)
    return jnp.swapaxes(core.readout(core_states(core, inputs)), 1, 2)


def unroll_rnn_core(core: hk.RNNCore, inputs: Any, remat: bool = False) -> Any:
    """Outputs `[T, B, O]` of an `hk.RNNCore` that maps the concatenated input `[B, C]` to `[B, O]` at each step.

    With `remat` only the states are kept for the gradient, which recomputes what lies within a step.
    """
    sequence = concat_inputs(inputs)
    step: Any = hk.remat(core) if remat and not hk.running_init() else core
    return hk.dynamic_unroll(step, sequence, core.initial_state(sequence.shape[1]))[0]


def _segments(core: Any, columns: Any) -> jax.Array:
    """Outputs `[T, O, B]`, segment after segment."""
    leaves = tree.flatten(columns)
    steps, batch = leaves[0].shape[0], leaves[0].shape[-1]
    length = max(1, round(math.sqrt(steps)))
    whole = steps // length * length

    def scan(state, driven):
        def body(state, v_t):
            state = core.step(state, v_t)
            return state, state

        return jax.lax.scan(body, state, driven)

    @jax.checkpoint
    def segment(state, part):
        state, states = scan(state, core.input_map(part))
        return state, core.readout(states)

    cut = tree.map_structure(lambda a: a[:whole].reshape(-1, length, *a.shape[1:]), columns)
    state, outputs = jax.lax.scan(segment, core.initial_state(batch), cut)
    outputs = outputs.reshape(whole, *outputs.shape[2:])
    if whole == steps:
        return outputs
    rest = segment(state, tree.map_structure(lambda a: a[whole:], columns))[1]
    return jnp.concatenate([outputs, rest])
