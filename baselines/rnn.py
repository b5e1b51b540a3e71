"""The vanilla (leaky, full-rank) RNN."""

from __future__ import annotations

import math

import jax.numpy as jnp

from nmbench import Core, InputWeights, register_baseline

from ._products import Weights
from ._shared import (
    EFT_PAPER,
    MULTITASK_PAPER,
    MWG_PAPER,
    PAPER,
    UNPUBLISHED,
    AffineReadout,
    check_choices,
    initial_column,
    project,
)


@register_baseline(
    "rnn",
    free_size="N",
    settings={
        "element_finder": {"readout_bias": False, "drawn_start": True},
        **{key: {"N": 16, "parametrisation": "published"} for key in EFT_PAPER},
        **{key: {"N": 31, "parametrisation": "published"} for key in MWG_PAPER},
        **{key: {"N": 18, "parametrisation": "published"} for key in MULTITASK_PAPER},
        **{key: {"parametrisation": "published"} for key in UNPUBLISHED},
    },
    # On Measure-Wait-Go, the authors' code trains this model at a tenth of the supplement's learning rate.
    learning_rates={**dict.fromkeys(EFT_PAPER, 1e-2), "mwg_rank3/paper_code": 1e-3, "mwg_rank3_code/paper_code": 1e-3},
    input_weights={"B": InputWeights()},
    citation=PAPER,
    tags=("full-rank", "paper"),
)
class VanillaRNN(Core):
    """Vanilla RNN: x_t = (1 - 1/tau) x_{t-1} + (1/tau) [W tanh(x_{t-1}) + B u_t],  y_t = C x_t (+ d).

    `matched`: W ~ N(0, 1/N), a recurrent gain of 1. `published`: (1/N) W replaces W, and W ~ N(0, 1). B ~ N(0, 1/P) and
    C, d ~ N(0, 1/N). u_t is all inputs together. Initial states are 0.1, or drawn once per seed.
    """

    def __init__(
        self, spec, N: int, tau: float = 10.0, readout_bias: bool = True, drawn_start: bool = False,
        parametrisation: str = "matched",
    ):  # fmt: skip
        super().__init__(spec, name="rnn")
        check_choices(parametrisation, tau=tau)
        P = spec.input_size
        # The weights include the factors 1/tau, which saves a product at every step.
        self._B = self.learned("B", (N, P), 1 / math.sqrt(P)) / tau
        self._keep = 1 - 1 / tau
        self._x0 = initial_column(self, "x0", N, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)
        if parametrisation == "matched":
            self._W = Weights(self.learned("W", (N, N), 1 / math.sqrt(N)) / tau)
        else:
            self._W = Weights(self.learned("W", (N, N), 1.0) / (N * tau))

    def input_map(self, inputs):
        return project(self._B, self.concat(inputs))

    def initial_state(self, batch_size):
        return jnp.tile(self._x0, (1, batch_size))

    def step(self, state, v_t):
        return self._keep * state + self._W @ jnp.tanh(state) + v_t

    def readout(self, states):
        return self._read(states)
