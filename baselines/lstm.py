"""The long short-term memory network."""

from __future__ import annotations

import math

import jax.numpy as jnp
import tree

from nmbench import Core, InputWeights, register_baseline

from ._products import Weights
from ._shared import EFT_PAPER, MULTITASK_PAPER, MWG_PAPER, AffineReadout, initial_column, project


@register_baseline(
    "lstm",
    free_size="N",
    settings={
        "element_finder": {"drawn_start": True},
        **{key: {"N": 10} for key in EFT_PAPER},
        **{key: {"N": 15} for key in MWG_PAPER},
        **{key: {"N": 8} for key in MULTITASK_PAPER},
    },
    learning_rates=dict.fromkeys(EFT_PAPER, 1e-2),
    input_weights={"W_u": InputWeights()},
    citation="Hochreiter, Schmidhuber (1997). Long short-term memory. Neural Computation 9(8). With the forget gate of "
    "Gers, Schmidhuber, Cummins (2000). Learning to forget: continual prediction with LSTM. Neural Computation 12(10).",
    tags=("gated", "paper"),
)
class LSTM(Core):
    """LSTM: [i, f, o] = sigmoid(.), g = tanh(.) of W_u u_t + W_h h_{t-1} + b;  c_t = f c_{t-1} + i g,  h_t = o tanh(c_t).

    y_t = C h_t. There is one bias vector per gate, no forget-gate offset and no readout bias. Rows of W_u, W_h and b are in
    the order i, f, o, g. Initial states are 0.1, or drawn once per seed. u_t is all inputs together.

    Initialisation: W_u ~ N(0, 1/P), W_h, b ~ N(0, 1/N), C ~ N(0, 1/N), as in the authors' code. The supplement gives
    none.
    """

    def __init__(self, spec, N: int, drawn_start: bool = False):
        super().__init__(spec, name="lstm")
        P = spec.input_size
        self._N = N
        # sigmoid(a) = (1 + tanh(a / 2)) / 2, with the half in the weights: one tanh for i, f, o and g, because tanh takes
        # much of the time of a step.
        scale = jnp.concatenate([jnp.full((3 * N, 1), 0.5), jnp.ones((N, 1))])
        self._W_u = scale * self.learned("W_u", (4 * N, P), 1 / math.sqrt(P))
        self._W_h = Weights(scale * self.learned("W_h", (4 * N, N), 1 / math.sqrt(N)))
        self._b = scale * self.learned("b", (4 * N, 1), 1 / math.sqrt(N))
        self._h0 = initial_column(self, "h0", N, drawn_start)
        self._c0 = initial_column(self, "c0", N, drawn_start)
        self._read = AffineReadout(self, N, bias=False)

    def input_map(self, inputs):
        return project(self._W_u, self.concat(inputs)) + self._b[None]

    def initial_state(self, batch_size):
        return tree.map_structure(lambda a: jnp.tile(a, (1, batch_size)), (self._h0, self._c0))

    def step(self, state, v_t):
        h, c = state
        gates = jnp.tanh(v_t + self._W_h @ h)
        i, f, o = jnp.split(0.5 + 0.5 * gates[: 3 * self._N], 3)
        c = f * c + i * gates[3 * self._N :]
        return o * jnp.tanh(c), c

    def readout(self, states):
        return self._read(states[0])
