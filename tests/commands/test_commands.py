"""Every command as a user types it, in process: what it prints, its exit code, and what it writes."""

import json
import os
import pathlib
import re

import numpy as np
import pytest

from nmbench import __main__
from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.results import schema

ROOT = pathlib.Path(__file__).parents[2]


SMALL = ("--steps=20", "--seeds=2", "--hparams=N=4,M=2,K=2")


def run_small(nmbench, folder, *extra):
    return nmbench("run", "--model=nmrnn", "--task=element_finder", f"--results_dir={folder}", *SMALL, *extra)


def test_run_trains_records_prints_and_skips(nmbench, tmp_path):
    code, out, err = run_small(nmbench, tmp_path)
    assert code == 0, err
    assert "element_finder v1, protocol matched, given sizes" in out
    assert "(chance (always 0))" in out and "(perfect)" in out
    runs = sorted((tmp_path / "runs").iterdir())
    assert [re.sub(r"[0-9a-f]{12}$", "", p.name) for p in runs] == [
        "nmrnn.element_finder.matched.s0.",
        "nmrnn.element_finder.matched.s1.",
    ]
    rows = schema.read_csv(tmp_path / "results.csv")
    assert [row["seed"] for row in rows] == [0, 1]
    for row, folder in zip(rows, runs, strict=True):
        config = json.loads(row["config_json"])
        assert config["hparams"]["N"] == 4 and config["protocol"]["phases"][0]["steps"] == 20
        assert row["params_target"] is None and row["train_steps"] == row["selected_step"] == 20
        assert len(json.loads(row["conditions_json"])["mse"]) == 25
        with np.load(folder / "per_trial.npz", allow_pickle=False) as file:
            assert file["mse"].shape == (10000,)
            assert file["mse"].mean() == pytest.approx(row["value"], rel=1e-12)
    assert rows[0]["value"] != rows[1]["value"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("row.json")}
    code, out, err = run_small(nmbench, tmp_path)
    assert code == 0 and "2 of 2 runs are in" in err and "protocol matched" in out
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("row.json")} == before
    code, out, err = run_small(nmbench, tmp_path, "--force")
    assert code == 0
    again = schema.read_csv(tmp_path / "results.csv")
    assert [r["value"] for r in again] == [r["value"] for r in rows]
    assert all(p.stat().st_mtime_ns != before[p] for p in tmp_path.rglob("row.json"))
    # More seeds go on with the rest.
    code, out, err = nmbench(
        "run", "--model=nmrnn", "--task=element_finder", f"--results_dir={tmp_path}", "--steps=20", "--seeds=3", SMALL[2]
    )
    assert code == 0 and "2 of 3 runs are in" in err
    assert len(schema.read_csv(tmp_path / "results.csv")) == 3


def test_tune_chooses_on_validation_data_and_is_recorded(nmbench, tmp_path):
    code, _, err = run_small(nmbench, tmp_path, "--tune")
    assert code == 0, err
    (record_file,) = (tmp_path / "tuning").glob("*.json")
    record = json.loads(record_file.read_text())
    assert record["grid"] == [0.001, 0.003, 0.01, 0.03, 0.1] and record["seeds"] == [1000, 1001, 1002]
    losses = np.array(record["validation_losses"])
    assert losses.shape == (5, 3)
    # Rates matter: no two rates end alike.
    assert len({tuple(row) for row in losses.tolist()}) == 5
    assert record["chosen"] == record["grid"][int(np.argmin(losses.mean(axis=1)))]
    rows = schema.read_csv(tmp_path / "results.csv")
    assert {row["learning_rate"] for row in rows} == {record["chosen"]}
    assert {row["tuning_trials"] for row in rows} == {15}
    assert json.loads(rows[0]["tuning_json"])["grid"] == record["grid"]
    stamp = record_file.stat().st_mtime_ns
    code, _, err = run_small(nmbench, tmp_path, "--tune")
    assert code == 0 and "2 of 2 runs are in" in err
    assert record_file.stat().st_mtime_ns == stamp


def test_divergence_is_a_row_and_exit_code_one(nmbench, tmp_path):
    code, out, err = run_small(nmbench, tmp_path, "--learning_rate=1e30")
    assert code == 1
    assert "2 (2 diverged)" in out and "seed 0: diverged: the loss was not a number or above 1e+08" in err
    rows = schema.read_csv(tmp_path / "results.csv")
    assert [row["status"] for row in rows] == ["diverged"] * 2 and rows[0]["value"] is None


