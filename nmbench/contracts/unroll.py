"""Run a network over a sequence: `unroll_core` for a `Core`, `unroll_rnn_core` for an `hk.RNNCore`.

Inside a `Core`, trials are the last axis, `[features, B]`: code then looks like the equations of a paper (`W @ x`), and
vector instructions run over trials. Outside, all arrays are time-major, `[T, B, channels]`.
"""

from __future__ import annotations

import math
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import tree

from nmbench.support.errors import NmbenchError


def to_columns(inputs: Any) -> Any:
    """Swap the last two axes of every leaf: `[T, B, C]` to `[T, C, B]`."""
    return tree.map_structure(lambda a: jnp.swapaxes(a, 1, 2), inputs)


def concat_inputs(inputs: Any, axis: int = -1) -> jax.Array:
    """Concatenate all inputs of a task along their channels.

    Args:
      inputs: an array, or nested dicts of arrays as in the task's `SequenceSpec.inputs`: `[T, B, C_i]` each for `axis=-1`,
        `[T, C_i, B]` for `axis=1`.
      axis: the axis of the channels.

    Returns:
      `[T, B, C]` or `[T, C, B]`, where C is the sum of all C_i. The leaves are in dm-tree's order: sorted by key, so that
      "context" comes before "sensory".
    """
    leaves = tree.flatten(inputs)
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=axis)


DICT_HINT = (
    "the inputs of a task are a dict of arrays [T, B, C]; nmbench.concat_inputs(inputs), in a Core self.concat(inputs), "
    "joins them to one array"
)


def hint_at_dict(error: BaseException) -> str:
    """`DICT_HINT` after "; " if a model seems to have used the dict of a task's inputs as an array, otherwise ""."""
    indexed = isinstance(error, KeyError) and not (
        error.args and isinstance(error.args[0], str)
    )  # inputs[0], not params["W"]
    return f"; {DICT_HINT}" if indexed or "'dict'" in str(error) else ""


def core_states(core: Any, inputs: Any) -> Any:
    """States of a `Core` after each step, leaves `[T, features, B]`, from inputs `[T, B, C]`."""
    columns = to_columns(inputs)
    batch = tree.flatten(columns)[0].shape[-1]
    driven = core.input_map(columns)

    return _scan(core, core.initial_state(batch), driven)[1]


def _scan(core: Any, start: Any, driven: Any) -> tuple[Any, Any]:
    """The last state, and the states after each step.

    Raises:
      NmbenchError: `step` returns a state of another structure, shape or type than the one that it receives.
    """
    returned: list[Any] = []
    if hk.running_init():  # a Haiku module that `step` calls makes its parameters here, which it could not do in the scan
        core.step(start, tree.map_structure(lambda v: v[0], driven))

    def body(state, v_t):
        after = core.step(state, v_t)
        returned.append(after)
        return after, after

    try:
        return jax.lax.scan(body, start, driven)
    except TypeError as error:
        if not returned or "carry" not in str(error):
            raise
        raise NmbenchError(
            f"{type(core).__name__}.step must return a state like that of initial_state: initial_state returns "
            f"{_shapes(start)}, step {_shapes(returned[-1])}"
        ) from error


def _shapes(state: Any) -> str:
    """The structure of a state, with the shape and type of each array."""
    show = lambda leaf: f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}" if hasattr(leaf, "shape") else repr(leaf)
    return str(tree.map_structure(show, state)).replace("'", "").replace('"', "")


def unroll_core(core: Any, inputs: Any, remat: bool = False) -> jax.Array:
    """Outputs `[T, B, O]` of a `Core` from inputs `[T, B, C]`. Input map and readout act on the whole sequence at once.

    With `remat` they act on segments of about sqrt(T) steps. The gradient keeps only the first state of each segment and
    recomputes the other states: memory grows with sqrt(T) instead of T, at the cost of one more forward pass.
    """
    if remat and not hk.running_init():
        return jnp.swapaxes(_segments(core, to_columns(inputs)), 1, 2)
    return jnp.swapaxes(core.readout(core_states(core, inputs)), 1, 2)


def unroll_rnn_core(core: hk.RNNCore, inputs: Any, remat: bool = False) -> Any:
    """Outputs `[T, B, O]` of an `hk.RNNCore`, which maps the concatenated input `[B, C]` to `[B, O]` at each step.

    With `remat` the gradient keeps only the state of each step and recomputes everything else.
    """
    sequence = concat_inputs(inputs)
    step: Any = hk.remat(core) if remat and not hk.running_init() else core
    return hk.dynamic_unroll(step, sequence, core.initial_state(sequence.shape[1]))[0]


def _segments(core: Any, columns: Any) -> jax.Array:
    """Outputs `[T, O, B]` from inputs `[T, C, B]`, one segment after another."""
    leaves = tree.flatten(columns)
    steps, batch = leaves[0].shape[0], leaves[0].shape[-1]
    length = max(1, round(math.sqrt(steps)))
    whole = steps // length * length

    @jax.checkpoint
    def segment(state, part):
        state, states = _scan(core, state, core.input_map(part))
        return state, core.readout(states)

    cut = tree.map_structure(lambda a: a[:whole].reshape(-1, length, *a.shape[1:]), columns)
    state, outputs = jax.lax.scan(segment, core.initial_state(batch), cut)
    outputs = outputs.reshape(whole, *outputs.shape[2:])
    if whole == steps:
        return outputs
    rest = segment(state, tree.map_structure(lambda a: a[whole:], columns))[1]
    return jnp.concatenate([outputs, rest])
