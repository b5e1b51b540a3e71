"""Models that are not in the publication, compared with plain NumPy loops and in limits with known outputs."""

import numpy as np
import pytest
from scipy import stats

from nmbench.contracts.catalog import BASELINES
from nmbench.experiments.sizing import shapes
from nmbench.support.errors import NmbenchError
from support.cells import (
    SPEC,
    check_float32,
    check_outputs_and_gradient,
    initialised,
    random_inputs,
    runnable,
    sigmoid,
    start,
)


def readout(p, x):
    return p["C"] @ x + (p["d"][:, 0] if "d" in p else 0)


def gru(p, u, c, h):
    N = p["W_h"].shape[1]
    W_z, W_r, W_g = np.split(p["W_u"], 3)
    U_z, U_r, U_g = np.split(p["W_h"], 3)
    b_z, b_r, *b_g = np.split(p["b"][:, 0], len(p["b"]) // N)
    state, ys = start(p, "h0", N), []
    for t in range(len(u)):
        v = np.concatenate([c[t], u[t]])
        z, r = sigmoid(W_z @ v + U_z @ state + b_z), sigmoid(W_r @ v + U_r @ state + b_r)
        g = np.tanh(W_g @ v + U_g @ (r * state) + sum(b_g))
        state = z * state + (1 - z) * g
        ys.append(readout(p, state))
    return np.array(ys)


def min_gru(p, u, c, h):
    N = p["C"].shape[1]
    layers = range(1, h["layers"] + 1)
    states, ys = {layer: start(p, f"h0_{layer}", N) for layer in layers}, []
    for t in range(len(u)):
        v = np.concatenate([c[t], u[t]])
        for layer in layers:
            z, g = np.split(p[f"W_{layer}"] @ v + p[f"b_{layer}"][:, 0], 2)
            v = states[layer] = (1 - sigmoid(z)) * states[layer] + sigmoid(z) * g
        ys.append(readout(p, v))
    return np.array(ys)


def gelu(a):
    """The tanh approximation of GELU."""
    return 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3)))


def lru(p, u, c, h):
    column = {name: value[:, 0] for name, value in p.items() if value.shape[1] == 1}
    N = len(column["nu_log"])
    lam = np.exp(-np.exp(column["nu_log"]) + 1j * np.exp(column["theta_log"]))
    x, ys = start(p, "x0_re", N) + 1j * start(p, "x0_im", N), []
    for t in range(len(u)):
        v = np.concatenate([c[t], u[t]])
        x = lam * x + np.exp(column["gamma_log"]) * ((p["B_re"] + 1j * p["B_im"]) @ v)
        a = gelu(((p["C_re"] + 1j * p["C_im"]) @ x).real + p["D"] @ v)
        ys.append(readout(p, (p["V"] @ a + column["b"]) * sigmoid(p["G"] @ a + column["c"])))
    return np.array(ys)


def ctrnn_gated(p, u, c, h):
    x, ys = start(p, "x0", len(p["W"])), []
    for t in range(len(u)):
        v = np.concatenate([c[t], u[t]])
        z = sigmoid(p["W_z"] @ np.tanh(x) + p["B_z"] @ v + p["b_z"][0, 0])
        x = (1 - z) * x + z * (p["W"] @ np.tanh(x) + p["B"] @ v)
        ys.append(readout(p, x))
    return np.array(ys)


def nmrnn_full(p, u, c, h):
    N, M, K = p["W"].shape[1], p["W_z"].shape[0], p["A_z"].shape[0]
    W = p["W"].reshape(K, N, N)
    x, z, ys = start(p, "x0", N), start(p, "z0", M), []
    for t in range(len(u)):
        drive = p["W_z"] @ np.tanh(z) + p["B_z"] @ np.concatenate([c[t], u[t]])
        if h["feedback"]:
            drive = drive + p["B_zx"] @ np.tanh(x) + p["b_zx"][:, 0]
        z = (1 - 1 / h["tau_z"]) * z + drive / h["tau_z"]
        s = sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
        x = (1 - 1 / h["tau_x"]) * x + (np.einsum("k,kij->ij", s, W) @ np.tanh(x) + p["B_x"] @ u[t]) / h["tau_x"]
        ys.append(readout(p, x))
    return np.array(ys)


