"""A leaky network whose leak is gated by its input."""

import jax
import jax.numpy as jnp

import nmbench


@nmbench.register_baseline(
    "gated_leak",
    free_size="N",
    tags=("gated", "example"),
    input_weights={"B": nmbench.InputWeights(), "G": nmbench.InputWeights()},
)
class GatedLeak(nmbench.Core):
    """x_t = (1 - g_t) x_{t-1} + g_t tanh(W x_{t-1} + B u_t), g_t = sigmoid(G u_t + b);  y_t = C x_t."""

    def __init__(self, spec, N: int):
        super().__init__(spec)
        P, O = spec.input_size, spec.output_size  # noqa: E741, as in the equations
        self.W = self.learned("W", (N, N), 1 / N**0.5)
        self.B = self.learned("B", (N, P), 1 / P**0.5)
        self.G = self.learned("G", (N, P), 1 / P**0.5)
        self.b = self.learned("b", (N, 1), 1.0)
        self.C = self.learned("C", (O, N), 1 / N**0.5)
        self.N = N

    def input_map(self, inputs):
        u = self.concat(inputs)
        return self.B @ u, jax.nn.sigmoid(self.G @ u + self.b[None])

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size))

    def step(self, x, v_t):
        drive, gate = v_t
        return (1 - gate) * x + gate * jnp.tanh(self.W @ x + drive)

    def readout(self, x):
        return self.C @ x
