"""The semilinear LSTM of the supplement's Proposition 1: its candidate, output gate and cell are linear."""

from __future__ import annotations

import math

import haiku as hk
import jax
import jax.numpy as jnp

from nmbench import Core, InputWeights, register_baseline

from ._products import Weights
from ._shared import PAPER, AffineReadout, initial_column, project

# Initial standard deviation of candidate and output gate relative to that of the sigmoid gates.
SMALL = 0.1


@register_baseline(
    "semilinear_lstm",
    free_size="N",
    settings={"element_finder": {"drawn_start": True}},
    input_weights={"W_u": InputWeights()},
    citation=PAPER.replace("C.3.", "A, Eqs. 4-6."),
    tags=("gated", "linear"),
)
class SemilinearLSTM(Core):
    """LSTM with linear candidate, output gate and cell: [f, i] = sigmoid(.), [g, o] = (.) of W_u u'_t + W_h h_{t-1} + b.

    c_t = f c_{t-1} + i g,  h_t = o c_t,  y_t = C h_t + d

    u'_t is the input u_t, or, with `previous_input`, [u_t; u_{t-1}] with u_{-1} = 0. By Proposition 1 of the supplement, a
    linearised NM-RNN with tied orthonormal factors, tau_x = 1 and a linear z is such a network with `previous_input`, if its
    x starts in the span of the factors (see `python -m nmbench.theory`). W_u is `[4 N, P]`, or `[2, 4 N, P]` with the
    weights of u_{t-1} second. Rows of W_u, W_h and b are in the order f, i, g, o. Initial states are 0.1, or drawn once per
    seed.

    The supplement gives no initialisation. Here f and i are initialised as the LSTM's gates: W_u with standard deviation
    1/sqrt(size of u'), W_h and b with 1/sqrt(N). The weights of g and o have a tenth of these standard deviations: h
    contains the product of g and o and feeds back into both, so with full weights it grows with its own square and overflows
    within a few steps. Even so, training diverged on three tasks at every learning rate that was tried, from 1e-4 to 1e-1.
    """

    def __init__(self, spec, N: int, previous_input: bool = False, drawn_start: bool = False):
        super().__init__(spec, name="semilinear_lstm")
        P = spec.input_size
        self._N, self._P = N, P
        shape = (2, 4 * N, P) if previous_input else (4 * N, P)
        W_u = self._gates("W_u", shape, 1 / math.sqrt(2 * P if previous_input else P))
        self._W_u, self._W_v = (W_u[0], Weights(W_u[1])) if previous_input else (W_u, None)
        self._W_h = Weights(self._gates("W_h", (4 * N, N), 1 / math.sqrt(N)))
        self._b = self._gates("b", (4 * N, 1), 1 / math.sqrt(N))
        self._h0 = initial_column(self, "h0", N, drawn_start)
        self._c0 = initial_column(self, "c0", N, drawn_start)
        self._read = AffineReadout(self, N, bias=True)

    def _gates(self, name: str, shape: tuple[int, ...], stddev: float) -> jax.Array:
        """A learned `[..., 4 N, columns]`, drawn from N(0, stddev^2) for f and i, N(0, (SMALL stddev)^2) for g and o."""
        spread = jnp.repeat(jnp.array([[stddev], [SMALL * stddev]]), 2 * self._N, axis=0)
        spread = spread.reshape((1,) * (len(shape) - 2) + spread.shape)
        draw = lambda shape, dtype: spread.astype(dtype) * hk.initializers.RandomNormal()(shape, dtype)
        return hk.get_parameter(name, shape, jnp.result_type(float), draw)

    def input_map(self, inputs):
        u = self.concat(inputs).astype(self._W_u.dtype)
        driven = project(self._W_u, u) + self._b[None]
        return driven if self._W_v is None else (driven, u)

    def initial_state(self, batch_size):
        start = tuple(jnp.tile(a, (1, batch_size)) for a in (self._h0, self._c0))
        return start if self._W_v is None else (*start, jnp.zeros((self._P, batch_size), self._h0.dtype))

    def step(self, state, v_t):
        if self._W_v is None:
            h, c = state
            return self._advance(h, c, v_t)
        # The state includes the previous input, because an input map may receive one segment of a trial at a time.
        (h, c, before), (driven, u) = state, v_t
        return *self._advance(h, c, driven + self._W_v @ before), u

    def _advance(self, h, c, driven):
        gates = driven + self._W_h @ h
        f, i = jnp.split(jax.nn.sigmoid(gates[: 2 * self._N]), 2)
        g, o = jnp.split(gates[2 * self._N :], 2)
        c = f * c + i * g
        return o * c, c

    def readout(self, states):
        return self._read(states[0])
