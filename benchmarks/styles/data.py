"""Training data drawn outside the compiled step, as in a training script."""

from __future__ import annotations

import jax
import numpy as np

from nmbench.contracts.task import Sampler
from nmbench.experiments.experiment import Experiment


class Batches:
    """Iterator over training batches: drawn by the jitted sampler, or chosen from a fixed set with NumPy."""

    def __init__(self, experiment: Experiment):
        phase = experiment.phases[0]
        self._size, source = phase.batch_size, experiment.task.training[phase.data]
        self._random = np.random.RandomState(0)
        self._sample, self._arrays = None, None
        if isinstance(source, Sampler):
            self._sample = jax.jit(source.sample, static_argnums=1)
        else:
            self._arrays = jax.tree.map(np.asarray, source.arrays())
            if not self._size:
                self._arrays = jax.device_put(self._arrays)

    def __iter__(self):
        return self

    def __next__(self):
        if self._sample:
            return self._sample(jax.random.key(self._random.randint(2**31)), self._size)
        if not self._size:
            return self._arrays
        index = self._random.randint(0, self._arrays.targets.shape[1], self._size)
        return jax.tree.map(lambda a: a[:, index], self._arrays)
