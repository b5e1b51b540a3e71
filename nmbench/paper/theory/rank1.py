"""The neuromodulatory signal s of a rank-1 network as a function of its output f: supplement B, corrected and exact.

Discrete network for steps t = 1..T from x_0; L includes the prefactor of the recurrence:

  x_t = (1 - 1/tau) x_{t-1} + (1/tau) [L s_t R^T phi(x_{t-1}) + B_x u_t],  f_t = c^T x_t + d

Split x_t = w_t Lhat + p_t with Lhat = L/|L| and p_t orthogonal to L. The orthogonal part of the update does not contain s:

  p_t = (1 - 1/tau) p_{t-1} + (1/tau) (I - Lhat Lhat^T) B_x u_t,  p_0 = (I - Lhat Lhat^T) x_0

The readout gives w, and w and p are the whole state (the discrete Eq. 12):  w_t = (f_t - d - c^T p_t) / (c^T Lhat).
Multiply the update by c^T and solve for s (the discrete Eq. 14); this holds for any phi:

  s_t = [f_{t-1} + tau (f_t - f_{t-1}) - d - c^T B_x u_t] / [c^T L * R^T phi(w_{t-1} Lhat + p_{t-1})]

For phi = identity, u = 0, p = 0:  s_t = (1 / R^T L) [1 + tau (f_t - f_{t-1}) / (f_{t-1} - d)].

The supplement's continuous network, tau x' = -x + L s R^T phi(x) + B_x u, has the same form
with p(t) = p(0) e^{-t/tau} + J(t), and f + tau f' instead of f_{t-1} + tau (f_t - f_{t-1}). There f' and f are taken at the
same time; in discrete time they are one step apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from nmbench.paper.theory.network import NeuromodulatedNetwork, check_inputs, identity
from nmbench.support.errors import NmbenchError

# Least absolute sensitivity at which s is computed. There, rounding of the output causes errors in s of about 1e-13.
SENSITIVE = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rank1Network:
    """An output network of rank 1 with one output.

    Attributes:
      L, R: `[N]`; L includes the prefactor of the recurrence.
      B_x: `[N, P]`.
      c, d: readout, `[N]` and a number.
      tau: time constant, steps.
      x_start: x_0, `[N]`.
      phi: transfer function, elementwise.

    Raises:
      NmbenchError: the readout is orthogonal to L, so that the output does not depend on s.
    """

    L: np.ndarray
    R: np.ndarray
    B_x: np.ndarray
    c: np.ndarray
    d: float
    tau: float
    x_start: np.ndarray
    phi: Callable[[np.ndarray], np.ndarray] = identity

    def __post_init__(self):
        if not abs(self.c @ self.L) > 1e-12 * np.linalg.norm(self.c) * np.linalg.norm(self.L):
            raise NmbenchError("the readout is orthogonal to L: the output of this network does not depend on its signal s")

    @classmethod
    def of(cls, network: NeuromodulatedNetwork) -> Rank1Network:
        """The output network of a network; raises `NmbenchError` unless it has rank 1 and one output."""
        if network.sizes["K"] != 1 or network.sizes["O"] != 1:
            raise NmbenchError(
                f"the output determines the signal only for rank 1 and one output; this network has rank "
                f"{network.sizes['K']} and {network.sizes['O']} output(s)"
            )
        return cls(
            L=network.prefactor * network.L[:, 0],
            R=network.R[:, 0],
            B_x=network.B_x,
            c=network.C[0],
            d=float(network.d[0]),
            tau=network.tau_x,
            x_start=network.x_start,
            phi=network.phi_x,
        )

    @property
    def direction(self) -> np.ndarray:
        """Lhat, `[N]`."""
        return self.L / np.linalg.norm(self.L)

    @property
    def f_start(self) -> float:
        """f_0, the output of the initial state."""
        return float(self.c @ self.x_start + self.d)

    def off_direction(self, x: np.ndarray) -> np.ndarray:
        """(I - Lhat Lhat^T) x, `[..., N]`."""
        return x - (x @ self.direction)[..., None] * self.direction


def residual_mode(network: Rank1Network, u: np.ndarray) -> np.ndarray:
    """p_0 .. p_T, `[T + 1, B, N]`, from inputs `[T, B, P]`; raises `NmbenchError` for another shape."""
    u = check_inputs(u, network.B_x.shape[1])
    driven = network.off_direction(u @ network.B_x.T)
    p = np.empty((len(u) + 1, u.shape[1], len(network.L)))
    p[0] = network.off_direction(network.x_start)
    for t, drive in enumerate(driven):
        p[t + 1] = (1 - 1 / network.tau) * p[t] + drive / network.tau
    return p


def state(
    network: Rank1Network, f: np.ndarray, u: np.ndarray, f_start: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The state computed from the output: w `[T + 1, B]` and x `[T + 1, B, N]`, beginning with the initial state.

    Args:
      f: outputs after every step, `[T, B]`.
      u: inputs, `[T, B, P]`.
      f_start: output before the first step, for an f that is not the network's own; by default the output of the initial
        state.

    Raises:
      NmbenchError: the shapes do not fit.
    """
    p = residual_mode(network, u)
    f = _with_start(network, f, f_start, p.shape[:2])
    w = (f - network.d - p @ network.c) / (network.c @ network.direction)
    return w, w[..., None] * network.direction + p


def signal(network: Rank1Network, f: np.ndarray, u: np.ndarray, f_start: float | None = None) -> np.ndarray:
    """s_1 .. s_T, `[T, B]`: the exact signal for which the network has the outputs f. Arguments and errors as for `state`.

    NaN where R^T phi(x) = 0, because s has no effect there.
    """
    u = check_inputs(u, network.B_x.shape[1])
    f = _with_start(network, f, f_start, (len(u) + 1, u.shape[1]))
    numerator = f[:-1] + network.tau * np.diff(f, axis=0) - network.d - u @ (network.B_x.T @ network.c)
    return _ratio(numerator, sensitivity(network, f[1:], u, f_start))


