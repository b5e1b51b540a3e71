"""The vanilla (leaky, full-rank) RNN."""

from __future__ import annotations

import math

from nmbench.model import register_baseline

from ._shared import PAPER, LeakyCore, check_choices

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
class VanillaRNN(LeakyCore):
    """Vanilla RNN: x_t = (1 - 1/tau) x_{t-1} + (1/tau) [W tanh(x_{t-1}) + B u_t],  y_t = C x_t (+ d).

    `matched`: W ~ N(0, 1/N), a recurrent gain of one. `published`: (1/N) W with W ~ N(0, 1). u_t is all inputs together.
    """

    def __init__(
        self, spec, N: int, tau: float = 10.0, readout_bias: bool = True, drawn_start: bool = False,
        parametrisation: str = "matched",
    ):  # fmt: skip
        check_choices(parametrisation, tau=tau)
        super().__init__(spec, "rnn", N, tau, readout_bias, drawn_start)
        if parametrisation == "matched":
            self._W = self.learned("W", (N, N), 1 / math.sqrt(N)) / tau
        else:
            self._W = self.learned("W", (N, N), 1.0) / (N * tau)

    def recurrence(self, rates):
        return self._W @ rates
