"""Estimate the least time of a training step on one core from its operations and the speed of this machine.

Formulas count the operations of the plain formulation (`plain_cells`) for one seed, forward and backward. The speed of
products and transfer functions is measured with compiled JAX on one thread, at the shapes of the case; the speed of copies
is measured with NumPy.
"""

from __future__ import annotations

import time
from typing import Any

import cases
import jax
import jax.numpy as jnp
import numpy as np

from nmbench.experiments.experiment import Experiment

SECONDS = 0.3


def products(experiment: Experiment) -> list[tuple[int, int]]:
    """(rows, columns) of every matrix in the matrix-vector products of one time step of one trial."""
    spec, h = experiment.task.spec, experiment.sizing.hparams
    N, Q, outputs = h["N"], spec.input_size, spec.output_size
    if experiment.baseline.name == "rnn":
        return [(N, N), (N, Q), (outputs, N)]
    if experiment.baseline.name == "lstm":
        return [(4 * N, N), (4 * N, Q), (outputs, N)]
    M, K, P = h["M"], h["K"], spec.size_of("sensory") or Q
    shapes = [(K, N), (N, K), (N, P), (M, M), (M, Q), (K, M), (outputs, N)]
    return [*shapes, (M, N)] if h["feedback"] else shapes


def transfers(experiment: Experiment) -> int:
    """Evaluations of tanh and sigmoid per time step and trial. The backward pass needs none."""
    h = experiment.sizing.hparams
    per_unit = {"rnn": h["N"], "lstm": 5 * h["N"]}
    return per_unit.get(experiment.baseline.name) or h["N"] + h["M"] + h["K"]


def kept(experiment: Experiment) -> int:
    """Stored numbers per time step and trial that the gradient needs: states, their tanh, gates and the factors of gates."""
    h = experiment.sizing.hparams
    per_unit = {"rnn": 2 * h["N"], "lstm": 7 * h["N"]}
    return per_unit.get(experiment.baseline.name) or 2 * h["N"] + 2 * h["M"] + 2 * h["K"]


def measure(experiment: Experiment) -> dict[str, Any]:
    """Operations of a training step of one seed, speeds (per second, one core) and the estimated time "ms"."""
    trials, steps = cases.training_batch_size(experiment), experiment.task.spec.steps
    repeats = trials * steps
    shapes = products(experiment)
    # The backward pass needs two more products for each product: for the gradients of the vector and of the weights.
    macs = 3 * repeats * sum(a * b for a, b in shapes)
    mac_s = sum(3 * repeats * a * b / product_rate(a, b, trials) for a, b in shapes)
    tanhs, size = repeats * transfers(experiment), 4 * repeats * kept(experiment)
    tanh_per_s, byte_per_s = tanh_rate((transfers(experiment), trials)), copy_rate(size)
    # Stored numbers are written once in the forward pass and read once in the backward pass.
    seconds = mac_s + tanhs / tanh_per_s + 2 * size / byte_per_s
    return {
        "macs": macs,
        "tanhs": tanhs,
        "bytes": size,
        "mac_rate": macs / mac_s,
        "tanh_rate": tanh_per_s,
        "byte_rate": byte_per_s,
        "ms": 1000 * seconds,
    }


def product_rate(a: int, b: int, trials: int) -> float:
    """Multiply-adds per second of the products `[a, b] @ [b, trials]` and `[b, a] @ [a, trials]`, in turns."""
    # W is orthonormal, so that repeated products give neither large nor denormal numbers.
    W = np.linalg.qr(np.random.RandomState(0).randn(max(a, b), min(a, b)))[0].astype(np.float32)
    W = jnp.asarray(W if a >= b else W.T)
    x = jnp.asarray(np.random.RandomState(1).randn(b, trials).astype(np.float32))
    return 2 * a * b * trials * turns_per_second(lambda x: W.T @ (W @ x), x)


def tanh_rate(shape: tuple[int, int]) -> float:
    """Evaluations of tanh per second on an array of this shape."""
    x = jnp.asarray(np.random.RandomState(0).randn(*shape).astype(np.float32))
    return x.size * turns_per_second(lambda y: jnp.tanh(y + x), x)


def copy_rate(size: int) -> float:
    """Bytes read and written per second when NumPy copies an array of `size` bytes. (XLA removes a loop of copies.)"""
    source, target = np.ones(size // 4, np.float32), np.zeros(size // 4, np.float32)
    best = np.inf
    for _ in range(50):
        began = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - began)
    return 2 * size / best


def turns_per_second(f, x) -> float:
    """How many times per second a compiled loop computes `x = f(x)`: the best of three tries."""
    loop = jax.jit(lambda x, n: jax.lax.fori_loop(0, n, lambda i, y: f(y), x))
    jax.block_until_ready(loop(x, 1))
    n, best = 1, 0.0
    while True:
        took = _seconds(loop, x, n)
        if took > SECONDS / 10:
            break
        n *= 4
    n = max(1, round(n * SECONDS / 3 / took))
    for _ in range(3):
        best = max(best, n / _seconds(loop, x, n))
    return best


def _seconds(loop, x, n: int) -> float:
    began = time.perf_counter()
    jax.block_until_ready(loop(x, n))
    return time.perf_counter() - began
