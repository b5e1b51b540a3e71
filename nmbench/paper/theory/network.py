"""A neuromodulated low-rank network as plain float64 arrays: its states, random instances, and trained parameters.

  z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z phi_z(z_{t-1}) + B_z u_t + B_zx phi_x(x_{t-1})]
  s_t = sigmoid(A_z z_t + b_z), from the new z
  x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [g L diag(s_t) R^T phi_x(x_{t-1}) + B_x u_t],  y_t = C x_t + d

g is the prefactor of the recurrence. The supplement's Eqs. 1-3 are g = 1/N, tau_x = 1, phi_x = phi_z = identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from nmbench.contracts.input_weights import channel_names
from nmbench.contracts.specs import SequenceSpec
from nmbench.support.errors import NmbenchError

Phi = Callable[[np.ndarray], np.ndarray]
# Value of every unit in an initial state that the parameters do not contain.
START = 0.1


def identity(x: np.ndarray) -> np.ndarray:
    return x


class StateTrajectories(NamedTuple):
    """States and outputs on inputs `[T, B, P]`: z `[T, B, M]`, s `[T, B, K]`, x `[T, B, N]`, y `[T, B, O]`."""

    z: np.ndarray
    s: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeuromodulatedNetwork:
    """Parameters of the equations above; all arrays are converted to float64.

    Attributes:
      L, R: factors `[N, K]`.
      prefactor: g.
      B_x: input weights `[N, P]`.
      C, d: readout `[O, N]` and its offset `[O]`.
      W_z, B_z, B_zx: `[M, M]`, `[M, P]`, `[M, N]`; B_zx is None or zero for a network without feedback.
      A_z, b_z: gates `[K, M]`, `[K]`.
      x_start, z_start: states before the first step, `[N]`, `[M]`.
      tau_x, tau_z: time constants, steps.
      phi_x, phi_z: transfer functions, elementwise.

    Raises:
      NmbenchError: inconsistent shapes, numbers that are not finite, or a time constant that is not a finite number >= 1.
    """

    L: np.ndarray
    R: np.ndarray
    B_x: np.ndarray
    C: np.ndarray
    d: np.ndarray
    W_z: np.ndarray
    B_z: np.ndarray
    A_z: np.ndarray
    b_z: np.ndarray
    x_start: np.ndarray
    z_start: np.ndarray
    B_zx: np.ndarray | None = None
    prefactor: float = 1.0
    tau_x: float = 1.0
    tau_z: float = 1.0
    phi_x: Phi = identity
    phi_z: Phi = identity

    def __post_init__(self):
        sizes: dict[str, int] = {}
        for name, axes in _AXES.items():
            value = getattr(self, name)
            if value is None and name == "B_zx":
                value = np.zeros((sizes["M"], sizes["N"]))
            value = np.asarray(value, np.float64)
            for axis, size in zip(axes, value.shape, strict=False):
                sizes.setdefault(axis, size)
            expected = tuple(sizes.get(axis, -1) for axis in axes)
            if value.shape != expected:
                raise NmbenchError(f"{name} has shape {value.shape}, not [{', '.join(axes)}] = {expected}")
            if not np.isfinite(value).all():
                raise NmbenchError(f"{name} contains numbers that are not finite")
            object.__setattr__(self, name, value)
        for name in ("tau_x", "tau_z"):
            if not 1 <= getattr(self, name) < np.inf:
                raise NmbenchError(f"{name} is a time constant in steps and must be at least 1, got {getattr(self, name)}")
        if not np.isfinite(self.prefactor):
            raise NmbenchError(f"the prefactor of the recurrence must be a finite number, got {self.prefactor}")

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names N, M, K, P and O that the shapes above use."""
        (N, K), (M, P) = self.L.shape, self.B_z.shape
        return {"N": N, "M": M, "K": K, "P": P, "O": len(self.d)}

    def run(self, u: np.ndarray) -> StateTrajectories:
        """States and outputs after every step, from inputs `[T, B, P]`; raises `NmbenchError` for another shape."""
        u = check_inputs(u, self.B_z.shape[1])
        x, z = (np.tile(start, (u.shape[1], 1)) for start in (self.x_start, self.z_start))
        states: tuple[list[np.ndarray], ...] = ([], [], [])
        L = self.prefactor * self.L
        for v_x, v_z in zip(u @ self.B_x.T, u @ self.B_z.T, strict=True):
            x_active = self.phi_x(x)
            z = (1 - 1 / self.tau_z) * z + (self.phi_z(z) @ self.W_z.T + v_z + x_active @ self.B_zx.T) / self.tau_z
            s = expit(z @ self.A_z.T + self.b_z)
            x = (1 - 1 / self.tau_x) * x + ((s * (x_active @ self.R)) @ L.T + v_x) / self.tau_x
            for history, state in zip(states, (z, s, x), strict=True):
                history.append(state)
        zs, ss, xs = (np.stack(history) for history in states)
        return StateTrajectories(zs, ss, xs, xs @ self.C.T + self.d)


