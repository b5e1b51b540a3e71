"""The gated recurrent unit."""

from __future__ import annotations

import haiku as hk
import jax.numpy as jnp

from nmbench import Core, InputWeights, register_baseline

from ._products import Weights
from ._shared import AffineReadout, initial_column, project


@register_baseline(
    "gru",
    free_size="N",
    settings={
        "element_finder": {"readout_bias": False, "drawn_start": True},
        # With this bias, no size is within 5% of the default budget of these tasks.
        **{key: {"candidate_bias": False} for key in ("delay_pro", "delay_anti", "memory_pro", "memory_anti")},
    },
    input_weights={"W_u": InputWeights()},
    citation="Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio (2014). Learning phrase representations "
    "using RNN encoder-decoder for statistical machine translation. EMNLP. Eqs. 5-8.",
    tags=("gated",),
)
class GRU(Core):
    """GRU: update gate z, reset gate r, candidate g;  h_t = z h_{t-1} + (1 - z) g,  y_t = C h_t (+ d).

    [z, r] = sigmoid(W_u u_t + W_h h_{t-1} + b),  g = tanh(W_u u_t + W_h (r h_{t-1}) + b), each with its rows of W_u, W_h, b.
    A unit keeps its state if z = 1, as in the paper; in many later texts it does so if z = 0. Rows of W_u, W_h and b are in
    the order z, r, g. u_t is all inputs together. Initial states are 0.1, or drawn once per seed.

    Initialisation as published: W_u ~ N(0, 0.01^2), each block of W_h the left singular vectors of a Gaussian matrix. The
    paper omits the biases from its equations; here they start at 0, and g has none with `candidate_bias=False`.
    C, d ~ N(0, 1/N).
    """

    def __init__(
        self, spec, N: int, candidate_bias: bool = True, readout_bias: bool = True, drawn_start: bool = False
    ):  # fmt: skip
        super().__init__(spec, name="gru")
        self._N = N
        # sigmoid(a) = (1 + tanh(a / 2)) / 2, with the half in the weights: one tanh for both gates.
        scale = jnp.concatenate([jnp.full((2 * N, 1), 0.5), jnp.ones((N, 1))])
        self._W_u = scale * self.learned("W_u", (3 * N, spec.input_size), 0.01)
        W_h = scale * hk.get_parameter("W_h", (3 * N, N), jnp.result_type(float), _orthogonal_blocks)
        self._gates, self._candidate = Weights(W_h[: 2 * N]), Weights(W_h[2 * N :])
        b = self.learned("b", ((3 if candidate_bias else 2) * N, 1), 0.0)
        self._b = scale * (b if candidate_bias else jnp.concatenate([b, jnp.zeros((N, 1), b.dtype)]))
        self._h0 = initial_column(self, "h0", N, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        driven = project(self._W_u, self.concat(inputs)) + self._b[None]
        return driven[:, : 2 * self._N], driven[:, 2 * self._N :]

    def initial_state(self, batch_size):
        return jnp.tile(self._h0, (1, batch_size))

    def step(self, state, v_t):
        gates = 0.5 + 0.5 * jnp.tanh(v_t[0] + self._gates @ state)
        z, r = gates[: self._N], gates[self._N :]
        g = jnp.tanh(v_t[1] + self._candidate @ (r * state))
        return g + z * (state - g)

    def readout(self, states):
        return self._read(states)


def _orthogonal_blocks(shape, dtype):
    """Left singular vectors of Gaussian matrices `[N, N]`, stacked along the rows, `[J N, N]`."""
    N, draw = shape[1], hk.initializers.RandomNormal()
    return jnp.concatenate([jnp.linalg.svd(draw((N, N), dtype))[0] for _ in range(shape[0] // N)])
