"""`Subspace`: the state of a low-rank network in the coordinates of the few directions that it can reach.

A leaky network x_t = (1 - 1/tau) x_{t-1} + (1/tau) [L r_t + B u_t] that starts at x_0 never leaves the span of L, B and x_0:
x_t = Q w_t with Q = [L, B, x_0] and

  w_t = (1 - 1/tau) w_{t-1} + (1/tau) [r_t; u_t; 0],  w_0 = [0; 0; 1].

So a scan carries, and keeps for the gradient, K + P + 1 numbers per trial instead of N, and the readout C x_t = (C Q) w_t
does not compute x_t. It is the same network; only rounding differs.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from ._products import Weights


class Subspace:
    """State of a low-rank network as w, columns `[K + P + 1, batch]`.

    Args:
      L: factor of the recurrence, `[N, K]`, including its prefactor, if there is one.
      B: input weights, `[N, P]`.
      x0: initial state, `[N, 1]`.
      reads: weights of everything that depends on phi(x), the recurrence and any feedback: `[J, N]`.
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
        """Map inputs u `[T, P, B]` to what `advance` takes: u / tau and a channel of zeros, `[T, P + 1, B]`."""
        return jnp.concatenate([u, jnp.zeros_like(u[:, :1])], axis=1) / self._tau

    def read(self, w):
        """`reads @ phi(x)`, `[J, B]`."""
        return self._reads @ (w if self._phi is None else self._phi(self._basis @ w))

    def advance(self, w, r, v):
        """The next w from the recurrent drive `r` (r_t / tau, `[K, B]`) and the mapped input of this step, `[P + 1, B]`."""
        return self._keep * w + jnp.concatenate([r, v])
