"""An RNN with rectified units: what `stp_rnn` is without its plasticity."""

from __future__ import annotations

import math

import jax.numpy as jnp

from nmbench import Core, InputWeights, register_baseline

from ._products import Weights
from ._shared import AffineReadout, project

TAU = 10.0


@register_baseline(
    "relu_rnn",
    free_size="N",
    settings={"element_finder": {"readout_bias": False}},
    input_weights={"B": InputWeights()},
    citation="Masse, Yang, Song, Wang, Freedman (2019). Circuit mechanisms for the maintenance and manipulation of "
    "information in working memory. Nature Neuroscience 22. Methods, the network, with the efficacy of all synapses fixed.",
    tags=("full-rank",),
)
class ReluRnn(Core):
    """Leaky RNN with rectified units and fixed synapses: h_t = relu((1 - 1/tau) h_{t-1} + (1/tau) [W h_{t-1} + B u_t + b]).

    The readout is y_t = C h_t (+ d). u_t is all inputs together, and tau is 10 steps. W, B, b, C and d are learned.

    This is `stp_rnn` with all synapses at rest, a = U and r = 1: parameters of the same shapes with the same initial
    values (W ~ N(0, 2/N), B ~ N(0, 1/P), C, d ~ N(0, 1/N), b = 0), and h_0 = 0.1. So a difference between the two is due
    to plasticity alone (and to the learning rates, which are tuned for each). The vanilla RNN differs in more: tanh, a
    leak that is not part of the transfer function, no b, a readout of x instead of the rates, and on the Element Finder
    an initial state that is drawn.
    """

    def __init__(self, spec, N: int, readout_bias: bool = True):
        super().__init__(spec)
        P = spec.input_size
        # The weights include the factor 1/tau, which saves a product at every step.
        self._W = Weights(self.learned("W", (N, N), math.sqrt(2 / N)) / TAU)
        self._B = self.learned("B", (N, P), 1 / math.sqrt(P)) / TAU
        self._b = self.learned("b", (N, 1), 0.0) / TAU
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        return project(self._B, self.concat(inputs)) + self._b[None]

    def initial_state(self, batch_size):
        return jnp.full((self._b.shape[0], batch_size), 0.1, self._b.dtype)

    def step(self, state, v_t):
        return jnp.maximum((1 - 1 / TAU) * state + self._W @ state + v_t, 0)

    def readout(self, states):
        return self._read(states)
