"""A task under test: its frozen sets and batches, each loaded once, and metrics of predictions."""

from __future__ import annotations

import functools

import numpy as np
import tree

from nmbench.contracts.frozen_sets import FrozenSet
from nmbench.contracts.task import SQUARED_ERROR, Batch, Task


class TaskUnderTest:
    """A task and its frozen sets. Each set is loaded and unpacked once."""

    def __init__(self, task: Task):
        self.task = task
        for name in ("frozen", "batch"):
            setattr(self, name, functools.cache(getattr(self, name)))

    def frozen(self, split: str) -> FrozenSet:
        """A frozen set by name."""
        return self.task.frozen(split)

    def batch(self, split: str) -> Batch:
        """A frozen set as models receive it, in NumPy arrays."""
        return Batch(*(tree.map_structure(np.asarray, part) for part in self.task.unpack(self.frozen(split).arrays)))

    def answers(self) -> np.ndarray:
        """Perfect predictions `[T, B, O]` on the test set: the targets, or logits that leave no doubt about the class."""
        targets = self.batch("test").targets
        return targets if self.task.loss == SQUARED_ERROR else 1e3 * targets

    def values(self, predictions: np.ndarray) -> dict[str, float]:
        """All metrics of predictions `[T, B, O]` on the test set; raises `NmbenchError` if the shape is wrong."""
        arrays = self.frozen("test").arrays
        self.task.spec.validate_outputs(predictions, self.task.set_sizes["test"])
        return {m.name: m.mean(np.asarray(m.per_trial(predictions, arrays), np.float64), arrays) for m in self.task.metrics}
