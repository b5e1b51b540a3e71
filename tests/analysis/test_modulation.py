"""What modulates a network, compared with NumPy loops over trials and steps that follow the equations."""

import jax
import numpy as np
import pytest

from nmbench.analysis import modulation, record
from nmbench.support.errors import NmbenchError


def parameters(network):
    (p,) = jax.tree.map(lambda a: np.asarray(a, np.float64), network.params).values()
    return p


def test_the_efficacy_of_synapses_is_relative_to_rest(make_network, inputs):
    """a r / U, with the equations and constants in the docstring of `stp_rnn`; unit 0 facilitates, unit 1 depresses."""
    network = make_network("stp_rnn", N=2)
    p, dt, U = parameters(network), 0.01, np.array([0.15, 0.45])
    tau_r, tau_a = np.array([0.2, 1.5]), np.array([1.5, 0.2])
    expected = np.zeros((9, 4, 2))
    for trial in range(4):
        h, r, a = np.full(2, 0.1), np.ones(2), U
        for t in range(9):
            u = np.concatenate([inputs["context"][t, trial], inputs["sensory"][t, trial]])
            more = a + dt / tau_a * (U - a) + dt * U * (1 - a) * h
            r = np.clip(r + dt / tau_r * (1 - r) - dt * a * r * h, 0, 1)
            a = np.clip(more, 0, 1)
            h = np.maximum(0.9 * h + 0.1 * (p["W"] @ (a * r * h / U) + p["B"] @ u + p["b"][:, 0]), 0)
            expected[t, trial] = a * r / U
    (found,) = modulation(network, inputs)
    assert (found.name, found.neutral) == ("a r / U", 1.0)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert np.ptp(found.values) > 1e-3


def test_the_scales_of_a_hypernetwork(make_network, inputs):
    """[e; f; g] = A z + a; the scales and the bias are D_h e, D_x f and D_b g, as in the docstring of `hyper_rnn`."""
    network = make_network("hyper_rnn", N=3, M=2, K=2)
    p, z = parameters(network), record(network, inputs)["z"]
    embedded = z @ p["A"].T + np.concatenate([p["a"][:, 0], np.zeros(2)])
    D_h, D_x, D_b = p["D"].reshape(3, 3, 2)
    found = {one.name: one for one in modulation(network, inputs)}
    assert {name: one.neutral for name, one in found.items()} == {"d_h": 1.0, "d_x": 1.0, "d_b": 0.0}
    for i, (name, D) in enumerate((("d_h", D_h), ("d_x", D_x), ("d_b", D_b))):
        np.testing.assert_allclose(found[name].values, embedded[..., 2 * i : 2 * i + 2] @ D.T, rtol=1e-4, atol=1e-5)


def test_gains(make_network, inputs):
    network = make_network("gain_rnn", N=5)
    p = parameters(network)
    g = 2 / (1 + np.exp(-(record(network, inputs)["z"] @ p["A_z"].T + p["b_z"][:, 0])))
    (found,) = modulation(network, inputs)
    assert (found.name, found.neutral) == ("g", 1.0)
    np.testing.assert_allclose(found.values, g, rtol=1e-5)


def test_a_model_without_modulation_is_refused(make_network, inputs):
    with pytest.raises(NmbenchError, match="model 'rnn' has nothing that modulates it: its observer gives none of s, g"):
        modulation(make_network("rnn", N=3), inputs)
