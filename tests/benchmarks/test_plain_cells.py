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


def compare(model, task, tolerance, hparams=None):
    cell = resolve(Request(model=model, task=task, hparams=hparams or {}, allow_budget_miss=True))
    batch = as_float(trials(task))
    leaves, structure = jax.tree.flatten(cell.model.init(jax.random.key(1)))
    random = np.random.RandomState(2)
    leaves = [jnp.asarray(a + 0.02 * random.randn(*a.shape), a.dtype) for a in leaves]
    params = jax.tree.unflatten(structure, leaves)
    learned, fixed = flat_params.split(flat_params.flatten(params), flat_params.is_learned)
    whole = lambda flat: flat_params.unflatten(params, {**fixed, **flat})

    def loss(outputs):
        f = lambda flat: masked_mse(outputs(whole(flat), batch.inputs), batch.targets, batch.mask)
        return jax.jit(jax.value_and_grad(f))(learned)

    fast, fast_gradients = loss(cell.model.apply)
    plain, plain_gradients = loss(lambda p, i: plain_cells.batch_outputs(model, p[model], cell.sizing.hparams, i))
    assert plain.dtype == jnp.result_type(float) and fast.dtype == plain.dtype
    errors = {"loss": abs(float(fast) / float(plain) - 1)}
    for name, expected in plain_gradients.items():
        expected = np.asarray(expected)
        largest = np.abs(expected).max()
        assert largest > 0, f"no gradient reaches {name}"
        errors[name] = np.abs(np.asarray(fast_gradients[name]) - expected).max() / largest
    worst = max(errors, key=errors.get)
    assert errors[worst] < tolerance, f"{worst} is off by {errors[worst]:.1e}"
    return errors


@pytest.mark.parametrize(("task", "model"), PAIRS)
def test_loss_and_gradients_agree_in_float32(task, model):
    compare(model, task, 1e-5)


@pytest.mark.parametrize(("task", "model"), PAIRS)
def test_loss_and_gradients_agree_in_float64(task, model):
    with jax.enable_x64(True):
        compare(model, task, 1e-10)
