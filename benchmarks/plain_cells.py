"""The built-in models in the form in which authors publish them: one trial, one step at a time, the state x itself.

Pure functions of nmbench's own parameters (the inner dict, e.g. `params["nmrnn"]`) and hyperparameters. The readout is
inside the step, L is orthonormalised inside the forward pass, and trials are vmapped. Tests compare nmbench's models with
these functions (`tests/benchmarks`), and `speed.py` times both (styles "nmbench" and "published").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import tree


def column(params, name: str, size: int):
    """Initial state `[size]`: the one in the parameters if they contain it, otherwise 0.1 in every unit."""
    if f"fixed_{name}" in params:
        return params[f"fixed_{name}"][:, 0]
    return jnp.full((size,), 0.1, params["C"].dtype)


def readout(params, x):
    """Outputs `[O]` from a state `[N]`."""
    y = params["C"] @ x
    return y + params["d"][:, 0] if "d" in params else y


def prepare_nmrnn(params, hparams):
    if not hparams["feedback"]:
        return {**params, "L": jnp.linalg.qr(params["L"])[0]}
    if hparams["parametrisation"] == "published":
        return {**params, "L": params["L"] / params["L"].shape[0]}
    return params


def start_modulated(params):
    return column(params, "x0", params["L"].shape[0]), column(params, "z0", params["W_z"].shape[0])


def nmrnn(params, hparams, state, u, everything):
    """One step. state: (x `[N]`, z `[M]`); u: sensory inputs; everything: all inputs."""
    (x, z), p = state, params
    drive = p["W_z"] @ jnp.tanh(z) + p["B_z"] @ everything
    if hparams["feedback"]:
        drive = drive + p["B_zx"] @ jnp.tanh(x) + p["b_zx"][:, 0]
    z = (1 - 1 / hparams["tau_z"]) * z + drive / hparams["tau_z"]
    s = jax.nn.sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
    recurrence = p["L"] @ (s * (p["R"].T @ jnp.tanh(x)))
    x = (1 - 1 / hparams["tau_x"]) * x + (recurrence + p["B_x"] @ u) / hparams["tau_x"]
    return (x, z), readout(p, x)


def prepare_nmrnn_linear(params, hparams):
    if hparams["orthonormal"]:
        Q = jnp.linalg.qr(params["L"])[0]
        return {**params, "L": Q, "R": Q}
    return {**params, "L": params["L"] / params["L"].shape[0], "R": params["L"]}


def nmrnn_linear(params, hparams, state, u, everything):
    """One step. state: (x `[N]`, z `[M]`)."""
    (x, z), p = state, params
    drive = p["W_z"] @ (z if hparams["linear_z"] else jnp.tanh(z)) + p["B_z"] @ everything
    if hparams["feedback"]:
        drive = drive + p["B_zx"] @ x
    z = (1 - 1 / hparams["tau_z"]) * z + drive / hparams["tau_z"]
    s = jax.nn.sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
    x = (1 - 1 / hparams["tau_x"]) * x + (p["L"] @ (s * (p["R"].T @ x)) + p["B_x"] @ u) / hparams["tau_x"]
    return (x, z), readout(p, x)


def prepare_lrrnn(params, hparams):
    L = jnp.linalg.qr(params["L"])[0] if hparams["orthonormal"] else params["L"]
    return {**params, "L": L / L.shape[0] if hparams["parametrisation"] == "published" else L}


def lrrnn(params, hparams, x, u, everything):
    """One step. x: `[N]`."""
    del u
    recurrence = params["L"] @ (params["R"].T @ jnp.tanh(x))
    x = (1 - 1 / hparams["tau"]) * x + (recurrence + params["B"] @ everything) / hparams["tau"]
    return x, readout(params, x)


def prepare_rnn(params, hparams):
    W = params["W"]
    return {**params, "W": W / W.shape[0] if hparams["parametrisation"] == "published" else W}


def rnn(params, hparams, x, u, everything):
    """One step. x: `[N]`."""
    del u
    x = (1 - 1 / hparams["tau"]) * x + (params["W"] @ jnp.tanh(x) + params["B"] @ everything) / hparams["tau"]
    return x, readout(params, x)


def relu_rnn(params, hparams, h, u, everything):
    """One step. h: `[N]`."""
    del hparams, u
    drive = params["W"] @ h + params["B"] @ everything + params["b"][:, 0]
    h = jax.nn.relu(0.9 * h + 0.1 * drive)
    return h, readout(params, h)


def lstm(params, hparams, state, u, everything):
    """One step. state: (h `[N]`, c `[N]`); rows of the weights in the order i, f, o, g."""
    del hparams, u
    h, c = state
    i, f, o, g = jnp.split(params["W_u"] @ everything + params["W_h"] @ h + params["b"][:, 0], 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), readout(params, h)


def gru(params, hparams, h, u, everything):
    """One step. h: `[N]`; rows of the weights in the order z, r, g."""
    del u
    N, p = h.shape[0], params
    b = p["b"][:, 0] if hparams["candidate_bias"] else jnp.concatenate([p["b"][:, 0], jnp.zeros_like(h)])
    driven = p["W_u"] @ everything + b
    z, r = jnp.split(jax.nn.sigmoid(driven[: 2 * N] + p["W_h"][: 2 * N] @ h), 2)
    h = z * h + (1 - z) * jnp.tanh(driven[2 * N :] + p["W_h"][2 * N :] @ (r * h))
    return h, readout(p, h)


def min_gru(params, hparams, state, u, everything):
    """One step. state: h `[N]` of each layer; rows of the weights in the order z, g."""
    del hparams, u
    states, below = [], everything
    for layer, h in enumerate(state, start=1):
        z, g = jnp.split(params[f"W_{layer}"] @ below + params[f"b_{layer}"][:, 0], 2)
        below = (1 - jax.nn.sigmoid(z)) * h + jax.nn.sigmoid(z) * g
        states.append(below)
    return tuple(states), readout(params, below)


def lru(params, hparams, state, u, everything):
    """One step. state: x `[N]`, complex."""
    del hparams, u
    p, column = params, {name: value[:, 0] for name, value in params.items()}
    x = jnp.exp(-jnp.exp(column["nu_log"]) + 1j * jnp.exp(column["theta_log"])) * state
    x = x + jnp.exp(column["gamma_log"]) * ((p["B_re"] + 1j * p["B_im"]) @ everything)
    a = jax.nn.gelu(((p["C_re"] + 1j * p["C_im"]) @ x).real + p["D"] @ everything)
    return x, readout(p, (p["V"] @ a + column["b"]) * jax.nn.sigmoid(p["G"] @ a + column["c"]))


def ctrnn_gated(params, hparams, x, u, everything):
    """One step. x: `[N]`."""
    del hparams, u
    z = jax.nn.sigmoid(params["W_z"] @ jnp.tanh(x) + params["B_z"] @ everything + params["b_z"][0])
    x = (1 - z) * x + z * (params["W"] @ jnp.tanh(x) + params["B"] @ everything)
    return x, readout(params, x)


def nmrnn_full(params, hparams, state, u, everything):
    """One step. state: (x `[N]`, z `[M]`); W contains the K component matrices stacked vertically, `[K N, N]`."""
    (x, z), p = state, params
    drive = p["W_z"] @ jnp.tanh(z) + p["B_z"] @ everything
    if hparams["feedback"]:
        drive = drive + p["B_zx"] @ jnp.tanh(x) + p["b_zx"][:, 0]
    z = (1 - 1 / hparams["tau_z"]) * z + drive / hparams["tau_z"]
    s = jax.nn.sigmoid(p["A_z"] @ z + p["b_z"][:, 0])
    W = jnp.tensordot(s, p["W"].reshape(s.shape[0], x.shape[0], x.shape[0]), axes=1)
    x = (1 - 1 / hparams["tau_x"]) * x + (W @ jnp.tanh(x) + p["B_x"] @ u) / hparams["tau_x"]
    return (x, z), readout(p, x)


def as_it_is(params, hparams):
    del hparams
    return params


def semilinear_lstm(params, hparams, state, u, everything):
    """One step; no input from the previous step. state: (h `[N]`, c `[N]`); rows of the weights in the order f, i, g, o."""
    del hparams, u
    h, c = state
    f, i, g, o = jnp.split(params["W_u"] @ everything + params["W_h"] @ h + params["b"][:, 0], 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * g
    h = o * c
    return (h, c), readout(params, h)


def start_leaky(params):
    return column(params, "x0", params["C"].shape[1])


def start_lstm(params):
    N = params["C"].shape[1]
    return column(params, "h0", N), column(params, "c0", N)


def start_gru(params):
    return column(params, "h0", params["C"].shape[1])


def start_min_gru(params):
    layers = sum(name.startswith("W_") for name in params)
    return tuple(column(params, f"h0_{layer}", params["C"].shape[1]) for layer in range(1, layers + 1))


def start_lru(params):
    re, im = (column(params, name, params["nu_log"].shape[0]) for name in ("x0_re", "x0_im"))
    return re + 1j * im


def start_full(params):
    return column(params, "x0", params["W"].shape[1]), column(params, "z0", params["W_z"].shape[0])


# From the name of a model to (preparation once per forward pass, initial state, step).
CELLS = {
    "nmrnn": (prepare_nmrnn, start_modulated, nmrnn),
    "nmrnn_linear": (prepare_nmrnn_linear, start_modulated, nmrnn_linear),
    "lrrnn": (prepare_lrrnn, start_leaky, lrrnn),
    "rnn": (prepare_rnn, start_leaky, rnn),
    "relu_rnn": (as_it_is, start_leaky, relu_rnn),
    "lstm": (as_it_is, start_lstm, lstm),
    "gru": (as_it_is, start_gru, gru),
    "min_gru": (as_it_is, start_min_gru, min_gru),
    "lru": (as_it_is, start_lru, lru),
    "ctrnn_gated": (as_it_is, start_leaky, ctrnn_gated),
    "nmrnn_full": (as_it_is, start_full, nmrnn_full),
    "semilinear_lstm": (as_it_is, start_lstm, semilinear_lstm),
}


def trial_outputs(name: str, params, hparams, inputs):
    """Outputs `[T, O]` of one trial. inputs: dict of `[T, C]`; the output network of an NM-RNN receives only `sensory`."""
    prepare, start, cell = CELLS[name]
    params = prepare(params, hparams)

    def step(state, inputs_t):
        everything = jnp.concatenate(tree.flatten(inputs_t))
        return cell(params, hparams, state, inputs_t["sensory"], everything)

    return jax.lax.scan(step, start(params), inputs)[1]


def batch_outputs(name: str, params, hparams, inputs):
    """Outputs `[T, B, O]` of many trials. inputs: dict of `[T, B, C]`."""
    return jax.vmap(lambda one: trial_outputs(name, params, hparams, one), in_axes=1, out_axes=1)(inputs)
