"""Models with another input-dependent change of the network, compared with plain NumPy loops and in limits.

The loops are written only from the equations of the docstrings and of the publications.
"""

import numpy as np
import pytest

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


def modulated(recurrence):
    """The loop of a network whose recurrence is a function of the parameters, the state x and the signals s."""

    def loop(p, u, c, h):
        if "L" in p and not h["feedback"]:
            p = {**p, "L": np.linalg.qr(p["L"])[0]}
        x, z, ys = start(p, "x0", h["N"]), start(p, "z0", h["M"]), []
        for t in range(len(u)):
            drive = p["W_z"] @ np.tanh(z) + p["B_z"] @ np.concatenate([c[t], u[t]])
            if h["feedback"]:
                drive = drive + p["B_zx"] @ np.tanh(x) + p["b_zx"][:, 0]
            z = (1 - 1 / h["tau_z"]) * z + drive / h["tau_z"]
            s = sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
            received = recurrence(p, x, s) + p["B_x"] @ u[t]
            x = (1 - 1 / h["tau_x"]) * x + received / h["tau_x"]
            ys.append(readout(p, x))
        return np.array(ys)

    return loop


def of_unit(s, N):
    """The signal of each unit: unit i belongs to group i mod K."""
    return np.array([s[i % len(s)] for i in range(N)])


additive = modulated(lambda p, x, s: p["L"] @ (p["R"].T @ np.tanh(x) / 2 + s - 1 / 2))
presynaptic = modulated(lambda p, x, s: p["L"] @ p["R"].T @ np.diag(of_unit(s, len(x))) @ np.tanh(x))
postsynaptic = modulated(lambda p, x, s: np.diag(of_unit(s, len(x))) @ p["L"] @ p["R"].T @ np.tanh(x))
gain_rnn = modulated(lambda p, x, s: p["W"] @ np.tanh(2 * s * x))


def stp_rnn(p, u, c, h):
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
        ys.append(readout(p, rate))
    return np.array(ys)


def relu_rnn(p, u, c, h):
    rate, ys = np.full(len(p["W"]), 0.1), []
    for t in range(len(u)):
        drive = p["W"] @ rate + p["B"] @ np.concatenate([c[t], u[t]]) + p["b"][:, 0]
        rate = np.maximum(0, 0.9 * rate + 0.1 * drive)
        ys.append(readout(p, rate))
    return np.array(ys)


def hyper_rnn(p, u, c, h):
    """Eqs. 6 and 8 of Ha et al., with the present state of the hypernetwork in the embeddings."""
    N, K = h["N"], h["K"]
    W_hz, W_xz, W_bz = np.split(p["D"], 3)
    A_h, A_x, A_b = np.split(p["A"], 3)
    hidden, small, ys = start(p, "h0", N), start(p, "z0", h["M"]), []
    for t in range(len(u)):
        everything = np.concatenate([c[t], u[t]])
        small = np.tanh(p["W_z"] @ small + p["B_zh"] @ hidden + p["B_z"] @ everything + p["b_z"][:, 0])
        z_h, z_x, z_b = A_h @ small + p["a"][:K, 0], A_x @ small + p["a"][K:, 0], A_b @ small
        rows_of_W, rows_of_B = np.diag(W_hz @ z_h) @ p["W_h"], np.diag(W_xz @ z_x) @ p["B_x"]
        hidden = np.tanh(rows_of_W @ hidden + rows_of_B @ u[t] + W_bz @ z_b + p["b"][:, 0])
        ys.append(readout(p, hidden))
    return np.array(ys)


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


FEEDBACK = {"N": 7, "M": 4, "K": 3, "feedback": True, "drawn_start": True, "readout_bias": False, "tau_z": 3.0}
CASES = [
    ("nmrnn_additive", additive, FEEDBACK),
    ("nmrnn_presynaptic", presynaptic, FEEDBACK),
    ("nmrnn_postsynaptic", postsynaptic, FEEDBACK),
    ("gain_rnn", gain_rnn, {key: value for key, value in FEEDBACK.items() if key != "K"}),
    ("stp_rnn", stp_rnn, {"N": 7}),
    ("hyper_rnn", hyper_rnn, {"N": 6, "M": 5, "K": 2, "readout_bias": False, "drawn_start": True}),
]
MORE = [
    ("nmrnn_additive", additive, {"N": 7, "M": 4, "K": 3}),
    ("nmrnn_presynaptic", presynaptic, {"N": 7, "M": 4, "K": 3}),
    ("nmrnn_postsynaptic", postsynaptic, {"N": 7, "M": 4, "K": 3}),
    ("gain_rnn", gain_rnn, {"N": 7, "M": 4}),
    ("stp_rnn", stp_rnn, {"N": 4, "readout_bias": False}),
    ("hyper_rnn", hyper_rnn, {"N": 7, "M": 4, "K": 3}),
]
# What stp_rnn is without plasticity: no control of the NM-RNN itself.
FIXED_SYNAPSES = ("relu_rnn", relu_rnn, {"N": 7})
LOW_RANK = ["nmrnn_additive", "nmrnn_presynaptic", "nmrnn_postsynaptic"]
CONTROLS = sorted({name for name, _, _ in CASES})


