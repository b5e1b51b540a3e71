"""The command `check`, and the conformance test cases that users inherit."""

import sys
import textwrap
import unittest

import pytest

from nmbench import conformance
from nmbench.contracts.catalog import BASELINES, TASKS

GOOD = """
import jax, jax.numpy as jnp
from nmbench import register_baseline, concat_inputs, InputWeights

@register_baseline("pair", free_size="N", input_weights={"B": InputWeights(axis=0)})
def pair(spec, N: int):
    draw = lambda key: {"B": jax.random.normal(key, (spec.input_size, N)), "C": jnp.ones((N, spec.output_size))}
    return draw, lambda params, inputs: OUTPUTS
"""
CAUSAL = GOOD.replace("OUTPUTS", 'jnp.tanh(concat_inputs(inputs) @ params["B"]) @ params["C"]')
BACKWARDS = GOOD.replace("OUTPUTS", 'jnp.tanh(concat_inputs(inputs)[::-1] @ params["B"]) @ params["C"]')


@pytest.fixture
def plugin(tmp_path):
    def write(text):
        (tmp_path / "pair.py").write_text(text)
        return f"--plugin={tmp_path}/pair.py"

    return write


def test_findings_name_rule_observation_and_fix(nmbench, toy_task, plugin):
    code, out, err = nmbench("check", plugin(BACKWARDS), "--model=pair", "--task=toy", "--rules=M07")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "model pair (pair.py:5), run on toy"
    assert [line.split()[:2] for line in lines[1:7]] == [
        ["PASS", "M01-builds"],
        ["PASS", "M02-parameters"],
        ["PASS", "M03-outputs"],
        ["PASS", "M04-repeats"],
        ["PASS", "M05-trials"],
        ["FAIL", "M07-causal"],
    ]
    assert lines[7].startswith("        seen: outputs of toy up to step 0 change by ")
    assert lines[8].startswith("        fix:  the axes are [T, B, C]: scan forwards over the first")
    assert lines[9].startswith("6 rules: 5 passed, 1 failed; ")


def test_everything_that_a_plugin_registers_is_checked(nmbench, toy_task, plugin):
    code, out, err = nmbench("check", plugin(CAUSAL), "--rules=M01,M13,T01")
    assert (code, err) == (0, "") and "model pair" in out and "tasks\n" in out and "T01" not in out
    code, out, _ = nmbench("check", "--task=toy", "--rules=T01,T09")
    assert code == 0 and "task toy, version 1" in out and "2 rules: 2 passed" in out


def test_rules_of_another_kind_check_nothing_and_say_so(nmbench, toy_task, plugin):
    for argv, kind in (((plugin(CAUSAL), "--rules=T01"), "models"), (("--task=toy", "--rules=M01"), "tasks")):
        code, out, err = nmbench("check", *argv)
        assert (code, out, err.count("\n")) == (2, "", 1) and f"names no rule for {kind}; their rules begin with" in err


DEEP = """
import haiku as hk
import nmbench

@nmbench.register_baseline("pair", free_size="N")
def deep(spec, N: int, layers: int = 1):
    return hk.DeepRNN([*(hk.VanillaRNN(N) for _ in range(layers)), hk.Linear(spec.output_size)])
"""


def test_a_function_that_returns_a_core_is_shown_the_class_to_write_once(nmbench, toy_task, plugin):
    code, out, err = nmbench("check", plugin(DEEP), "--model=pair")
    assert (code, err) == (1, "") and out.count("fix:") == 1 and out.count("SKIP") == 1 and "17 skipped" in out
    assert "'pair' is a function that returns the module DeepRNN of Haiku" in out
    shown = textwrap.dedent(out[out.index("fix:") : out.index("SKIP")].partition("\n")[2])
    assert "class Model(hk.RNNCore):\n    def __init__(self, spec, N: int, layers=1):" in shown
    # The code that it shows is a model.
    BASELINES.forget("pair")
    for name in [name for name in sys.modules if name.startswith("nmbench_plugin_pair")]:
        del sys.modules[name]
    held = plugin(DEEP.replace('@nmbench.register_baseline("pair", free_size="N")', "") + shown)
    code, out, err = nmbench("check", held, "--model=pair", "--task=toy", "--rules=M01,M02,M03")
    assert (code, err) == (0, "") and "3 rules: 3 passed" in out, out


