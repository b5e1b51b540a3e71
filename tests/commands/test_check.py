"""The command `check`, and the conformance test cases that users inherit."""

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
    assert len(names) == 16 and names[6] == "test_m07_causal" and Mine.test_m07_causal.__doc__
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


# The smoke rules are left out: test_smoke.py trains all models and tasks.
@pytest.mark.slow
def test_all_built_in_models_and_tasks_pass(nmbench):
    for entry in BASELINES.entries():
        rules = ",".join(rule.id for rule in conformance.MODEL_RULES if rule.id != "M16-smoke")
        code, out, err = nmbench("check", f"--model={entry.name}", f"--rules={rules}")
        assert (code, err) == (0, "") and "15 rules: 15 passed" in out, out
    rules = ",".join(rule.id for rule in conformance.TASK_RULES if rule.id != "T16-smoke")
    code, out, err = nmbench("check", *(f"--task={entry.name}" for entry in TASKS.entries()), f"--rules={rules}")
    assert (code, err) == (0, "") and out.count("15 rules: 15 passed") == len(TASKS), out
