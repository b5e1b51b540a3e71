"""Every built-in task trains a built-in model under `smoke`, and the rows are valid."""

import importlib
import json

import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.results import csv_files
from nmbench.support import cli

# Without the semilinear LSTM: nothing bounds its states, and it diverges on some tasks.
MODELS = [entry.name for entry in BASELINES.entries() if entry.name != "semilinear_lstm"]
PAIRS = {
    (entry.name, "nmrnn" if entry.name == "multitask" else MODELS[2 * i % len(MODELS)])
    for i, entry in enumerate(TASKS.entries())
}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model"), sorted(PAIRS))
def test_models_train_on_tasks_under_smoke(capsys, tmp_path, task, model):
    run = importlib.import_module("nmbench.run")
    argv = [
        f"--task={task}",
        f"--model={model}",
        "--protocol=smoke",
        "--seeds=1",
        "--devices=1",
        f"--results_dir={tmp_path}",
    ]
    assert cli.call(run.main, run.FLAGS, run.__doc__, "nmbench.run", "", argv) == 0
    out = capsys.readouterr().out
    assert f"{task} v{TASKS.get(task).version}, protocol smoke, budget {TASKS.get(task).default_budget}" in out
    assert all(f"({label})" in out for label in TASKS.get(task).references)
    (row,) = csv_files.read_csv(tmp_path / "results.csv")
    assert row["status"] == "ok" and abs(row["params_dev"]) <= 0.05
    for metric in TASKS.get(task).metrics[1:]:
        assert row[f"metrics.{metric.name}"] is not None
        for stage in metric.stages:
            assert row[f"metrics.{metric.name}.{stage}"] is not None
    conditions = json.loads(row["conditions_json"])
    assert {m.name for m in TASKS.get(task).metrics if m.conditions} <= set(conditions)
