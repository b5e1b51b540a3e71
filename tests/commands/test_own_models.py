"""Models and tasks of users as plugins: optional parts, one-line errors, and the example in CONTRIBUTING.md."""

import os
import pathlib
import re

import pytest

from nmbench.results import csv_files
from support.mangled import base_rows

ROOT = pathlib.Path(__file__).parents[2]


PAIR = """
import jax.numpy as jnp
from nmbench import register_baseline

@register_baseline("pair", free_size="N")
def pair(spec, N: int):
    outputs = lambda params, inputs: jnp.tanh(inputs["sensory"] @ params["B"]) @ params["C"]
    return lambda key: {"B": jnp.ones((3, N)), "C": jnp.ones((N, spec.output_size))}, outputs
"""


def test_a_model_without_partitions_or_scan_trains_or_gives_one_line(nmbench, tmp_path):
    plugin = tmp_path / "pair.py"
    plugin.write_text(PAIR)
    argv = ["--model=pair", f"--plugin={plugin}", f"--results_dir={tmp_path}/r"]
    for more, message in (
        (["--task=multitask"], "model 'pair' has no partition 'input_weights', which this protocol trains"),
        (["--task=delay_pro", "--remat"], "'pair' has its own apply"),
    ):
        code, out, err = nmbench("run", *argv, *more)
        assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
        assert os.listdir(tmp_path) == ["pair.py"]
    assert nmbench("run", *argv, "--task=delay_pro", "--protocol=smoke", "--seeds=1", "--devices=1")[0] == 0


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
def test_a_parameter_that_is_not_a_real_float_gives_one_line(nmbench, tmp_path, dtype):
    """An example is a counter in an Equinox module. A parameter named fixed_... may have any dtype."""
    plugin = tmp_path / "counting.py"
    plugin.write_text(PAIR.replace('{"B":', f'{{"count": jnp.zeros((), "{dtype}"), "B":'))
    argv = ["--model=pair", f"--plugin={plugin}", f"--results_dir={tmp_path}/r", "--task=delay_pro", "--resolve_only"]
    code, out, err = nmbench("run", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert f"parameter '|count' has dtype {dtype}, but only real floats can be learned" in err
    kept = tmp_path / "kept.py"
    kept.write_text(plugin.read_text().replace('"count"', '"fixed_count"').replace('"pair"', '"kept"'))
    assert nmbench("run", "--model=kept", f"--plugin={kept}", *argv[2:])[0] == 0


VARIANT = """
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.registration import register_task
from nmbench.tasks.measure_wait_go import attributes

register_task(
    "mwg_mine", version=1, summary="my intervals", default_budget=1000,
    protocols=(Protocol(name="matched", phases=(Phase(steps=10),)),),
    **attributes(%s),
)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "'delay', (12, 45), (13,)",
            "interval 45 with t_measure 15 and delay 10 ends its ramp at step 115, after the last step, 109: the interval "
            "can be at most 42",
        ),
        ("'delay', (12, 0), (13,)", "interval must lie in 1..109 steps, got 0"),
        ("'t_wait', (12,), (13,)", "varying must be 't_measure' or 'delay', not 't_wait'"),
        ("'delay', (12.5,), (13,)", "interval must be a whole number of steps"),
    ],
)
def test_an_interval_that_does_not_fit_gives_one_line(nmbench, tmp_path, arguments, message):
    plugin = tmp_path / "variant.py"
    plugin.write_text(VARIANT % arguments)
    code, out, err = nmbench("run", "--model=nmrnn", "--task=mwg_mine", f"--plugin={plugin}", f"--results_dir={tmp_path}/r")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == ["variant.py"]


@pytest.mark.slow
def test_a_users_variant_of_a_task_is_frozen_and_run(nmbench, tmp_path):
    plugin = tmp_path / "variant.py"
    plugin.write_text(VARIANT % "'delay', (12, 20), (13,)")
    code, _, err = nmbench("run", "--model=rnn", "--task=mwg_mine", f"--plugin={plugin}", f"--results_dir={tmp_path}/r")
    assert code == 2 and f"make it with python -m nmbench.freeze --task=mwg_mine --plugin={plugin}" in err
    assert nmbench("freeze", "--task=mwg_mine", f"--plugin={plugin}")[0] == 0
    code, out, err = nmbench(
        "run",
        "--model=rnn",
        "--task=mwg_mine",
        f"--plugin={plugin}",
        f"--results_dir={tmp_path}/r",
        "--seeds=1",
        "--devices=1",
    )
    assert code == 0 and "(interval clamped to [12, 18])" in out, err


def contributed_model() -> str:
    """The first Python block of CONTRIBUTING.md."""
    return re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S).group(1)


@pytest.mark.slow
def test_the_model_of_contributing_runs_as_a_plugin_and_enters_the_leaderboard(nmbench, tmp_path):
    source = contributed_model()
    assert len(source.splitlines()) <= 40
    plugin = tmp_path / "my_model.py"
    plugin.write_text(source)
    (name,) = re.findall(r'register_baseline\(\s*"(\w+)"', source)
    folder = tmp_path / "results"
    argv = [f"--model={name}", "--task=element_finder", f"--plugin={plugin}", f"--results_dir={folder}"]
    code, out, err = nmbench("run", *argv, "--steps=20", "--seeds=1", "--devices=1")
    assert code == 0, err
    assert name in out
    (row,) = csv_files.read_csv(folder / "results.csv")
    assert row["model_origin"].startswith("my_model.py:") and abs(row["params_dev"]) <= 0.05
    code, out, _ = nmbench("leaderboard", str(folder))
    assert code == 0 and re.search(rf"^ +{name} ", out, re.M)
    argv[1] = "--task=multitask"
    # The model has every partition that retraining needs.
    code, out, err = nmbench("run", *argv, "--protocol=smoke", "--resolve_only")
    assert code == 0 and f"{name} on multitask" in err, err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise GeneratorExit", "GeneratorExit in line 1:"),
        ("class E(BaseException): pass\nraise E('no')", "E in line 2: no"),
        ("class E(Exception):\n  def __str__(self): raise ValueError\nraise E", "E in line 3: (no message)"),
        ("raise ValueError('\\x1b[31m\\ud800')", r"ValueError in line 1: \x1b[31m\ud800"),
    ],
)
def test_any_exception_of_a_plugin_gives_one_line(nmbench, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    code, out, err = nmbench("list", f"--plugin={tmp_path}/mine.py")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err


def test_the_row_of_a_plugin_needs_the_plugin(nmbench, tmp_path):
    """The message names the flag, and not a built-in model with a similar name."""
    path, (row, *_) = tmp_path / "theirs.csv", base_rows()
    for changes, message in (
        (
            {"model": "nmrnn_2", "model_origin": "their_model.py:7"},
            "its model 'nmrnn_2', registered by their_model.py:7, is not",
        ),
        ({}, "its task 'made_up' is not registered here"),
    ):
        path.write_text(csv_files.to_csv([row | changes]))
        code, out, err = nmbench("reproduce", f"{path}:1")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert message in err and "--plugin=FILE.py" in err and "did you mean" not in err


STATES = """
import jax.numpy as jnp
import nmbench

@nmbench.register_baseline("states", free_size="N")
class States(nmbench.Core):
    def __init__(self, spec, N: int):
        super().__init__(spec)
        self.N = N
        self.B = self.learned("B", (N, spec.input_size), 0.1)
        self.C = self.learned("C", (spec.output_size, N), 0.1)

    def input_map(self, inputs):
        return self.B @ self.concat(inputs)

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size)), jnp.zeros((self.N, batch_size))

    def step(self, state, v_t):
        x, m = state
        return 0.5 * x + v_t, m

    def readout(self, states):
        return self.C @ states[0]
