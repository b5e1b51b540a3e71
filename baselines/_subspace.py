"""`Subspace`: the state of a low-rank network in the coordinates of the few directions that it can reach.

A leaky network x_t = (1 - 1/tau) x_{t-1} + (1/tau) [L r_t + B u_t] that starts at x_0 never leaves the span of L, B and x_0:
x_t = Q w_t with Q = [L, B, x_0] and

  w_t = (1 - 1/tau) w_{t-1} + (1/tau) [r_t; u_t; 0],  w_0 = [0; 0; 1].

A scan therefore carries, and keeps for the gradient, K + P + 1 numbers per trial instead of N. The readout is
C x_t = (C Q) w_t and does not compute x_t. The network is the same; only rounding differs.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from ._products import Weights


class Subspace:
    """The state of a low-rank network in the coordinates w, columns `[K + P + 1, batch]`.

    Args:
      L: factor of the recurrence, `[N, K]`, including the prefactor of the recurrence, if it has one.
      B: input weights, `[N, P]`.
      x0: initial state, `[N, 1]`.
      reads: weights `[J, N]` that multiply phi(x): those of the recurrence and of any feedback.
      tau: time constant, steps.
      phi: transfer function; None for a linear network, for which x_t is never computed.
    """

    def __init__(self, L, B, x0, reads, tau: float, phi: Callable | None = jnp.tanh):
        self.Q = jnp.concatenate([L, B, x0], axis=1)
        self._phi = phi
        self._reads = Weights(reads @ self.Q if phi is None else reads)
        self._basis = Weights(self.Q)
        self._tau, self._keep = tau, 1 - 1 / tau

    def start(self, batch_size: int):
        """w_0, `[K + P + 1, batch_size]`."""
        zeros = jnp.zeros((self.Q.shape[1] - 1, batch_size), self.Q.dtype)
        return jnp.concatenate([zeros, jnp.ones((1, batch_size), self.Q.dtype)])

    def inputs(self, u):
        """Map inputs u `[T, P, B]` to u / tau and a channel of zeros, `[T, P + 1, B]`: the v of `advance`."""
        return jnp.concatenate([u, jnp.zeros_like(u[:, :1])], axis=1) / self._tau

    def read(self, w):
        """`reads @ phi(x)`, `[J, B]`."""
        return self._reads @ (w if self._phi is None else self._phi(self._basis @ w))

    def advance(self, w, r, v):
        """The next w from the recurrent drive r (r_t / tau, `[K, B]`) and the mapped input v of this step, `[P + 1, B]`."""
        return self._keep * w + jnp.concatenate([r, v])
