"""A full-rank RNN whose units have gains that a neuromodulatory network sets."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from nmbench import register_baseline

from ._modulated import ModulatedCore
from ._neuromodulated import INPUT_WEIGHTS
from ._products import Weights

_OUTPUT = {"W", "B_x", "C", "d"}


@register_baseline(
    "gain_rnn",
    free_size="N",
    settings={
        "element_finder": {"tau_z": 2.0, "feedback": True, "readout_bias": False, "drawn_start": True},
        "multitask": {"M": 20},
    },
    input_weights=INPUT_WEIGHTS,
    partitions={
        "output_subnetwork": lambda module, name: name in _OUTPUT,
        "neuromodulatory_subnetwork": lambda module, name: name not in _OUTPUT,
    },
    citation="Stroud, Porter, Hennequin, Vogels (2018). Motor primitives in space and time via targeted gain modulation in "
    "cortical networks. Nature Neuroscience 21, 1774-1783. Methods, the network dynamics and the gain function.",
    tags=("neuromodulation", "full-rank", "control"),
)
class GainRnn(ModulatedCore):
    """Full-rank RNN with gain modulation: a neuromodulatory network sets the slope of each unit's transfer function.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    g_t = 2 sigmoid(A_z z_t + b_z)
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [W tanh(g_t * x_{t-1}) + B_x u_t],  y_t = C x_t (+ d)

    g_t, from the new z, is one gain per unit, between 0 and 2. Stroud et al. change the gains of a network with fixed
    weights and without input, tau dx/dt = -x + W f(x; g). The gains multiply the states inside the transfer function
    f(x; g), which is r0 tanh(g x / r0) below 0 and (r_max - r0) tanh(g x / (r_max - r0)) above, with r0 = 20 Hz and
    r_max = 100 Hz. A gain changes the slope of f at 0 but not its limits. Here f(x; g) = tanh(g x): one limit for both
    signs, so that with all gains at 1, their baseline, the model is the vanilla RNN. They learn gains that are constant
    in a trial, one set per movement, for single units or for groups of units. Here the neuromodulatory network of the
    NM-RNN sets the gain of each unit at every step, and all weights are learned. As in the NM-RNN, the readout receives
    x (that of Stroud et al. receives f(x; g) of the excitatory units) and the feedback to z tanh(x), both without
    gains. The output network receives the input `sensory`, the neuromodulatory network all inputs. Initial states are
    0.1, or drawn once per seed.

    Initialisation: W ~ N(0, 1/N), as in the vanilla RNN; Stroud et al. optimise their W for stability. The rest is
    initialised as in the NM-RNN, so that gains start near 1, except on the Element Finder, whose query drives many towards 0
    or 2.
    """

    def __init__(
        self, spec, N: int, M: int = 5, tau_x: float = 10.0, tau_z: float = 100.0, feedback: bool = False,
        readout_bias: bool = True, drawn_start: bool = False,
    ):  # fmt: skip
        super().__init__(spec)
        self._W = Weights(self.learned("W", (N, N), 1 / math.sqrt(N)))
        self.connect(
            N, N, M=M, tau_x=tau_x, tau_z=tau_z, feedback=feedback, readout_bias=readout_bias, drawn_start=drawn_start
        )  # fmt: skip

    def recurrence(self, x: jax.Array, s: jax.Array) -> jax.Array:
        return self._W @ jnp.tanh(2 * s * x)
