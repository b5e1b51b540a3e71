"""A control of the NM-RNN: its neuromodulatory signals scale the output of groups of units."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nmbench import register_baseline

from ._modulated import SETTINGS, LowRankModulatedCore
from ._neuromodulated import INPUT_WEIGHTS, PARTITIONS
from ._shared import PAPER


@register_baseline(
    "nmrnn_presynaptic",
    free_size="N",
    settings=SETTINGS,
    input_weights=INPUT_WEIGHTS,
    partitions=PARTITIONS,
    citation=f"{PAPER} A control that the publication does not contain.",
    tags=("neuromodulation", "low-rank", "control"),
)
class NmrnnPresynaptic(LowRankModulatedCore):
    """Control of the NM-RNN: its neuromodulatory signals scale what each group of units sends.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    s_t = sigmoid(A_z z_t + b_z), from the new z;  g_ti = s_tk with k = i mod K is the gain of unit i
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [L R^T (g_t * tanh(x_{t-1})) + B_x u_t],  y_t = C x_t (+ d)

    The NM-RNN has L diag(s_t) R^T tanh(x_{t-1}) in the recurrence. The parameters, their number and their initial values are
    the same in both. At s_t = 1/2, where the signals of both start approximately (except on the Element Finder, whose query
    drives many towards 0 or 1), both are the same network. This tests whether the signals must scale components of the
    recurrence, or may scale units. The feedback to z and the readout are not scaled. The K groups of units have equal sizes,
    to within one unit; with fewer than K units, the last signals have no effect. An NM-RNN whose component k reads only from
    the units of group k (column k of R is 0 elsewhere) is also a network of this model. The comparison is therefore about
    networks of equal size.

    The output network receives the input `sensory`, the neuromodulatory network all inputs. Initial states are 0.1, or drawn
    once per seed. Initialisation: as in the NM-RNN under the parametrisation `matched`.
    """

    def recurrence(self, x: jax.Array, s: jax.Array) -> jax.Array:
        return self._L @ (self._R_T @ ((self._groups @ s) * jnp.tanh(x)))
