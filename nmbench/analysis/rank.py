"""Effective numbers of dimensions, which need not be integers."""

from __future__ import annotations

import numpy as np

from nmbench.analysis.components import selected
from nmbench.analysis.network import finite
from nmbench.support.errors import NmbenchError


def participation_ratio(values: np.ndarray) -> float:
    """(sum v)^2 / sum v^2 of non-negative values v: n for n equal values, 1 for a single nonzero value, 0 if all are 0.

    Raises:
      NmbenchError: a value is negative or not finite.
    """
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise NmbenchError("a participation ratio needs finite values of at least 0")
    largest = values.max(initial=0.0)
    if largest == 0:
        return 0.0
    scaled = values / largest  # squares of tiny values would underflow
    return float(scaled.sum() ** 2 / np.sum(scaled**2))


def effective_rank(matrix: np.ndarray) -> float:
    """Participation ratio of the singular values of a matrix, at most its rank.

    Others call the exponential of the entropy of the normalised singular values by this name (Roy and Vetterli 2007).

    Raises:
      NmbenchError: it is not a matrix, or an entry is not finite.
    """
    matrix = finite(matrix, "the matrix")
    if matrix.ndim != 2:
        raise NmbenchError(f"a matrix has two axes; got shape {matrix.shape}")
    return participation_ratio(np.linalg.svd(matrix, compute_uv=False))


def dimensionality(states: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Participation ratio of the eigenvalues of the states' covariance over trials and time.

    Source: Gao et al. 2017, A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv 214262.

    Args:
      states: `[T, B, features]`.
      mask: booleans `[T, B]`, true for the steps to include; by default all.

    Raises:
      NmbenchError: wrong shapes, the mask selects no step, or a state is not finite.
    """
    samples = selected(states, mask)
    if not len(samples):
        raise NmbenchError("the mask selects no step, so there is no covariance")
    spread = np.linalg.svd(samples - samples.mean(axis=0), compute_uv=False)
    return participation_ratio(spread**2)
