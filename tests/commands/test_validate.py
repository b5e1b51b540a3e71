"""`validate` checks the configurations of rows as it checks their columns."""

import json
import pathlib

import pytest

from nmbench.contracts.metrics import scores
from nmbench.experiments.configuration import Configuration
from nmbench.results import csv_files, packs
from support.mangled import base_rows

BOARD = pathlib.Path(__file__).parents[2] / "results" / "board"
BROKEN = {
    "'budget' is missing": lambda config: config.pop("budget"),
    "'hparams.N', the size of nmrnn, is missing": lambda config: config.update(hparams={"K": 3}),
    "'hparams' is '{'N': [5]}'": lambda config: config.update(hparams={"N": [5]}),
    "'hparams.N' is '1000": lambda config: config["hparams"].update(N=10**400),
    "'protocol.phases.0.steps' is '1000": lambda config: config["protocol"]["phases"][0].update(steps=10**400),
}

CONTRADICTIONS = {
    "seed": 17,
    "task": "nosuch",
    "protocol": "paper",
    "learning_rate": 0.5,
    "train_steps": 20_001,
    "run_id": "a.s1.b",
}


def test_complete_rows_and_rows_of_models_trained_elsewhere_are_valid(nmbench, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(csv_files.to_csv(base_rows()))
    assert nmbench("validate", str(path)) == (0, f"{path}: 7 valid rows\n", "")


def test_empty_lines_at_the_end_do_not_matter(nmbench, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(csv_files.to_csv(base_rows()) + "\n\n")
    assert nmbench("validate", str(path)) == (0, f"{path}: 7 valid rows\n", "")


@pytest.mark.parametrize(("column", "value"), CONTRADICTIONS.items())
def test_columns_that_contradict_the_configuration_are_refused(nmbench, tmp_path, column, value):
    path, rows = tmp_path / "r.csv", base_rows()
    rows[1] |= {column: value, "tuning_trials": 0, "tuning_json": None}
    path.write_text(csv_files.to_csv(rows))
    code, out, err = nmbench("validate", str(path))
    assert (code, out) == (2, "") and err.count("\n") == 1 and f"its config_json disagree on {column}" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"floor": 1e6, "score": 99.999}, "column 'floor': it is 1000000.0, but must be 36.6"),
        ({"params_actual": 505, "params_dev": 0.01}, "column 'params_actual': it is 505, but must be 496"),
        ({"n_test": 7}, "column 'n_test': it is 7, but must be 10000"),
        ({"departures": "steps 5, not 6"}, "column 'departures': it is 'steps 5, not 6', but must be None"),
        ({"value": -0.5}, "column 'value': -0.5 is below 0, a perfect answer"),
        ({"metrics.bogus": 1.0}, "the task has no metric for column 'metrics.bogus'"),
    ],
)
def test_columns_that_contradict_the_task_are_refused(nmbench, tmp_path, changes, message):
    path = tmp_path / "r.csv"
    rows = csv_files.read_csv(BOARD / "element_finder.csv")[:3]
    rows[1] |= changes
    rows[1]["score"] = float(scores(rows[1]["value"], rows[1]["floor"], rows[1]["ceiling"]))
    path.write_text(csv_files.to_csv(rows))
    code, out, err = nmbench("validate", str(path))
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err and rows[1]["run_id"] in err


def test_trials_of_a_run_folder_are_compared_with_its_row(nmbench, tmp_path):
    rows = csv_files.read_csv(BOARD / "element_finder.csv")[:1]
    packs.unpack(rows, BOARD / "element_finder.safetensors", tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    assert nmbench("validate", str(run))[0] == 0
    row = json.loads((run / "row.json").read_text())
    row["value"] /= 2
    row["score"] = float(scores(row["value"], row["floor"], row["ceiling"]))
    (run / "row.json").write_text(json.dumps(row))
    code, out, err = nmbench("validate", str(run))
    assert (code, out) == (2, "") and "one of them was changed after the run" in err


def test_a_folder_without_figures_is_not_verified(nmbench, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(csv_files.to_csv(base_rows()))
    code, out, err = nmbench("validate", str(path), f"--figures={tmp_path}")
    assert (code, out) == (2, "") and err.endswith("the folder has no figure of nmbench\n")


@pytest.mark.parametrize("message", BROKEN)
def test_an_incomplete_configuration_is_refused(nmbench, tmp_path, message):
    path, rows = tmp_path / "r.csv", base_rows()
    config = json.loads(rows[1]["config_json"])
    BROKEN[message](config)
    rows[1]["config_json"] = json.dumps(config)
    path.write_text(csv_files.to_csv(rows))
    code, out, err = nmbench("validate", str(path))
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"nmbench.validate: {path}, run {rows[1]['run_id']}, column 'config_json': ")
    assert message in err.replace('"', "'")


@pytest.mark.parametrize(("hparams", "message"), [({"N": "abc"}, "N"), ({"N": 10**9}, "is too large"), ({"Q": 3}, "'Q'")])
def test_hyperparameters_that_no_model_can_have_are_refused(nmbench, tmp_path, hparams, message):
    """The run id fits the configuration, so that only the number of parameters shows it."""
    path = tmp_path / "r.csv"
    rows = csv_files.read_csv(BOARD / "element_finder.csv")[:1]
    config = json.loads(rows[0]["config_json"])
    config["hparams"] |= hparams
    configuration = Configuration.from_json(json.dumps(config))
    rows[0] |= {"config_json": configuration.to_json(), "run_id": configuration.run_id}
    path.write_text(csv_files.to_csv(rows))
    code, out, err = nmbench("validate", str(path))
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert err.startswith(f"nmbench.validate: {path}, run {rows[0]['run_id']}, column 'config_json': ")
