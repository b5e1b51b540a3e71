"""The NM-RNN without its low-rank constraint: a small network scales full-rank components of the recurrence."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from nmbench import Core, register_baseline

from ._neuromodulated import INPUT_WEIGHTS
from ._products import Weights
from ._shared import MATCHED_GAIN, PAPER, AffineReadout, check_choices, initial_column, project

_OUTPUT = {"W", "B_x", "C", "d"}


@register_baseline(
    "nmrnn_full",
    free_size="N",
    settings={
        "element_finder": {"tau_z": 2.0, "feedback": True, "readout_bias": False, "drawn_start": True},
        "multitask": {"M": 20},
    },
    input_weights=INPUT_WEIGHTS,
    partitions={
        "output_subnetwork": lambda module, name: name in _OUTPUT,
        "neuromodulatory_subnetwork": lambda module, name: name not in _OUTPUT,
    },
    citation=f"{PAPER} Its recurrence L diag(s) R^T with full-rank components in place of those of rank one.",
    tags=("neuromodulation", "full-rank"),
)
class FullRankNMRNN(Core):
    """Neuromodulated RNN with K full-rank components, with or without feedback from its output network.

    z_t = (1 - 1/tau_z) z_{t-1} + (1/tau_z) [W_z tanh(z_{t-1}) + B_z [u_t; c_t] (+ B_zx tanh(x_{t-1}) + b_zx)]
    s_t = sigmoid(A_z z_t + b_z), from the new z
    x_t = (1 - 1/tau_x) x_{t-1} + (1/tau_x) [sum_k s_tk W_k tanh(x_{t-1}) + B_x u_t],  y_t = C x_t (+ d)

    With W_k = L_k R_k^T this is the NM-RNN. The output network receives the input `sensory`, the neuromodulatory network all
    inputs. W `[K N, N]` stacks the K components along its rows. Initial states are 0.1, or drawn once per seed.

    The publication does not contain this model. W_k ~ N(0, g^2 / (N K)), so that the recurrence with all gates open has a
    spectral radius of about g = `MATCHED_GAIN`, as with factors of the NM-RNN that are not orthonormalised. The rest is
    initialised as in the NM-RNN.
    """

    def __init__(
        self, spec, N: int, M: int = 5, K: int = 3, tau_x: float = 10.0, tau_z: float = 100.0, feedback: bool = False,
        readout_bias: bool = True, drawn_start: bool = False,
    ):  # fmt: skip
        super().__init__(spec, name="nmrnn_full")
        check_choices("matched", tau_x=tau_x, tau_z=tau_z)
        self._N, self._K = N, K
        self._keep_x, self._keep_z = 1 - 1 / tau_x, 1 - 1 / tau_z
        P, Q = spec.size_of("sensory") or spec.input_size, spec.input_size
        small, gate_bias = (1 / math.sqrt(M), 1 / math.sqrt(K)) if feedback else (0.1, 0.1)
        # The weights include the factors 1/tau, which saves a product at every step.
        reads = self.learned("W", (K * N, N), MATCHED_GAIN / math.sqrt(N * K)) / tau_x
        self._B_x = self.learned("B_x", (N, P), 1 / math.sqrt(P)) / tau_x
        self._W_z = Weights(self.learned("W_z", (M, M), small) / tau_z)
        self._B_z = self.learned("B_z", (M, Q), 1 / math.sqrt(Q)) / tau_z
        self._b_zx = jnp.zeros((M, 1))
        self._feedback = feedback
        if feedback:
            # One product for both uses of tanh(x).
            reads = jnp.concatenate([reads, self.learned("B_zx", (M, N), 1 / math.sqrt(N)) / tau_z])
            self._b_zx = self.learned("b_zx", (M, 1), small) / tau_z
        self._reads = Weights(reads)
        self._A_z = Weights(self.learned("A_z", (K, M), small))
        self._b_z = self.learned("b_z", (K, 1), gate_bias)
        self._x0 = initial_column(self, "x0", N, drawn_start)
        self._z0 = initial_column(self, "z0", M, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    def input_map(self, inputs):
        sensory = self.concat(inputs.get("sensory", inputs))
        return project(self._B_x, sensory), project(self._B_z, self.concat(inputs)) + self._b_zx[None]

    def initial_state(self, batch_size):
        return jnp.tile(self._x0, (1, batch_size)), jnp.tile(self._z0, (1, batch_size))

    def step(self, state, v_t):
        (x, z), (v_x, v_z) = state, v_t
        read = self._reads @ jnp.tanh(x)
        z = self._keep_z * z + self._W_z @ jnp.tanh(z) + v_z
        if self._feedback:
            z = z + read[self._K * self._N :]
        s = jax.nn.sigmoid(self._A_z @ z + self._b_z)
        for k in range(self._K):
            v_x = v_x + s[k : k + 1] * read[k * self._N : (k + 1) * self._N]
        return self._keep_x * x + v_x, z

    def readout(self, states):
        return self._read(states[0])
