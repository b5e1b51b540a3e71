"""Observers of the models in this folder (see `nmbench.analysis`).

No model imports this module, so the models' fingerprints do not depend on it.
"""

from __future__ import annotations

import jax
import numpy as np
import scipy.special

from nmbench import Observer, register_observer

from ._neuromodulated import NeuromodulatedCore
from .lrrnn import LowRankRNN
from .lstm import LSTM


@register_observer(NeuromodulatedCore)
class NeuromodulatedObserver(Observer):
    """States x = Q w (w are the carried coordinates) and z, and the gates s = sigmoid(A_z z + b_z)."""

    gates = "s"

    def states(self, core, carried):
        w, z = carried
        return {"x": core._x.Q @ w, "z": z}

    def signals(self, core, carried):
        z = carried[1]
        b_z = core._b_z.reshape((1,) * (z.ndim - 2) + core._b_z.shape)
        return {"s": jax.nn.sigmoid(core._A_z.matrix @ z + b_z)}

    def hold_gate(self, params, gate, value):
        ((module, leaves),) = params.items()
        A_z, b_z = np.array(leaves["A_z"]), np.array(leaves["b_z"])
        A_z[gate], b_z[gate] = 0, scipy.special.logit(value)
        return {module: {**leaves, "A_z": A_z, "b_z": b_z}}


@register_observer(LowRankRNN)
class LowRankObserver(Observer):
    """State x = Q w; w are the carried coordinates."""

    def states(self, core, carried):
        return {"x": core._x.Q @ carried}


@register_observer(LSTM)
class LSTMObserver(Observer):
    """States h and c, as carried."""

    def states(self, core, carried):
        del core
        h, c = carried
        return {"h": h, "c": c}
