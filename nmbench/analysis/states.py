"""Record the internal states of a network on any trials."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.analysis.network import Network, finite, floats
from nmbench.analysis.observers import Observer, observer_of
from nmbench.contracts import unroll
from nmbench.support.errors import NmbenchError


def record(network: Network, inputs: Any = None) -> dict[str, np.ndarray]:
    """States, signals and outputs after every step: name to `[T, B, features]`.

    "y" is the output. The other names come from the model's observer, such as "x", "z" and "s" of an NM-RNN. Without an
    observer, the carried state is called "x", or "x/0", "x/1", ... if it has several parts.

    Args:
      network: a network whose model is a `Core` or an `hk.RNNCore`.
      inputs: leaves `[T, B, channels]`; by default those of the task's test set.

    Raises:
      NmbenchError: the model is a pair of functions, so its states cannot be recorded; there are neither inputs nor a task;
        or the inputs do not fit the network's spec.
    """
    chosen = trials(network, inputs)
    recorded = network.compiled(recorder)(network.params, floats(chosen))
    return {name: np.asarray(values) for name, values in recorded.items()}


def recorder(network: Network) -> Callable[[Any, Any], dict[str, jax.Array]]:
    """The pure function of parameters and inputs that `record` evaluates."""
    if network.is_core:
        return network.with_module(_observe_core)
    if network.is_rnn_core:
        return network.with_module(_observe_rnn_core)
    raise NmbenchError(f"model {network.baseline.name!r} has its own apply, so its states cannot be recorded")


def check_network(network: Network) -> None:
    """Raise `NmbenchError` for anything that is not a network."""
    if not isinstance(network, Network):
        kind = type(network).__name__
        raise NmbenchError(f"the network must come from nmbench.load_network, got a value of type {kind}")


def trials(network: Network, inputs: Any = None) -> Any:
    """`inputs`, or the inputs of the task's test set if None.

    Raises:
      NmbenchError: there is no task, or the inputs do not fit the network's spec or are not finite.
    """
    check_network(network)
    if inputs is not None:
        network.spec.validate_inputs(inputs, any_steps=True)
        leaves, steps = tree.flatten(inputs), network.spec.steps
        for leaf in leaves:
            finite(leaf, "inputs")
        if all(np.shape(leaf)[0] != steps == np.shape(leaf)[1] for leaf in leaves):
            warnings.warn(
                f"inputs {list(np.shape(leaves[0]))} are read as [steps, trials, channels], but the task has {steps} steps; "
                "if trials come first, swap the axes with np.swapaxes(inputs, 0, 1)",
                stacklevel=3,
            )
        return inputs
    if network.task is None:
        raise NmbenchError("this network has no task; give the inputs")
    return network.task.unpack(network.task.frozen("test").arrays).inputs


def _observe_core(core: Any, inputs: Any) -> dict[str, jax.Array]:
    carried = unroll.core_states(core, inputs)
    observer = observer_of(type(core))
    seen = {**observer.states(core, carried), **observer.signals(core, carried), "y": core.readout(carried)}
    return {name: jnp.swapaxes(values, 1, 2) for name, values in seen.items()}


def _observe_rnn_core(core: hk.RNNCore, inputs: Any) -> dict[str, Any]:
    sequence = unroll.concat_inputs(inputs)
    start = core.initial_state(sequence.shape[1])
    outputs, states = hk.dynamic_unroll(core, sequence, start, return_all_states=True)
    rows = {name: leaf.reshape(*leaf.shape[:2], -1) for name, leaf in Observer().states(core, states).items()}
    return {**rows, "y": outputs}
