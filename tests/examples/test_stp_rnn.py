"""examples/stp_rnn.py against a plain NumPy loop over trials and steps, written only from the equations of its source."""

import pathlib
import sys

import numpy as np
import pytest

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.plugin_files import PREFIX
from support.cells import check_float32, check_outputs_and_gradient

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "stp_rnn.py"


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
    """Milliseconds, as in the table of constants of Masse et al. (2019)."""
    N, dt = len(p["W"]), 10.0
    ys, rate = [], np.full(N, 0.1)
    U = np.array([0.15 if i % 2 == 0 else 0.45 for i in range(N)])
    tau_x = np.array([200.0 if i % 2 == 0 else 1500.0 for i in range(N)])
    tau_u = np.array([1500.0 if i % 2 == 0 else 200.0 for i in range(N)])
    x, used = np.ones(N), U.copy()
    for t in range(len(u)):
        more_x = dt * (1 - x) / tau_x - dt / 1000 * used * x * rate
        used = np.clip(used + dt * (U - used) / tau_u + dt / 1000 * U * (1 - used) * rate, 0, 1)
        x = np.clip(x + more_x, 0, 1)
        drive = p["W"] / U @ (used * x * rate) + p["B"] @ np.concatenate([c[t], u[t]]) + p["b"][:, 0]
        rate = np.maximum(0, (1 - dt / 100) * rate + dt / 100 * drive)
        ys.append(p["C"] @ rate + p["d"][:, 0])
    return np.array(ys)


def test_the_cell_and_its_gradient_equal_a_numpy_loop():
    check_outputs_and_gradient("stp_rnn", loop, {"N": 7})
    check_float32("stp_rnn", loop, {"N": 7}, 5e-6)
