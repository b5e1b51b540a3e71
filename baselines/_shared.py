"""Parts that several models use: low-rank factors, initial states, readout, checks of arguments, keys of `settings`."""

from __future__ import annotations

import math

import jax.numpy as jnp

from nmbench import Core, NmbenchError

PAPER = (
    "Costacurta, Bhandarkar, Zoltowski, Linderman (2024). Structured flexibility in recurrent neural networks via "
    "neuromodulation. NeurIPS. Supplement C.3."
)
# Initial spectral radius of a low-rank recurrence under the matched parametrisation, for any N and K, if L is not
# orthonormalised. With all gates at 1/2, the radius of an NM-RNN is half of this. Its gates start near 1/2, except on the
# Element Finder, where the query drives many of them towards 0 or 1: there the radius starts between about 0.5 and 1.5.
MATCHED_GAIN = 1.5

# Keys "task/protocol" of `settings` for the experiments of the publication, by task.
EFT_PAPER = ("element_finder/paper", "element_finder/paper_code")
MWG_PAPER = tuple(
    f"{task}/{protocol}"
    for task in ("mwg_rank3", "mwg_rank3_code")
    for protocol in ("paper", "paper_code", "paper_neuromodulation_first")
)
MULTITASK_PAPER = ("multitask/paper", "multitask/paper_code")
# The publication's recipes on tasks that it does not contain.
UNPUBLISHED = ("mwg_rank1/paper", "delay_pro/paper", "delay_anti/paper", "memory_pro/paper", "memory_anti/paper")


def check_choices(parametrisation: str, **taus: float) -> None:
    """Raise `NmbenchError` for an unknown parametrisation or a time constant below one step."""
    if parametrisation not in ("matched", "published"):
        raise NmbenchError(f"parametrisation must be 'matched' or 'published', got {parametrisation!r}")
    for name, tau in taus.items():
        if not tau >= 1:
            raise NmbenchError(f"{name} is a time constant in steps and must be at least 1, got {tau}")


def initial_column(core: Core, name: str, size: int, drawn: bool) -> jnp.ndarray:
    """Initial state `[size, 1]`: 0.1 in every unit, or, if `drawn`, fixed numbers drawn once per seed from N(0, 1/size)."""
    if drawn:
        return core.fixed(name, (size, 1), 1 / math.sqrt(size))
    return jnp.full((size, 1), 0.1, jnp.result_type(float))


def factors(core: Core, N: int, K: int, *, orthonormal: bool, matched: bool) -> tuple[jnp.ndarray, jnp.ndarray]:
    """The factors L and R, `[N, K]` each, of the recurrence L diag(s) R^T, without a prefactor.

    - `orthonormal`: L is the Q of a QR decomposition in every forward pass; both factors are initialised from N(0, 1).
    - not `orthonormal`, not `matched` (as published): both factors are initialised from N(0, 1/K).
    - not `orthonormal`, `matched`: both factors are initialised from N(0, g / sqrt(N K)), so that R^T L, and with it
      the recurrence with all gates open, has a spectral radius of about g = `MATCHED_GAIN` (circular law).

    Raises:
      NmbenchError: `orthonormal` and K > N.
    """
    if orthonormal:
        if K > N:
            raise NmbenchError(f"an orthonormal factor needs N >= K, got N={N} and K={K}")
        return jnp.linalg.qr(core.learned("L", (N, K), 1.0))[0], core.learned("R", (N, K), 1.0)
    stddev = math.sqrt(MATCHED_GAIN / math.sqrt(N * K)) if matched else 1 / math.sqrt(K)
    return core.learned("L", (N, K), stddev), core.learned("R", (N, K), stddev)


class AffineReadout:
    """y = C x (+ d) for a whole sequence, `[T, N, B]` to `[T, O, B]`; C, d ~ N(0, 1/N)."""

    def __init__(self, core: Core, N: int, bias: bool):
        self._C = core.learned("C", (core.spec.output_size, N), 1 / math.sqrt(N))
        self._d = core.learned("d", (core.spec.output_size, 1), 1 / math.sqrt(N)) if bias else None

    def __call__(self, x: jnp.ndarray, basis: jnp.ndarray | None = None) -> jnp.ndarray:
        """Outputs `[T, O, B]` from states x `[T, N, B]`, or from coordinates `[T, J, B]` of states in a `basis` `[N, J]`."""
        y = project(self._C if basis is None else self._C @ basis, x)
        return y if self._d is None else y + self._d[None]


def project(weights: jnp.ndarray, inputs: jnp.ndarray) -> jnp.ndarray:
    """Multiply every step of a sequence: weights `[N, P]` times inputs `[T, P, B]` gives `[T, N, B]`.

    There is one product per step, so that the gradient of `weights` is summed over trials first and over steps second. In
    float32 this is far more accurate than one sum over both.
    """
    return jnp.matmul(jnp.broadcast_to(weights, (inputs.shape[0], *weights.shape)), inputs)
