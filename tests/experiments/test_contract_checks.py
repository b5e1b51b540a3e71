"""Mistakes in a user's file of a task or a model: one line before anything is trained or written."""

import pathlib
import re
import shutil

import pytest

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import session
from nmbench.experiments.request import Request
from nmbench.support.errors import NmbenchError

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"

# Text of examples/own_task.py to what a user may have written instead, and the message.
TASK_MISTAKES = {
    "training data": (
        "when, sign = jax.random.split(key)",
        "when, sign = jax.random.split(key, 3)",
        "data 'train' cannot be drawn: ValueError in line 20 of own_task.py: too many values",
    ),
    "channels": (
        'pulses.astype("float32")}',
        'pulses.astype("float32")[..., :1]}',
        "training data 'train': inputs 'sensory' have shape (40, 16, 1), the task needs [40, B, 2]",
    ),
    "unpack": (
        'states = [arrays["pulses"][0]]',
        'states = [arrays["pulse"][0]]',
        "unpack fails on the validation set: KeyError in line 39 of own_task.py: 'pulse'",
    ),
    "metric": (
        "predictions * unpack(arrays).targets > 0",
        "predictions * arrays['states'] > 0",
        "a metric fails on outputs that are all 0: KeyError in line 57 of own_task.py: 'states'",
    ),
    "shape": (
        "> 0, axis=(0, 2))",
        "> 0, axis=0)",
        "metric 'bits_held' returns shape (1000, 2), not one number for each of the 1000 trials",
    ),
    "names": ('Metric("bits_held"', 'Metric("mse"', "two metrics are named 'mse'; give each a name of its own"),
    "reserved name": (
        'Metric("bits_held"',
        'Metric("file"',
        "may contain only letters, digits, '_' and '-', and may not be 'file'",
    ),
    "floor": (
        "floor=0.5, ceiling=1.0",
        "floor=1.0, ceiling=1.0",
        "metric 'bits_held': floor and ceiling are both 1, but must differ",
    ),
    "floor as text": (
        "floor=0.5, ceiling=1.0",
        "floor='0.5', ceiling=1.0",
        "the floor of metric 'bits_held' must be a finite number, got '0.5'",
    ),
    "mask": (
        "np.ones((STEPS, 1, 1), np.float32)",
        "np.ones((STEPS,), np.float32)",
        "the mask has shape (40,), but must broadcast to (40, 16, 2), as [T, 1, 1] and [T, B, 1] do",
    ),
    "nothing returned": (
        "return _batch(pulses, jax",
        "_batch(pulses, jax",
        "training data 'train': a Batch(inputs, targets, mask) is needed, not NoneType",
    ),
    "steps": (
        "Phase(steps=20, batch_size=16)",
        "Phase(steps=20.0, batch_size=16)",
        "steps must be a whole number, got 20.0",
    ),
    "batch size": ("Phase(steps=20, batch_size=16)", "Phase(steps=20)", "its phases need a batch_size of at least 1"),
    "learning rate": (
        "validate_every=10,",
        "validate_every=10, learning_rate=-0.01,",
        "learning_rate must be above 0, got -0.01",
    ),
    "loss limit": (
        "validate_every=10,",
        "validate_every=10, loss_limit=float('inf'),",
        "loss_limit must be a finite number, got inf",
    ),
    "no file": (
        "Sampler(sample)",
        "Sampler(eval('lambda key, n: draw(key, n)', {'draw': sample}))",
        "which is not defined in a file",
    ),
}

# Factories `def model(spec, N)` with the functions `init` and `apply`, and the message.
MODEL = """
import jax, jax.numpy as jnp, nmbench

@nmbench.register_baseline("mine", free_size="N"{arguments})
def model(spec, N):
    def init(key):
        return {{"W": 0.1 * jax.random.normal(key, (spec.input_size, N)), "C": jnp.zeros((N, spec.output_size)){leaf}}}

    def apply(params, inputs):
        x = nmbench.concat_inputs(inputs) @ params["W"]
        return {outputs}

    return init, apply
"""
LOOP = "jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(c[1])), (0, x))[1] @ params['C']"
MODEL_MISTAKES = {
    "gradient": ({"outputs": LOOP}, "JAX cannot differentiate model 'mine' on element_finder: ValueError: Reverse-mode"),
    "complex": ({"outputs": "(x @ params['C']).astype(complex)"}, "'mine' returns complex numbers (complex64)"),
    "key": (
        {"leaf": ", 'fixed_key': key"},
        "'|fixed_key' has dtype key<fry>, which cannot be stored; store jax.random.key_data(key)",
    ),
    "rate": ({"arguments": ", learning_rates={'a/b': float('inf')}"}, "learning_rates['a/b'] is inf, but must be a finite"),
    "setting": ({"arguments": ", settings={'a/b': {'N': '20'}}"}, "settings['a/b']: N is the text '20'; write 20"),
}


@pytest.fixture
def restored():
    with TASKS.restored(), BASELINES.restored():
        yield


def resolve(model, task):
    session.resolve(Request(model=model, task=task, protocol="smoke"), [0])


@pytest.mark.parametrize("label", TASK_MISTAKES)
def test_a_mistake_in_a_task_is_one_line_before_training(tmp_path, restored, label):
    old, new, message = TASK_MISTAKES[label]
    text = (EXAMPLES / "own_task.py").read_text()
    assert text.count(old) == 1
    (tmp_path / "own_task.py").write_text(text.replace(old, new))
    shutil.copytree(EXAMPLES / "testsets", tmp_path / "testsets")
    with pytest.raises(NmbenchError, match=re.escape(message)):
        plugins.load(str(tmp_path / "own_task.py"))
        resolve("rnn", "two_bit_memory")


@pytest.mark.parametrize("label", MODEL_MISTAKES)
def test_a_mistake_in_a_model_is_one_line_before_training(tmp_path, restored, label):
    changes, message = MODEL_MISTAKES[label]
    usual = {"arguments": "", "leaf": "", "outputs": "jnp.tanh(x) @ params['C']"}
    (tmp_path / "mine.py").write_text(MODEL.format(**{**usual, **changes}))
    with pytest.raises(NmbenchError, match=re.escape(message)):
        plugins.load(str(tmp_path / "mine.py"))
        resolve("mine", "element_finder")
