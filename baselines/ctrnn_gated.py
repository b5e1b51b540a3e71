"""A leaky network whose leak depends on its input and state."""

from __future__ import annotations

import math

import haiku as hk
import jax.numpy as jnp

from nmbench import Core, InputWeights, NmbenchError, register_baseline

from ._products import Weights
from ._shared import AffineReadout, initial_column, project


@register_baseline(
    "ctrnn_gated",
    free_size="N",
    settings={"element_finder": {"readout_bias": False, "drawn_start": True}},
    input_weights={"B": InputWeights(), "B_z": InputWeights()},
    citation="Krishnamurthy, Can, Schwab (2022). Theory of gating in recurrent neural networks. Physical Review X 12(1), "
    "section II, the update gate. Can, Krishnamurthy, Schwab (2020). Gating creates slow modes and controls phase-space "
    "complexity in GRUs and LSTMs. MSML.",
    tags=("gated", "full-rank"),
)
class GatedCTRNN(Core):
    """Leaky RNN with a gated leak: x_t = (1 - z_t) x_{t-1} + z_t [W tanh(x_{t-1}) + B u_t],  y_t = C x_t (+ d).

    z_t = sigmoid(W_z tanh(x_{t-1}) + B_z u_t + b_z) is the leak of each unit at this step, 1/z_t its time constant. This is
    the network of Krishnamurthy et al. with the update gate only, without the output gate. The gate follows its drive
    immediately (tau_z = 0), one bias b_z serves all units, and an Euler step is one time unit. u_t is all inputs together.
    Initial states are 0.1, or drawn once per seed.

    Initialisation as published: W, W_z ~ N(0, 1/N), gains 1. The paper does not give that of input weights and gate bias:
    here B, B_z ~ N(0, 1/P), and the initial b_z gives a gate without drive the time constant `tau`. The default of
    `tau` is that of the vanilla RNN. C, d ~ N(0, 1/N).
    """

    def __init__(self, spec, N: int, tau: float = 10.0, readout_bias: bool = True, drawn_start: bool = False):
        super().__init__(spec, name="ctrnn_gated")
        if not 1 < tau < math.inf:
            raise NmbenchError(f"tau, the initial time constant of a unit in steps, must be finite and above 1, got {tau}")
        P = spec.input_size
        self._N = N
        # sigmoid(a) = (1 + tanh(a / 2)) / 2, with the half in the weights.
        W = [self.learned("W", (N, N), 1 / math.sqrt(N)), self.learned("W_z", (N, N), 1 / math.sqrt(N)) / 2]
        B = [self.learned("B", (N, P), 1 / math.sqrt(P)), self.learned("B_z", (N, P), 1 / math.sqrt(P)) / 2]
        start = hk.initializers.Constant(-math.log(tau - 1))
        b_z = hk.get_parameter("b_z", (1, 1), jnp.result_type(float), start) / 2
        self._W, self._B = Weights(jnp.concatenate(W)), jnp.concatenate(B)
        self._b = jnp.concatenate([jnp.zeros((N, 1), b_z.dtype), jnp.tile(b_z, (N, 1))])
        self._x0 = initial_column(self, "x0", N, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        return project(self._B, self.concat(inputs)) + self._b[None]

    def initial_state(self, batch_size):
        return jnp.tile(self._x0, (1, batch_size))

    def step(self, state, v_t):
        drive = v_t + self._W @ jnp.tanh(state)
        z = 0.5 + 0.5 * jnp.tanh(drive[self._N :])
        return state + z * (drive[: self._N] - state)

    def readout(self, states):
        return self._read(states)
