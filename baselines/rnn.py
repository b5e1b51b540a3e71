"""The vanilla (leaky, full-rank) RNN."""

from __future__ import annotations

import math

import jax.numpy as jnp

from nmbench.model import Core, register_baseline

from ._shared import PAPER, AffineReadout, check_choices, initial_column, project

_PUBLISHED = {"N": 16, "parametrisation": "published"}


@register_baseline(
    "rnn",
    free_size="N",
    settings={
        "element_finder": {"readout_bias": False, "drawn_start": True},
        "element_finder/paper": _PUBLISHED,
        "element_finder/paper_code": _PUBLISHED,
    },
    learning_rates={"element_finder/paper": 1e-2, "element_finder/paper_code": 1e-2},
    partitions={"input_weights": lambda module, name: name == "B"},
    citation=PAPER,
    tags=("full-rank", "paper"),
)
class VanillaRNN(Core):
    """Vanilla RNN: x_t = (1 - 1/tau) x_{t-1} + (1/tau) [W tanh(x_{t-1}) + B u_t],  y_t = C x_t (+ d).

    `matched`: W ~ N(0, 1/N), a recurrent gain of one. `published`: (1/N) W with W ~ N(0, 1). u_t is all inputs together.
    """

    def __init__(
        self, spec, N: int, tau: float = 10.0, readout_bias: bool = True, drawn_start: bool = False,
        parametrisation: str = "matched",
    ):  # fmt: skip
        super().__init__(spec, name="rnn")
        check_choices(parametrisation, tau=tau)
        P = spec.input_size
        if parametrisation == "matched":
            self._W = self.learned("W", (N, N), 1 / math.sqrt(N)) / tau
        else:
            self._W = self.learned("W", (N, N), 1.0) / (N * tau)
        self._B = self.learned("B", (N, P), 1 / math.sqrt(P)) / tau
        self._keep = 1 - 1 / tau
        self._x0 = initial_column(self, "x0", N, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        return project(self._B, self.concat(inputs))

    def initial_state(self, batch_size):
        return jnp.tile(self._x0, (1, batch_size))

    def step(self, state, v_t):
        return self._keep * state + self._W @ jnp.tanh(state) + v_t

    def readout(self, states):
        return self._read(states)
