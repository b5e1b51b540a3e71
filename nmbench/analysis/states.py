"""Internal states of a network over any trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.analysis.network import Network, floats
from nmbench.analysis.observers import observer_of
from nmbench.contracts import unroll
from nmbench.support.errors import NmbenchError


def record(network: Network, inputs: Any = None) -> dict[str, np.ndarray]:
    """States, signals and outputs of every step, after that step: name to `[T, B, features]`.

    "y" is the output. The other names are those of the model's observer, as "x", "z" and "s" of an NM-RNN; a model without
    one has its carried state as "x", or as "x/0", "x/1" ... if there are several.

    Args:
      network: a `Core` or an `hk.RNNCore` with its parameters.
      inputs: of the network's spec, leaves `[T, B, channels]`; the test trials of its task by default.

    Raises:
      NmbenchError: the model is a pair of functions that shows no states, or there are no inputs.
    """
    recorded = network.compiled(recorder)(network.params, floats(trials(network, inputs)))
    return {name: np.asarray(values) for name, values in recorded.items()}


def recorder(network: Network) -> Callable[[Any, Any], dict[str, jax.Array]]:
    """What `record` computes, as a pure function of parameters and inputs."""
    factory = network.baseline.factory
    if network.is_core:
        return network.with_module(_observe_core)
    if isinstance(factory, type) and issubclass(factory, hk.RNNCore):
        return network.with_module(_observe_rnn_core)
    raise NmbenchError(f"model {network.baseline.name!r} brings its own apply: there are no states to see, only outputs")


def trials(network: Network, inputs: Any = None) -> Any:
    """`inputs`, or those of the test set of the network's task; raises `NmbenchError` if it has none."""
    if inputs is not None:
        return inputs
    if network.task is None:
        raise NmbenchError("this network comes without a task; give the inputs")
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
    named = {"/".join(["x", *map(str, path)]): leaf for path, leaf in tree.flatten_with_path(states)}
    return {**named, "y": outputs}
