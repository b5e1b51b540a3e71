"""Output, exit codes and files of commands, called in process with the arguments that a user would type."""

import contextlib
import importlib
import io
import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest

from nmbench import __main__
from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.results import csv_files
from nmbench.support import cli
from support.rows import make_tuning_record

ROOT = pathlib.Path(__file__).parents[2]
# Small runs: on the toy task of tests/support/toys.py, and on element_finder, whose test set has 10,000 trials.
SMALL = ("--model=rnn", "--task=toy", "--steps=20", "--seeds=2", "--hparams=N=4")
DEPARTURES = "steps 20, not 40"  # of tuned runs with the flags in SMALL
GOOD = make_tuning_record({0.1: [1.0]}, task="element_finder")
ELEMENT_FINDER = ("--model=rnn", "--task=element_finder", "--steps=20", "--seeds=2", "--hparams=N=4")


def call(name, *argv):
    """Call a command; return (exit code, stdout, stderr). Fixtures of a module can use it, unlike the fixture `nmbench`."""
    module = importlib.import_module(f"nmbench.{name}")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder with two runs on element_finder, and the output of the command. Tests must not change the folder."""
    folder = tmp_path_factory.mktemp("finished")
    code, out, err = call("run", *ELEMENT_FINDER, f"--results_dir={folder}")
    assert code == 0, err
    return folder, out


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A copy of the folder of `finished`, which tests may change."""
    return pathlib.Path(shutil.copytree(finished[0], tmp_path / "results"))


def test_run_trains_and_records(finished):
    folder, out = finished
    assert "element_finder v1, protocol matched (steps 20, not 20000; learning rate not tuned), given sizes" in out
    assert "(chance (always 0))" in out and "(perfect)" in out
    runs = sorted((folder / "runs").iterdir())
    assert [re.sub(r"[0-9a-f]{12}$", "", p.name) for p in runs] == [
        "rnn.element_finder.matched.s0.",
        "rnn.element_finder.matched.s1.",
    ]
    rows = csv_files.read_csv(folder / "results.csv")
    assert [row["seed"] for row in rows] == [0, 1]
    for row, run in zip(rows, runs, strict=True):
        config = json.loads(row["config_json"])
        assert config["hparams"]["N"] == 4 and config["protocol"]["phases"][0]["steps"] == 20
        assert row["params_target"] is None and row["train_steps"] == row["selected_step"] == 20
        assert len(json.loads(row["conditions_json"])["mse"]) == 25
        with np.load(run / "per_trial.npz", allow_pickle=False) as file:
            assert file["mse"].shape == (10000,)
            assert file["mse"].mean() == pytest.approx(row["value"], rel=1e-12)
    assert rows[0]["value"] != rows[1]["value"]


def test_finished_runs_are_skipped_unless_forced(nmbench, toy_task, tmp_path):
    run = ("run", *SMALL, f"--results_dir={tmp_path}")
    assert nmbench(*run)[0] == 0
    rows = csv_files.read_csv(tmp_path / "results.csv")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("row.json")}
    code, out, err = nmbench(*run)
    assert code == 0 and "2 of 2 runs are already in" in err and "protocol matched" in out
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("row.json")} == before
    assert nmbench(*run, "--force")[0] == 0
    assert [r["value"] for r in csv_files.read_csv(tmp_path / "results.csv")] == [r["value"] for r in rows]
    assert all(p.stat().st_mtime_ns != before[p] for p in tmp_path.rglob("row.json"))
    code, _, err = nmbench(*run, "--seeds=3")
    assert code == 0 and "2 of 3 runs are already in" in err
    assert len(csv_files.read_csv(tmp_path / "results.csv")) == 3