def sensitivity(network: Rank1Network, f: np.ndarray, u: np.ndarray, f_start: float | None = None) -> np.ndarray:
    """c^T L * R^T phi(x_{t-1}), `[T, B]`: the derivative of tau f_t by s_t. Arguments and errors as for `state`.

    `signal` divides by it, also the rounding errors of f, so s cannot be computed where the sensitivity is near 0.
    """
    _, x = state(network, f, u, f_start)
    return (network.c @ network.L) * (network.phi(x[:-1]) @ network.R)


def linear_signal(f: np.ndarray, tau: float, d: float, overlap: float = 1.0) -> np.ndarray:
    """(1 / R^T L) [1 + tau (f_t - f_{t-1}) / (f_{t-1} - d)] for t = 1..T, from f_0 .. f_T `[T + 1, ...]`; overlap: R^T L.

    The exact signal of a linear network without input and with p = 0. NaN where f_{t-1} = d.
    """
    return (1 + tau * _ratio(np.diff(f, axis=0), f[:-1] - d)) / overlap


def least_offset(tau: float, interval: float) -> float:
    """The lower bound of d for which s stays in (0, 1) on a ramp from -1/2 to 1/2 in `interval` steps; L = R of unit length.

    From `linear_signal` with f_t - f_{t-1} = 1/I: s < 1 needs d > f_{t-1}, and s > 0 needs d > f_{t-1} + tau/I, which is
    strictest at the last step, f_{t-1} = 1/2 - 1/I. The plateau afterwards needs s = 1, which a sigmoid only approaches.
    """
    return 0.5 + (tau - 1) / interval


def driven_mode(network: Rank1Network, t: np.ndarray, u: np.ndarray) -> np.ndarray:
    """J of Eq. 11 at times t, `[n, B, N]`: the part of the continuous p(t) that comes from the inputs.

    Args:
      t: increasing times `[n]` from 0, in steps.
      u: inputs `[n, B, P]`; u[k] holds from t[k] to t[k + 1].

    Raises:
      NmbenchError: the shapes do not fit, or the times do not increase from 0.
    """
    u = check_inputs(u, network.B_x.shape[1])
    t = _times(t, len(u))
    driven = network.off_direction(u @ network.B_x.T)
    J = np.zeros_like(driven)
    for k, decay in enumerate(np.exp(-np.diff(t) / network.tau)):
        J[k + 1] = decay * J[k] + (1 - decay) * driven[k]
    return J


def continuous_state(network: Rank1Network, t: np.ndarray, f: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """w (Eq. 12) `[n, B]` and x `[n, B, N]` of the continuous network at times t, from its output f `[n, B]`.

    t, u and errors: as for `driven_mode`.
    """
    J = driven_mode(network, t, u)
    p = network.off_direction(network.x_start) * np.exp(-np.asarray(t, np.float64) / network.tau)[:, None, None] + J
    w = (_shaped(f, p.shape[:2]) - network.d - p @ network.c) / (network.c @ network.direction)
    return w, w[..., None] * network.direction + p


def continuous_signal(network: Rank1Network, t: np.ndarray, f: np.ndarray, df: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Eq. 14 with Eqs. 12 and 13 inserted, corrected: s at times t, `[n, B]`. Without inputs it is Eq. 15.

    s = [f + tau f' - d - c^T B_x u] / [c^T L * R^T phi(x)]. With tau J' = -J + (I - Lhat Lhat^T) B_x u, the terms in J of
    Eqs. 12 and 13 and the part of the input along L add up to c^T B_x u; the supplement omits -c^T J and a factor c^T Lhat.

    Args:
      t, u and errors: as for `driven_mode`.
      f, df: the output and its derivative, `[n, B]`.
    """
    _, x = continuous_state(network, t, f, u)
    numerator = (
        _shaped(f, x.shape[:2]) + network.tau * _shaped(df, x.shape[:2]) - network.d - u @ (network.B_x.T @ network.c)
    )
    return _ratio(numerator, (network.c @ network.L) * (network.phi(x) @ network.R))


def power_law(f: np.ndarray, df: np.ndarray, tau: float, d: float, overlap: float = 1.0) -> np.ndarray:
    """Eq. 16: (1 / R^T L) (1 + tau f' / (f - d)), for a continuous linear network, no input, p(0) = 0; overlap: R^T L."""
    return (1 + tau * _ratio(np.asarray(df, np.float64), f - d)) / overlap


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    return np.divide(
        numerator,
        denominator,
        out=np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan),
        where=denominator != 0,
    )


def _with_start(network: Rank1Network, f: np.ndarray, f_start: float | None, shape: tuple[int, ...]) -> np.ndarray:
    """f_0 .. f_T, `[T + 1, B]`."""
    start = network.f_start if f_start is None else f_start
    return np.concatenate([np.full((1, shape[1]), start), _shaped(f, (shape[0] - 1, shape[1]))])


def _shaped(f: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    f = np.asarray(f, np.float64)
    if f.shape != shape:
        raise NmbenchError(f"outputs have shape {f.shape}, but the inputs have [steps, trials] = {shape}")
    return f


def _times(t: np.ndarray, n: int) -> np.ndarray:
    t = np.asarray(t, np.float64)
    if t.shape != (n,) or not (np.diff(t) > 0).all() or t[0] != 0:
        raise NmbenchError(f"times must be {n} increasing numbers from 0, one per input")
    return t