def test_leaderboard_and_validate_read_what_run_wrote(nmbench, tmp_path):
    assert run_small(nmbench, tmp_path)[0] == 0
    csv_file = str(tmp_path / "results.csv")
    for path in (csv_file, str(tmp_path)):
        code, out, _ = nmbench("leaderboard", path)
        assert code == 0 and "497" not in out and "(perfect)" in out
        code, out, _ = nmbench("validate", path)
        assert code == 0 and out == f"{path}: 2 valid rows\n"
    code, out, _ = nmbench("leaderboard", csv_file, "--format=markdown")
    assert code == 0 and out.startswith("## element\\_finder v1") and "\n|" in out
    code, out, err = nmbench("leaderboard", csv_file, "--task=element_findr")
    assert code == 2 and "did you mean 'element_finder'" in err


BAD_RUNS = {
    "unknown model": (["--model=nmrn"], "unknown model 'nmrn'; did you mean 'nmrnn'?"),
    "unknown task": (["--task=element_findr"], "unknown task 'element_findr'; did you mean 'element_finder'?"),
    "no model": (["--model="], "--model is missing"),
    "unknown variant of a task": (["--task=mwg_rank3_cod"], "did you mean 'mwg_rank3_code'?"),
    "unknown protocol": (["--protocol=papr"], "has no protocol 'papr'; did you mean 'paper'?"),
    "budget too small": (["--budget=10"], "a budget of 10 is too small for nmrnn"),
    "budget zero": (["--budget=0"], "--budget"),
    "negative budget": (["--budget=-5"], "--budget"),
    "negative seeds": (["--seeds=-1"], "--seeds"),
    "no seeds": (["--seeds=0"], "--seeds"),
    "seeds in words": (["--seeds=ten"], "--seeds"),
    "half a step": (["--steps=1.5"], "--steps"),
    "negative first seed": (["--first_seed=-1"], "--first_seed"),
    "rate in words": (["--learning_rate=fast"], "--learning_rate"),
    "rate zero": (["--learning_rate=0"], "--learning_rate must be positive"),
    "rate nan": (["--learning_rate=nan"], "--learning_rate must be positive"),
    "rate and tune": (["--learning_rate=0.1", "--tune"], "one of --tune and --learning_rate"),
    "tuning a fixed recipe": (["--protocol=paper", "--tune"], "declares no grid"),
    "seeds that tuning uses": (["--tune", "--first_seed=995"], "seed 1000 is one that tuning uses"),
    "unknown flag": (["--modle=nmrnn"], "Unknown command line flag 'modle'"),
    "stray word": (["nmrnn"], "unexpected argument 'nmrnn'"),
    "malformed hparams": (["--hparams=M5"], "'M5' is not of the form K=V"),
    "repeated hparam": (["--hparams=M=5,M=6"], "'M' is given twice"),
    "unknown hparam": (["--hparams=Q=5"], "no hyperparameter 'Q'"),
    "hparam in words": (["--hparams=M=five"], "nmrnn.M wants a int, got 'five'"),
    "size zero": (["--hparams=N=0"], "nmrnn.N must be at least 1"),
    "negative size": (["--hparams=N=5,M=-3"], "nmrnn"),
    "time constant below a step": (["--hparams=tau_x=0.5"], "time constant"),
    "size off the budget": (["--hparams=N=40", "--budget=500"], "off the budget of 500"),
    "results folder is a file": (["--results_dir=/etc/passwd"], "cannot be written"),
    "results folder in /proc": (["--results_dir=/proc/results"], "cannot be written"),
    "no such plugin": (["--plugin=missing.py"], "no such Python file"),
    "too many devices": (["--devices=100000"], "--devices=100000"),
}


@pytest.mark.parametrize("label", BAD_RUNS)
def test_bad_input_is_one_line_code_two_and_writes_nothing(nmbench, tmp_path, monkeypatch, label):
    monkeypatch.chdir(tmp_path)
    argv, message = BAD_RUNS[label]
    code, out, err = nmbench("run", "--model=nmrnn", "--task=element_finder", *argv)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("nmbench.run: "), err
    assert message in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("def f(:\n", "syntax error in line 1"), ("x = 1\n", "registers nothing"), ("1/0\n", "ZeroDivisionError in line 1")],
)
def test_bad_plugins_are_one_line_in_every_command(nmbench, tmp_path, text, message):
    plugin = tmp_path / "bad.py"
    plugin.write_text(text)
    for name, argv in [("run", ["--model=nmrnn", "--task=element_finder"]), ("list", []), ("describe", ["nmrnn"])]:
        code, _, err = nmbench(name, *argv, f"--plugin={plugin}")
        assert code == 2 and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == ["bad.py"]


