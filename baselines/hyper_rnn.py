"""A hypernetwork: a small network scales the rows of the weights of another network at every step."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp

from nmbench import Core, register_baseline

from ._neuromodulated import INPUT_WEIGHTS
from ._products import Weights
from ._shared import AffineReadout, initial_column, project

_MAIN = {"W_h", "B_x", "b", "C", "d"}
# Initial standard deviation of the weights of the embeddings.
SMALL = 0.01


@register_baseline(
    "hyper_rnn",
    free_size="N",
    settings={"element_finder": {"readout_bias": False, "drawn_start": True}, "multitask": {"M": 20}},
    input_weights=INPUT_WEIGHTS,
    partitions={
        "output_subnetwork": lambda module, name: name in _MAIN,
        "neuromodulatory_subnetwork": lambda module, name: name not in _MAIN,
    },
    citation="Ha, Dai, Le (2017). HyperNetworks. ICLR. Section 3.2, Eqs. 6-8; appendix A.2.3.",
    tags=("hypernetwork", "full-rank", "control"),
)
class HyperRnn(Core):
    """HyperRNN: a small network, the hypernetwork, scales the rows of another network's weights at every step.

    z_t = tanh(W_z z_{t-1} + B_z [u_t; c_t] + B_zh h_{t-1} + b_z)
    [e_t; f_t; g_t] = A z_t + a
    h_t = tanh((D_h e_t) * W_h h_{t-1} + (D_x f_t) * B_x u_t + D_b g_t + b),  y_t = C h_t (+ d)

    z is the state of the hypernetwork, M units (published: h-hat); e, f and g are embeddings of size K for the
    recurrence, the input and the bias (published: z). D `[3 N, K]` stacks D_h, D_x and D_b, A `[3 K, M]` the weights of
    the embeddings; a has 2 K entries, those of g are 0. Eq. 6 has the previous state of the hypernetwork in the
    embeddings, but the text calls them functions of the present input, and the authors' code takes the present state;
    so do we. As in the NM-RNN, the main network receives the input `sensory` and the hypernetwork all inputs; where a
    task has no other input, both receive the same, as published. As in Eq. 8, there is no layer normalisation. Initial
    states are 0.1, or drawn once per seed.

    Initialisation as published for the HyperLSTM (A.2.3): orthogonal W_h, B_x, W_z, B_z, B_zh; b = b_z = 0; a = 1; the
    weights of g ~ N(0, 0.01^2); D_b = 0. Two values differ. D_h and D_x are 1/K instead of 0.1/K, so that W_h starts
    with a gain of 1; the published gain of 0.1 comes from recurrent batch normalisation and suits a network that
    normalises. The weights of e and f are drawn as those of g instead of being 0: with 0, the K entries of an embedding
    would have equal gradients and stay equal for ever. C, d ~ N(0, 1/N).

    Unlike the NM-RNN, the model has full rank and no leak: a state lasts only as long as its recurrence holds it.
    """

    def __init__(
        self, spec, N: int, M: int = 5, K: int = 2, readout_bias: bool = True, drawn_start: bool = False
    ):  # fmt: skip
        super().__init__(spec)
        P, Q = spec.size_of("sensory") or spec.input_size, spec.input_size
        made = lambda name, shape, start: hk.get_parameter(name, shape, jnp.result_type(float), start)
        self._N = N
        # One product for both uses of h.
        self._reads = Weights(jnp.concatenate([made("W_h", (N, N), _orthogonal), made("B_zh", (M, N), _orthogonal)]))
        self._B_x, self._b = made("B_x", (N, P), _orthogonal), self.learned("b", (N, 1), 0.0)
        self._W_z = Weights(made("W_z", (M, M), _orthogonal))
        self._B_z, self._b_z = made("B_z", (M, Q), _orthogonal), self.learned("b_z", (M, 1), 0.0)
        A = self.learned("A", (3 * K, M), SMALL)
        a = jnp.concatenate([made("a", (2 * K, 1), hk.initializers.Constant(1.0)), jnp.zeros((K, 1), A.dtype)])
        D = made("D", (3 * N, K), lambda shape, dtype: jnp.full(shape, 1 / K, dtype).at[2 * N :].set(0))
        # Scales and bias are a linear function of z: D e = (D A) z + D a, for each of the three parts.
        parts = lambda columns: (D.reshape(3, N, K) @ columns.reshape(3, K, -1)).reshape(3 * N, -1)
        self._scales, self._offset = Weights(parts(A)), parts(a)
        self._h0 = initial_column(self, "h0", N, drawn_start)
        self._z0 = initial_column(self, "z0", M, drawn_start)
        self._read = AffineReadout(self, N, readout_bias)

    def scales(self, z: jax.Array) -> tuple[jax.Array, ...]:
        """The scales of the rows of W_h and of B_x, and what is added to the bias, `[..., N, B]` each, from z."""
        scaled = self._scales.matrix @ z + self._offset.reshape((1,) * (z.ndim - 2) + self._offset.shape)
        return tuple(jnp.split(scaled, 3, axis=-2))

    def input_map(self, inputs):
        sensory = self.concat(inputs.get("sensory", inputs))
        return project(self._B_x, sensory), project(self._B_z, self.concat(inputs)) + self._b_z[None]

    def initial_state(self, batch_size):
        return jnp.tile(self._h0, (1, batch_size)), jnp.tile(self._z0, (1, batch_size))

    def step(self, state, v_t):
        (h, z), (v_x, v_z) = state, v_t
        from_h = self._reads @ h
        z = jnp.tanh(self._W_z @ z + from_h[self._N :] + v_z)
        d_h, d_x, bias = jnp.split(self._scales @ z + self._offset, 3)
        return jnp.tanh(d_h * from_h[: self._N] + d_x * v_x + bias + self._b), z

    def readout(self, states):
        return self._read(states[0])


def _orthogonal(shape, dtype):
    """A matrix with orthonormal rows or columns, whichever are fewer: singular vectors of a Gaussian matrix."""
    left, _, right = jnp.linalg.svd(hk.initializers.RandomNormal()(shape, dtype), full_matrices=False)
    return left @ right
