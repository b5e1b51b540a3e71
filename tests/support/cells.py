"""Helpers for tests of cells: a small task, random inputs and parameters, and the comparison with a NumPy loop."""

import jax
import jax.numpy as jnp
import numpy as np

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.experiments.sizing import shapes

SPEC = SequenceSpec(9, {"sensory": ArraySpec(3), "context": ArraySpec(2)}, ArraySpec(2))
BATCH = 4


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def start(p, name, size):
    """The initial state: the fixed parameter `fixed_{name}` if the cell draws one, otherwise 0.1 in every unit."""
    return p[f"fixed_{name}"][:, 0] if f"fixed_{name}" in p else np.full(size, 0.1)


def inputs_of(dtype, batch=BATCH):
    """Random (sensory, context) of shapes `[T, B, 3]` and `[T, B, 2]`."""
    random = np.random.RandomState(0)
    return [random.randn(SPEC.steps, batch, k).astype(dtype) for k in (3, 2)]


def random_inputs():
    u, c = inputs_of(np.float32)
    return {"sensory": jnp.asarray(u), "context": jnp.asarray(c)}


def drawn(name, hparams, spec=SPEC):
    """(model, random parameters, hyperparameters). The parameters are float64 NumPy arrays; no initialiser is compiled."""
    baseline = BASELINES.get(name)
    hparams = {**baseline.hparams, **hparams}
    random, params = np.random.RandomState(3), {}
    for flat, shape in shapes(baseline, spec, hparams).items():
        params[flat.rsplit("|", 1)[1]] = 0.05 + random.randn(*shape) / np.sqrt(shape[1])
    return baseline.build(spec, hparams), params, hparams


def runnable(name, **hparams):
    """(function from parameters and inputs to outputs, random parameters) for SPEC, in float32."""
    model, p, _ = drawn(name, hparams)
    apply = jax.jit(model.apply)
    return lambda p, inputs: np.asarray(apply({name: p}, inputs)), {k: v.astype(np.float32) for k, v in p.items()}


def initialised(name, seed=0, **hparams):
    """The initial parameters that the model itself draws for SPEC."""
    baseline = BASELINES.get(name)
    model = baseline.build(SPEC, {**baseline.hparams, **hparams})
    # The generator "rbg" compiles several times faster than the default.
    (params,) = jax.jit(model.init)(jax.random.key(seed, impl="rbg")).values()
    return {name: np.array(value) for name, value in params.items()}


def relative(found, expected):
    """The largest difference: absolute where the expected value is at most 1 in size, otherwise relative to that value."""
    return np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected)))


def check_outputs_and_gradient(name, loop, hparams):
    """Compare a cell with a NumPy loop in float64.

    Outputs agree to 1e-12. For each learned parameter, the derivative of the sum of squared outputs of one trial in a random
    direction agrees with central differences of the loop.
    """
    model, p, hparams = drawn(name, hparams)
    u, c = inputs_of(np.float64)
    expected = np.stack([loop(p, u[:, b], c[:, b], hparams) for b in range(BATCH)], axis=1)

    def loss(params):
        outputs = model.apply({name: params}, {"sensory": jnp.asarray(u), "context": jnp.asarray(c)})
        return jnp.sum(outputs[:, 0] ** 2), outputs

    with jax.enable_x64(True):
        gradients, outputs = jax.tree.map(np.asarray, jax.jit(jax.grad(loss, has_aux=True))(p))
    assert outputs.dtype == np.float64 and relative(outputs, expected) < 1e-12
    random = np.random.RandomState(4)
    for parameter in (k for k in p if not k.startswith("fixed_")):
        direction = random.randn(*p[parameter].shape)
        moved = [{**p, parameter: p[parameter] + step * direction} for step in (1e-5, -1e-5)]
        up, down = (np.sum(loop(q, u[:, 0], c[:, 0], hparams) ** 2) for q in moved)
        slope = (up - down) / 2e-5
        assert abs(slope) > 1e-5, f"{parameter} has no effect"
        np.testing.assert_allclose(np.sum(gradients[parameter] * direction), slope, rtol=1e-5, atol=1e-8, err_msg=parameter)


def check_float32(name, loop, hparams, largest):
    """Compare the float32 outputs of a cell with a NumPy loop."""
    model, p, hparams = drawn(name, hparams)
    u, c = inputs_of(np.float32)
    single = {k: v.astype(np.float32) for k, v in p.items()}
    outputs = np.asarray(jax.jit(model.apply)({name: single}, {"sensory": u, "context": c}))
    expected = np.stack([loop(single, u[:, b], c[:, b], hparams) for b in range(BATCH)], axis=1)
    assert outputs.dtype == np.float32 and relative(outputs, expected) < largest
