"""A minimal model for testing tasks: a leaky sum of the inputs and a linear readout."""

from __future__ import annotations

import jax.numpy as jnp

from nmbench.contracts.input_weights import InputWeights
from nmbench.contracts.model import Core
from nmbench.contracts.registration import register_baseline
from nmbench.contracts.task import Task

PROBE = "conformance_probe"


class _Probe(Core):
    """x_t = x_{t-1} / 2 + B u_t, y_t = C x_t."""

    def __init__(self, spec, N: int):
        super().__init__(spec)
        self.B = self.learned("B", (N, spec.input_size), 0.1)
        self.C = self.learned("C", (spec.output_size, N), 0.1)
        self.N = N

    def input_map(self, inputs):
        return self.B @ self.concat(inputs)

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size))

    def step(self, x, v_t):
        return 0.5 * x + v_t

    def readout(self, x):
        return self.C @ x


def register_probe(task: Task) -> None:
    """Register the probe with all partitions that the phases of the task's protocols name. Their content does not matter."""
    phases = [phase for protocol in task.protocols for phase in protocol.phases]
    names = {n for p in phases for n in ((p.partition,) if isinstance(p.partition, str) else p.partition)}
    register_baseline(
        PROBE,
        free_size="N",
        input_weights={"B": InputWeights()},
        partitions={name: lambda module, parameter: parameter == "C" for name in names - {"learned", "input_weights"}},
    )(_Probe)