CASES = [
    ("gru", gru, {"N": 5}),
    ("gru", gru, {"N": 5, "candidate_bias": False, "readout_bias": False, "drawn_start": True}),
    ("min_gru", min_gru, {"N": 5}),
    ("min_gru", min_gru, {"N": 9, "layers": 1, "readout_bias": False, "drawn_start": True}),
    ("lru", lru, {"N": 5}),
    ("lru", lru, {"N": 5, "H": 3, "r_min": 0.5, "readout_bias": False, "drawn_start": True}),
    ("ctrnn_gated", ctrnn_gated, {"N": 7}),
    ("ctrnn_gated", ctrnn_gated, {"N": 9, "tau": 2.0, "readout_bias": False, "drawn_start": True}),
    ("nmrnn_full", nmrnn_full, {"N": 7, "M": 4, "K": 3}),
    ("nmrnn_full", nmrnn_full, {"N": 6, "M": 5, "K": 2, "tau_z": 2.0, "tau_x": 3.0, "feedback": True, "drawn_start": True}),
]
RIVALS = sorted({name for name, _, _ in CASES})


@pytest.mark.parametrize(("name", "loop", "hparams"), CASES)
def test_cell_and_its_gradient_equal_a_numpy_loop(name, loop, hparams):
    check_outputs_and_gradient(name, loop, hparams)


@pytest.mark.parametrize(("name", "loop", "hparams"), CASES[::2])
def test_cell_equals_a_numpy_loop_in_float32(name, loop, hparams):
    check_float32(name, loop, hparams, 5e-6)


def with_rows(array, rows, value):
    """A copy of the array with `value` in these rows."""
    copy = array.copy()
    copy[rows] = value
    return copy


def test_closed_gates_keep_the_state():
    """The bias keeps the update gates shut, so every output is the readout of the initial state, 0.1 in all units."""
    shut = {
        "gru": ("b", lambda b: with_rows(b, slice(6), 100.0)),  # z = 1 keeps the state (Cho et al., Eq. 7)
        "min_gru": ("b_3", lambda b: with_rows(b, slice(6), -200.0)),
        "ctrnn_gated": ("b_z", lambda b: b - 200.0),
    }
    for name, (parameter, change) in shut.items():
        apply, p = runnable(name, N=6)
        kept = 0.1 * p["C"].sum(axis=1) + p["d"][:, 0]
        outputs = apply({**p, parameter: change(p[parameter])}, random_inputs())
        np.testing.assert_allclose(outputs, np.broadcast_to(kept, outputs.shape), atol=1e-6, err_msg=name)
        assert np.abs(apply(p, random_inputs()) - kept).max() > 0.01, name


def test_open_gates_forget_the_state():
    """With z = 1, a minGRU's state is a linear map of the present input; with z = r = 0, a GRU's is the tanh of one."""
    inputs = random_inputs()
    v = np.concatenate([inputs["context"], inputs["sensory"]], axis=2)
    apply, p = runnable("min_gru", N=6, layers=1)
    outputs = apply({**p, "b_1": with_rows(p["b_1"], slice(6), 100.0)}, inputs)
    np.testing.assert_allclose(outputs, (v @ p["W_1"][6:].T + p["b_1"][6:, 0]) @ p["C"].T + p["d"][:, 0], atol=1e-5)
    apply, p = runnable("gru", N=6)
    outputs = apply({**p, "b": with_rows(p["b"], slice(12), -100.0)}, inputs)
    bias = p["b"][12:, 0].reshape(-1, 6).sum(axis=0)
    np.testing.assert_allclose(outputs, np.tanh(v @ p["W_u"][12:].T + bias) @ p["C"].T + p["d"][:, 0], atol=1e-5)


