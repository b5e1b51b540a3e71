"""An LSTM of flax.linen. Its `init` and `apply` are the pair of functions that nmbench trains."""

import flax.linen as nn
import jax

import nmbench

# Names as in Flax's parameter tree. LSTMCell has one matrix per gate and computes `u @ kernel`, so channels are on axis 0.
READS = {f"params/cell/i{gate}|kernel": nmbench.InputWeights(axis=0) for gate in "ifgo"}


class Network(nn.Module):
    """An LSTM with N units and a linear readout, time-major."""

    N: int
    outputs: int

    @nn.compact
    def __call__(self, inputs):  # as in the task's spec, leaves [T, B, channels]
        u = nmbench.concat_inputs(inputs)
        cell = nn.LSTMCell(self.N, name="cell")
        return nn.Dense(self.outputs, name="readout")(nn.RNN(cell, time_major=True)(u))


@nmbench.register_baseline("flax_lstm", free_size="N", tags=("gated", "example"), input_weights=READS)
def flax_lstm(spec, N: int):
    """LSTM of flax.linen with its own initialisation."""
    network = Network(N, spec.output_size)
    zeros = jax.tree.map(jax.numpy.asarray, spec.zeros(batch=1, steps=1))
    return lambda key: network.init(key, zeros), network.apply
