"""The low-rank RNN: the NM-RNN without its neuromodulation."""

from __future__ import annotations

from nmbench.input_weights import InputWeights
from nmbench.model import register_baseline

from ._shared import EFT_PAPER, MULTITASK_PAPER, MWG_PAPER, PAPER, UNPUBLISHED, LeakyCore, check_choices, factors


@register_baseline(
    "lrrnn",
    free_size="N",
    settings={
        "element_finder": {"K": 10, "orthonormal": False, "readout_bias": False, "drawn_start": True},
        **{key: {"N": 23, "parametrisation": "published", "orthonormal": True} for key in EFT_PAPER},
        **{key: {"N": 106, "parametrisation": "published"} for key in MWG_PAPER},
        **{key: {"N": 100, "parametrisation": "published"} for key in MULTITASK_PAPER},
        **{key: {"parametrisation": "published"} for key in UNPUBLISHED},
    },
    learning_rates=dict.fromkeys(EFT_PAPER, 1e-2),
    input_weights={"B": InputWeights()},
    citation=PAPER,
    tags=("low-rank", "paper"),
)
class LowRankRNN(LeakyCore):
    """Low-rank RNN: x_t = (1 - 1/tau) x_{t-1} + (1/tau) [L R^T tanh(x_{t-1}) + B u_t],  y_t = C x_t (+ d).

    `matched` is exactly the NM-RNN with its gates held at 1, orthonormal L or not; `published` divides the recurrence by N
    after orthonormalising, as the authors' code does for this model alone. u_t is all inputs of the task together.
    """

    def __init__(
        self, spec, N: int, K: int = 3, tau: float = 10.0, orthonormal: bool = True, readout_bias: bool = True,
        drawn_start: bool = False, parametrisation: str = "matched",
    ):  # fmt: skip
        check_choices(parametrisation, tau=tau)
        super().__init__(spec, "lrrnn", N, tau, readout_bias, drawn_start)
        matched = parametrisation == "matched"
        L, R = factors(self, N, K, orthonormal=orthonormal, matched=matched)
        self._L = (1.0 if matched else 1 / N) / tau * L
        self._RT = R.T

    def recurrence(self, rates):
        return self._L @ (self._RT @ rates)
