"""An RNN with facilitating synapses: its memory can be in the synapses while its units are silent."""

import jax.numpy as jnp

import nmbench

DT, TAU = 0.01, 0.1  # a step and the time constant of the units, in seconds
TAU_D, TAU_F, U = 0.2, 1.5, 0.2  # depression and facilitation in seconds, and utilisation at rest: Mongillo et al. (2008)


@nmbench.register_baseline(
    "facilitating_rnn",
    free_size="N",
    tags=("full-rank", "plasticity", "example"),
    input_weights={"B": nmbench.InputWeights()},
    citation="Mongillo, Barak, Tsodyks (2008). Synaptic theory of working memory. Science 319. Masse, Yang, Song, Wang, "
    "Freedman (2019). Circuit mechanisms for the maintenance and manipulation of information in working memory. Nature "
    "Neuroscience 22.",
)
class FacilitatingRNN(nmbench.Core):
    """h_t = relu((1 - dt/tau) h_{t-1} + (dt/tau) [W (u_t x_t h_{t-1}) / U + B v_t + b]),  y_t = C h_t + d.

    u_t = u_{t-1} + (dt/tau_F) (U - u_{t-1}) + dt U (1 - u_{t-1}) h_{t-1}: utilisation, rises with activity (facilitation)
    x_t = x_{t-1} + (dt/tau_D) (1 - x_{t-1}) - dt u_{t-1} x_{t-1} h_{t-1}: resources, fall with activity (depression)

    v_t is all inputs together. u_t and x_t are clipped to 0..1; there is one of each per presynaptic unit. These are the
    dynamics of the synapses of Mongillo et al., in which facilitation outlasts depression, in a network trained as by Masse
    et al. (2019), without noise. Masse et al. divide units into excitatory and inhibitory ones and let half of them depress;
    here a weight may have any sign, and all synapses facilitate. A step is 10 ms, so that tau is 10 steps as in nmbench's
    other leaky networks. W, B, b, C, d are learned, the constants are not.

    Initialisation: h_0 = 0.1, x_0 = 1, u_0 = U as by Masse et al., W ~ N(0, 2/N), as suits rectified units, B ~ N(0, 1/P),
    C ~ N(0, 1/N), b = d = 0. A synapse at rest has the efficacy u x = U; the factor 1/U makes this one.
    """

    def __init__(self, spec, N: int, gain: float = 2**0.5):
        super().__init__(spec, name="facilitating_rnn")
        P, outputs = spec.input_size, spec.output_size
        self.W = self.learned("W", (N, N), gain / N**0.5)
        self.B = self.learned("B", (N, P), 1 / P**0.5)
        self.C = self.learned("C", (outputs, N), 1 / N**0.5)
        self.b, self.d = self.learned("b", (N, 1), 0.0), self.learned("d", (outputs, 1), 0.0)

    def input_map(self, inputs):
        return self.B @ self.concat(inputs) + self.b[None]

    def initial_state(self, batch_size):
        at_rest = jnp.ones((self.b.shape[0], batch_size))
        return 0.1 * at_rest, at_rest, U * at_rest

    def step(self, state, v_t):
        h, x, u = state
        x_t = x + DT / TAU_D * (1 - x) - DT * u * x * h
        u_t = u + DT / TAU_F * (U - u) + DT * U * (1 - u) * h
        x_t, u_t = jnp.clip(x_t, 0, 1), jnp.clip(u_t, 0, 1)
        drive = self.W @ (u_t * x_t * h) / U + v_t
        return jnp.maximum(h + DT / TAU * (drive - h), 0), x_t, u_t

    def readout(self, states):
        return self.C @ states[0] + self.d[None]
