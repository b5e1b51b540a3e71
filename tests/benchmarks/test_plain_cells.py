"""The fast path against the models as published, on every task: loss and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import plain_cells
import pytest

from nmbench import params as flat_params
from nmbench.catalog import BASELINES, TASKS
from nmbench.experiment import Request, resolve
from nmbench.training import as_float, masked_mse

TRIALS = 6
PAIRS = [(task.name, model.name) for task in TASKS.entries() for model in BASELINES.entries()]


@functools.cache
def trials(task):
    """The first trials of a training batch, NumPy leaves."""
    cell = resolve(Request(model="lstm", task=task))
    data, batch_size = cell.task.training[cell.phases[0].data], cell.phases[0].batch_size
    batch = data.draw(data.arrays(), jax.random.key(0), batch_size)
    return jax.tree.map(lambda a: np.asarray(a)[:, :TRIALS], batch)


def quickly(f, *args):
    """f(*args), compiled without LLVM's optimisations, which take longer than everything else here."""
    return jax.jit(f).lower(*args).compile({"xla_backend_optimization_level": 0})(*args)


def initial(cell):
    """Initial parameters plus a little noise, NumPy leaves, float32."""
    random = np.random.RandomState(2)
    noisy = lambda a: np.asarray(a + 0.02 * random.randn(*a.shape), np.float32)
    return jax.tree.map(noisy, quickly(cell.model.init, jax.random.key(1)))


def compare(cell, params, batch, tolerance):
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(float)), params)
    learned, fixed = flat_params.split(flat_params.flatten(params), flat_params.is_learned)
    whole = lambda flat: flat_params.unflatten(params, {**fixed, **flat})
    name, hparams, batch = cell.baseline.name, cell.sizing.hparams, as_float(batch)

    def loss_and_gradients(apply):
        f = lambda flat: masked_mse(apply(whole(flat), batch.inputs), batch.targets, batch.mask)
        return quickly(jax.value_and_grad(f), learned)

    fast, fast_gradients = loss_and_gradients(cell.model.apply)
    plain, gradients = loss_and_gradients(lambda p, inputs: plain_cells.batch_outputs(name, p[name], hparams, inputs))
    assert fast.dtype == plain.dtype == jnp.result_type(float)
    errors = {"loss": abs(float(fast) / float(plain) - 1)}
    for parameter, expected in gradients.items():
        largest = np.abs(np.asarray(expected)).max()
        assert largest > 0, f"no gradient reaches {parameter}"
        errors[parameter] = np.abs(np.asarray(fast_gradients[parameter]) - np.asarray(expected)).max() / largest
    wrong = {parameter: f"{error:.1e}" for parameter, error in errors.items() if not error < tolerance}
    assert not wrong, f"above {tolerance:g} in {jnp.result_type(float)}: {wrong}"
    return errors


@pytest.mark.parametrize(("task", "model"), PAIRS)
def test_loss_and_gradients_agree(task, model):
    """Relative to the largest entry of each parameter's gradient: 1e-5 in float32, 1e-10 in float64."""
    cell = resolve(Request(model=model, task=task))
    params, batch = initial(cell), trials(task)
    compare(cell, params, batch, 1e-5)
    with jax.enable_x64(True):
        compare(cell, params, batch, 1e-10)
