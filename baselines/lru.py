"""The linear recurrent unit: a diagonal complex linear recurrence, read out through a gate."""

from __future__ import annotations

import math

import haiku as hk
import jax
import jax.numpy as jnp

from nmbench import Core, InputWeights, NmbenchError, register_baseline

from ._shared import AffineReadout, initial_column, project

# Smallest distance of uniform draws from 0 and 1, where the logarithms below are infinite.
MARGIN = 1e-6


@register_baseline(
    "lru",
    free_size="N",
    settings={"element_finder": {"readout_bias": False, "drawn_start": True}, "multitask": {"H": 16}},
    input_weights={"B_re": InputWeights(), "B_im": InputWeights(), "D": InputWeights()},
    citation="Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De (2023). Resurrecting recurrent neural networks for long "
    "sequences. ICML. Sections 3.2-3.4, appendix A.",
    tags=("linear",),
)
class LRU(Core):
    """Linear recurrent unit: x_t = lambda x_{t-1} + exp(gamma_log) (B_re + i B_im) u_t, x complex, N modes, diagonal.

    lambda = exp(-exp(nu_log) + i exp(theta_log)), so |lambda| < 1 for all values of the parameters.
    a_t = gelu(Re[(C_re + i C_im) x_t] + D u_t), H units;  h_t = (V a_t + b) sigmoid(G a_t + c);  y_t = C h_t (+ d)

    This is one layer of the paper's network without its normalisation, its skip connection and its linear encoder, which
    would only multiply B and D; gelu is its approximation by tanh. The paper stacks layers. In a single one, the state only
    adds up inputs, so one input cannot decide how a later one is stored. u_t is all inputs together. The scan carries the
    real and the imaginary part of x, and D u_t. The first two start at 0.1, or are drawn once per seed.

    Initialisation as published: |lambda|^2 uniform in [r_min^2, r_max^2], phase uniform in [0, max_phase], so
    that lambda is uniform on a ring or a part of it; exp(gamma_log) = sqrt(1 - |lambda|^2); B_re, B_im ~ N(0, 1/(2 P));
    C_re, C_im ~ N(0, 1/N); D ~ N(0, 1). The paper does not give the initialisation of the gate: here V, G ~ N(0, 1/H) and
    b = c = 0. C, d ~ N(0, 1/H).
    """

    def __init__(
        self, spec, N: int, H: int = 8, r_min: float = 0.0, r_max: float = 1.0, max_phase: float = 2 * math.pi,
        readout_bias: bool = True, drawn_start: bool = False,
    ):  # fmt: skip
        super().__init__(spec, name="lru")
        if not 0 <= r_min < r_max <= 1:
            raise NmbenchError(f"the ring of eigenvalues needs 0 <= r_min < r_max <= 1, got {r_min} and {r_max}")
        if not max_phase > 0:
            raise NmbenchError(f"max_phase, the largest phase of an eigenvalue, must be above 0, got {max_phase}")
        P = spec.input_size
        nu_log = _drawn("nu_log", (N, 1), lambda u: jnp.log(-0.5 * jnp.log(u * (r_max**2 - r_min**2) + r_min**2)))
        theta_log = _drawn("theta_log", (N, 1), lambda u: jnp.log(max_phase * u))
        radius, phase = jnp.exp(-jnp.exp(nu_log)), jnp.exp(theta_log)
        self._re, self._im = radius * jnp.cos(phase), radius * jnp.sin(phase)
        # log sqrt(1 - |lambda|^2) by expm1, since |lambda| may be close to 1.
        normalised = lambda shape, dtype: 0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(nu_log))).reshape(shape).astype(dtype)
        gamma = jnp.exp(hk.get_parameter("gamma_log", (N, 1), jnp.result_type(float), normalised))
        drive = [gamma * self.learned(name, (N, P), 1 / math.sqrt(2 * P)) for name in ("B_re", "B_im")]
        # The state also carries D u_t, for the readout.
        self._reads_u = jnp.concatenate([*drive, self.learned("D", (H, P), 1.0)])
        self._N = N
        C_re, C_im = (self.learned(name, (H, N), 1 / math.sqrt(N)) for name in ("C_re", "C_im"))
        self._C_x = jnp.concatenate([C_re, -C_im], axis=1)
        gate = [self.learned(name, (H, H), 1 / math.sqrt(H)) for name in ("V", "G")]
        self._gate = jnp.concatenate(gate)
        self._gate_bias = jnp.concatenate([self.learned(name, (H, 1), 0.0) for name in ("b", "c")])
        self._H = H
        self._x0 = [initial_column(self, name, N, drawn_start) for name in ("x0_re", "x0_im")]
        self._read = AffineReadout(self, H, readout_bias)

    def input_map(self, inputs):
        return project(self._reads_u, self.concat(inputs))

    def initial_state(self, batch_size):
        re, im = (jnp.tile(x0, (1, batch_size)) for x0 in self._x0)
        return re, im, jnp.zeros((self._H, batch_size), re.dtype)

    def step(self, state, v_t):
        re, im, _ = state
        N = self._N
        return self._re * re - self._im * im + v_t[:N], self._im * re + self._re * im + v_t[N : 2 * N], v_t[2 * N :]

    def readout(self, states):
        re, im, fed = states
        a = jax.nn.gelu(project(self._C_x, jnp.concatenate([re, im], axis=1)) + fed)
        both = project(self._gate, a) + self._gate_bias[None]
        return self._read(both[:, : self._H] * jax.nn.sigmoid(both[:, self._H :]))


def _drawn(name: str, shape: tuple[int, ...], transform) -> jax.Array:
    """A parameter whose initial value is a function of uniform draws from (0, 1)."""
    uniform = hk.initializers.RandomUniform(MARGIN, 1 - MARGIN)
    return hk.get_parameter(name, shape, jnp.result_type(float), lambda shape, dtype: transform(uniform(shape, dtype)))
