"""Proposition 1 of the supplement, corrected: a linearised NM-RNN with tied orthonormal factors is a semilinear LSTM.

The network (Eqs. 1-3; g R^T R = I with g = 1/N in the supplement; tau_x = 1; D = (1 - 1/tau_z) I + W_z/tau_z):

  x_t = g R S_t R^T x_{t-1} + B_x u_t,  z_t = D z_{t-1} + (B_zx x_{t-1} + B_z u_t)/tau_z,  s_t = sigmoid(A_z z_t + b_z)

Derivation. Let w_t = g R^T x_t and Q = I - g R R^T, the projection off span(R): Q R = R - R (g R^T R) = 0.
  1. g R^T times the update of x:  w_t = S_t w_{t-1} + g R^T B_x u_t. This needs L = R, g R^T R = I and no leak: with
     tau_x > 1 the factor of w_{t-1} is 1 - 1/tau_x + S_t/tau_x, which no sigmoid gate of Eq. 4 equals.
  2. Q times the update of x:  Q x_t = Q B_x u_t for t >= 0, a function of the last input alone. With u_{-1} = 0 this also
     holds for t = -1 if Q x_{-1} = 0, that is, if the initial x is in span(R).
  3. Insert x_{t-1} = R w_{t-1} + Q B_x u_{t-1} into the update of z:
     z_t = (1/tau_z) B_zx R w_{t-1} + m_t,  m_t = D z_{t-1} + B_z u_t/tau_z + B_zx Q B_x u_{t-1}/tau_z.
  4. Let c_t = [w_{t-1}; 1; 1] and h_t = o_t c_t with o_t = [1/2; m_t; u_{t-1}], so h_t = [w_{t-1}/2; m_t; u_{t-1}]. Then
     z_t = W_zh h_t with W_zh = [(2/tau_z) B_zx R | I | 0]: the 2 undoes the 1/2 of the output gate.
  5. o_t is affine in h_{t-1} and u'_t = [u_t; u_{t-1}] since z_{t-1} = W_zh h_{t-1}: Eq. 6. The 1/2 is a bias.
  6. c_t = f_t c_{t-1} + (1/2) ctilde_t with f_t = s_{t-1} = sigmoid(A_z W_zh h_{t-1} + b_z), ctilde_t = 2 g R^T B_x u_{t-1},
     is step 1 with a delay of one step. The ones stay exactly 1 with f = 1/2 and ctilde = 1: 1/2 + 1/2.
  7. y_{t-1} = C x_{t-1} + d = 2 C R (w_{t-1}/2) + C Q B_x u_{t-1} + d, affine in h_t.
  8. Start: h_{-1} = [0; z_{-1}; 0] gives f_0 = s_{-1} = sigmoid(A_z z_{-1} + b_z), so c_{-1} = [w_{-1}/s_{-1}; 1; 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from nmbench.paper.theory.network import NeuromodulatedNetwork, check_inputs, identity
from nmbench.support.errors import NmbenchError

# Largest deviation from the hypotheses that counts as rounding, for numbers of order one.
ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstructedLSTM:
    """A semilinear LSTM (the supplement's Eqs. 4-6) with a linear readout, as float64 arrays.

    [f, i] = sigmoid(W [h_{t-1}; u'_t] + b),  [ctilde, o] = W [h_{t-1}; u'_t] + b
    c_t = f_t c_{t-1} + i_t ctilde_t,  h_t = o_t c_t,  y_t = C h_t + d

    Attributes:
      W_f, W_i, W_c, W_o: `[H, H + P']`.
      b_f, b_i, b_c, b_o: `[H]`.
      C, d: `[O, H]`, `[O]`.
      h_start, c_start: states before the first step, `[H]`.
    """

    W_f: np.ndarray
    W_i: np.ndarray
    W_c: np.ndarray
    W_o: np.ndarray
    b_f: np.ndarray
    b_i: np.ndarray
    b_c: np.ndarray
    b_o: np.ndarray
    C: np.ndarray
    d: np.ndarray
    h_start: np.ndarray
    c_start: np.ndarray

    def run(self, u: np.ndarray) -> np.ndarray:
        """h after every step, `[T, B, H]`, from inputs u' `[T, B, P']`."""
        H = len(self.h_start)
        u = check_inputs(u, self.W_f.shape[1] - H)
        W = np.concatenate([self.W_f, self.W_i, self.W_c, self.W_o]).T
        b = np.concatenate([self.b_f, self.b_i, self.b_c, self.b_o])
        h, c = (np.tile(start, (u.shape[1], 1)) for start in (self.h_start, self.c_start))
        hs = []
        for v_t in u @ W[H:] + b:
            gates = h @ W[:H] + v_t
            f, i = np.split(expit(gates[:, : 2 * H]), 2, axis=1)
            c = f * c + i * gates[:, 2 * H : 3 * H]
            h = gates[:, 3 * H :] * c
            hs.append(h)
        return np.stack(hs)


class Conversion(NamedTuple):
    """lstm: the semilinear LSTM, with hidden size K + M + P. W_zh: `[M, K + M + P]`, such that z_t = W_zh h_t."""

    lstm: ConstructedLSTM
    W_zh: np.ndarray


class ConversionErrors(NamedTuple):
    """Largest absolute differences over steps and trials in z and y, and the hidden size H of the LSTM."""

    z: float
    y: float
    hidden: int


def check_hypotheses(network: NeuromodulatedNetwork) -> None:
    """Raise `NmbenchError` with the reason if Proposition 1 does not apply to the network (see the module docstring)."""
    if network.tau_x != 1:
        raise NmbenchError(
            f"Proposition 1 applies to networks without a leak, tau_x = 1 (Eq. 1); this one has tau_x = {network.tau_x:g}"
        )
    for name, phi in (("x", network.phi_x), ("z", network.phi_z)):
        if phi is not identity:
            raise NmbenchError(
                f"Proposition 1 applies to linear networks (Eqs. 1-2); this one applies a nonlinear function to {name}"
            )
    R = network.R
    apart = np.max(np.abs(network.L - R))
    if apart > ROUNDING * np.max(np.abs(R)):
        raise NmbenchError(f"Proposition 1 needs tied factors, L = R; here they differ by up to {apart:.3g}")
    off = np.max(np.abs(network.prefactor * R.T @ R - np.eye(R.shape[1])))
    if off > ROUNDING:
        raise NmbenchError(
            f"Proposition 1 needs R^T R times the prefactor of the recurrence, {network.prefactor:.4g}, to be the identity; "
            f"the difference is up to {off:.3g}"
        )
    outside = np.max(np.abs(_off_span(network, network.x_start)))
    if outside > ROUNDING * max(1.0, np.max(np.abs(network.x_start))):
        raise NmbenchError(
            f"Proposition 1 needs an initial x in the span of R; its part outside this span is up to {outside:.3g} "
            f"(nmbench.paper.theory.semilinear.start_in_span projects it)"
        )


def start_in_span(network: NeuromodulatedNetwork) -> NeuromodulatedNetwork:
    """The network with its initial x projected onto span(R), for tied factors with g R^T R = I.

    For a linear network without leak and feedback, z, x and y after every step stay the same: none depends on the removed
    part.
    """
    inside = network.x_start - _off_span(network, network.x_start)
    return dataclasses.replace(network, x_start=inside)


def convert(network: NeuromodulatedNetwork) -> Conversion:
    """The semilinear LSTM that reproduces z_t and, one step later, y_t of a network on inputs `lagged(u)`.

    Raises:
      NmbenchError: a hypothesis does not hold, or a gate starts so close to 0 that w_{-1}/s_{-1} is not finite.
    """
    check_hypotheses(network)
    K, M, P = (network.sizes[name] for name in "KMP")
    H = K + M + P
    keys, memory, rest = slice(0, K), slice(K, K + M), slice(K + M, H)
    now, before = slice(H, H + P), slice(H + P, H + 2 * P)
    R, g, tau = network.R, network.prefactor, network.tau_z
    off_span, B_zx = _off_span(network, network.B_x), np.asarray(network.B_zx)
    D = (1 - 1 / tau) * np.eye(M) + network.W_z / tau

    W_zh = np.zeros((M, H))
    W_zh[:, keys] = 2 / tau * B_zx @ R
    W_zh[:, memory] = np.eye(M)

    W_f, W_i, W_c, W_o = np.zeros((4, H, H + 2 * P))
    b_f, b_i, b_c, b_o = np.zeros((4, H))
    W_f[keys, :H], b_f[keys] = network.A_z @ W_zh, network.b_z
    W_c[keys, before] = 2 * g * R.T @ network.B_x
    b_c[K:] = 1.0
    b_o[keys] = 0.5
    W_o[memory, :H] = D @ W_zh
    W_o[memory, now] = network.B_z / tau
    W_o[memory, before] = B_zx @ off_span / tau
    W_o[rest, before] = np.eye(P)

    C = np.zeros((len(network.d), H))
    C[:, keys] = 2 * network.C @ R
    C[:, rest] = network.C @ off_span

    h_start, c_start = np.zeros(H), np.ones(H)
    h_start[memory] = network.z_start
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        c_start[keys] = g * R.T @ network.x_start / expit(network.A_z @ network.z_start + network.b_z)
    if not np.isfinite(c_start).all():
        raise NmbenchError(
            "a gate of the network starts so near 0 that w/s, the initial cell state of the LSTM, is not a finite number"
        )
    lstm = ConstructedLSTM(
        W_f=W_f, W_i=W_i, W_c=W_c, W_o=W_o, b_f=b_f, b_i=b_i, b_c=b_c, b_o=b_o, C=C, d=network.d, h_start=h_start,
        c_start=c_start,
    )  # fmt: skip
    return Conversion(lstm, W_zh)


def as_printed(network: NeuromodulatedNetwork, *, half: bool = False, bias: bool = False) -> Conversion:
    """The construction as the supplement prints it, which does not reproduce the network; errors as for `convert`.

    Its mistakes: W_zh lacks the 2 that undoes the w/2 in h, and b_o is 0. Shapes and the initial state are the corrected
    ones. The ones of the cell state are kept by b_f = 50.

    Args:
      network: the network.
      half, bias: whether to correct the first and the second mistake.
    """
    lstm, W_zh = convert(network)
    K, M, H, tau = network.sizes["K"], network.sizes["M"], len(lstm.h_start), network.tau_z
    W_zh, W_f, W_o, b_f, b_c, b_o = (a.copy() for a in (W_zh, lstm.W_f, lstm.W_o, lstm.b_f, lstm.b_c, lstm.b_o))
    if not half:
        W_zh[:, :K] = np.asarray(network.B_zx) @ network.R / tau
        W_f[:K, :H] = network.A_z @ W_zh
        W_o[K : K + M, :H] = ((1 - 1 / tau) * np.eye(M) + network.W_z / tau) @ W_zh
    if not bias:
        b_o[:K] = 0
    b_f[K:], b_c[K:] = 50, 0
    return Conversion(dataclasses.replace(lstm, W_f=W_f, W_o=W_o, b_f=b_f, b_c=b_c, b_o=b_o), W_zh)


def lagged(u: np.ndarray) -> np.ndarray:
    """u'_t = [u_t; u_{t-1}] with u_{-1} = 0: `[T, B, P]` to `[T, B, 2 P]`."""
    return np.concatenate([u, np.concatenate([np.zeros_like(u[:1]), u[:-1]])], axis=2)


def reproduce(
    network: NeuromodulatedNetwork,
    u: np.ndarray,
    construct: Callable[[NeuromodulatedNetwork], Conversion] = convert,
) -> ConversionErrors:
    """Errors of the converted network on inputs `[T, B, P]`: largest differences in z and y from the network itself.

    construct: `convert` or `as_printed`.

    Raises:
      NmbenchError: as for `convert`, or the inputs have another shape.
    """
    lstm, W_zh = construct(network)
    states = network.run(u)
    # One more step, because y comes one step late; its input does not affect the values that are compared.
    h = lstm.run(lagged(np.concatenate([u, np.zeros_like(u[:1])])))
    z, y = h[:-1] @ W_zh.T, h[1:] @ lstm.C.T + lstm.d
    return ConversionErrors(float(np.max(np.abs(z - states.z))), float(np.max(np.abs(y - states.y))), h.shape[-1])


def _off_span(network: NeuromodulatedNetwork, columns: np.ndarray) -> np.ndarray:
    """(I - g R R^T) times columns `[N]` or `[N, J]`."""
    return columns - network.prefactor * network.R @ (network.R.T @ columns)
