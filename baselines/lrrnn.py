"""The low-rank RNN: the NM-RNN without its neuromodulation."""

from __future__ import annotations

import math

from nmbench import Core, InputWeights, register_baseline

from ._shared import (
    EFT_PAPER,
    MULTITASK_PAPER,
    MWG_PAPER,
    PAPER,
    UNPUBLISHED,
    AffineReadout,
    check_choices,
    factors,
    initial_column,
)
from ._subspace import Subspace


@register_baseline(
    "lrrnn",
    free_size="N",
    settings={
        "element_finder": {"K": 10, "orthonormal": False, "readout_bias": False, "drawn_start": True},
        **{key: {"N": 23, "parametrisation": "published"} for key in EFT_PAPER},
        **{key: {"N": 106, "parametrisation": "published"} for key in MWG_PAPER},
        **{key: {"N": 100, "parametrisation": "published"} for key in MULTITASK_PAPER},
        **{key: {"parametrisation": "published"} for key in UNPUBLISHED},
    },
    learning_rates=dict.fromkeys(EFT_PAPER, 1e-2),
    input_weights={"B": InputWeights()},
    citation=PAPER,
    tags=("low-rank", "paper"),
)
class LowRankRNN(Core):
    """Low-rank RNN: x_t = (1 - 1/tau) x_{t-1} + (1/tau) [L R^T tanh(x_{t-1}) + B u_t],  y_t = C x_t (+ d).

    `matched` is exactly the NM-RNN with all gates at 1, with or without orthonormal L. `published` divides the recurrence by
    N, as the authors' code does on all tasks: after orthonormalising L, or, on the Element Finder, without orthonormalising
    it and with L, R ~ N(0, 1/N). u_t is all inputs together. The scan carries x in the coordinates of `_subspace`. The
    initial state is 0.1, or, on the Element Finder, drawn once per seed from N(0, 1/N).

    Initialisation: B ~ N(0, 1/P) for P input channels; C, d ~ N(0, 1/N). With an orthonormal L, the Q of a QR decomposition,
    L, R ~ N(0, 1). Otherwise, under `matched`, L, R ~ N(0, 1.5 / sqrt(N K)), which gives the recurrence a spectral radius of
    about 1.5.
    """

    def __init__(
        self, spec, N: int, K: int = 3, tau: float = 10.0, orthonormal: bool = True, readout_bias: bool = True,
        drawn_start: bool = False, parametrisation: str = "matched",
    ):  # fmt: skip
        super().__init__(spec, name="lrrnn")
        check_choices(parametrisation, tau=tau)
        matched, P = parametrisation == "matched", spec.input_size
        B = self.learned("B", (N, P), 1 / math.sqrt(P))
        x0 = initial_column(self, "x0", N, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)
        if matched or orthonormal:
            L, R = factors(self, N, K, orthonormal=orthonormal, matched=matched)
        else:
            L, R = (self.learned(name, (N, K), 1 / math.sqrt(N)) for name in ("L", "R"))
        self._x = Subspace(L if matched else L / N, B, x0, R.T / tau, tau)

    def input_map(self, inputs):
        return self._x.inputs(self.concat(inputs))

    def initial_state(self, batch_size):
        return self._x.start(batch_size)

    def step(self, state, v_t):
        return self._x.advance(state, self._x.read(state), v_t)

    def readout(self, states):
        return self._read(states, self._x.Q)
