"""What a model changes in its own network over time: signals, gains, efficacies of synapses, scales of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nmbench.analysis.network import Network
from nmbench.analysis.observers import observer_of
from nmbench.analysis.states import record
from nmbench.support.errors import NmbenchError


class Modulation(NamedTuple):
    """A quantity by which a model changes its own network over time.

    Attributes:
      name: name in the model's equations.
      meaning: what it is.
      unit: what its values are measured in.
      neutral: the value at which it changes nothing. For signals "s" it is 1/2, where the NM-RNN and its controls are the
        same network.
      values: `[T, B, K]`, after every step.
    """

    name: str
    meaning: str
    unit: str
    neutral: float
    values: np.ndarray


# From the name that an observer gives to a signal to its meaning, its unit and its neutral value.
_SIGNALS = {
    "s": ("the signals of the neuromodulatory network", "from 0 to 1", 0.5),
    "g": ("the gain of the transfer function of each unit", "slope at 0", 1.0),
    "d_h": ("scales the recurrent weights of each unit", "multiple of the weights", 1.0),
    "d_x": ("scales the input weights of each unit", "multiple of the weights", 1.0),
    "d_b": ("is added to the bias of each unit", "input of a unit", 0.0),
}
_EFFICACY = ("a r / U", "the efficacy of the synapses of each unit", "multiple of the efficacy at rest", 1.0)


def modulation(network: Network, inputs: Any = None) -> list[Modulation]:
    """The quantities by which a model changes its own network over time, on any trials.

    They are known by the names that the model's observer gives them: signals "s", gains "g", and the scales "d_h" and "d_x"
    and the bias "d_b" of a hypernetwork. From utilisation "a" and resources "r" of synapses, the product a r is computed,
    divided by its value before the first step, which is U in the equations of `stp_rnn`.

    Args:
      network: a network whose model is a `Core` or an `hk.RNNCore`.
      inputs: leaves `[T, B, channels]`; by default those of the task's test set.

    Raises:
      NmbenchError: the model has none of these quantities; its states cannot be recorded; or there are neither inputs nor a
        task.
    """
    recorded = record(network, inputs)
    found = [Modulation(name, *known, recorded[name]) for name, known in _SIGNALS.items() if name in recorded]
    if {"a", "r"} <= recorded.keys():
        rest = network.compiled(_states_before)(network.params)
        efficacy = recorded["a"] * recorded["r"] / np.asarray(rest["a"] * rest["r"])[:, 0]
        found.append(Modulation(*_EFFICACY, efficacy))
    if not found:
        known = ", ".join(_SIGNALS)
        raise NmbenchError(
            f"model {network.baseline.name!r} has nothing that modulates it: its observer gives none of {known}, or a and r"
        )
    return found


def _states_before(network: Network) -> Callable[[Any], Any]:
    """The pure function of parameters that gives the states before the first step, `[features, 1]` each."""
    return network.with_module(lambda core: observer_of(type(core)).states(core, core.initial_state(1)))
