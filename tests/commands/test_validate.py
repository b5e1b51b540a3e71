"""`validate` checks the configurations of rows as it checks their columns."""

import json

import pytest

from nmbench.results import csv_files
from support.mangled import base_rows

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
    "train_steps": 7,
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
