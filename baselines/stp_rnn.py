"""An RNN with short-term synaptic plasticity: its memory can be in the synapses while its units are silent."""

from __future__ import annotations

import math

import jax.numpy as jnp

from nmbench import Core, InputWeights, register_baseline

from ._products import Weights
from ._shared import AffineReadout, project

# Constants of Masse et al. in seconds: a step, the units' time constant, (tau_r, tau_a, U) of both kinds of units.
DT, TAU = 0.01, 0.1
FACILITATING, DEPRESSING = (0.2, 1.5, 0.15), (1.5, 0.2, 0.45)


@register_baseline(
    "stp_rnn",
    free_size="N",
    settings={"element_finder": {"readout_bias": False}},
    input_weights={"B": InputWeights()},
    citation="Masse, Yang, Song, Wang, Freedman (2019). Circuit mechanisms for the maintenance and manipulation of "
    "information in working memory. Nature Neuroscience 22. Methods, the network and its short-term plasticity. After "
    "Mongillo, Barak, Tsodyks (2008). Synaptic theory of working memory. Science 319.",
    tags=("plasticity", "full-rank", "control"),
)
class StpRnn(Core):
    """RNN with short-term synaptic plasticity: activity facilitates or depresses the synapses of each unit.

    a_t = a_{t-1} + (dt/tau_a) (U - a_{t-1}) + dt U (1 - a_{t-1}) h_{t-1}
    r_t = r_{t-1} + (dt/tau_r) (1 - r_{t-1}) - dt a_{t-1} r_{t-1} h_{t-1}
    h_t = relu((1 - dt/tau) h_{t-1} + (dt/tau) [W diag(1/U) (a_t r_t h_{t-1}) + B u_t + b]),  y_t = C h_t (+ d)

    u_t is all inputs together. a (utilisation) rises with activity, r (resources) falls with it. They are the u and x
    of Masse et al., are clipped to 0..1, and there is one of each per presynaptic unit. Units with an even number
    facilitate (tau_r = 0.2 s, tau_a = 1.5 s, U = 0.15), units with an odd number depress (1.5 s, 0.2 s, 0.45). A step
    is dt = 10 ms and tau = 100 ms, so tau is 10 steps, as in the other leaky networks. These are the equations and
    constants of Masse et al., with the rectification around the leak as in their code, without noise and without Dale's
    law: their units are excitatory or inhibitory, without connections to themselves, and inputs are excitatory; here a
    weight may have any sign. They also penalise activity in training, which favours memory in silent synapses; nmbench
    trains all models without this penalty. W, B, b, C and d are learned, the constants are not.

    Initial states are as published, h_0 = 0.1, r_0 = 1 and a_0 = U; their code also learns h_0. Masse et al. draw
    weights from gamma distributions, which suit Dale's law only; without it, their code starts from a multiple of the
    identity. Here W ~ N(0, 2/N), as suits rectified units, B ~ N(0, 1/P), C, d ~ N(0, 1/N) and b = 0. A synapse at
    rest has the efficacy a r = U; the factor 1/U, which is not published, gives all synapses at rest the same strength.

    `relu_rnn` is the same network with fixed synapses; it lists how the vanilla RNN differs from it.
    """

    def __init__(self, spec, N: int, readout_bias: bool = True):
        super().__init__(spec)
        P = spec.input_size
        constants = jnp.array([FACILITATING, DEPRESSING], jnp.result_type(float))[jnp.arange(N) % 2]
        self._tau_r, self._tau_a, self._U = (constants[:, [k]] for k in range(3))
        # The weights include the factor dt/tau, which saves a product at every step.
        self._W = Weights(self.learned("W", (N, N), math.sqrt(2 / N)) / self._U.T * (DT / TAU))
        self._B = self.learned("B", (N, P), 1 / math.sqrt(P)) * (DT / TAU)
        self._b = self.learned("b", (N, 1), 0.0) * (DT / TAU)
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        return project(self._B, self.concat(inputs)) + self._b[None]

    def initial_state(self, batch_size):
        ones = jnp.ones((self._U.shape[0], batch_size), self._U.dtype)
        return 0.1 * ones, ones, self._U * ones

    def step(self, state, v_t):
        h, r, a = state
        new_r = r + DT / self._tau_r * (1 - r) - DT * a * r * h
        new_a = a + DT / self._tau_a * (self._U - a) + DT * self._U * (1 - a) * h
        new_r, new_a = jnp.clip(new_r, 0, 1), jnp.clip(new_a, 0, 1)
        drive = self._W @ (new_a * new_r * h) + v_t
        return jnp.maximum((1 - DT / TAU) * h + drive, 0), new_r, new_a

    def readout(self, states):
        return self._read(states[0])
