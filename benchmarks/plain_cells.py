"""The built-in models as an author publishes them: one trial, one step at a time, the state as wide as the equations say.

Pure functions of nmbench's own parameters (the inner dict, e.g. `params["nmrnn"]`) and hyperparameters. The readout is
inside the step, L is orthonormalised inside the forward pass, and trials are vmapped. They are what the fast path is
checked against (`tests/benchmarks`) and timed against (`speed.py`, style "published").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import tree


def column(params, name: str, size: int):
    """Initial state `[size]`: the one drawn with the parameters, or 0.1 in every unit."""
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


def lstm(params, hparams, state, u, everything):
    """One step. state: (h `[N]`, c `[N]`); rows of the weights in the order i, f, o, g."""
    del hparams, u
    h, c = state
    i, f, o, g = jnp.split(params["W_u"] @ everything + params["W_h"] @ h + params["b"][:, 0], 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), readout(params, h)


def semilinear_lstm(params, hparams, state, u, everything):
    """One step. state: (h `[N]`, c `[N]`, the previous input `[P]`); rows of the weights in the order f, i, g, o."""
    del hparams, u
    (h, c, before), p = state, params
    f, i, g, o = jnp.split(p["W_u"] @ everything + p["W_v"] @ before + p["W_h"] @ h + p["b"][:, 0], 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * g
    h = o * c
    return (h, c, everything), readout(p, h)


def start_leaky(params):
    return column(params, "x0", params["C"].shape[1])


def start_lstm(params):
    N = params["C"].shape[1]
    return column(params, "h0", N), column(params, "c0", N)


def start_semilinear_lstm(params):
    return *start_lstm(params), jnp.zeros_like(params["W_v"][0])


# Name to (what is done once per forward pass, initial state, step).
CELLS = {
    "nmrnn": (prepare_nmrnn, start_modulated, nmrnn),
    "nmrnn_linear": (prepare_nmrnn_linear, start_modulated, nmrnn_linear),
    "lrrnn": (prepare_lrrnn, start_leaky, lrrnn),
    "rnn": (prepare_rnn, start_leaky, rnn),
    "lstm": (lambda params, hparams: params, start_lstm, lstm),
    "semilinear_lstm": (lambda params, hparams: params, start_semilinear_lstm, semilinear_lstm),
}


def trial_outputs(name: str, params, hparams, inputs):
    """Outputs `[T, O]` of one trial. inputs: dict of `[T, C]`; the output network of an NM-RNN sees `sensory` only."""
    prepare, start, cell = CELLS[name]
    params = prepare(params, hparams)

    def step(state, inputs_t):
        everything = jnp.concatenate(tree.flatten(inputs_t))
        return cell(params, hparams, state, inputs_t["sensory"], everything)

    return jax.lax.scan(step, start(params), inputs)[1]


def batch_outputs(name: str, params, hparams, inputs):
    """Outputs `[T, B, O]` of many trials. inputs: dict of `[T, B, C]`."""
    return jax.vmap(lambda one: trial_outputs(name, params, hparams, one), in_axes=1, out_axes=1)(inputs)
