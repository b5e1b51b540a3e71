"""The models and the task in examples/: they pass the conformance rules, train, tune, log and are reproduced."""

import importlib
import json
import pathlib
import sys

import jax
import pytest
import safetensors.numpy

from nmbench import __main__
from nmbench.conformance import MODEL_RULES, TASK_RULES, ModelUnderTest, TaskUnderTest, judge
from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.results import csv_files
from nmbench.support import cli

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
MODELS = {"haiku_gru": "haiku_gru", "flax_lstm": "flax_model", "equinox_gru": "equinox_model"}
# Flax and Equinox themselves cause these warnings with the newest JAX.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def nmbench(capsys):
    """A function that calls a command with JAX's default rank promotion and returns (exit code, stdout, stderr)."""

    def call(name, *argv):
        module = importlib.import_module(f"nmbench.{name}")
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
        return code, *capsys.readouterr()

    forget()
    with TASKS.restored(), BASELINES.restored(), jax.numpy_rank_promotion("allow"):
        yield call
    forget()


def forget() -> None:
    """Forget loaded plugins: a plugin registers only when it is loaded, and the registries have been restored."""
    for name in [name for name in sys.modules if name.startswith("nmbench_plugin_")]:
        del sys.modules[name]


def load(name: str) -> None:
    forget()
    plugins.load(str(EXAMPLES / f"{name}.py"))


@pytest.mark.parametrize("file", MODELS.values())
def test_a_model_is_at_most_forty_lines(file):
    assert len((EXAMPLES / f"{file}.py").read_text().splitlines()) <= 40


@pytest.mark.slow
@pytest.mark.parametrize(("model", "file"), MODELS.items())
def test_a_model_fits_all_tasks(model, file):
    """Check shapes, budgets, input weights and partitions without training."""
    # Flax adds vectors of biases to matrices, which needs rank promotion.
    with TASKS.restored(), BASELINES.restored(), jax.numpy_rank_promotion("allow"):
        load(file)
        rules = [rule for rule in MODEL_RULES if rule.id[:3] in ("M01", "M10", "M11", "M12", "M13")]
        outcomes = list(judge(rules, ModelUnderTest.of(model)))
        assert {o.rule.id: o.findings for o in outcomes} == {rule.id: () for rule in rules}


@pytest.mark.parametrize(
    ("model", "file"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] == "flax_lstm" else pytest.mark.release) for one in MODELS.items()],
)
def test_a_model_trains_tunes_logs_and_is_reproduced(nmbench, tmp_path, model, file):
    plugin = f"--plugin={EXAMPLES / file}.py"
    task = f"--plugin={EXAMPLES / 'own_task'}.py"
    argv = [plugin, task, f"--model={model}", "--task=two_bit_memory", "--devices=1", f"--results_dir={tmp_path}/r"]
    code, _, err = nmbench("run", *argv, "--seeds=1", "--steps=10", "--tune", "--log=tensorboard")
    assert code == 0 and "chosen" in err, err
    (row,) = csv_files.read_csv(tmp_path / "r" / "results.csv")
    assert row["status"] == "ok" and row["tuning_trials"] >= 50
    assert list((tmp_path / "r" / "logs").glob("**/events*"))
    stored = safetensors.numpy.load_file(tmp_path / "r" / "runs" / row["run_id"] / "params.safetensors")
    assert sum(a.size for a in stored.values()) == row["params_actual"]
    for source in ("training", "params"):
        code, out, err = nmbench("reproduce", row["run_id"], plugin, task, f"--results_dir={tmp_path}/r", f"--from={source}")
        assert code == 0 and "reproduced" in out, out + err


@pytest.mark.parametrize(("file", "task"), [("own_task", "two_bit_memory"), ("decision_task", "noisy_choice")])
def test_the_example_tasks_pass_the_task_rules(file, task):
    rules = [rule for rule in TASK_RULES if rule.id[:3] not in ("T07", "T08", "T16")]
    with TASKS.restored():
        load(file)
        outcomes = list(judge(rules, TaskUnderTest(TASKS.get(task))))
        assert {o.rule.id: o.findings for o in outcomes} == {rule.id: () for rule in rules}


@pytest.mark.slow
def test_cross_entropy_trains_a_decision_and_is_part_of_the_configuration(nmbench, tmp_path):
    plugin, folder = f"--plugin={EXAMPLES / 'decision_task'}.py", f"--results_dir={tmp_path}/r"
    code, out, err = nmbench("check", plugin)
    assert code == 0, out + err
    argv = ["--model=lstm", "--task=noisy_choice", "--steps=300", "--seeds=1", "--learning_rate=0.03", "--devices=1"]
    code, _, err = nmbench("run", plugin, *argv, folder)
    assert code == 0, err
    (row,) = csv_files.read_csv(tmp_path / "r" / "results.csv")
    assert row["value"] > 0.8 and row["metrics.cross_entropy"] == pytest.approx(row["validation_loss"], rel=0.5)
    assert json.loads(row["config_json"])["loss"] == "cross_entropy"
    assert nmbench("validate", f"{tmp_path}/r/results.csv")[0] == 0
    code, out, err = nmbench("reproduce", row["run_id"], plugin, folder)
    assert code == 0 and "reproduced" in out, out + err
