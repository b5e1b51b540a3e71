"""A gated recurrent unit as an ordinary Haiku core: rows `[B, channels]` in, rows `[B, outputs]` out."""

import haiku as hk
import jax
import jax.numpy as jnp

import nmbench

# The second phase of the multitask trains only these input weights. `hk.Linear` computes `u @ w`, so channels are on axis 0.
READS = {name: nmbench.InputWeights(axis=0) for name in ("haiku_gru/~/gates_in|w", "haiku_gru/~/candidate_in|w")}


@nmbench.register_baseline("haiku_gru", free_size="N", tags=("gated", "example"), input_weights=READS)
class HaikuGRU(hk.RNNCore):
    """r, z = sigmoid(W u_t + U h_{t-1}), h_t = z h_{t-1} + (1 - z) tanh(W' u_t + U' (r h_{t-1})), y_t = C h_t + d.

    h_0 is 0.1.
    """

    def __init__(self, spec, N: int):
        super().__init__(name="haiku_gru")
        self.N, self.read = N, hk.Linear(spec.output_size, name="readout")
        self.gates_in, self.gates = hk.Linear(2 * N, False, name="gates_in"), hk.Linear(2 * N, False, name="gates")
        self.candidate_in, self.candidate = hk.Linear(N, False, name="candidate_in"), hk.Linear(N, False, name="candidate")

    def initial_state(self, batch_size):
        # Not zero: without biases, an input of 0 would leave a state of 0 unchanged, as if the trial began a step later.
        return jnp.full((batch_size, self.N), 0.1)

    def __call__(self, u, h):
        r, z = jnp.split(jax.nn.sigmoid(self.gates_in(u) + self.gates(h)), 2, axis=-1)
        h = z * h + (1 - z) * jnp.tanh(self.candidate_in(u) + self.candidate(r * h))
        return self.read(h), h