def test_a_network_with_a_constant_gate_is_a_leaky_rnn():
    """With W_z = B_z = 0 the gated network is the vanilla RNN with time constant tau."""
    apply, p = runnable("ctrnn_gated", N=6, tau=4.0)
    apply_rnn, q = runnable("rnn", N=6, tau=4.0)
    still = {**p, "W_z": 0 * p["W_z"], "B_z": 0 * p["B_z"], "b_z": np.full_like(p["b_z"], -np.log(3))}
    expected = apply_rnn({**q, **{k: p[k] for k in ("W", "B", "C", "d")}}, random_inputs())
    np.testing.assert_allclose(apply(still, random_inputs()), expected, atol=1e-6)
    assert np.abs(apply(p, random_inputs()) - expected).max() > 0.01


@pytest.mark.parametrize("feedback", [False, True])
def test_rank_one_components_give_the_outputs_of_the_nmrnn(feedback):
    """Components are W_k = L_k R_k^T. Without feedback the NM-RNN orthonormalises L, so the test does that too."""
    hparams = {"N": 6, "M": 4, "K": 3, "feedback": feedback}
    apply, p = runnable("nmrnn", **hparams)
    apply_full, q = runnable("nmrnn_full", **hparams)
    L = p["L"] if feedback else np.linalg.qr(p["L"])[0]
    W = np.einsum("ik,jk->kij", L, p["R"]).reshape(18, 6)
    assert set(q) - {"W"} == set(p) - {"L", "R"}
    shared = {k: v for k, v in p.items() if k not in ("L", "R")}
    outputs = apply_full({"W": W, **shared}, random_inputs())
    np.testing.assert_allclose(outputs, apply(p, random_inputs()), atol=1e-5)


@pytest.mark.slow
def test_eigenvalues_of_the_lru_start_uniform_on_a_ring():
    """The squared radius is uniform in [0.25, 0.81], the phase in [0, 1.5] (Kolmogorov-Smirnov); gamma^2 is 1 - radius^2."""
    p = initialised("lru", N=1000, H=2, r_min=0.5, r_max=0.9, max_phase=1.5)
    radius, phase = np.exp(-np.exp(p["nu_log"][:, 0])), np.exp(p["theta_log"][:, 0])
    assert stats.kstest(radius**2, stats.uniform(0.25, 0.56).cdf).pvalue > 1e-3
    assert stats.kstest(phase, stats.uniform(0, 1.5).cdf).pvalue > 1e-3
    assert abs(stats.spearmanr(radius, phase).statistic) < 0.12
    np.testing.assert_allclose(np.exp(2 * p["gamma_log"][:, 0]), 1 - radius**2, rtol=1e-4)
    p = initialised("lru", seed=1, N=1000, H=2)
    radius = np.exp(-np.exp(p["nu_log"][:, 0]))
    assert radius.max() < 1 and radius.min() < 0.1 and radius.max() > 0.99
    assert all(np.isfinite(value).all() for value in p.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hparams", "stddevs"),
    [
        ("gru", {"N": 200}, {"W_u": 0.01, "W_h": 200**-0.5, "C": 200**-0.5, "b": 0}),
        ("min_gru", {"N": 200}, {"W_1": (3 * 5) ** -0.5, "b_1": (3 * 5) ** -0.5, "W_2": 600**-0.5, "b_3": 600**-0.5}),
        ("lru", {"N": 200, "H": 50}, {"B_re": 0.1**0.5, "B_im": 0.1**0.5, "C_im": 200**-0.5, "D": 1, "V": 50**-0.5, "c": 0}),
        ("ctrnn_gated", {"N": 200}, {"W": 200**-0.5, "W_z": 200**-0.5, "B": 5**-0.5, "B_z": 5**-0.5}),
        ("nmrnn_full", {"N": 100, "M": 200, "K": 4}, {"W": 1.5 / 20, "B_x": 3**-0.5, "W_z": 0.1, "A_z": 0.1}),
        ("nmrnn_full", {"N": 100, "M": 200, "K": 4, "feedback": True}, {"W": 1.5 / 20, "W_z": 200**-0.5, "B_zx": 0.1}),
    ],
)
def test_initial_standard_deviations(name, hparams, stddevs):
    p = initialised(name, **hparams)
    for parameter, stddev in stddevs.items():
        # The tolerance is five standard errors of an estimated standard deviation.
        values = p[parameter]
        np.testing.assert_allclose(values.std(), stddev, rtol=5 / np.sqrt(2 * values.size), err_msg=parameter)