def test_the_tag_names_these_models():
    assert sorted(entry.name for entry in BASELINES.entries("control")) == CONTROLS


@pytest.mark.parametrize(("name", "loop", "hparams"), [*CASES, FIXED_SYNAPSES, *(slow(*case) for case in MORE)])
def test_cell_and_its_gradient_equal_a_numpy_loop(name, loop, hparams):
    check_outputs_and_gradient(name, loop, hparams)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loop", "hparams"), [*MORE, FIXED_SYNAPSES])
def test_cell_equals_a_numpy_loop_in_float32(name, loop, hparams):
    check_float32(name, loop, hparams, 5e-6)


def test_controls_have_the_parameters_and_settings_of_the_nmrnn():
    """Equal names, shapes, settings on every task, initial values and partitions."""
    nmrnn = BASELINES.get("nmrnn")
    for name in LOW_RANK:
        control = BASELINES.get(name)
        for task in ("element_finder", "multitask", "mwg_rank1", "mwg_rank3", "delay_pro"):
            expected = {k: v for k, v in nmrnn.defaults(task, "matched").items() if k != "parametrisation"}
            assert control.defaults(task, "matched") == expected, (name, task)
        assert control.input_weights == nmrnn.input_weights and control.partitions.keys() == nmrnn.partitions.keys()
        for feedback in (False, True):
            sizes = {"N": 6, "M": 4, "K": 3, "feedback": feedback}
            flat = lambda baseline, sizes=sizes: {
                key.rsplit("|", 1)[1]: shape for key, shape in shapes(baseline, SPEC, {**baseline.hparams, **sizes}).items()
            }
            assert flat(control) == flat(nmrnn)
            for partition in ("output_subnetwork", "neuromodulatory_subnetwork"):
                chosen = [{key for key in flat(b) if b.partition(partition)("m", key)} for b in (control, nmrnn)]
                assert chosen[0] == chosen[1] and chosen[0]


@pytest.mark.parametrize("feedback", [True, slow(False)])
def test_at_a_signal_of_one_half_all_controls_are_the_nmrnn(feedback):
    """With A_z = b_z = 0 all signals are 1/2. With other signals, no two of the four have the same outputs."""
    inputs, outputs = random_inputs(), {}
    for name in ("nmrnn", *LOW_RANK):
        apply, p = runnable(name, N=6, M=4, K=3, feedback=feedback)
        outputs[name] = apply({**p, "A_z": 0 * p["A_z"], "b_z": 0 * p["b_z"]}, inputs), apply(p, inputs)
    half, free = zip(*outputs.values())
    for i in range(4):
        np.testing.assert_allclose(half[i], half[0], atol=1e-5)
        assert all(np.abs(free[i] - free[j]).max() > 1e-3 for j in range(i))


@pytest.mark.slow
def test_with_equal_signals_scaling_units_is_scaling_components():
    """If all K signals are equal, L diag(s) R^T = diag(g) L R^T = L R^T diag(g)."""
    found = []
    for name in ("nmrnn", "nmrnn_presynaptic", "nmrnn_postsynaptic"):
        apply, p = runnable(name, N=6, M=4, K=3)
        equal = {key: np.tile(p[key][:1], (3, 1)) for key in ("A_z", "b_z")}
        found.append(apply({**p, **equal}, random_inputs()))
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)


@pytest.mark.slow
def test_unit_gains_make_a_gain_rnn_the_vanilla_rnn():
    """With A_z = b_z = 0 all gains are 1. Here the context has no weights in the vanilla RNN."""
    apply, p = runnable("gain_rnn", N=6, M=4)
    apply_rnn, q = runnable("rnn", N=6)
    B = np.concatenate([np.zeros((6, 2), np.float32), p["B_x"]], axis=1)
    expected = apply_rnn({**q, **{k: p[k] for k in ("W", "C", "d")}, "B": B}, random_inputs())
    np.testing.assert_allclose(apply({**p, "A_z": 0 * p["A_z"], "b_z": 0 * p["b_z"]}, random_inputs()), expected, atol=1e-5)
    assert np.abs(apply(p, random_inputs()) - expected).max() > 1e-3