"""
SLIPS = {
    'self.learned("C", (spec.output_size, N)->self.learned("B", (N, spec.input_size)': (
        "States makes a parameter 'B' in line 10 and again in line 11; name every parameter differently"
    ),
    "return 0.5 * x + v_t, m->return 0.5 * x + v_t": (
        "States.step must return a state like that of initial_state: initial_state returns (float32[256, 1], "
        "float32[256, 1]), step float32[256, 1]"
    ),
    "0.5 * x + v_t, m->0.5 * x + v_t, m[0]": "step (float32[256, 1], float32[1])",
    'self.learned("B"->self.learned("fixed_B"': "States learns 'fixed_B', but names that start with fixed_ are fixed",
    "self.N = N->self.N = self.M": "AttributeError in line 9 of states.py: 'States' object has no attribute 'M'",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_a_core_is_named(nmbench, tmp_path, slip):
    (tmp_path / "states.py").write_text(STATES.replace(*slip.split("->")))
    argv = [f"--plugin={tmp_path}/states.py", "--model=states", "--task=element_finder", f"--results_dir={tmp_path}/r"]
    code, out, err = nmbench("run", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and SLIPS[slip] in err


def test_check_of_a_plugin_on_one_task_checks_its_model(nmbench, tmp_path):
    (tmp_path / "states.py").write_text(f"import pathlib\n{STATES}")
    argv = [f"--plugin={tmp_path}/states.py", "--task=element_finder", "--rules=M01"]
    code, out, _ = nmbench("check", *argv)
    assert code == 0 and out.startswith("model states (states.py:6), run on element_finder\n")
    assert "note: `nmbench submit` would refuse this file: states.py, line 1: it imports 'pathlib'" in out


def test_check_reports_a_slip_once_and_not_for_every_task(nmbench, tmp_path):
    (tmp_path / "states.py").write_text(STATES.replace("self.learned", "self.lerned"))
    code, out, _ = nmbench("check", f"--plugin={tmp_path}/states.py", "--rules=M01")
    assert code == 1 and out.count("seen:") == 1 and "mend the code that the message names" in out
