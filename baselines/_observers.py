"""Observers of the models in this folder (see `nmbench.analysis`).

No model imports this module, so the models' fingerprints do not depend on it.
"""

from __future__ import annotations

import jax
import numpy as np
import scipy.special

from nmbench import Observer, register_observer

from ._modulated import ModulatedCore
from ._neuromodulated import NeuromodulatedCore
from .gain_rnn import GainRnn
from .hyper_rnn import HyperRnn
from .lrrnn import LowRankRNN
from .lstm import LSTM
from .nmrnn_full import FullRankNMRNN
from .stp_rnn import StpRnn


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


@register_observer(ModulatedCore)
@register_observer(FullRankNMRNN)
class ModulatedObserver(NeuromodulatedObserver):
    """States x and z, as carried, and the signals s = sigmoid(A_z z + b_z)."""

    def states(self, core, carried):
        del core
        x, z = carried
        return {"x": x, "z": z}


@register_observer(GainRnn)
class GainObserver(ModulatedObserver):
    """States x and z, as carried, and the gains g = 2 sigmoid(A_z z + b_z)."""

    gates = ""  # gains are between 0 and 2

    def signals(self, core, carried):
        return {"g": 2 * super().signals(core, carried)["s"]}


@register_observer(StpRnn)
class StpObserver(Observer):
    """States h, r (resources) and a (utilisation), as carried."""

    def states(self, core, carried):
        del core
        h, r, a = carried
        return {"h": h, "r": r, "a": a}


@register_observer(HyperRnn)
class HyperObserver(Observer):
    """States h and z, as carried; the scales d_h of the rows of W_h and d_x of those of B_x, and what is added to b."""

    def states(self, core, carried):
        del core
        h, z = carried
        return {"h": h, "z": z}

    def signals(self, core, carried):
        return dict(zip(("d_h", "d_x", "d_b"), core.scales(carried[1])))


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