def test_tuning_chooses_by_validation_loss_and_is_recorded(nmbench, toy_task, tmp_path):
    code, _, err = nmbench("run", *SMALL, f"--results_dir={tmp_path}", "--tune")
    assert code == 0, err
    (record_file,) = (tmp_path / "tuning").glob("*.json")
    record = json.loads(record_file.read_text())
    assert record["grid"][:2] == [0.001, 0.01] and record["seeds"] == [1000, 1001]
    losses = np.array(record["validation_losses"])
    assert losses.shape == (len(record["grid"]), 2) == np.shape(record["test_values"])
    assert record["chosen"] == record["grid"][int(np.argmin(np.log(losses).mean(axis=1)))]
    assert err.count("learning rate wins, so") == len(record["grid"]) - 2
    assert f"chosen {record['chosen']:g} after {losses.size} tuning runs" in err
    rows = csv_files.read_csv(tmp_path / "results.csv")
    assert {row["learning_rate"] for row in rows} == {record["chosen"]}
    assert {row["tuning_trials"] for row in rows} == {losses.size}
    assert json.loads(rows[0]["tuning_json"]) == {**record, "source": "tuned in this results folder"}
    assert {row["departures"] for row in rows} == {DEPARTURES}
    stamp = record_file.stat().st_mtime_ns
    code, _, err = nmbench("run", *SMALL, f"--results_dir={tmp_path}", "--tune")
    assert code == 0 and "2 of 2 runs are already in" in err
    assert record_file.stat().st_mtime_ns == stamp


def test_divergence_is_recorded_and_gives_exit_code_one(nmbench, toy_task, tmp_path):
    code, out, err = nmbench("run", *SMALL, f"--results_dir={tmp_path}", "--learning_rate=1e30")
    assert code == 1
    assert "2 (2 lost)" in out and "seed 0: diverged: the loss was not a number or above 1e+08" in err
    assert "lower learning rate than 1e+30" in err and "python -m nmbench.check --model=rnn checks the model" in err
    rows = csv_files.read_csv(tmp_path / "results.csv")
    assert [row["status"] for row in rows] == ["diverged"] * 2 and rows[0]["value"] is None


def test_leaderboard_and_validate_read_the_results_of_run(nmbench, finished):
    folder, _ = finished
    csv_file = str(folder / "results.csv")
    for path in (csv_file, str(folder)):
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
    "a model in capitals": (["--model=NMRNN"], "unknown model 'NMRNN'; did you mean 'nmrnn'?"),
    "unknown task": (["--task=element_findr"], "unknown task 'element_findr'; did you mean 'element_finder'?"),
    "no model": (["--model="], "--model is missing"),
    "unknown variant of a task": (["--task=mwg_rank3_cod"], "did you mean 'mwg_rank3_code'?"),
    "unknown protocol": (["--protocol=papr"], "has no protocol 'papr'; did you mean 'paper'?"),
    "budget too small": (["--budget=10"], "a budget of 10 is too small for nmrnn"),
    "budget between two sizes": (
        ["--model=rnn", "--budget=33"],
        "+6.1% off the budget of 33, more than the 5% allowed; choose a budget of 34 ",
    ),
    "budget zero": (["--budget=0"], "--budget"),
    "negative budget": (["--budget=-5"], "--budget"),
    "negative seeds": (["--seeds=-1"], "--seeds"),
    "no seeds": (["--seeds=0"], "--seeds"),
    "seeds in words": (["--seeds=ten"], "--seeds=ten: 'ten' is not a whole number; --seeds is how many"),
    "several seeds": (["--seeds=1,2,3"], "--first_seed=1 --seeds=3 trains the seeds 1, 2 and 3"),
    "half a step": (["--steps=1.5"], "--steps=1.5: '1.5' is not a whole number"),
    "negative first seed": (["--first_seed=-1"], "--first_seed"),
    "learning rate in words": (["--learning_rate=fast"], "--learning_rate=fast: 'fast' is not a number"),
    "learning rate zero": (["--learning_rate=0"], "--learning_rate must be a positive number"),
    "very large learning rate": (["--learning_rate=1e308"], "must be a positive number, at most 1e+30, got 1e+308"),
    "learning rate nan": (["--learning_rate=nan"], "--learning_rate must be a positive number"),
    "learning rate and tune": (["--learning_rate=0.1", "--tune"], "one of --tune and --learning_rate"),
    "tuning a fixed recipe": (["--protocol=paper", "--tune"], "declares no grid"),
    "seeds that tuning uses": (["--tune", "--first_seed=995"], "seed 1000 is used for tuning"),
    "unknown flag": (["--modle=nmrnn"], "Unknown command line flag 'modle'"),
    "stray word": (["nmrnn"], "unexpected argument 'nmrnn'"),
    "malformed hparams": (["--hparams=M5"], "'M5' is not of the form K=V"),
    "repeated hparam": (["--hparams=M=5,M=6"], "'M' is given twice"),
    "unknown hparam": (["--hparams=Q=5"], "no hyperparameter 'Q'"),
    "hparam in words": (["--hparams=M=five"], "nmrnn.M must be a whole number, got 'five'"),
    "infinite hparam": (["--hparams=tau_x=inf"], "nmrnn.tau_x must be a finite number, got 'inf'"),
    "size zero": (["--hparams=N=0"], "nmrnn.N must be at least 1"),
    "huge size": (["--hparams=N=100000000"], "nmrnn.N=100000000 is too large; the largest is 1048576"),
    "huge budget": (
        ["--budget=2147483647"],
        "a budget of 2147483647 is too large; nmbench trains models of up to",
    ),
    "negative size": (["--hparams=N=5,M=-3"], "nmrnn"),
    "time constant below a step": (["--hparams=tau_x=0.5"], "time constant"),
    "size off the budget": (
        ["--hparams=N=40", "--budget=500"],
        "off the budget of 500, more than the 5% allowed; choose a budget",
    ),
    "results folder is a file": (["--results_dir=/etc/passwd"], "cannot be written"),
    "results folder in /proc": (["--results_dir=/proc/results"], "cannot be written"),
    "results folder with a long name": ([f"--results_dir={'x' * 300}"], "cannot be written"),
    "no such plugin": (["--plugin=missing.py"], "no such Python file"),
    "a plugin with a long name": ([f"--plugin={'x' * 300}.py"], "no such Python file"),
    "a plugin of nobody": (["--plugin=~nosuchuser/x.py"], "no such Python file"),
    "too many devices": (["--devices=100000"], "--devices=100000"),
}


