"""The cells of the publication against plain NumPy loops over trials and steps, written only from its equations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.registration import register_baseline
from nmbench.contracts.specs import ArraySpec, SequenceSpec
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
from support.models import RowGRU


def nmrnn(p, u, c, h):
    N, M = p["L"].shape[0], p["W_z"].shape[0]
    L = p["L"] if h["feedback"] else np.linalg.qr(p["L"])[0]
    scale = 1 / N if h["feedback"] and h["parametrisation"] == "published" else 1
    x, z, ys = start(p, "x0", N), start(p, "z0", M), []
    for t in range(len(u)):
        everything = np.concatenate([c[t], u[t]])
        drive = p["W_z"] @ np.tanh(z) + p["B_z"] @ everything
        if h["feedback"]:
            drive = drive + p["B_zx"] @ np.tanh(x) + p["b_zx"][:, 0]
        z = (1 - 1 / h["tau_z"]) * z + drive / h["tau_z"]
        s = sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
        recurrence = scale * L @ np.diag(s) @ p["R"].T @ np.tanh(x)
        x = (1 - 1 / h["tau_x"]) * x + (recurrence + p["B_x"] @ u[t]) / h["tau_x"]
        ys.append(p["C"] @ x + (p["d"][:, 0] if h["readout_bias"] else 0))
    return np.array(ys)


def nmrnn_linear(p, u, c, h):
    N, M = p["L"].shape[0], p["W_z"].shape[0]
    L = np.linalg.qr(p["L"])[0] if h["orthonormal"] else p["L"]
    scale = 1 if h["orthonormal"] else 1 / N
    x, z, ys = start(p, "x0", N), start(p, "z0", M), []
    for t in range(len(u)):
        drive = p["W_z"] @ (z if h["linear_z"] else np.tanh(z)) + p["B_z"] @ np.concatenate([c[t], u[t]])
        if h["feedback"]:
            drive = drive + p["B_zx"] @ x
        z = (1 - 1 / h["tau_z"]) * z + drive / h["tau_z"]
        s = sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
        x = (1 - 1 / h["tau_x"]) * x + (scale * L @ np.diag(s) @ L.T @ x + p["B_x"] @ u[t]) / h["tau_x"]
        ys.append(p["C"] @ x + p["d"][:, 0])
    return np.array(ys)


def lrrnn(p, u, c, h):
    N = p["L"].shape[0]
    L = np.linalg.qr(p["L"])[0] if h["orthonormal"] else p["L"]
    W = L @ p["R"].T * (1 / N if h["parametrisation"] == "published" else 1)
    return leaky(W, p, u, c, h)


def rnn(p, u, c, h):
    return leaky(p["W"] / (len(p["W"]) if h["parametrisation"] == "published" else 1), p, u, c, h)


def leaky(W, p, u, c, h):
    x, ys = start(p, "x0", len(W)), []
    for t in range(len(u)):
        x = (1 - 1 / h["tau"]) * x + (W @ np.tanh(x) + p["B"] @ np.concatenate([c[t], u[t]])) / h["tau"]
        ys.append(p["C"] @ x + (p["d"][:, 0] if h["readout_bias"] else 0))
    return np.array(ys)


def lstm(p, u, c, h):
    N = p["W_h"].shape[1]
    hidden, cell, ys = start(p, "h0", N), start(p, "c0", N), []
    for t in range(len(u)):
        gates = p["W_u"] @ np.concatenate([c[t], u[t]]) + p["W_h"] @ hidden + p["b"][:, 0]
        i, f, o = sigmoid(gates[:N]), sigmoid(gates[N : 2 * N]), sigmoid(gates[2 * N : 3 * N])
        cell = f * cell + i * np.tanh(gates[3 * N :])
        hidden = o * np.tanh(cell)
        ys.append(p["C"] @ hidden)
    return np.array(ys)


CASES = [
    ("nmrnn", nmrnn, {"N": 7, "M": 4, "K": 3}),
    ("nmrnn", nmrnn, {"N": 7, "M": 4, "K": 3, "feedback": True, "tau_z": 3.0}),
    (
        "nmrnn",
        nmrnn,
        {"N": 7, "M": 4, "K": 3, "feedback": True, "parametrisation": "published", "readout_bias": False, "tau_z": 3.0},
    ),
    ("nmrnn", nmrnn, {"N": 6, "M": 2, "K": 8, "feedback": True, "drawn_start": True, "tau_x": 2.0, "tau_z": 3.0}),
    ("nmrnn_linear", nmrnn_linear, {"N": 7, "M": 4, "K": 1}),
    ("nmrnn_linear", nmrnn_linear, {"N": 7, "M": 4, "K": 3, "linear_z": True, "tau_x": 2.0, "tau_z": 10.0}),
    ("nmrnn_linear", nmrnn_linear, {"N": 7, "M": 4, "K": 3, "feedback": True, "drawn_start": True}),
    ("nmrnn_linear", nmrnn_linear, {"N": 7, "M": 4, "K": 9, "feedback": True, "orthonormal": False}),
    ("lrrnn", lrrnn, {"N": 7, "K": 3}),
    ("lrrnn", lrrnn, {"N": 7, "K": 3, "parametrisation": "published", "readout_bias": False}),
    ("lrrnn", lrrnn, {"N": 7, "K": 9, "orthonormal": False, "drawn_start": True, "tau": 2.0}),
    ("lrrnn", lrrnn, {**BASELINES.get("lrrnn").defaults("element_finder", "paper"), "N": 7}),
    ("rnn", rnn, {"N": 7}),
    ("rnn", rnn, {"N": 7, "parametrisation": "published", "drawn_start": True, "readout_bias": False}),
    ("lstm", lstm, {"N": 5}),
    ("lstm", lstm, {"N": 5, "drawn_start": True}),
]


@pytest.mark.parametrize(("name", "loop", "hparams"), CASES)
def test_cell_and_its_gradient_equal_a_numpy_loop(name, loop, hparams):
    check_outputs_and_gradient(name, loop, hparams)


# The loop in float64 tests the equations of all cases; half of them show that float32 is as accurate as it can be.
FLOAT32 = [case if i % 2 else pytest.param(*case, marks=pytest.mark.release) for i, case in enumerate(CASES)]


@pytest.mark.parametrize(("name", "loop", "hparams"), FLOAT32)
def test_cell_equals_a_numpy_loop_in_float32(name, loop, hparams):
    check_float32(name, loop, hparams, 5e-6)


@pytest.mark.slow
def test_equations_1_to_3_of_the_supplement_are_one_configuration():
    """Eqs. 1-3 as printed: no leak in x, 1/N before W_x = L S R^T with R = L, everything linear, feedback without a bias."""
    baseline = BASELINES.get("nmrnn_linear")
    printed = {"tau_x": 1.0, "linear_z": True, "feedback": True, "orthonormal": False}
    spec = SequenceSpec(9, {"sensory": ArraySpec(3)}, ArraySpec(2))
    tau_z, N, M = 4.0, 8, 5
    with jax.enable_x64(True):
        model = baseline.build(spec, {**baseline.hparams, **printed, "N": N, "M": M, "K": 2, "tau_z": tau_z})
        params = jax.jit(model.init)(jax.random.key(1, impl="rbg"))
        u = np.random.RandomState(0).randn(spec.steps, 3)
        outputs = np.asarray(jax.jit(model.apply)(params, {"sensory": jnp.asarray(u[:, None])}))[:, 0]
        p = {name: np.asarray(value) for name, value in params["nmrnn_linear"].items()}
    assert set(p) == {"L", "B_x", "W_z", "B_z", "B_zx", "A_z", "b_z", "C", "d"}
    x, z = np.full(N, 0.1), np.full(M, 0.1)
    for t in range(spec.steps):
        z = ((1 - 1 / tau_z) * np.eye(M) + p["W_z"] / tau_z) @ z + (p["B_zx"] @ x + p["B_z"] @ u[t]) / tau_z
        W_x = p["L"] @ np.diag(sigmoid(p["A_z"] @ z + p["b_z"][:, 0])) @ p["L"].T
        x = W_x @ x / N + p["B_x"] @ u[t]
        np.testing.assert_allclose(outputs[t], p["C"] @ x + p["d"][:, 0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["nmrnn", "nmrnn_linear", "lrrnn"])
def test_only_the_neuromodulatory_network_reads_the_context(name):
    """Without the weights from z to the gates, the output of an NM-RNN does not depend on the context."""
    apply, p = runnable(name, N=6, K=3)
    inputs = random_inputs()
    other = {**inputs, "context": inputs["context"] + 1}
    difference = lambda p: np.abs(apply(p, inputs) - apply(p, other)).max()
    assert difference(p) > (1e-3 if name == "lrrnn" else 1e-6)
    assert name == "lrrnn" or difference({**p, "A_z": 0 * p["A_z"]}) == 0


def test_matched_low_rank_rnn_is_the_nmrnn_with_open_gates():
    """If b_z is so large that s = 1, an NM-RNN without feedback has the outputs of the matched LR-RNN."""
    apply, p = runnable("nmrnn", N=6, K=3, M=2)
    apply_lr, q = runnable("lrrnn", N=6, K=3)
    p = {**p, "b_z": np.full_like(p["b_z"], 100.0)}
    # Here the weights of the LR-RNN for the context are 0. dm-tree sorts "context" before "sensory".
    q = {
        **q,
        **{k: p[k] for k in ("L", "R", "C", "d")},
        "B": np.concatenate([np.zeros((6, 2), np.float32), p["B_x"]], axis=1),
    }
    np.testing.assert_allclose(apply(p, random_inputs()), apply_lr(q, random_inputs()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("N", "K"), [(18, 8), (300, 8), (40, 30)])
def test_matched_factors_start_at_a_gain_of_order_one(N, K):
    """The mean spectral radius of L R^T over seeds is the declared gain for all sizes (circular law; K is large enough)."""
    baseline = BASELINES.get("lrrnn")
    model = baseline.build(SPEC, {**baseline.hparams, "N": N, "K": K, "orthonormal": False})
    factors = lambda key: {name: model.init(key)["lrrnn"][name] for name in ("L", "R")}
    p = jax.jit(jax.vmap(factors))(jax.random.split(jax.random.key(0, impl="rbg"), 20))
    products = np.einsum("snk,snl->skl", np.asarray(p["R"]), np.asarray(p["L"]))
    radius = np.abs(np.linalg.eigvals(products)).max(axis=1).mean()
    assert 0.8 * 1.5 < radius < 1.2 * 1.5


@pytest.mark.parametrize(
    ("name", "hparams", "stddevs"),
    [
        ("nmrnn", {"N": 400, "M": 300, "K": 20}, {"L": 1, "R": 1, "B_x": 3**-0.5, "B_z": 5**-0.5, "W_z": 0.1, "A_z": 0.1}),
        ("nmrnn", {"N": 400, "M": 300, "K": 200}, {"b_z": 0.1}),
        (
            "nmrnn",
            {"N": 400, "M": 300, "K": 20, "feedback": True, "parametrisation": "published"},
            {"L": 20**-0.5, "R": 20**-0.5, "C": 0.05, "B_zx": 0.05, "W_z": 300**-0.5, "b_zx": 300**-0.5},
        ),
        (
            "nmrnn",
            {"N": 400, "M": 300, "K": 200, "feedback": True, "drawn_start": True},
            {"b_z": 200**-0.5, "fixed_x0": 0.05, "fixed_z0": 300**-0.5},
        ),
        (
            "nmrnn_linear",
            {"N": 400, "M": 300, "K": 200},
            {"W_z": 0.1, "A_z": 0.1, "b_z": 0.1},
        ),
        ("lrrnn", {"N": 400, "K": 20, "parametrisation": "published"}, {"L": 1, "R": 1, "B": 5**-0.5, "C": 0.05}),
        # With the settings of the Element Finder under `paper`.
        (
            "lrrnn",
            {"N": 400, "K": 20, "orthonormal": False, "parametrisation": "published"},
            {"L": 0.05, "R": 0.05, "B": 5**-0.5, "C": 0.05},
        ),
        ("rnn", {"N": 400, "parametrisation": "published"}, {"W": 1, "B": 5**-0.5, "C": 0.05}),
        ("rnn", {"N": 400}, {"W": 0.05}),
        ("lstm", {"N": 400}, {"W_u": 5**-0.5, "W_h": 0.05, "b": 0.05, "C": 0.05}),
        ("lstm", {"N": 400, "drawn_start": True}, {"fixed_h0": 0.05, "fixed_c0": 0.05}),
    ],
)
def test_initial_standard_deviations(name, hparams, stddevs):
    p = initialised(name, **hparams)
    for parameter, stddev in stddevs.items():
        values = p[parameter]
        # The tolerance is five standard errors of an estimated standard deviation.
        np.testing.assert_allclose(values.std(), stddev, rtol=5 / np.sqrt(2 * values.size), err_msg=parameter)


def test_the_low_rank_rnn_of_the_published_element_finder():
    settings = BASELINES.get("lrrnn").defaults("element_finder", "paper")
    names = ("N", "K", "tau", "orthonormal", "readout_bias", "drawn_start", "parametrisation")
    assert tuple(settings[name] for name in names) == (23, 10, 10.0, False, False, True, "published")


def test_invalid_hyperparameters_give_a_one_line_error():
    nm = BASELINES.get("nmrnn")
    for bad, word in [({"K": 9}, "N >= K"), ({"tau_x": 0.5}, "time constant"), ({"parametrisation": "x"}, "matched")]:
        with pytest.raises(NmbenchError, match=word) as caught:
            shapes(nm, SPEC, {**nm.hparams, "N": 7, **bad})
        assert "\n" not in str(caught.value)


FAST = [("rnn", 9), ("rnn", 16)]
SLOW = [("nmrnn", 17), ("row_gru", 17), ("lstm", 17), ("lru", 17), ("min_gru", 17)]


@pytest.mark.parametrize(("name", "steps"), [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)])
def test_recomputing_activations_changes_nothing(name, steps):
    """With and without `remat`, outputs and gradients are equal in float64, also if segments do not fit the steps."""
    spec = dataclasses.replace(SPEC, steps=steps)
    random = np.random.RandomState(0)
    inputs = {"sensory": random.randn(steps, 2, 3), "context": random.randn(steps, 2, 2)}
    results = []
    with BASELINES.restored(), jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        register_baseline("row_gru", free_size="N")(RowGRU)
        for remat in (False, True):
            baseline = BASELINES.get(name)
            model = baseline.build(spec, {**baseline.hparams, "N": 6}, remat=remat)
            params = jax.jit(model.init)(jax.random.key(0, impl="rbg"))

            def loss(p, model=model):
                outputs = model.apply(p, inputs)
                return jnp.sum(outputs**2), outputs

            results.append(jax.jit(jax.grad(loss, has_aux=True))(params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *results)


def test_recomputing_bounds_the_memory_of_long_trials():
    """With `remat`, the gradient of an RNN of 64 units over 1,600 steps needs less than a quarter of the memory."""
    spec = SequenceSpec(1600, {"sensory": ArraySpec(1)}, ArraySpec(1))
    baseline = BASELINES.get("rnn")
    kept = []
    for remat in (False, True):
        model = baseline.build(spec, {**baseline.hparams, "N": 64}, remat=remat)
        loss = lambda p, u, model=model: jnp.mean(model.apply(p, u) ** 2)
        args = jax.eval_shape(model.init, jax.random.key(0)), spec.zeros(batch=8)
        kept.append(jax.jit(jax.grad(loss)).lower(*args).compile().memory_analysis().temp_size_in_bytes)
    assert kept[1] < kept[0] / 4
