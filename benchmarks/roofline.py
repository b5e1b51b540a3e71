"""What a training step costs at the very least on one core: work counted by formula, against rates measured here.

The work is that of the plain formulation with a wide state (`plain_cells`), forward and backward, of one seed. The rates are
those of compiled JAX with one thread, products and transfer functions at the shapes of the case, and NumPy's copies.
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


def products(cell: Experiment) -> list[tuple[int, int]]:
    """(rows, columns) of every matrix that a step of one trial multiplies a vector with."""
    spec, h = cell.task.spec, cell.sizing.hparams
    N, Q, outputs = h["N"], spec.input_size, spec.output_size
    if cell.baseline.name == "rnn":
        return [(N, N), (N, Q), (outputs, N)]
    if cell.baseline.name == "lstm":
        return [(4 * N, N), (4 * N, Q), (outputs, N)]
    M, K, P = h["M"], h["K"], spec.size_of("sensory") or Q
    shapes = [(K, N), (N, K), (N, P), (M, M), (M, Q), (K, M), (outputs, N)]
    return [*shapes, (M, N)] if h["feedback"] else shapes


def transfers(cell: Experiment) -> int:
    """tanh and sigmoid evaluations per step and trial; the backward pass needs none."""
    h = cell.sizing.hparams
    per_unit = {"rnn": h["N"], "lstm": 5 * h["N"]}
    return per_unit.get(cell.baseline.name) or h["N"] + h["M"] + h["K"]


def kept(cell: Experiment) -> int:
    """Numbers per step and trial that the gradient needs: states, their transfer functions, gates, what the gates scale."""
    h = cell.sizing.hparams
    per_unit = {"rnn": 2 * h["N"], "lstm": 7 * h["N"]}
    return per_unit.get(cell.baseline.name) or 2 * h["N"] + 2 * h["M"] + 2 * h["K"]


def measure(cell: Experiment) -> dict[str, Any]:
    """Work of a training step of one seed, rates (per second, one core) and the time "ms" that follows."""
    trials, steps = cases.training_batch_size(cell), cell.task.spec.steps
    repeats = trials * steps
    shapes = products(cell)
    # Backward takes two more products per product: by the vector's gradient and by the weights'.
    macs = 3 * repeats * sum(a * b for a, b in shapes)
    mac_s = sum(3 * repeats * a * b / product_rate(a, b, trials) for a, b in shapes)
    tanhs, size = repeats * transfers(cell), 4 * repeats * kept(cell)
    tanh_per_s, byte_per_s = tanh_rate((transfers(cell), trials)), copy_rate(size)
    # Written once in the forward pass, read once in the backward pass.
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
    """Multiply-adds per second of `[a, b] @ [b, trials]` and `[b, a] @ [a, trials]`, in turns."""
    # Orthonormal, so that neither large nor denormal numbers come up however long the chain is.
    W = np.linalg.qr(np.random.RandomState(0).randn(max(a, b), min(a, b)))[0].astype(np.float32)
    W = jnp.asarray(W if a >= b else W.T)
    x = jnp.asarray(np.random.RandomState(1).randn(b, trials).astype(np.float32))
    return 2 * a * b * trials * turns_per_second(lambda x: W.T @ (W @ x), x)


def tanh_rate(shape: tuple[int, int]) -> float:
    """Evaluations of tanh per second on an array of this shape."""
    x = jnp.asarray(np.random.RandomState(0).randn(*shape).astype(np.float32))
    return x.size * turns_per_second(lambda y: jnp.tanh(y + x), x)


def copy_rate(size: int) -> float:
    """Bytes read and written per second copying an array of `size` bytes, by NumPy: XLA sees through a loop of copies."""
    source, target = np.ones(size // 4, np.float32), np.zeros(size // 4, np.float32)
    best = np.inf
    for _ in range(50):
        began = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - began)
    return 2 * size / best


def turns_per_second(f, x) -> float:
    """How often per second `x = f(x)` can be done in one compiled loop: the best of three tries."""
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
