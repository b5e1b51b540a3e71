"""A control of the NM-RNN: its neuromodulatory signals are added to the recurrence instead of multiplying it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nmbench import register_baseline

from ._modulated import SETTINGS, LowRankModulatedCore
from ._neuromodulated import INPUT_WEIGHTS, PARTITIONS
from ._shared import PAPER


@register_baseline(
    "nmrnn_additive",
    free_size="N",
    settings=SETTINGS,
    input_weights=INPUT_WEIGHTS,
    partitions=PARTITIONS,
    citation=f"{PAPER} A control that the publication does not contain.",
    tags=("neuromodulation", "low-rank", "control"),
)
class NmrnnAdditive(LowRankModulatedCore):
    """Control of the NM-RNN: its neuromodulatory signals are an input to the components of the recurrence.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [L (R^T tanh(x_{t-1}) / 2 + s_t - 1/2) + B_x u_t],  y_t = C x_t (+ d)

    The NM-RNN has diag(s_t) R^T tanh(x_{t-1}) in the round brackets. The parameters, their number and their initial values
    are the same in both. At s_t = 1/2, where the signals of both start approximately (except on the Element Finder, whose
    query drives many towards 0 or 1), both are the same network: s_t - 1/2 then adds no input, and the factor 1/2 gives the
    recurrence the gain that it has in the NM-RNN. This tests whether an input-dependent drive does what the products do.

    The output network receives the input `sensory`, the neuromodulatory network all inputs. Initial states are 0.1, or drawn
    once per seed. Initialisation: as in the NM-RNN under the parametrisation `matched`.
    """

    def recurrence(self, x: jax.Array, s: jax.Array) -> jax.Array:
        return self._L @ (0.5 * (self._R_T @ jnp.tanh(x)) + s - 0.5)
