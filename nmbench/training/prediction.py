"""Predictions of a model on a frozen set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.contracts.frozen_sets import FrozenSet
from nmbench.contracts.model import Model
from nmbench.contracts.task import Task

TRIALS_AT_ONCE = 1000


def predictor(model: Model, task: Task, frozen: FrozenSet) -> Callable[[Any], np.ndarray]:
    """A function from parameters to predictions `[T, B, O]` on all trials of a frozen set.

    It is compiled at its first call only. Trials are processed in batches of equal size, so that memory is bounded and one
    compiled program is enough.
    """
    dtype = jnp.result_type(float)
    inputs = tree.map_structure(lambda a: np.asarray(a, dtype), task.unpack(frozen.arrays).inputs)
    trials = tree.flatten(inputs)[0].shape[1]
    size = min(TRIALS_AT_ONCE, trials)
    apply = jax.jit(model.apply)

    def predict(params: Any) -> np.ndarray:
        pieces = []
        for first in range(0, trials, size):
            # The last batch starts earlier instead of being shorter, so that all have one shape.
            start = min(first, trials - size)
            piece = tree.map_structure(lambda a, start=start: a[:, start : start + size], inputs)
            pieces.append(np.asarray(apply(params, piece))[:, first - start :])
        return np.concatenate(pieces, axis=1)

    return predict
