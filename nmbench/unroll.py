"""Running a core over a sequence: the hoisted path for `Core`, the generic path for `hk.RNNCore`.

Inside a `Core` trials lie in the last axis, `[features, B]`: the equations then read as printed (`W @ x`), and the vector
lanes of the machine run over trials. Outside, everything is time-major `[T, B, channels]`.
"""

from __future__ import annotations

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


def unroll_core(core: Any, inputs: Any) -> jax.Array:
    """Outputs `[T, B, O]` of a `Core` on inputs `[T, B, C]`: input map and readout act on the whole sequence at once."""
    return jnp.swapaxes(core.readout(core_states(core, inputs)), 1, 2)


def unroll_rnn_core(core: hk.RNNCore, inputs: Any) -> Any:
    """Outputs `[T, B, O]` of an `hk.RNNCore` that maps the concatenated input `[B, C]` to `[B, O]` at each step."""
    sequence = concat_inputs(inputs)
    return hk.dynamic_unroll(core, sequence, core.initial_state(sequence.shape[1]))[0]