@pytest.mark.parametrize("label", BAD_RUNS)
def test_bad_input_gives_one_line_and_writes_nothing(nmbench, tmp_path, monkeypatch, label):
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
def test_bad_plugins_give_one_line_in_every_command(nmbench, tmp_path, monkeypatch, text, message):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
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
    code, out, err = nmbench("run", *ELEMENT_FINDER, f"--results_dir={tmp_path / 'results'}")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "the test set of element_finder does not match its manifest" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["leaderboard", "validate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("", "is empty"), ("a,b\n1,2\n", "not an nmbench results CSV"), ("\x00", "CSV")],
)
def test_files_that_are_not_results_are_refused(nmbench, tmp_path, command, text, message):
    path = tmp_path / "foreign.csv"
    if text is not None:
        path.write_text(text)
    code, out, err = nmbench(command, str(path))
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err


def test_truncated_results_are_refused(nmbench, finished_copy):
    path = finished_copy / "results.csv"
    text = path.read_text()
    for cut in (1, 30, 700):
        path.write_text(text[:-cut])
        for command in ("leaderboard", "validate"):
            code, out, err = nmbench(command, str(path))
            assert code == 2 and out == "" and err.count("\n") == 1 and "results.csv" in err


def test_validate_names_row_and_column(nmbench, finished_copy):
    path = finished_copy / "results.csv"
    path.write_text(path.read_text().replace(",true,", ",perhaps,").replace(",false,", ",perhaps,"))
    code, _, err = nmbench("validate", str(path))
    assert code == 2 and re.search(r"results.csv, row 1, column '\w+': 'perhaps' is not a valid bool", err)


