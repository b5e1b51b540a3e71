"""`ModulatedCore`, a network that a neuromodulatory network changes, and `LowRankModulatedCore`, a control of the NM-RNN."""

from __future__ import annotations

import abc
import math

import jax
import jax.numpy as jnp

from nmbench import Core

from ._products import Weights
from ._shared import AffineReadout, check_choices, factors, initial_column, project

# Those of the NM-RNN, without the protocols of the publication, which does not contain these models.
SETTINGS = {
    "element_finder": {
        "M": 5, "K": 8, "tau_x": 10.0, "tau_z": 2.0, "feedback": True, "readout_bias": False, "drawn_start": True
    },
    "multitask": {"M": 20},
}  # fmt: skip


class ModulatedCore(Core):
    """A leaky network whose recurrence depends on the signals s of a neuromodulatory network.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [recurrence(x_{t-1}, s_t) + B_x u_t],  y_t = C x_t (+ d)

    The output network receives the input `sensory`, or all inputs if the task has no input of that name; the neuromodulatory
    network receives all inputs. A subclass makes the parameters of the recurrence, calls `connect` and defines `recurrence`.
    """

    def connect(
        self, N: int, signals: int, *, M: int, tau_x: float, tau_z: float, feedback: bool, readout_bias: bool,
        drawn_start: bool,
    ) -> None:  # fmt: skip
        """Make all parameters but those of the recurrence, with the names, shapes and initial values of the NM-RNN.

        B_x and B_z have the initial standard deviation 1/sqrt(number of input channels); B_zx, C and d have 1/sqrt(N). W_z,
        A_z, b_zx and b_z have 0.1; with feedback the first three have 1/sqrt(M) and b_z has 1/sqrt(signals).

        Args:
          N, M: numbers of units of the output network and of the neuromodulatory network.
          signals: number of signals s.
          tau_x, tau_z: time constants, steps.
          feedback: whether z receives B_zx tanh(x) + b_zx.
          readout_bias: whether the readout has the bias d.
          drawn_start: whether initial states are drawn (see `initial_column`).
        """
        check_choices("matched", tau_x=tau_x, tau_z=tau_z)
        P, Q = self.spec.size_of("sensory") or self.spec.input_size, self.spec.input_size
        small, gate_bias = (1 / math.sqrt(M), 1 / math.sqrt(signals)) if feedback else (0.1, 0.1)
        # The weights include the factors 1/tau, which saves a product at every step.
        self._B_x = self.learned("B_x", (N, P), 1 / math.sqrt(P)) / tau_x
        self._W_z = Weights(self.learned("W_z", (M, M), small) / tau_z)
        self._B_z = self.learned("B_z", (M, Q), 1 / math.sqrt(Q)) / tau_z
        self._b_zx = jnp.zeros((M, 1))
        self._feedback = feedback
        if feedback:
            self._B_zx = Weights(self.learned("B_zx", (M, N), 1 / math.sqrt(N)) / tau_z)
            self._b_zx = self.learned("b_zx", (M, 1), small) / tau_z
        self._A_z = Weights(self.learned("A_z", (signals, M), small))
        self._b_z = self.learned("b_z", (signals, 1), gate_bias)
        self._tau_x, self._keep_x, self._keep_z = tau_x, 1 - 1 / tau_x, 1 - 1 / tau_z
        self._x0 = initial_column(self, "x0", N, drawn_start)
        self._z0 = initial_column(self, "z0", M, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    @abc.abstractmethod
    def recurrence(self, x: jax.Array, s: jax.Array) -> jax.Array:
        """What the units receive from one another, `[N, B]`, from their states `[N, B]` and the signals `[signals, B]`."""

    def input_map(self, inputs):
        sensory = self.concat(inputs.get("sensory", inputs))
        return project(self._B_x, sensory), project(self._B_z, self.concat(inputs)) + self._b_zx[None]

    def initial_state(self, batch_size):
        return jnp.tile(self._x0, (1, batch_size)), jnp.tile(self._z0, (1, batch_size))

    def step(self, state, v_t):
        (x, z), (v_x, v_z) = state, v_t
        z = self._keep_z * z + self._W_z @ jnp.tanh(z) + v_z
        if self._feedback:
            z = z + self._B_zx @ jnp.tanh(x)
        s = jax.nn.sigmoid(self._A_z @ z + self._b_z)
        return self._keep_x * x + self.recurrence(x, s) / self._tau_x + v_x, z

    def readout(self, states):
        return self._read(states[0])


class LowRankModulatedCore(ModulatedCore):
    """A control of the NM-RNN: the same parameters with the same initial values, and signals that act elsewhere.

    With s = 1/2 the recurrence of every control is (1/2) L R^T tanh(x), as is that of the NM-RNN. They are then the same
    network. Without feedback, L is orthonormalised in every forward pass. With feedback it is not, and the factors have an
    initial gain of order one (see `_shared.factors`).
    """

    def __init__(
        self, spec, N: int, M: int = 5, K: int = 3, tau_x: float = 10.0, tau_z: float = 100.0, feedback: bool = False,
        readout_bias: bool = True, drawn_start: bool = False,
    ):  # fmt: skip
        super().__init__(spec)
        L, R = factors(self, N, K, orthonormal=not feedback, matched=True)
        self._L, self._R_T = Weights(L), Weights(R.T)
        # Unit i has the signal i mod K: row i has its 1 in that column.
        self._groups = jnp.eye(K, dtype=L.dtype)[jnp.arange(N) % K]
        self.connect(
            N, K, M=M, tau_x=tau_x, tau_z=tau_z, feedback=feedback, readout_bias=readout_bias, drawn_start=drawn_start
        )  # fmt: skip
