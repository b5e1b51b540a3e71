"""The vanilla (leaky, full-rank) RNN."""

from __future__ import annotations

import math

from nmbench.input_weights import InputWeights
from nmbench.model import register_baseline

from ._shared import EFT_PAPER, MULTITASK_PAPER, MWG_PAPER, PAPER, UNPUBLISHED, LeakyCore, check_choices


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
    # The authors' code trains this model on Measure-Wait-Go at a tenth of the others' rate.
    learning_rates={**dict.fromkeys(EFT_PAPER, 1e-2), **dict.fromkeys(MWG_PAPER, 1e-3)},
    input_weights={"B": InputWeights()},
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
