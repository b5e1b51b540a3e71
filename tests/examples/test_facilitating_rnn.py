"""The facilitating RNN against a plain NumPy loop over trials and steps, written only from the equations of its source."""

import pathlib
import sys

import numpy as np
import pytest

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.plugin_files import PREFIX
from support.cells import check_float32, check_outputs_and_gradient

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "facilitating_rnn.py"


@pytest.fixture(autouse=True)
def plugin():
    """Load the plugin, and forget it afterwards: a plugin registers only when it is loaded for the first time."""
    with BASELINES.restored():
        before = set(sys.modules)
        plugins.load(str(EXAMPLE))
        yield
        for name in set(sys.modules) - before:
            if name.startswith(PREFIX):
                del sys.modules[name]


def loop(p, u, c, h):
    """Milliseconds. Mongillo et al. (2008): depression 200 ms, facilitation 1500 ms, utilisation 0.2."""
    N, dt, U = len(p["W"]), 10.0, 0.2
    ys, rate = [], np.full(N, 0.1)
    x, used = np.ones(N), np.full(N, U)
    for t in range(len(u)):
        more_x = dt * (1 - x) / 200 - dt / 1000 * used * x * rate
        used = np.clip(used + dt * (U - used) / 1500 + dt / 1000 * U * (1 - used) * rate, 0, 1)
        x = np.clip(x + more_x, 0, 1)
        drive = p["W"] @ (used * x * rate) / U + p["B"] @ np.concatenate([c[t], u[t]]) + p["b"][:, 0]
        rate = np.maximum(0, (1 - dt / 100) * rate + dt / 100 * drive)
        ys.append(p["C"] @ rate + p["d"][:, 0])
    return np.array(ys)


def test_the_cell_and_its_gradient_equal_a_numpy_loop():
    check_outputs_and_gradient("facilitating_rnn", loop, {"N": 7})
    check_float32("facilitating_rnn", loop, {"N": 7}, 5e-6)