def test_a_corrupt_test_set_stops_a_run_before_it_starts(nmbench, tmp_path, monkeypatch):
    task = TASKS.get("element_finder")
    folder = tmp_path / "testsets"
    for split in task.set_sizes:
        arrays = dict(task.frozen(split).arrays)
        frozen_sets.save(folder, task.name, task.version, split, arrays, task.set_sizes[split])
    broken = dict(task.frozen("test").arrays)
    broken["query"] = (broken["query"] + 1) % 25
    np.savez(folder / "element_finder-v1-test.npz", **broken)
    monkeypatch.setitem(task.__dict__, "sets_folder", folder)
    code, out, err = run_small(nmbench, tmp_path / "results")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "the test set of element_finder does not match its manifest" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["leaderboard", "validate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("", "is empty"), ("a,b\n1,2\n", "not an nmbench results CSV"), ("\x00", "CSV")],
)
def test_foreign_files_are_refused(nmbench, tmp_path, command, text, message):
    path = tmp_path / "foreign.csv"
    if text is not None:
        path.write_text(text)
    code, out, err = nmbench(command, str(path))
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err


def test_truncated_results_are_refused(nmbench, tmp_path):
    assert run_small(nmbench, tmp_path)[0] == 0
    path = tmp_path / "results.csv"
    text = path.read_text()
    for cut in (1, 30, 700):
        path.write_text(text[:-cut])
        for command in ("leaderboard", "validate"):
            code, out, err = nmbench(command, str(path))
            assert code == 2 and out == "" and err.count("\n") == 1 and "results.csv" in err


def test_validate_names_row_and_column(nmbench, tmp_path):
    assert run_small(nmbench, tmp_path)[0] == 0
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace(",true,", ",perhaps,").replace(",false,", ",perhaps,"))
    code, _, err = nmbench("validate", str(path))
    assert code == 2 and re.search(r"results.csv, row 1, column '\w+': 'perhaps' is not a bool", err)


def test_list_describe_and_help(nmbench):
    code, out, _ = nmbench("list")
    assert code == 0
    for name in ("element_finder", "nmrnn", "lrrnn", "rnn", "lstm", "baselines/nmrnn.py:"):
        assert name in out
    code, out, _ = nmbench("list", "--tag=gated")
    assert "lstm" in out and "nmrnn" not in out
    code, out, _ = nmbench("describe", "element_finder", "nmrnn")
    assert code == 0
    for fact in (
        "26 time steps",
        "10000 trials, sha256",
        "floor 36.67",
        "matched (default)",
        "N=18, 497 parameters",
        "s_t =",
    ):
        assert fact in out
    code, _, err = nmbench("describe", "lstmm")
    assert code == 2 and "did you mean 'lstm'" in err
    code, _, err = nmbench("describe")
    assert code == 2 and "name a task or a model" in err
    for command in __main__.COMMANDS:
        code, out, _ = nmbench(command, "--help")
        assert code == 0 and out.startswith(f"usage: nmbench.{command}") and "flags:" in out


def test_every_command_is_listed_once():
    text = __main__.help_text()
    for command in __main__.COMMANDS:
        assert re.search(rf"^  {command} +\S", text, re.M)


def test_freeze_checks_and_rebuilds(nmbench):
    code, out, _ = nmbench("freeze", "--task=element_finder", "--check")
    assert code == 0 and out == "element_finder validation: identical\nelement_finder test: identical\n"


def test_a_very_long_flag_or_file_name_is_one_line(nmbench):
    code, _, err = nmbench("list", "--" + "x" * 3000 + "=1")
    assert code == 2 and err.startswith("nmbench.list: unknown flag '--xxx") and len(err) < 200
    for command in ("validate", "leaderboard", "compare"):
        code, _, err = nmbench(command, "x" * 3000)
        assert code == 2 and err.startswith(f"nmbench.{command}: no such file or folder: xxx") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("[]", "it is not a JSON object"),
        ('{"grid": [0.1], "seeds": [1], "mean_validation_loss": [1]}', "'chosen' is not a learning rate"),
        ('{"seeds": [1], "mean_validation_loss": [1], "chosen": 0.1}', "'grid' is not a list of numbers"),
        ('{"grid": [0.1], "seeds": [1], "mean_validation_loss": [1], "chosen": NaN}', "'chosen' is not"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_tuning_record_beside_a_model_is_one_line(nmbench, tmp_path, record, message):
    (tmp_path / "mine.py").write_text(
        (ROOT / "baselines" / "rnn.py").read_text().replace('"rnn"', '"mine"').replace("from .", "from nmbench.baselines.")
    )
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "mine.element_finder.matched.json").write_text(record)
    run = ("run", "--model=mine", "--task=element_finder", "--resolve_only")
    for argv in (run, ("describe", "mine")):
        code, out, err = nmbench(*argv, f"--plugin={tmp_path}/mine.py")
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1, err