@pytest.mark.slow
def test_special_initial_values():
    """The GRU starts with orthogonal blocks, the minGRU with uniform weights, the gated RNN with a gate of 1/tau."""
    p = initialised("gru", N=7)
    for block in np.split(p["W_h"], 3):
        np.testing.assert_allclose(block @ block.T, np.eye(7), atol=1e-5)
    assert np.abs(p["W_h"][:7] - p["W_h"][7:14]).max() > 0.1
    p = initialised("min_gru", N=200)
    assert 0.99 / 200**0.5 < np.abs(p["W_2"]).max() <= 1 / 200**0.5
    p = initialised("ctrnn_gated", N=3, tau=4.0)
    np.testing.assert_allclose(sigmoid(p["b_z"]), [[0.25]], rtol=1e-6)


def test_context_reaches_only_the_gates_of_a_full_rank_nmrnn():
    apply, p = runnable("nmrnn_full", N=6)
    inputs = random_inputs()
    other = {**inputs, "context": inputs["context"] + 1}
    difference = lambda p: np.abs(apply(p, inputs) - apply(p, other)).max()
    assert difference(p) > 1e-6 and difference({**p, "A_z": 0 * p["A_z"]}) == 0


@pytest.mark.parametrize("name", RIVALS)
def test_only_the_declared_input_weights_read_the_input(name):
    """With all of them 0, every trial has the same outputs; with any one of them restored (times 100), trials differ."""
    weights = BASELINES.get(name).input_weights
    apply, p = runnable(name, N=6)
    blind = {**p, **{parameter: 0 * p[parameter] for parameter in weights}}
    spread = lambda p: np.abs(np.diff(apply(p, random_inputs()), axis=1)).max()
    assert spread(blind) == 0
    for parameter, where in weights.items():
        assert p[parameter].shape[where.axis] == len(where.channels(SPEC))
        assert spread({**blind, parameter: 100 * p[parameter]}) > 1e-4, parameter


@pytest.mark.parametrize(
    ("name", "hparams", "word"),
    [
        ("min_gru", {"layers": 0}, "at least 1, got 0"),
        ("lru", {"r_min": 1.0}, "0 <= r_min < r_max <= 1, got 1.0 and 1.0"),
        ("lru", {"r_max": float("nan")}, "0 <= r_min < r_max <= 1"),
        ("lru", {"max_phase": 0.0}, "above 0, got 0.0"),
        ("ctrnn_gated", {"tau": 1.0}, "must be finite and above 1, got 1.0"),
        ("ctrnn_gated", {"tau": float("nan")}, "above 1, got nan"),
        ("nmrnn_full", {"tau_x": 0.5}, "tau_x is a time constant"),
    ],
)
def test_invalid_hyperparameters_give_a_one_line_error(name, hparams, word):
    baseline = BASELINES.get(name)
    with pytest.raises(NmbenchError) as caught:
        shapes(baseline, SPEC, {**baseline.hparams, "N": 7, **hparams})
    assert word in str(caught.value) and "\n" not in str(caught.value)