_AXES = {
    "L": "NK", "R": "NK", "B_x": "NP", "C": "ON", "d": "O", "W_z": "MM", "B_z": "MP", "B_zx": "MN", "A_z": "KM", "b_z": "K",
    "x_start": "N", "z_start": "M",
}  # fmt: skip


def check_inputs(u: np.ndarray, channels: int) -> np.ndarray:
    """`u` as float64 `[T, B, channels]`; raises `NmbenchError` unless it has this shape, T >= 1 and only finite numbers."""
    u = np.asarray(u, np.float64)
    if u.ndim != 3 or u.shape[2] != channels or not len(u):
        raise NmbenchError(f"inputs have shape {u.shape}; they must be [T, B, {channels}] with at least one step")
    if not np.isfinite(u).all():
        raise NmbenchError("the inputs contain numbers that are not finite")
    return u


def draw(random: np.random.RandomState, *, N: int, M: int, K: int, P: int, O: int, tau_z: float) -> NeuromodulatedNetwork:  # noqa: E741
    """A random network that meets the hypotheses of Proposition 1: Eqs. 1-3, L = R, R^T R = N I, initial x in span(R).

    W_z has spectral norm 0.9, which keeps z bounded.
    """
    R = np.sqrt(N) * np.linalg.qr(random.randn(N, K))[0]
    W_z = random.randn(M, M)
    return NeuromodulatedNetwork(
        L=R,
        R=R,
        prefactor=1 / N,
        B_x=random.randn(N, P) / np.sqrt(P),
        C=random.randn(O, N) / np.sqrt(N),
        d=random.randn(O),
        W_z=0.9 * W_z / np.linalg.norm(W_z, 2),
        B_z=random.randn(M, P) / np.sqrt(P),
        B_zx=random.randn(M, N) / np.sqrt(N),
        A_z=random.randn(K, M) / np.sqrt(M),
        b_z=random.randn(K),
        x_start=R @ random.randn(K),
        z_start=random.randn(M),
        tau_z=tau_z,
    )


def from_parameters(params: Mapping[str, Any], hparams: Mapping[str, Any], spec: SequenceSpec) -> NeuromodulatedNetwork:
    """The network with the Haiku parameters of a linearised NM-RNN, which is one module.

    Its input is the concatenation of all inputs of the task; B_x has zero columns for channels that the output network does
    not receive. If the model orthonormalises its factor in every forward pass, the factor is orthonormalised here in float64
    and the prefactor is 1; otherwise the prefactor is 1/N.

    Args:
      params: dict from the module to a dict of arrays: L `[N, K]`, B_x, W_z, B_z, A_z, C, columns b_z and d; optionally
        B_zx, and columns `fixed_x0` and `fixed_z0`.
      hparams: `tau_x`, `tau_z`, `linear_z`, `orthonormal`.
      spec: input and output shapes of the task.

    Raises:
      NmbenchError: the parameters are not those of such a network.
    """
    nested = lambda leaves: not isinstance(leaves, Mapping) or any(isinstance(leaf, Mapping) for leaf in leaves.values())
    if not isinstance(params, Mapping) or len(params) != 1 or any(map(nested, params.values())):
        raise NmbenchError("these are not the parameters of nmrnn_linear, which is one module")
    (leaves,) = params.values()
    p = {name: np.asarray(leaf, np.float64) for name, leaf in leaves.items()}
    required, optional = {"L", "B_x", "W_z", "B_z", "A_z", "b_z", "C", "d"}, {"B_zx", "fixed_x0", "fixed_z0"}
    options = {"tau_x", "tau_z", "linear_z", "orthonormal"}
    wrong = (required - p.keys()) | (p.keys() - required - optional) | (options - hparams.keys())
    if wrong:
        raise NmbenchError(
            f"these are not the parameters of nmrnn_linear, the linearised NM-RNN: {sorted(wrong)[0]!r} is missing or "
            f"unexpected"
        )
    (N, _), (M, _) = p["L"].shape, p["W_z"].shape
    channels = [name.split("/")[0] for name in channel_names(spec)]
    received = [channel == "sensory" for channel in channels] if "sensory" in channels else [True] * len(channels)
    B_x = np.zeros((N, len(channels)))
    if p["B_x"].shape != B_x[:, received].shape:
        raise NmbenchError(f"B_x has shape {p['B_x'].shape}, but the task has {sum(received)} input channels for it")
    B_x[:, received] = p["B_x"]
    factor = np.linalg.qr(p["L"])[0] if hparams["orthonormal"] else p["L"]
    start = lambda name, size: p[f"fixed_{name}"][:, 0] if f"fixed_{name}" in p else np.full(size, START)
    return NeuromodulatedNetwork(
        L=factor,
        R=factor,
        prefactor=1.0 if hparams["orthonormal"] else 1 / N,
        B_x=B_x,
        C=p["C"],
        d=p["d"][:, 0],
        W_z=p["W_z"],
        B_z=p["B_z"],
        B_zx=p.get("B_zx"),
        A_z=p["A_z"],
        b_z=p["b_z"][:, 0],
        x_start=start("x0", N),
        z_start=start("z0", M),
        tau_x=hparams["tau_x"],
        tau_z=hparams["tau_z"],
        phi_z=identity if hparams["linear_z"] else np.tanh,
    )
