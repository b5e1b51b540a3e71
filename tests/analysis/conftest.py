"""Networks to analyse."""

import jax
import numpy as np
import pytest

from nmbench.analysis import Network
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.specs import ArraySpec, SequenceSpec

SPEC = SequenceSpec(9, {"sensory": ArraySpec(3), "context": ArraySpec(2)}, ArraySpec(2))


@pytest.fixture(scope="session")
def make_network():
    """A function that makes a network of a registered model, with parameters drawn by NumPy."""

    def make(name, spec=SPEC, **hparams):
        baseline, random = BASELINES.get(name), np.random.RandomState(3)
        hparams = {**baseline.hparams, **hparams}
        shapes = jax.eval_shape(baseline.build(spec, hparams).init, jax.random.key(0))
        params = jax.tree.map(lambda a: (0.5 * random.randn(*a.shape)).astype(a.dtype), shapes)
        return Network(baseline=baseline, spec=spec, hparams=hparams, params=params)

    return make


@pytest.fixture(scope="session")
def inputs():
    """Four random trials of SPEC."""
    random = np.random.RandomState(0)
    return {name: random.randn(SPEC.steps, 4, k).astype(np.float32) for name, k in (("sensory", 3), ("context", 2))}
