"""The minimal gated recurrent unit: the gates of a layer depend on its input only."""

from __future__ import annotations

import math

import haiku as hk
import jax
import jax.numpy as jnp

from nmbench import Core, InputWeights, NmbenchError, register_baseline

from ._products import Weights
from ._shared import AffineReadout, initial_column, project


@register_baseline(
    "min_gru",
    free_size="N",
    settings={
        "element_finder": {"readout_bias": False, "drawn_start": True},
        # With three layers, no size is within 5% of the default budget of these tasks.
        **{key: {"layers": 2} for key in ("delay_pro", "delay_anti", "memory_pro", "memory_anti")},
    },
    input_weights={"W_1": InputWeights()},
    citation="Feng, Tung, Ahmed, Bengio, Hajimirsadeghi (2024). Were RNNs all we needed? arXiv:2410.01201. Section 3.1.",
    tags=("gated",),
)
class MinGRU(Core):
    """minGRU: z = sigmoid(.), g = (.) of W u_t + b;  h_t = (1 - z) h_{t-1} + z g,  stacked in layers;  y_t = C h_t (+ d).

    The gates of a layer do not depend on its own state, so gates in a single layer cannot depend on earlier inputs. Layer l
    takes h_t of layer l - 1 as its input u_t; u_t of the first layer is all inputs together. The default is three layers, as
    in the paper's experiments, but without the normalisation, convolution and feed-forward network around each layer. This
    is the plain recurrence with a linear g, not the log-space form with a positive g. Rows of W_l and b_l are in the order
    z, g. Initial states are 0.1, or drawn once per seed.

    The paper gives no initialisation. Its code makes W and b with PyTorch's Linear, so both start uniform in
    +-1/sqrt(inputs of the layer). C, d ~ N(0, 1/N).
    """

    def __init__(self, spec, N: int, layers: int = 3, readout_bias: bool = True, drawn_start: bool = False):
        super().__init__(spec, name="min_gru")
        if layers < 1:
            raise NmbenchError(f"layers, the number of layers, must be at least 1, got {layers}")
        self._N = N
        # sigmoid(a) = (1 + tanh(a / 2)) / 2, with the half in the weights.
        scale = jnp.concatenate([jnp.full((N, 1), 0.5), jnp.ones((N, 1))])
        self._W_u = scale * _linear("W_1", (2 * N, spec.input_size), spec.input_size)
        self._b_u = scale * _linear("b_1", (2 * N, 1), spec.input_size)
        above = range(2, layers + 1)
        self._W = [Weights(scale * _linear(f"W_{layer}", (2 * N, N), N)) for layer in above]
        self._b = [scale * _linear(f"b_{layer}", (2 * N, 1), N) for layer in above]
        self._h0 = tuple(initial_column(self, f"h0_{layer}", N, drawn_start) for layer in range(1, layers + 1))
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        return project(self._W_u, self.concat(inputs)) + self._b_u[None]

    def initial_state(self, batch_size):
        return tuple(jnp.tile(h0, (1, batch_size)) for h0 in self._h0)

    def step(self, state, v_t):
        states = [self._mix(state[0], v_t)]
        for h, W, b in zip(state[1:], self._W, self._b):
            states.append(self._mix(h, W @ states[-1] + b))
        return tuple(states)

    def _mix(self, h: jax.Array, drive: jax.Array) -> jax.Array:
        z = 0.5 + 0.5 * jnp.tanh(drive[: self._N])
        return h + z * (drive[self._N :] - h)

    def readout(self, states):
        return self._read(states[-1])


def _linear(name: str, shape: tuple[int, ...], inputs: int) -> jax.Array:
    """A parameter initialised as in PyTorch's Linear layer: uniform in +-1/sqrt(inputs)."""
    bound = 1 / math.sqrt(inputs)
    return hk.get_parameter(name, shape, jnp.result_type(float), hk.initializers.RandomUniform(-bound, bound))
