"""The command `new`: the files that it writes pass `check`, and it overwrites nothing."""

import os
import sys

import pytest

from nmbench.conformance import MODEL_RULES, TASK_RULES, ModelUnderTest, TaskUnderTest, judge
from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder. Plugins of other tests are forgotten: each file registers only when it is loaded."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("nmbench_plugin_mine")]:
        del sys.modules[name]
    return tmp_path


def broken(rules, subject, left_out):
    return [(o.rule.id, o.findings) for o in judge([r for r in rules if r.id[:3] not in left_out], subject) if o.findings]


def test_a_new_model_passes_the_rules_for_models(nmbench, folder, toy_task):
    code, out, err = nmbench("new", "model", "mine_1")
    assert (code, err) == (0, "") and set(os.listdir(folder)) == {"mine_1.py", "testsets"}  # of the toy task
    assert out.startswith("mine_1.py written. Next:\n  python -m nmbench.check --plugin=mine_1.py\n")
    assert plugins.load("mine_1.py") == ["mine_1"]
    # The rules left out compile programs; the slow test below checks all.
    left_out = ("M05", "M06", "M07", "M08", "M09", "M14", "M16")
    assert broken(MODEL_RULES, ModelUnderTest.of("mine_1", ["toy"]), left_out) == []


def test_a_model_may_have_the_name_of_a_task(nmbench, folder, toy_task):
    assert nmbench("new", "model", "toy")[0] == 0
    assert plugins.load("toy.py") == ["toy"] and "toy" in BASELINES


def test_a_new_task_passes_the_rules_for_tasks(nmbench, folder):
    code, out, err = nmbench("new", "task", "mine_2")
    assert (code, err) == (0, "") and out.startswith("mine_2.py and its frozen sets in testsets/ written. Next:\n")
    assert sorted(os.listdir(folder / "testsets")) == ["manifest.json", "mine_2-v1-test.npz", "mine_2-v1-validation.npz"]
    assert broken(TASK_RULES, TaskUnderTest(TASKS.get("mine_2")), ("T08", "T16")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rules"), [("model", 18), ("task", 18)])
def test_the_command_check_passes_what_new_writes(nmbench, folder, kind, rules):
    assert nmbench("new", kind, f"mine_{kind}")[0] == 0
    for name in [name for name in sys.modules if name.startswith("nmbench_plugin_mine")]:
        del sys.modules[name]  # `new` has loaded the task
    TASKS.forget(f"mine_{kind}")
    code, out, err = nmbench("check", f"--plugin=mine_{kind}.py")
    assert (code, err) == (0, "") and f"{rules} rules: {rules} passed" in out, out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "write `nmbench new model NAME` or `nmbench new task NAME`"),
        (["core", "mine"], "write `nmbench new model NAME`"),
        (["model", "my model"], "'my model' cannot name a model: use a letter"),
        (["model", "../mine"], "cannot name a model"),
        (["task", "element_finder"], "there is already a task 'element_finder'; choose another name"),
        (["model", "jax"], "jax.py would hide the Python module 'jax'"),
        (["model", "there"], "there.py already exists"),
    ],
)
def test_bad_names_and_existing_files_are_refused(nmbench, folder, argv, message):
    (folder / "there.py").write_text("1")
    code, out, err = nmbench("new", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert os.listdir(folder) == ["there.py"] and (folder / "there.py").read_text() == "1"