def test_a_model_that_takes_the_inputs_for_an_array_is_told_of_the_dict(nmbench, toy_task, plugin):
    text = GOOD.replace("OUTPUTS", 'inputs @ params["B"] @ params["C"]')
    code, out, _ = nmbench("check", plugin(text), "--model=pair", "--task=toy", "--rules=M03")
    assert code == 1 and "'dict'" in out and "nmbench.concat_inputs(inputs)" in " ".join(out.split())
    code, _, err = nmbench("run", "--model=pair", "--task=toy")
    assert code == 2 and err.count("\n") == 1 and "; the inputs of a task are a dict of arrays [T, B, C]; nmbench." in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "name what to check: --model=NAME, --task=NAME, or --plugin=FILE.py"),
        (["--model=lstmm"], "unknown model 'lstmm'; did you mean 'lstm'?"),
        (["--task=element"], "unknown task 'element'"),
        (["--model=rnn", "--task=element"], "unknown task 'element'"),
        (["--task=element_finder", "--rules=T99"], "--rules: there is no rule 'T99'"),
    ],
)
def test_bad_input_gives_one_line(nmbench, argv, message):
    code, out, err = nmbench("check", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err


def test_conformance_classes_have_one_test_per_rule(toy_task, plugin, tmp_path):
    """A subclass has one test per rule. The base class itself is skipped."""
    plugin(BACKWARDS)

    class Mine(conformance.ModelConformance):
        plugin, model, tasks = tmp_path / "pair.py", "pair", ("toy",)

    class Sets(conformance.TaskConformance):
        task = "toy"

    names = unittest.TestLoader().getTestCaseNames(Mine)
    assert len(names) == 18 and names[6] == "test_m07_causal" and Mine.test_m07_causal.__doc__
    assert not conformance.ModelConformance.__test__ and Mine.__test__
    with BASELINES.restored(), TASKS.restored():
        chosen = [Mine(name) for name in names[:7]] + [Sets("test_t02_frozen_sets"), Sets("test_t03_generator")]
        result = unittest.TestResult()
        unittest.TestSuite(chosen).run(result)
        assert result.testsRun == 9 and not result.errors and not result.skipped
        ((failed, text),) = result.failures
        assert failed.id().endswith("test_m07_causal") and "M07-causal: outputs of toy" in text and "fix:" in text
        skipped = unittest.TestResult()
        unittest.TestSuite([conformance.ModelConformance("test_m01_builds")]).run(skipped)
        assert skipped.skipped and not skipped.errors
        with pytest.warns(conformance.ConformanceWarning, match="no protocol 'smoke'"):
            unittest.TestSuite([Sets("test_t10_protocols")]).run(unittest.TestResult())


# Models with feedback, gates, complex numbers and layers. The others differ in their equations, which tests/baselines
# compares with loops, and in their sizes, which the golden file has. The smoke rules are left out: test_smoke.py trains
# models and tasks.
@pytest.mark.release
def test_built_in_models_and_tasks_pass(nmbench):
    for name in ("nmrnn", "lstm", "lru", "min_gru", "gain_rnn", "hyper_rnn", "stp_rnn"):
        rules = ",".join(rule.id for rule in conformance.MODEL_RULES if rule.id != "M16-smoke")
        code, out, err = nmbench("check", f"--model={name}", f"--rules={rules}")
        assert (code, err) == (0, "") and "15 rules: 15 passed" in out, out
    rules = ",".join(rule.id for rule in conformance.TASK_RULES if rule.id != "T16-smoke")
    code, out, err = nmbench("check", *(f"--task={entry.name}" for entry in TASKS.entries()), f"--rules={rules}")
    assert (code, err) == (0, "") and out.count("15 rules: 15 passed") == len(TASKS), out
