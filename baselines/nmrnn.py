"""The neuromodulated RNN: a small network scales the components of a low-rank recurrence."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import tree

from nmbench.model import Core, register_baseline

from ._shared import PAPER, AffineReadout, check_choices, factors, initial_column, project

_EFT = {"M": 5, "K": 8, "tau_x": 10.0, "tau_z": 2.0, "feedback": True, "readout_bias": False, "drawn_start": True}
_OUTPUT = {"L", "R", "B_x", "C", "d"}


@register_baseline(
    "nmrnn",
    free_size="N",
    settings={
        "element_finder": _EFT,
        "element_finder/paper": {"N": 18, "parametrisation": "published"},
        "element_finder/paper_code": {"N": 18, "parametrisation": "published", "tau_x": 2.0, "tau_z": 10.0},
    },
    learning_rates={"element_finder/paper": 1e-2, "element_finder/paper_code": 1e-2},
    partitions={
        "output_subnetwork": lambda module, name: name in _OUTPUT,
        "neuromodulatory_subnetwork": lambda module, name: name not in _OUTPUT,
    },
    citation=PAPER,
    tags=("neuromodulation", "low-rank", "paper"),
)
class NMRNN(Core):
    """Neuromodulated low-rank RNN, with or without feedback from its output network.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [L diag(s_t) R^T tanh(x_{t-1}) + B_x u_t],  y_t = C x_t (+ d)

    The output network sees `sensory`, the neuromodulatory network everything. Without feedback, L is orthonormalised in
    every forward pass. With feedback it is not; `published` then divides the recurrence by N, `matched` does not and starts
    the factors at a gain of order one (see `_shared.factors`). Initial states are 0.1, or drawn once per seed.
    """

    def __init__(
        self, spec, N: int, M: int = 5, K: int = 3, tau_x: float = 10.0, tau_z: float = 100.0, feedback: bool = False,
        readout_bias: bool = True, drawn_start: bool = False, parametrisation: str = "matched",
    ):  # fmt: skip
        super().__init__(spec, name="nmrnn")
        check_choices(parametrisation, tau_x=tau_x, tau_z=tau_z)
        self._K, self._keep_x, self._keep_z = K, 1 - 1 / tau_x, 1 - 1 / tau_z
        # A task without an input called `sensory` has no context to keep from the output network.
        P, Q = spec.size_of("sensory") or spec.input_size, spec.input_size
        small = 1 / math.sqrt(M) if feedback else 0.1
        L, R = factors(self, N, K, orthonormal=not feedback, matched=parametrisation == "matched")
        prefactor = 1 / N if feedback and parametrisation == "published" else 1.0
        # The 1/tau factors go into the weights once, instead of into every step.
        self._L = prefactor / tau_x * L
        self._from_x = R.T
        self._B_x = self.learned("B_x", (N, P), 1 / math.sqrt(P)) / tau_x
        self._W_z = self.learned("W_z", (M, M), small) / tau_z
        self._B_z = self.learned("B_z", (M, Q), 1 / math.sqrt(Q)) / tau_z
        self._b_zx = jnp.zeros((M, 1))
        if feedback:
            B_zx = self.learned("B_zx", (M, N), 1 / math.sqrt(N)) / tau_z
            self._b_zx = self.learned("b_zx", (M, 1), small) / tau_z
            # R^T tanh(x) and B_zx tanh(x) in one product.
            self._from_x = jnp.concatenate([self._from_x, B_zx])
        self._A_z = self.learned("A_z", (K, M), small)
        self._b_z = self.learned("b_z", (K, 1), 1 / math.sqrt(K) if feedback else 0.1)
        self._x0 = initial_column(self, "x0", N, drawn_start)
        self._z0 = initial_column(self, "z0", M, drawn_start)
        self._feedback = feedback
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        everything = self.concat(inputs)
        sensory = self.concat(inputs.get("sensory", inputs))
        return project(self._B_x, sensory), project(self._B_z, everything) + self._b_zx[None]

    def initial_state(self, batch_size):
        return tree.map_structure(lambda a: jnp.tile(a, (1, batch_size)), (self._x0, self._z0))

    def step(self, state, v_t):
        (x, z), (v_x, v_z) = state, v_t
        from_x = self._from_x @ jnp.tanh(x)
        z = self._keep_z * z + self._W_z @ jnp.tanh(z) + v_z
        if self._feedback:
            z = z + from_x[self._K :]
        s = jax.nn.sigmoid(self._A_z @ z + self._b_z)
        x = self._keep_x * x + self._L @ (s * from_x[: self._K]) + v_x
        return x, z

    def readout(self, states):
        return self._read(states[0])
