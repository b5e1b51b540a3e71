"""Two GRU layers of `hk.DeepRNN`, in a class that takes the task's spec and the size."""

import haiku as hk

import nmbench

# The second phase of the multitask trains only these input weights. `hk.GRU` computes `u @ w_i`, so channels are on axis 0.
READS = {"deep_gru/~/gru|w_i": nmbench.InputWeights(axis=0)}


@nmbench.register_baseline("deep_gru", free_size="N", tags=("gated", "example"), input_weights=READS)
class DeepGRU(hk.RNNCore):
    """GRU layers of N units each, with a linear readout of the last one."""

    def __init__(self, spec, N: int, layers: int = 2):
        super().__init__(name="deep_gru")
        self.layers = hk.DeepRNN([*(hk.GRU(N) for _ in range(layers)), hk.Linear(spec.output_size)])

    def initial_state(self, batch_size):
        return self.layers.initial_state(batch_size)

    def __call__(self, u, state):
        return self.layers(u, state)
