"""Principal component analysis of states over trials and time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nmbench.analysis.network import finite
from nmbench.support.errors import NmbenchError


class Components(NamedTuple):
    """Principal components.

    Attributes:
      mean: `[features]`.
      directions: `[n, features]`, orthonormal, by decreasing variance. In each, the entry of largest magnitude is positive.
      variance: `[n]`, variance along each direction.
      explained: `[n]`, share of the total variance (0 if the total is 0).
      scores: `[T, B, n]`, the states in these coordinates, at all steps, whether or not the mask selects them.
    """

    mean: np.ndarray
    directions: np.ndarray
    variance: np.ndarray
    explained: np.ndarray
    scores: np.ndarray


def selected(states: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The states `[steps, features]` of all trials at the steps that a mask selects, all steps for None; float64.

    Raises:
      NmbenchError: wrong shapes, or a state is not finite.
    """
    states = finite(states, "states")
    counted = np.ones(states.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if states.ndim != 3 or counted.shape != states.shape[:2]:
        raise NmbenchError(f"states are [T, B, features] and the mask is [T, B]; got {states.shape}, {counted.shape}")
    return states[counted]


def principal_components(states: np.ndarray, n: int | None = None, mask: np.ndarray | None = None) -> Components:
    """Principal components of states, by singular value decomposition of all steps of all trials together.

    Args:
      states: `[T, B, features]`.
      n: number of components; by default the number of features.
      mask: booleans `[T, B]`, true for the steps to fit; by default all.

    Raises:
      NmbenchError: wrong shapes, fewer than two steps, fewer features than components, or a state that is not finite.
    """
    samples = selected(states, mask)
    states = np.asarray(states, np.float64)
    features = states.shape[-1]
    wanted = features if n is None else n
    if len(samples) < 2 or not isinstance(wanted, int | np.integer) or not 1 <= wanted <= features:
        raise NmbenchError(
            f"n must be an integer from 1 to {features}, and there must be 2 steps or more; got n={wanted!r} and "
            f"{len(samples)} steps"
        )
    mean = samples.mean(axis=0)
    _, singular, directions = np.linalg.svd(samples - mean, full_matrices=len(samples) < features)
    variance = np.zeros(features)
    variance[: len(singular)] = singular**2 / (len(samples) - 1)
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(features), largest])[:, None]
    total = variance.sum()
    explained = variance / total if total > 0 else variance
    directions = directions[:wanted]
    return Components(mean, directions, variance[:wanted], explained[:wanted], (states - mean) @ directions.T)
