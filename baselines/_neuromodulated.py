"""`NeuromodulatedCore`, the base class of the NM-RNN and of its linearised form."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from nmbench import Core, InputWeights

from ._products import Weights
from ._shared import AffineReadout, initial_column, project
from ._subspace import Subspace

INPUT_WEIGHTS = {"B_x": InputWeights(("sensory",)), "B_z": InputWeights()}
_OUTPUT = {"L", "R", "B_x", "C", "d"}
PARTITIONS = {
    "output_subnetwork": lambda module, name: name in _OUTPUT,
    "neuromodulatory_subnetwork": lambda module, name: name not in _OUTPUT,
}


class NeuromodulatedCore(Core):
    """A low-rank RNN whose recurrence is gated by a neuromodulatory network.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z phi_z(z_{t-1}) + B_z [u_t; c_t] (+ B_zx phi_x(x_{t-1}) (+ b_zx))]

    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [L diag(s_t) R^T phi_x(x_{t-1}) + B_x u_t],  y_t = C x_t (+ d)

    The output network receives the input `sensory`, or all inputs if the task has no input of that name; the neuromodulatory
    network receives all inputs. A subclass makes L and R in `__init__` and then calls `connect`. The scan carries x in the
    coordinates of `_subspace`.
    """

    def connect(
        self,
        L: jax.Array,
        R: jax.Array,
        *,
        M: int,
        tau_x: float,
        tau_z: float,
        feedback: bool,
        feedback_bias: bool,
        small: float,
        gate_bias: float,
        readout_bias: bool,
        drawn_start: bool,
        phi_x: Callable[[jax.Array], jax.Array] | None = jnp.tanh,
        phi_z: Callable[[jax.Array], jax.Array] = jnp.tanh,
    ) -> None:
        """Make all other parameters.

        B_x and B_z have the initial standard deviation 1/sqrt(number of input channels); B_zx, C and d have 1/sqrt(N).

        Args:
          L, R: factors `[N, K]`; L includes the prefactor of the recurrence, if it has one.
          M: number of neuromodulatory units.
          tau_x, tau_z: time constants, steps.
          feedback: whether z receives B_zx phi_x(x).
          feedback_bias: whether that feedback has the bias b_zx.
          small: initial standard deviation of W_z, A_z and b_zx.
          gate_bias: initial standard deviation of b_z.
          readout_bias: whether the readout has the bias d.
          drawn_start: whether initial states are drawn (see `initial_column`).
          phi_x, phi_z: transfer functions; `phi_x` is None for a linear output network.
        """
        N, K = L.shape
        self._K, self._keep_z, self._phi_z = K, 1 - 1 / tau_z, phi_z
        P, Q = self.spec.size_of("sensory") or self.spec.input_size, self.spec.input_size
        # The weights include the factors 1/tau, which saves a product at every step.
        reads = R.T / tau_x
        B_x = self.learned("B_x", (N, P), 1 / math.sqrt(P))
        self._W_z = Weights(self.learned("W_z", (M, M), small) / tau_z)
        self._B_z = self.learned("B_z", (M, Q), 1 / math.sqrt(Q)) / tau_z
        self._b_zx = jnp.zeros((M, 1))
        self._feedback = feedback
        if feedback:
            B_zx = self.learned("B_zx", (M, N), 1 / math.sqrt(N)) / tau_z
            # R^T phi(x) and B_zx phi(x) in one product.
            reads = jnp.concatenate([reads, B_zx])
            if feedback_bias:
                self._b_zx = self.learned("b_zx", (M, 1), small) / tau_z
        self._A_z = Weights(self.learned("A_z", (K, M), small))
        self._b_z = self.learned("b_z", (K, 1), gate_bias)
        self._x = Subspace(L, B_x, initial_column(self, "x0", N, drawn_start), reads, tau_x, phi_x)
        self._z0 = initial_column(self, "z0", M, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        everything = self.concat(inputs)
        sensory = self.concat(inputs.get("sensory", inputs))
        return self._x.inputs(sensory), project(self._B_z, everything) + self._b_zx[None]

    def initial_state(self, batch_size):
        return self._x.start(batch_size), jnp.tile(self._z0, (1, batch_size))

    def step(self, state, v_t):
        (w, z), (v_x, v_z) = state, v_t
        from_x = self._x.read(w)
        z = self._keep_z * z + self._W_z @ self._phi_z(z) + v_z
        if self._feedback:
            z = z + from_x[self._K :]
        s = jax.nn.sigmoid(self._A_z @ z + self._b_z)
        return self._x.advance(w, s * from_x[: self._K], v_x), z

    def readout(self, states):
        return self._read(states[0], self._x.Q)
