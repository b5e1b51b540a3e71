"""Mistakes in a user's file of a task or a model: one line before anything is trained or written."""

import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.parameters import flatten
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
        "metric 'bits_held' fails on outputs that are all 0: KeyError in line 57 of own_task.py: 'states'",
    ),
    "shape": (
        "> 0, axis=(0, 2))",
        "> 0, axis=0)",
        "metric 'bits_held' returns shape (1000, 2), not one number for each of the 1000 trials",
    ),
    "names": ('Metric("bits_held"', 'Metric("mse"', "two metrics are named 'mse'; give each a name of its own"),
    "number of trials": (
        "split: trials for split,",
        "split: trials + 1 for split,",
        "the validation set has 400 trials, but set_sizes declares 401",
    ),
    "version": ("version=1", "version=1.5", "version must be a whole number such as 1; got 1.5"),
    "metrics without a comma": (
        '        Metric("bits_held", _bits_held, higher_is_better=True, floor=0.5, ceiling=1.0),\n    ),',
        "    )[0],",
        "metrics must be a tuple such as (Metric(...),); got Metric(name='mse'",
    ),
    "phases without a comma": (
        "batch_size=16),)",
        "batch_size=16))",
        "'smoke': phases must be a tuple such as (Phase(...),)",
    ),
    "negative rate": ("batch_size=16", "batch_size=16, relative_rate=-1.0", "relative_rate cannot be negative, got -1.0"),
    "not finite": (
        'states.astype("float32"),',
        'states.astype("float32") * float("nan"),',
        "the validation set: targets are not finite; write 0 there",
    ),
    "empty mask": ("np.ones((STEPS, 1, 1)", "np.zeros((STEPS, 1, 1)", "the validation set: the mask selects nothing"),
    "changed predictions": (
        "return np.mean(predictions *",
        "predictions *= 2; return np.mean(predictions *",
        "metric 'bits_held' fails on outputs that are all 0: ValueError in line 57 of own_task.py: output array is "
        "read-only; other functions use the same array, so copy it before you change it",
    ),
    "reference": (
        'lambda arrays: arrays["pulses"].astype(np.float32)',
        'lambda arrays: arrays["pulses"][0]',
        "the reference 'the pulse alone' fails: outputs have shape (1000, 2), the task needs [T, B, O] = (40, 1000, 2)",
    ),
    "reference that is no function": (
        'lambda arrays: arrays["pulses"].astype(np.float32)',
        "np.zeros(3)",
        'references must be a dict of functions such as {"chance": lambda arrays: ...}',
    ),
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
import jax, jax.numpy as jnp, numpy as np, nmbench

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
    "if": (
        {"outputs": "x @ params['C'] if x.sum() > 0 else 0"},
        "Attempted boolean conversion of traced array with shape bool[].; use jnp.where or jax.lax.cond instead of `if`",
    ),
    "NumPy": ({"outputs": "np.tanh(x) @ params['C']"}, "use jax.numpy instead of NumPy"),
    "two results": ({"outputs": "x @ params['C'], params"}, "'mine' returns a tuple; it must return the outputs alone"),
    "learning rates": (
        {"arguments": ", learning_rates={'mwg': 0.1}"},
        "learning_rates['mwg']: the key must be 'task/protocol', such as 'mwg/matched'",
    ),
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


CORE = """
import haiku as hk, jax.numpy as jnp, nmbench

@nmbench.register_baseline("mine", free_size="N")
class Mine({base}):
    def __init__(self, spec, N: int):
        super().__init__({given})
        self.N, self.spec = N, spec
{body}
"""
LAYERS = """
        self.layers = [self.learned("W", (N, N), 1.0) for _ in range(3)]
    def input_map(self, inputs): return self.concat(inputs)
    def initial_state(self, batch_size): return jnp.zeros((self.N, batch_size))
    def step(self, x, v_t): return x + v_t.sum()
    def readout(self, x): return x[:, :1]
"""
SWAPPED = """
        self.gru = hk.GRU(N)
    def initial_state(self, batch_size): return self.gru.initial_state(batch_size)
    def __call__(self, u, state): return self.gru(u, state)[1], hk.Linear(1)(state)
"""
NOISY = SWAPPED.replace(
    "return self.gru(u, state)[1], hk.Linear(1)(state)", "return hk.dropout(hk.next_rng_key(), 0.5, u), state"
)
CORE_MISTAKES = {
    "layers": (
        "nmbench.Core",
        LAYERS,
        "'W' several times in line 10; name every parameter differently (in a loop f\"W{i}\")",
    ),
    "swapped": ("hk.RNNCore", SWAPPED, "__call__ of an hk.RNNCore must return (outputs [B, O], next state)"),
    "noise": ("hk.RNNCore", NOISY, "apply gets no random key: remove noise and dropout"),
}


@pytest.mark.parametrize("label", CORE_MISTAKES)
def test_a_mistake_in_a_class_is_one_line_before_training(tmp_path, restored, label):
    base, body, message = CORE_MISTAKES[label]
    given = "spec" if base == "nmbench.Core" else ""
    (tmp_path / "mine.py").write_text(CORE.format(base=base, given=given, body=body))
    with pytest.raises(NmbenchError, match=re.escape(message)):
        plugins.load(str(tmp_path / "mine.py"))
        session.resolve(Request(model="mine", task="element_finder", protocol="smoke", hparams={"N": 4}), [0])


STEP = """
        self.hidden = hk.Linear(N)
        self.C = self.learned("C", (spec.output_size, N), 1.0)
    def input_map(self, inputs): return self.concat(inputs)
    def initial_state(self, batch_size): return jnp.ones((self.N, batch_size))
    def step(self, x, v_t): return jnp.tanh(self.hidden(jnp.concatenate([x, v_t]).T).T)
    def readout(self, x): return self.C @ x
"""


@pytest.mark.parametrize("remat", [False, True])
def test_step_may_call_a_module_of_haiku(tmp_path, restored, remat):
    """The module makes its parameters at the first call, which must not be inside the scan over steps."""
    (tmp_path / "mine.py").write_text(CORE.format(base="nmbench.Core", given="spec", body=STEP))
    plugins.load(str(tmp_path / "mine.py"))
    spec = TASKS.get("element_finder").spec
    model = BASELINES.get("mine").build(spec, {"N": 4}, remat)
    params = jax.jit(model.init)(jax.random.key(0))
    assert {name: leaf.shape for name, leaf in flatten(params).items()} == {
        "mine/~/linear|w": (5, 4), "mine/~/linear|b": (4,), "mine|C": (1, 4),
    }  # fmt: skip
    inputs = {"sensory": np.random.RandomState(0).randn(26, 3, 1).astype(np.float32)}
    x, (w, b, C) = (
        np.ones((3, 4)),
        (np.asarray(flatten(params)[name]) for name in ("mine/~/linear|w", "mine/~/linear|b", "mine|C")),
    )
    expected = []
    for u in inputs["sensory"]:
        x = np.tanh(np.concatenate([x, u], axis=1) @ w + b)
        expected.append(x @ C.T)
    np.testing.assert_allclose(jax.jit(model.apply)(params, inputs), expected, rtol=1e-4, atol=1e-5)
