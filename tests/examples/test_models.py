"""The models and the task of examples/: they keep the contract, train, tune, log, resume and are reproduced."""

import importlib
import pathlib

import pytest
import safetensors.numpy

from nmbench import __main__, cli, plugins
from nmbench.catalog import BASELINES, TASKS
from nmbench.conformance import MODEL_RULES, TASK_RULES, ModelUnderTest, TaskUnderTest, judge
from nmbench.results import schema

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
MODELS = {"haiku_gru": "haiku_gru", "flax_lstm": "flax_model", "equinox_gru": "equinox_model"}
# Haiku and Flax add biases to matrices.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def nmbench(capsys):
    """Call a command, with JAX's ranks promoted as for a user; returns (exit code, stdout, stderr)."""
    import jax

    def call(name, *argv):
        module = importlib.import_module(f"nmbench.{name}")
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
        return code, *capsys.readouterr()

    with TASKS.restored(), BASELINES.restored(), jax.numpy_rank_promotion("allow"):
        yield call


def loaded(name: str) -> str:
    path = EXAMPLES / f"{name}.py"
    plugins.load(str(path))
    return f"--plugin={path}"


@pytest.mark.parametrize("file", MODELS.values())
def test_a_model_is_at_most_forty_lines(file):
    assert len((EXAMPLES / f"{file}.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize(("model", "file"), MODELS.items())
def test_a_model_fits_all_tasks(nmbench, model, file):
    """On paper: shapes, budgets, input weights, partitions."""
    with TASKS.restored(), BASELINES.restored():
        loaded(file)
        rules = [rule for rule in MODEL_RULES if rule.id[:3] in ("M01", "M11", "M12", "M13")]
        rules = [rule for rule in MODEL_RULES if rule.id[:3] == "M10"] + rules
        rules.sort(key=lambda rule: rule.id)
        outcomes = list(judge(rules, ModelUnderTest.of(model)))
        assert {o.rule.id: o.findings for o in outcomes} == {rule.id: () for rule in rules}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "file"), MODELS.items())
def test_a_model_trains_tunes_logs_and_is_reproduced(nmbench, tmp_path, model, file):
    plugin = f"--plugin={EXAMPLES / file}.py"
    task = f"--plugin={EXAMPLES / 'own_task'}.py"
    argv = [plugin, task, f"--model={model}", "--task=flip_flop", "--devices=1", f"--results_dir={tmp_path}/r"]
    code, _, err = nmbench("run", *argv, "--seeds=1", "--steps=10", "--tune", "--log=tensorboard")
    assert code == 0 and "chosen" in err, err
    (row,) = schema.read_csv(tmp_path / "r" / "results.csv")
    assert row["status"] == "ok" and row["tuning_trials"] == 15
    assert list((tmp_path / "r" / "logs").glob("**/events*"))
    stored = safetensors.numpy.load_file(tmp_path / "r" / "runs" / row["run_id"] / "params.safetensors")
    assert sum(a.size for a in stored.values()) == row["params_actual"]
    for source in ("training", "params"):
        code, out, err = nmbench("reproduce", row["run_id"], plugin, task, f"--results_dir={tmp_path}/r", f"--from={source}")
        assert code == 0 and "reproduced" in out, out + err


def test_the_task_is_what_its_generator_makes():
    rules = [rule for rule in TASK_RULES if rule.id[:3] not in ("T07", "T08", "T16")]
    with TASKS.restored():
        loaded("own_task")
        outcomes = list(judge(rules, TaskUnderTest(TASKS.get("flip_flop"))))
        assert {o.rule.id: o.findings for o in outcomes} == {rule.id: () for rule in rules}
