"""Gate ablation: outputs and metrics of a network with one gate held at a constant value."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from nmbench.analysis.network import Network
from nmbench.analysis.observers import Observer, observer_of
from nmbench.analysis.states import check_network, record, recorder
from nmbench.support.errors import NmbenchError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Ablation:
    """Outputs and metrics of a network with one gate held at a constant value.

    Attributes:
      gate: index of the gate, None for the intact network.
      value: the constant value, None for the intact network.
      outputs: `[T, B, O]` on the trials of the frozen set.
      metrics: metrics of the outputs, name to value. On a task with retraining, all trials are answered with the last
        parameters, but a row judges old tasks with the parameters before retraining.
      conditions: the metrics by condition, name to label to value.
    """

    gate: int | None
    value: float | None
    outputs: np.ndarray
    metrics: dict[str, float]
    conditions: dict[str, dict[str, float]]


def hold_gate(network: Network, gate: int, value: float) -> Network:
    """Return the same network with one gate held at `value` in [0, 1] at every step.

    Raises:
      NmbenchError: the model has no such gate, or the value is not a number in [0, 1].
    """
    check_network(network)
    observer, gates = _observer(network), count_gates(network)
    if not isinstance(gate, int | np.integer) or isinstance(gate, bool) or not 0 <= gate < gates:
        raise NmbenchError(f"a gate of {network.baseline.name} is an integer from 0 to {gates - 1}; got {gate!r}")
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value <= 1:
        raise NmbenchError(f"a gate is held at a number in [0, 1]; got {value!r}")
    return network.with_params(observer.hold_gate(network.params, gate, value))


def ablate_gates(network: Network, to: str = "zero", split: str = "test") -> list[Ablation]:
    """Evaluate the intact network, and the network with each gate held in turn.

    Args:
      network: a network with a task and with gates.
      to: "zero", or "mean" for the gate's mean over all trials and steps of the set.
      split: name of the frozen set.

    Returns:
      The ablation of the intact network, followed by one for each gate.

    Raises:
      NmbenchError: there is no task, the model has no gates, the set is missing, or `to` has another value.
    """
    if to not in ("zero", "mean"):
        raise NmbenchError(f"gates are held at 'zero' or 'mean', not {to!r}{did_you_mean(str(to), ['zero', 'mean'])}")
    check_network(network)
    if network.task is None:
        raise NmbenchError("this network has no task, so it cannot be evaluated")
    if split not in network.task.set_sizes:
        known = list(network.task.set_sizes)
        raise NmbenchError(f"{network.task.name} has no set {split!r}{did_you_mean(str(split), known)}")
    observer, gates = _observer(network), count_gates(network)
    arrays = network.task.frozen(split).arrays
    inputs = network.task.unpack(arrays).inputs
    values = np.zeros(gates)
    if to == "mean":
        values = record(network, inputs)[observer.gates].mean(axis=(0, 1), dtype=np.float64)

    def evaluate(held: Network, gate: int | None, value: float | None) -> Ablation:
        assert held.task is not None
        outputs = held.apply(inputs)
        evaluated = held.task.evaluate(outputs, arrays)
        return Ablation(gate, value, outputs, evaluated["values"], evaluated["conditions"])

    held = [evaluate(hold_gate(network, k, float(v)), k, float(v)) for k, v in enumerate(values)]
    return [evaluate(network, None, None), *held]


def count_gates(network: Network) -> int:
    """Number of gates; raises `NmbenchError` if the model has none."""
    name = _observer(network).gates
    return jax.eval_shape(recorder(network), network.params, network.spec.zeros(batch=1, steps=1))[name].shape[-1]


def _observer(network: Network) -> Observer:
    """The observer of the network's model; raises `NmbenchError` if it has no gates."""
    observer = observer_of(network.baseline.factory) if network.is_core else Observer()
    if not observer.gates:
        raise NmbenchError(
            f"model {network.baseline.name!r} has no gates that can be held; an observer with the attribute `gates` and the "
            f"method `hold_gate` gives it some (nmbench.register_observer)"
        )
    return observer