@pytest.mark.slow
def test_a_hypernetwork_without_output_leaves_a_tanh_rnn():
    """With A = 0, a = 1, D_h = D_x = 1/K and D_b = 0, as it starts but for A, all scales are 1."""
    apply, p = runnable("hyper_rnn", N=6, M=4, K=2)
    D = np.repeat(np.array([[0.5], [0.5], [0]], np.float32), 6, axis=0) * np.ones((1, 2), np.float32)
    outputs = apply({**p, "A": 0 * p["A"], "a": 0 * p["a"] + 1, "D": D}, random_inputs())
    for b in range(outputs.shape[1]):
        h = np.full(6, 0.1)
        for t, u in enumerate(random_inputs()["sensory"][:, b]):
            h = np.tanh(p["W_h"] @ h + p["B_x"] @ u + p["b"][:, 0])
            np.testing.assert_allclose(outputs[t, b], readout(p, h), atol=1e-5)
    assert np.abs(apply(p, random_inputs()) - outputs).max() > 1e-3


@pytest.mark.slow
def test_only_the_modulating_network_reads_the_context():
    """Without its weights, the context has no effect: those from z to the signals, or of the embeddings."""
    inputs = random_inputs()
    other = {**inputs, "context": inputs["context"] + 1}
    for name in CONTROLS:
        if name == "stp_rnn":
            continue
        apply, p = runnable(name, N=6)
        weights = "A" if name == "hyper_rnn" else "A_z"
        difference = lambda p, apply=apply: np.abs(apply(p, inputs) - apply(p, other)).max()
        assert difference(p) > 1e-6 and difference({**p, weights: 0 * p[weights]}) == 0, name


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
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


def test_plastic_and_fixed_synapses_start_equal():
    """relu_rnn has the parameters of stp_rnn and their initial values; at rest, the networks are the same."""
    plastic, fixed = (initialised(name, N=7) for name in ("stp_rnn", "relu_rnn"))
    assert plastic.keys() == fixed.keys()
    assert all((plastic[key] == fixed[key]).all() for key in fixed)
    (apply, _), (apply_fixed, _) = (runnable(name, N=7) for name in ("stp_rnn", "relu_rnn"))
    first = apply(plastic, random_inputs())[0]
    # Before the first step a = U, r = 1 and h = 0.1, which change a r / U by less than 2% in one step.
    np.testing.assert_allclose(first, apply_fixed(fixed, random_inputs())[0], atol=1e-3)


@pytest.mark.slow
def test_initial_values():
    """Standard deviations to five standard errors, and the values that are not drawn from a normal distribution."""
    p = {name: initialised(name, **sizes) for name, sizes in [
        ("nmrnn_presynaptic", {"N": 60, "M": 40, "K": 30, "feedback": True}),
        ("gain_rnn", {"N": 60, "M": 40}),
        ("stp_rnn", {"N": 60}),
        ("hyper_rnn", {"N": 60, "M": 40, "K": 5}),
    ]}  # fmt: skip
    factor = (1.5 / (60 * 30) ** 0.5) ** 0.5
    for name, parameter, stddev in [
        ("nmrnn_presynaptic", "L", factor),
        ("nmrnn_presynaptic", "R", factor),
        ("nmrnn_presynaptic", "W_z", 40**-0.5),
        ("nmrnn_presynaptic", "b_z", 30**-0.5),
        ("gain_rnn", "W", 60**-0.5),
        ("gain_rnn", "A_z", 0.1),
        ("gain_rnn", "b_z", 0.1),
        ("stp_rnn", "W", (2 / 60) ** 0.5),
        ("stp_rnn", "B", 5**-0.5),
        ("hyper_rnn", "A", 0.01),
        ("hyper_rnn", "C", 60**-0.5),
    ]:
        values = p[name][parameter]
        np.testing.assert_allclose(values.std(), stddev, rtol=5 / np.sqrt(2 * values.size), err_msg=f"{name} {parameter}")
    hyper = p["hyper_rnn"]
    for parameter in ("W_h", "B_x", "W_z", "B_z", "B_zh"):
        W = hyper[parameter] if hyper[parameter].shape[0] <= hyper[parameter].shape[1] else hyper[parameter].T
        np.testing.assert_allclose(W @ W.T, np.eye(len(W)), atol=1e-5, err_msg=parameter)
    assert (hyper["D"][:120] == np.float32(0.2)).all() and not hyper["D"][120:].any() and (hyper["a"] == 1).all()
    assert not hyper["b"].any() and not hyper["b_z"].any() and not p["stp_rnn"]["b"].any()


@pytest.mark.parametrize(
    ("name", "hparams", "word"),
    [
        ("nmrnn_additive", {"K": 9}, "N >= K, got N=7 and K=9"),
        ("nmrnn_postsynaptic", {"tau_z": 0.5}, "tau_z is a time constant in steps and must be at least 1, got 0.5"),
        ("gain_rnn", {"tau_x": float("nan")}, "tau_x is a time constant in steps and must be at least 1, got nan"),
    ],
)
def test_invalid_hyperparameters_give_a_one_line_error(name, hparams, word):
    baseline = BASELINES.get(name)
    with pytest.raises(NmbenchError) as caught:
        shapes(baseline, SPEC, {**baseline.hparams, "N": 7, **hparams})
    assert word in str(caught.value) and "\n" not in str(caught.value)
