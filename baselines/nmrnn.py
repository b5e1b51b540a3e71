"""The neuromodulated RNN: a small network scales the components of a low-rank recurrence."""

from __future__ import annotations

import math

from nmbench import register_baseline

from ._neuromodulated import INPUT_WEIGHTS, PARTITIONS, NeuromodulatedCore
from ._shared import EFT_PAPER, MULTITASK_PAPER, MWG_PAPER, PAPER, check_choices, factors

_EFT = {"M": 5, "K": 8, "tau_x": 10.0, "tau_z": 2.0, "feedback": True, "readout_bias": False, "drawn_start": True}


@register_baseline(
    "nmrnn",
    free_size="N",
    settings={
        "element_finder": _EFT,
        "element_finder/paper": {"N": 18, "parametrisation": "published"},
        "element_finder/paper_code": {"N": 18, "parametrisation": "published", "tau_x": 2.0, "tau_z": 10.0},
        "multitask": {"M": 20},
        **{key: {"N": 100} for key in (*MWG_PAPER, *MULTITASK_PAPER)},
    },
    learning_rates=dict.fromkeys(EFT_PAPER, 1e-2),
    input_weights=INPUT_WEIGHTS,
    partitions=PARTITIONS,
    citation=PAPER,
    tags=("neuromodulation", "low-rank", "paper"),
)
class NMRNN(NeuromodulatedCore):
    """Neuromodulated low-rank RNN, with or without feedback from its output network.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [L diag(s_t) R^T tanh(x_{t-1}) + B_x u_t],  y_t = C x_t (+ d)

    The output network receives the input `sensory`, or all inputs if the task has none of this name; the neuromodulatory
    network receives all. Without feedback, L is orthonormalised in every forward pass. With feedback it is not; `published`
    then divides the recurrence by N, while `matched` initialises the factors with a gain of order one. Initial states are
    0.1, or, with feedback as on the Element Finder, drawn once per seed: N(0, 1/N) for x and N(0, 1/M) for z.

    Initialisation: B_x ~ N(0, 1/P), B_z ~ N(0, 1/Q), for P and Q input channels; C, d ~ N(0, 1/N). Without feedback L, R ~
    N(0, 1), and W_z, A_z, b_z ~ N(0, 0.01). With feedback L, R ~ N(0, 1.5 / sqrt(N K)), or N(0, 1/K) as `published`; W_z,
    A_z, b_zx ~ N(0, 1/M); b_z ~ N(0, 1/K); B_zx ~ N(0, 1/N).
    """

    def __init__(
        self, spec, N: int, M: int = 5, K: int = 3, tau_x: float = 10.0, tau_z: float = 100.0, feedback: bool = False,
        readout_bias: bool = True, drawn_start: bool = False, parametrisation: str = "matched",
    ):  # fmt: skip
        super().__init__(spec, name="nmrnn")
        check_choices(parametrisation, tau_x=tau_x, tau_z=tau_z)
        L, R = factors(self, N, K, orthonormal=not feedback, matched=parametrisation == "matched")
        if feedback and parametrisation == "published":
            L = L / N
        self.connect(
            L, R, M=M, tau_x=tau_x, tau_z=tau_z, feedback=feedback, feedback_bias=feedback,
            small=1 / math.sqrt(M) if feedback else 0.1, gate_bias=1 / math.sqrt(K) if feedback else 0.1,
            readout_bias=readout_bias, drawn_start=drawn_start,
        )  # fmt: skip
