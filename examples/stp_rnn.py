"""An RNN with short-term synaptic plasticity: its memory can be in the synapses while its units are silent."""

import jax.numpy as jnp

import nmbench

# Constants of Masse et al. (2019) in seconds: a step, the units' time constant, (tau_x, tau_u, U) of both kinds of units.
DT, TAU = 0.01, 0.1
FACILITATING, DEPRESSING = (0.2, 1.5, 0.15), (1.5, 0.2, 0.45)


@nmbench.register_baseline(
    "stp_rnn",
    free_size="N",
    tags=("full-rank", "plasticity", "example"),
    input_weights={"B": nmbench.InputWeights()},
    citation="Mongillo, Barak, Tsodyks (2008). Synaptic theory of working memory. Science 319. Masse, Yang, Song, Wang, "
    "Freedman (2019). Circuit mechanisms for the maintenance and manipulation of information in working memory. Nature "
    "Neuroscience 22.",
)
class PlasticRNN(nmbench.Core):
    """h_t = relu((1 - dt/tau) h_{t-1} + (dt/tau) [W diag(1/U) (u_t x_t h_{t-1}) + B v_t + b]),  y_t = C h_t + d.

    u_t = u_{t-1} + (dt/tau_u) (U - u_{t-1}) + dt U (1 - u_{t-1}) h_{t-1}: utilisation, rises with activity (facilitation)
    x_t = x_{t-1} + (dt/tau_x) (1 - x_{t-1}) - dt u_{t-1} x_{t-1} h_{t-1}: resources, fall with activity (depression)

    v_t is all inputs together. u_t and x_t are clipped to 0..1; there is one of each per presynaptic unit. Units with an
    even number facilitate, those with an odd number depress. These are the equations of Masse et al. without noise and
    without Dale's law: Masse et al. divide units into excitatory and inhibitory ones, here a weight may have any sign. A
    step is 10 ms, as theirs, so that tau is 10 steps as in nmbench's other leaky networks. W, B, b, C, d are learned, the
    constants are not.

    Initialisation: h_0 = 0.1, x_0 = 1, u_0 = U as published. Masse et al. draw weights from gamma distributions, which suit
    Dale's law only. Here W ~ N(0, 2/N), as suits rectified units, B ~ N(0, 1/P), C ~ N(0, 1/N), b = d = 0. A synapse at
    rest has the efficacy u x = U; the factor 1/U, which is not published, gives all synapses at rest the same strength.
    """

    def __init__(self, spec, N: int, gain: float = 2**0.5):
        super().__init__(spec, name="stp_rnn")
        P, outputs = spec.input_size, spec.output_size
        constants = jnp.array([FACILITATING, DEPRESSING])[jnp.arange(N) % 2]  # [N, 3]
        self.tau_x, self.tau_u, self.U = (constants[:, [k]] for k in range(3))
        self.W = self.learned("W", (N, N), gain / N**0.5) / self.U.T
        self.B = self.learned("B", (N, P), 1 / P**0.5)
        self.C = self.learned("C", (outputs, N), 1 / N**0.5)
        self.b, self.d = self.learned("b", (N, 1), 0.0), self.learned("d", (outputs, 1), 0.0)

    def input_map(self, inputs):
        return self.B @ self.concat(inputs) + self.b[None]

    def initial_state(self, batch_size):
        column = jnp.ones((1, batch_size))
        return 0.1 * column + 0 * self.U, column + 0 * self.U, column * self.U

    def step(self, state, v_t):
        h, x, u = state
        x_t = x + DT / self.tau_x * (1 - x) - DT * u * x * h
        u_t = u + DT / self.tau_u * (self.U - u) + DT * self.U * (1 - u) * h
        x_t, u_t = jnp.clip(x_t, 0, 1), jnp.clip(u_t, 0, 1)
        drive = self.W @ (u_t * x_t * h) + v_t
        return jnp.maximum(h + DT / TAU * (drive - h), 0), x_t, u_t

    def readout(self, states):
        return self.C @ states[0] + self.d[None]
