"""Loss and gradients of the fast path agree with those of plain implementations of the published models."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import plain_cells
import pytest

from nmbench.contracts import parameters as flat_params
from nmbench.contracts.catalog import BASELINES
from nmbench.experiments.request import Request
from nmbench.experiments.resolution import resolve
from nmbench.training.phase_program import as_float, masked_mse

TRIALS = 6
# The models of the publication on a task with feedback, one with long trials and one with a context. The other models, which
# tests/baselines checks by loops, on one task.
PAIRS = [
    (task, model)
    for model in plain_cells.CELLS
    for task in ("element_finder", "mwg_rank3", "multitask")
    if model in ("nmrnn", "nmrnn_linear", "lrrnn", "rnn", "lstm") or task == "element_finder"
]


@functools.cache
def trials(task):
    """The first trials of a training batch, as NumPy arrays."""
    experiment = resolve(Request(model="lstm", task=task))
    data, batch_size = experiment.task.training[experiment.phases[0].data], experiment.phases[0].batch_size
    batch = data.draw(data.arrays(), jax.random.key(0), batch_size)
    return jax.tree.map(lambda a: np.asarray(a)[:, :TRIALS], batch)


# Compile without LLVM's optimisations, which would take most of the time of these tests.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def initial(experiment):
    """Initial parameters plus a little noise, as NumPy arrays in float32."""
    random = np.random.RandomState(2)
    # The generator "rbg" compiles several times faster than the default.
    drawn = jit(experiment.model.init)(jax.random.key(1, impl="rbg"))
    return jax.tree.map(lambda a: np.asarray(a + 0.02 * random.randn(*a.shape), np.float32), drawn)


def programs(experiment):
    """Two functions from (learned, fixed, batch) to loss and gradients: the fast path and the plain one.

    Tasks with equal shapes and sizes share the functions.
    """
    spec = experiment.task.spec
    sizes = (spec.steps, *((name, leaf.channels) for name, leaf in spec.inputs.items()), spec.output_size)
    key = experiment.baseline.name, tuple(experiment.sizing.hparams.items()), sizes
    if key not in PROGRAMS:
        name, hparams = experiment.baseline.name, experiment.sizing.hparams
        plain = lambda params, inputs: plain_cells.batch_outputs(name, params[name], hparams, inputs)
        PROGRAMS[key] = loss_and_gradients(experiment.model.apply), loss_and_gradients(plain)
    return PROGRAMS[key]


PROGRAMS = {}


def loss_and_gradients(apply):
    def loss(learned, fixed, batch):
        params: dict = {}
        for name, leaf in {**learned, **fixed}.items():
            module, parameter = name.split("|")
            params.setdefault(module, {})[parameter] = leaf
        return masked_mse(apply(params, batch.inputs), batch.targets, batch.mask)

    return jit(jax.value_and_grad(loss))


def errors_of(experiment, params, batch):
    """Differences between the fast and the plain path: of the loss, and of the gradient of each parameter.

    The difference of a gradient is relative to the largest entry of the plain gradient.
    """
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(float)), params)
    arguments = (*flat_params.split(flat_params.flatten(params), flat_params.is_learned), as_float(batch))
    (fast, fast_gradients), (plain, gradients) = (f(*arguments) for f in programs(experiment))
    assert fast.dtype == plain.dtype == jnp.result_type(float)
    errors = {"loss": abs(float(fast) / float(plain) - 1)}
    for parameter, expected in gradients.items():
        largest = np.abs(np.asarray(expected)).max()
        assert largest > 0, f"no gradient reaches {parameter}"
        errors[parameter] = np.abs(np.asarray(fast_gradients[parameter]) - np.asarray(expected)).max() / largest
    return errors


def test_every_model_but_the_controls_has_a_plain_cell():
    assert {*plain_cells.CELLS} == {entry.name for entry in BASELINES.entries() if "control" not in entry.tags}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model"), PAIRS)
def test_loss_and_gradients_agree(task, model):
    """Differences are below 1e-5 in float32 and below 1e-10 in float64; see `errors_of`."""
    experiment = resolve(Request(model=model, task=task))
    params, batch = initial(experiment), trials(task)
    errors = errors_of(experiment, params, batch)
    assert max(errors.values()) < 1e-5, errors
    with jax.enable_x64(True):
        errors = errors_of(experiment, params, batch)
    assert max(errors.values()) < 1e-10, errors
