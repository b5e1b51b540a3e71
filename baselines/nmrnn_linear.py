"""The linearised NM-RNN: its output network is linear; only the neuromodulation is nonlinear."""

from __future__ import annotations

import jax.numpy as jnp

from nmbench import NmbenchError, register_baseline

from ._neuromodulated import INPUT_WEIGHTS, PARTITIONS, NeuromodulatedCore
from ._shared import PAPER, check_choices


@register_baseline(
    "nmrnn_linear",
    free_size="N",
    settings={
        "element_finder": {"M": 5, "K": 8, "tau_x": 10.0, "tau_z": 2.0, "feedback": True, "drawn_start": True},
        "mwg_rank1": {"M": 20, "K": 1, "tau_x": 2.0, "tau_z": 10.0},
        "mwg_rank1/paper": {"N": 100},
        "multitask": {"M": 20},
    },
    input_weights=INPUT_WEIGHTS,
    partitions=PARTITIONS,
    citation=f"{PAPER} Linearised: supplement A, Eqs. 1-3.",
    tags=("neuromodulation", "low-rank", "linear"),
)
class LinearisedNMRNN(NeuromodulatedCore):
    """Neuromodulated low-rank RNN whose output network is linear and whose factors are tied, R = L.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z phi(z_{t-1}) + B_z [u_t; c_t] (+ B_zx x_{t-1})]
    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [L diag(s_t) L^T x_{t-1} + B_x u_t],  y_t = C x_t + d

    phi is tanh, as in the authors' code, or the identity with `linear_z`. L is orthonormalised in every forward pass. With
    `orthonormal=False` it is not; the recurrence is then divided by N. The supplement's Eqs. 1-3 are `tau_x=1,
    linear_z=true, feedback=true, orthonormal=false`. The output network receives the input `sensory`, the neuromodulatory
    network all inputs. Initial states are 0.1, or drawn once per seed. L ~ N(0, 1); the rest is initialised as in the
    NM-RNN without feedback.
    """

    def __init__(
        self, spec, N: int, M: int = 5, K: int = 3, tau_x: float = 10.0, tau_z: float = 100.0, feedback: bool = False,
        linear_z: bool = False, orthonormal: bool = True, drawn_start: bool = False,
    ):  # fmt: skip
        super().__init__(spec, name="nmrnn_linear")
        check_choices("matched", tau_x=tau_x, tau_z=tau_z)
        if orthonormal and K > N:
            raise NmbenchError(f"an orthonormal factor needs N >= K, got N={N} and K={K}")
        L = self.learned("L", (N, K), 1.0)
        L, R = (jnp.linalg.qr(L)[0],) * 2 if orthonormal else (L / N, L)
        self.connect(
            L, R, M=M, tau_x=tau_x, tau_z=tau_z, feedback=feedback, feedback_bias=False, small=0.1, gate_bias=0.1,
            readout_bias=True, drawn_start=drawn_start, phi_x=None, phi_z=(lambda z: z) if linear_z else jnp.tanh,
        )  # fmt: skip