def test_validate_finds_a_value_that_the_stored_trials_contradict(nmbench, finished_copy):
    (folder, _) = sorted((finished_copy / "runs").iterdir())
    row = json.loads((folder / "row.json").read_text())
    shown = f"run {row['run_id']}, column 'value': {row['value'] * 1.01:.6g}, but the mean over the trials in "
    score = TASKS.get("element_finder").primary.score(row["value"] * 1.01)
    (folder / "row.json").write_text(json.dumps({**row, "value": row["value"] * 1.01, "score": score}))
    code, out, err = nmbench("validate", str(finished_copy))
    assert (code, out) == (2, "") and err.count("\n") == 1 and shown in err and f" is {row['value']:.6g}; one of" in err
    assert nmbench("validate", str(finished_copy / "results.csv"))[0] == 0
    (folder / "per_trial.npz").write_bytes(b"")
    code, _, err = nmbench("validate", str(finished_copy / "results.csv"))
    assert code == 2 and err.count("\n") == 1 and "per_trial.npz" in err


def test_a_row_that_cannot_be_read_stops_a_run_before_training(nmbench, finished_copy):
    (folder, _) = runs = sorted((finished_copy / "runs").iterdir())
    (folder / "row.json").write_text("{")
    code, out, err = nmbench("run", *ELEMENT_FINDER, "--first_seed=7", f"--results_dir={finished_copy}")
    assert (code, out, err.count("\n")) == (2, "", 1) and f"{folder}/row.json" in err
    assert sorted((finished_copy / "runs").iterdir()) == runs


def test_a_csv_that_a_spreadsheet_has_saved(nmbench, finished_copy):
    path, text = finished_copy / "results.csv", (finished_copy / "results.csv").read_text()
    path.write_text(text, encoding="utf-8-sig", newline="\r\n")
    assert nmbench("validate", str(path))[0] == 0
    path.write_text(text.replace(",", ";"), encoding="utf-8-sig")
    code, _, err = nmbench("leaderboard", str(path))
    assert code == 2 and f"{path} separates its columns by semicolons; save it with commas" in err


def test_list_describe_and_help(nmbench):
    code, out, _ = nmbench("list")
    assert code == 0
    for name in ("element_finder", "nmrnn", "lrrnn", "rnn", "lstm", "baselines/nmrnn.py:"):
        assert name in out
    code, out, _ = nmbench("list", "--tag=gated")
    assert "lstm" in out and "nmrnn" not in out
    code, out, err = nmbench("list", "--tag=gate")
    assert (code, out) == (2, "") and "no task or model has the tag 'gate'; did you mean 'gated'? (known: " in err
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


def test_freeze_checks_the_shipped_sets(nmbench):
    code, out, _ = nmbench("freeze", "--task=element_finder", "--check")
    assert code == 0 and out == "element_finder validation: identical\nelement_finder test: identical\n"


def test_a_very_long_flag_or_file_name_gives_one_line(nmbench):
    code, _, err = nmbench("list", "--" + "x" * 3000 + "=1")
    assert code == 2 and err.startswith("nmbench.list: unknown flag '--xxx") and len(err) < 200
    for command in ("validate", "leaderboard", "compare"):
        code, _, err = nmbench(command, "x" * 3000)
        assert code == 2 and err.startswith(f"nmbench.{command}: no such file or folder: xxx") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("[]", "it is not a JSON object"),
        ('{"grid": [0.1], "seeds": [1], "mean_validation_loss": [1]}', "'model' is not a text"),
        (json.dumps(GOOD), "'model' is 'nmrnn', not 'mine'"),
        (json.dumps({**GOOD, "model": "mine", "chosen": 0.3}), "'chosen' is 0.3, but its losses choose 0.1"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_tuning_record_of_a_model_gives_one_line(nmbench, tmp_path, record, message):
    (tmp_path / "mine.py").write_text(
        (ROOT / "baselines" / "rnn.py").read_text().replace('"rnn"', '"mine"').replace("from .", "from nmbench.baselines.")
    )
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "mine.element_finder.matched.json").write_text(record)
    run = ("run", "--model=mine", "--task=element_finder", "--resolve_only")
    for argv in (run, ("describe", "mine")):
        code, out, err = nmbench(*argv, f"--plugin={tmp_path}/mine.py")
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1, err
