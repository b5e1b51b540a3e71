"""Recorded states, compared with NumPy loops over trials and steps that follow the equations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench.analysis import Observer, hold_gate, record, register_observer
from nmbench.analysis.observers import observer_of
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.model import Core
from nmbench.contracts.registration import register_baseline
from nmbench.support.errors import NmbenchError
from support.models import RowGRU


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def start(p, name, size):
    return p[f"fixed_{name}"][:, 0] if f"fixed_{name}" in p else np.full(size, 0.1)


def nmrnn(p, u, c, h):
    linear = h.get("linear_z") is not None  # in the linearised form R = L, and phi of x is the identity
    N = len(p["L"])
    orthonormal = h["orthonormal"] if linear else not h["feedback"]
    L = np.linalg.qr(p["L"])[0] if orthonormal else p["L"]
    R = L if linear else p["R"]
    phi = (lambda a: a) if linear else np.tanh
    x, z, seen = start(p, "x0", N), start(p, "z0", len(p["W_z"])), []
    for t in range(len(u)):
        drive = p["W_z"] @ np.tanh(z) + p["B_z"] @ np.concatenate([c[t], u[t]])
        if h["feedback"]:
            drive = drive + p["B_zx"] @ phi(x) + (0 if linear else p["b_zx"][:, 0])
        z = (1 - 1 / h["tau_z"]) * z + drive / h["tau_z"]
        s = sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
        x = (1 - 1 / h["tau_x"]) * x + (L @ np.diag(s) @ R.T @ phi(x) + p["B_x"] @ u[t]) / h["tau_x"]
        seen.append({"s": s, "z": z, "x": x, "y": p["C"] @ x + p["d"][:, 0]})
    return seen


def leaky(p, u, c, h):
    W = p["W"] if "W" in p else np.linalg.qr(p["L"])[0] @ p["R"].T
    x, seen = start(p, "x0", len(W)), []
    for t in range(len(u)):
        x = (1 - 1 / h["tau"]) * x + (W @ np.tanh(x) + p["B"] @ np.concatenate([c[t], u[t]])) / h["tau"]
        seen.append({"x": x, "y": p["C"] @ x + p["d"][:, 0]})
    return seen


def lstm(p, u, c, h):
    N = p["W_h"].shape[1]
    hidden, cell, seen = start(p, "h0", N), start(p, "c0", N), []
    for t in range(len(u)):
        gates = p["W_u"] @ np.concatenate([c[t], u[t]]) + p["W_h"] @ hidden + p["b"][:, 0]
        i, f, o = sigmoid(gates[:N]), sigmoid(gates[N : 2 * N]), sigmoid(gates[2 * N : 3 * N])
        cell = f * cell + i * np.tanh(gates[3 * N :])
        hidden = o * np.tanh(cell)
        seen.append({"h": hidden, "c": cell, "y": p["C"] @ hidden})
    return seen


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "loop", "hparams"),
    [
        ("nmrnn", nmrnn, {"N": 6, "M": 2, "K": 9, "feedback": True, "drawn_start": True}),
        slow("nmrnn", nmrnn, {"N": 12, "M": 4, "K": 3}),
        ("nmrnn_linear", nmrnn, {"N": 7, "M": 10, "K": 3, "feedback": True, "tau_x": 2.0}),
        slow("lrrnn", leaky, {"N": 12, "K": 3}),
        slow("rnn", leaky, {"N": 7}),
        ("lstm", lstm, {"N": 5, "drawn_start": True}),
    ],
)
def test_recorded_states_follow_the_equations(make_network, inputs, name, loop, hparams):
    network = make_network(name, **hparams)
    recorded = record(network, inputs)
    (p,) = jax.tree.map(lambda a: np.asarray(a, np.float64), network.params).values()
    for trial in range(4):
        seen = loop(p, inputs["sensory"][:, trial], inputs["context"][:, trial], network.hparams)
        assert set(seen[0]) == set(recorded)
        for key, values in recorded.items():
            np.testing.assert_allclose(values[:, trial], [step[key] for step in seen], rtol=2e-6, atol=2e-6, err_msg=key)


@pytest.mark.slow
def test_recorded_signals_and_states_of_the_controls_follow_the_equations(make_network, inputs):
    """The equations hold between the recorded values of successive steps; one loop would not show it as directly."""
    u, everything = inputs["sensory"], np.concatenate([inputs["context"], inputs["sensory"]], axis=2)
    close = lambda found, expected: np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    seen = {}
    for name in ("nmrnn_presynaptic", "nmrnn_full", "gain_rnn", "stp_rnn", "hyper_rnn"):
        network = make_network(name, N=6)
        (p,) = network.params.values()
        seen[name] = p, record(network, inputs)
    for name, signals in (("nmrnn_presynaptic", "s"), ("gain_rnn", "g")):
        p, r = seen[name]
        s = sigmoid(r["z"] @ p["A_z"].T + p["b_z"][:, 0])
        close(r[signals], s if signals == "s" else 2 * s)
        g = r[signals][1:, :, np.arange(6) % r[signals].shape[2]]  # of each unit
        before = np.tanh(r["x"][:-1])
        sent = g * before @ p["R"] @ np.linalg.qr(p["L"])[0].T if signals == "s" else np.tanh(g * r["x"][:-1]) @ p["W"].T
        close(r["x"][1:], 0.9 * r["x"][:-1] + 0.1 * (sent + u[1:] @ p["B_x"].T))
    p, r = seen["nmrnn_full"]
    s = sigmoid(r["z"] @ p["A_z"].T + p["b_z"][:, 0])
    close(r["s"], s)
    components = p["W"].reshape(s.shape[-1], 6, 6)
    sent = np.einsum("tbk,kij,tbj->tbi", s[1:], components, np.tanh(r["x"][:-1]))
    close(r["x"][1:], 0.9 * r["x"][:-1] + 0.1 * (sent + u[1:] @ p["B_x"].T))
    p, r = seen["stp_rnn"]
    tau, U = np.where(np.arange(6) % 2 == 0, 150, 20), np.where(np.arange(6) % 2 == 0, 0.15, 0.45)
    a, h = r["a"][:-1], r["h"][:-1]
    close(r["a"][1:], np.clip(a + (U - a) / tau + 0.01 * U * (1 - a) * h, 0, 1))
    drive = r["a"][1:] * r["r"][1:] * h / U @ p["W"].T + everything[1:] @ p["B"].T + p["b"][:, 0]
    close(r["h"][1:], np.maximum(0.9 * h + 0.1 * drive, 0))
    p, r = seen["hyper_rnn"]
    drive = r["d_h"][1:] * (r["h"][:-1] @ p["W_h"].T) + r["d_x"][1:] * (u[1:] @ p["B_x"].T) + r["d_b"][1:]
    close(r["h"][1:], np.tanh(drive + p["b"][:, 0]))
    held = record(hold_gate(make_network("nmrnn_presynaptic", N=6), 1, 0.3), inputs)
    close(held["s"][..., 1], 0.3)


def test_models_show_their_carried_state_unless_they_have_an_observer(make_network, inputs):
    with BASELINES.restored(), jax.numpy_rank_promotion("allow"):
        register_baseline("row_gru", free_size="N")(RowGRU)
        network = make_network("row_gru", N=6)
        recorded = record(network, inputs)
        np.testing.assert_allclose(recorded["y"], network.apply(inputs), rtol=1e-6)
        assert {name: values.shape for name, values in recorded.items()} == {"x": (9, 4, 6), "y": (9, 4, 2)}

        @register_baseline("summing", free_size="N")
        class Summing(Core):
            """(a, b)_t = (a, b)_{t-1} + (u_t, 2 u_t)"""

            def __init__(self, spec, N: int):
                super().__init__(spec)
                self.G = self.learned("G", (2, 5), 0.0)

            def input_map(self, inputs):
                return self.concat(inputs)

            def initial_state(self, batch_size):
                return {"a": jnp.zeros((5, batch_size)), "b": jnp.zeros((5, batch_size))}

            def step(self, state, v_t):
                return {"a": state["a"] + v_t, "b": state["b"] + 2 * v_t}

            def readout(self, states):
                return self.G @ states["a"]

        network = make_network("summing", N=1)
        assert type(observer_of(network.baseline.factory)) is Observer
        recorded = record(network, inputs)
        total = np.cumsum(np.concatenate([inputs["context"], inputs["sensory"]], axis=-1), axis=0)
        np.testing.assert_allclose(recorded["x/a"], total, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(recorded["x/b"], 2 * total, rtol=1e-5, atol=1e-5)

        @register_observer(Summing)
        class Difference(Observer):
            """b - a."""

            gates = "difference"

            def signals(self, core, carried):
                return {"difference": carried["b"] - carried["a"]}

        assert isinstance(observer_of(Summing), Difference)
        np.testing.assert_allclose(record(dataclasses.replace(network), inputs)["difference"], total, rtol=1e-5, atol=1e-5)
        with pytest.raises(NmbenchError, match="the observer Difference has `gates`, but no method `hold_gate`"):
            hold_gate(network, 0, 0.0)
        with pytest.raises(NmbenchError, match="Summing already has an observer, Difference"):
            register_observer(Summing)(Difference)


def test_wrong_inputs_are_refused(make_network, inputs):
    network, (name, array) = make_network("rnn", N=3), next(iter(inputs.items()))
    shorter = {key: value[:3] for key, value in inputs.items()}
    assert record(network, shorter)["x"].shape == (3, array.shape[1], 3)
    wrong = {
        "must be a dict of arrays as in the task's spec, with the names": [{"foo": array}, array],
        "have shape .*, the task needs": [{**inputs, name: array[..., :1]}, {**inputs, name: array[0]}],
    }
    for message, given in wrong.items():
        for one in given:
            with pytest.raises(NmbenchError, match=message):
                record(network, one)
    steps = network.spec.steps
    swapped = {key: np.zeros((steps + 1, steps, value.shape[2])) for key, value in inputs.items()}
    with pytest.warns(UserWarning, match=rf"are read as \[steps, trials, channels\], but the task has {steps} steps"):
        record(network, swapped)
    with pytest.raises(NmbenchError, match="inputs must be finite"):
        record(network, {**inputs, name: np.full_like(array, np.nan)})
    with pytest.raises(NmbenchError, match="the network must come from nmbench.load_network, got a value of type str"):
        record("RUN_ID", inputs)


def test_states_that_cannot_be_recorded_are_refused(make_network, inputs):
    with BASELINES.restored():

        @register_baseline("pair", free_size="N")
        def pair(spec, N: int):
            """y = 0"""
            apply = lambda params, inputs: jnp.zeros((*jax.tree.leaves(inputs)[0].shape[:2], spec.output_size)) * params["a"]
            return (lambda key: {"a": jnp.ones((N, 1))[0]}), apply

        network = make_network("pair", N=1)
        with pytest.raises(NmbenchError, match="'pair' has its own apply, so its states cannot be recorded"):
            record(network, inputs)
    with pytest.raises(NmbenchError, match="has no task; give the inputs"):
        record(make_network("rnn", N=3))
