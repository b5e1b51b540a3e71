"""An example of a third-party model."""

import haiku as hk


class RowGRU(hk.RNNCore):
    """An ordinary Haiku core; a step maps inputs `[B, C]` to outputs `[B, O]`."""

    def __init__(self, spec, N: int):
        super().__init__()
        self.gru, self.out = hk.GRU(N), hk.Linear(spec.output_size)

    def initial_state(self, batch_size):
        return self.gru.initial_state(batch_size)

    def __call__(self, inputs, state):
        output, state = self.gru(inputs, state)
        return self.out(output), state
