"""`score` makes rows from predictions of models trained elsewhere."""

import json
import os
import pathlib

import numpy as np
import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.results import csv_files, schema
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from support.claimed import write_csv
from support.rows import make_row, tables_of

NAMES = [e.name for e in TASKS.entries()]
SHAPE = (5, 12, 1)  # [T, B, O] of the toy task


@pytest.fixture
def score(nmbench, toy_task, tmp_path):
    """A function that scores a .npz file of predictions on the toy task."""

    def call(predictions, *argv, model="mine", params=100):
        np.savez(tmp_path / "p.npz", predictions=predictions)
        file = f"--predictions={tmp_path / 'p.npz'}"
        base = ["--task=toy", file, f"--model={model}", f"--params={params}", f"--results_dir={tmp_path / 'results'}"]
        return nmbench("score", *base, *argv)

    return call


def targets(task, split="test"):
    return np.asarray(task.unpack(task.frozen(split).arrays).targets)


def test_constant_predictions_score_like_their_reference(nmbench, tmp_path):
    task = TASKS.get("element_finder")
    np.save(tmp_path / "zeros.npy", np.zeros((26, 10000, 1), np.float32))
    argv = ["--task=element_finder", f"--predictions={tmp_path / 'zeros.npy'}", "--model=zeros", "--params=500"]
    code, _, err = nmbench("score", *argv, f"--results_dir={tmp_path / 'r'}")
    assert code == 0, err
    (row,) = csv_files.read_csv(tmp_path / "r" / "results.csv")
    frozen = task.frozen("test")
    values = task.evaluate(task.references["chance (always 0)"](frozen.arrays), frozen.arrays)["values"]
    assert (row["value"], row["metrics.exact_match"]) == (values["mse"], values["exact_match"])
    (table,) = tables_of([row])
    lines = {entry.label: entry for entry in table.entries}
    zeros, chance = lines["zeros"], lines["chance (always 0)"]
    assert (zeros.median, zeros.score, zeros.others) == (chance.median, chance.score, chance.others)


def test_columns_about_training_are_empty(score, toy_task, nmbench, tmp_path):
    half = targets(toy_task) / 2
    code, out, err = score(half, "--seed=3", params=98)
    assert code == 0, err
    (row,) = csv_files.read_csv(tmp_path / "results" / "results.csv")
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert schema.check_row(json.loads((folder / "row.json").read_text()), "x") == row
    assert folder.name == row["run_id"] and row["run_id"].startswith("mine.toy.external.s3.")
    assert row["value"] == pytest.approx(np.mean((half - targets(toy_task)) ** 2), rel=1e-6)
    assert (row["params_target"], row["params_actual"], row["seed"]) == (100, 98, 3)
    assert row["params_dev"] == pytest.approx(-0.02)
    unknown = {c.name for c in schema.COLUMNS if c.training}
    assert all(row[name] is None for name in unknown) and {"learning_rate", "train_s", "validation_loss"} <= unknown
    assert row["nmbench_version"] and row["started_utc"] and row["eval_s"] >= 0
    assert "nmbench_version" not in unknown and json.loads(row["conditions_json"])["mse"].keys() == {"0", "1"}
    for path in (str(tmp_path / "results"), str(tmp_path / "results" / "results.csv")):
        assert nmbench("validate", path) == (0, f"{path}: 1 valid row\n", "")
        code, out, _ = nmbench("leaderboard", path)
        assert code == 0 and "trained outside nmbench" in out and "selected on validation loss" not in out
    (table,) = tables_of([row])
    (entry,) = (e for e in table.entries if e.model == "mine")
    assert (entry.rank, entry.params, entry.deviation, len(entry.run_ids)) == (None, 98, row["params_dev"], 1)
    assert (entry.last, entry.learning_rate, entry.tuning_trials, entry.train_s) == (None, None, None, None)


def test_seeds_are_grouped_and_external_rows_have_separate_tables(score, toy_task, nmbench, tmp_path):
    for seed in range(3):
        assert score(targets(toy_task) + seed, f"--seed={seed}")[0] == 0
    code, _, err = score(targets(toy_task), model="other", params=101)
    assert code == 0 and "4 rows in" in err
    rows = csv_files.read_csv(tmp_path / "results" / "results.csv")
    (table,) = tables_of(rows)
    assert (table.task, table.protocol, table.budget) == ("toy", "external", 100)
    entries = {entry.label: entry for entry in table.entries}
    assert (len(entries["mine"].run_ids), entries["mine"].rank, entries["other"].rank) == (3, 1, None)
    assert entries["mine"].median.value == pytest.approx(1.0, rel=1e-6)
    assert score(targets(toy_task), "--budget=200", params=200)[0] == 0
    shown = tables_of(csv_files.read_csv(tmp_path / "results" / "results.csv"))
    assert [(t.protocol, t.budget) for t in shown] == [("external", 100), ("external", 200)]
    # Two sizes of one model are separate entries.
    assert score(targets(toy_task), "--allow_budget_miss", params=150)[0] == 0
    shown = tables_of(csv_files.read_csv(tmp_path / "results" / "results.csv"))[0].entries
    assert {"mine [params=100]", "mine [params=150]"} <= {entry.label for entry in shown}


def test_an_existing_row_is_skipped_unless_forced(score, toy_task, tmp_path):
    assert score(targets(toy_task))[0] == 0
    (file,) = (tmp_path / "results").rglob("row.json")
    before = file.stat().st_mtime_ns
    code, out, err = score(targets(toy_task).astype(np.float64))
    assert code == 0 and "are already in" in err and "--force" in err and "mine" in out
    assert file.stat().st_mtime_ns == before
    code, _, err = score(targets(toy_task), "--force", "--origin=now with a remark")
    assert code == 0, err
    (file,) = (tmp_path / "results").rglob("row.json")
    assert json.loads(file.read_text())["model_origin"] == "external, size declared: now with a remark"
    # Other predictions of the same seed are refused, since the seed would count twice.
    code, out, err = score(targets(toy_task) + 1, "--force")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "other predictions of mine with seed 0 are already in" in err
    # The same predictions are not two networks.
    code, out, err = score(targets(toy_task), "--seed=1")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "these predictions are already those of seed 0, in " in err
    assert len(list((tmp_path / "results").rglob("row.json"))) == 1


def test_a_size_is_counted_in_a_file_or_declared(score, toy_task, nmbench, tmp_path):
    learned = tmp_path / "learned.npz"
    np.savez(learned, W=np.zeros((9, 11), np.float32), b=np.zeros((), np.float64), steps=np.arange(7))
    assert score(targets(toy_task), f"--params_file={learned}", model="counted")[0] == 0
    assert score(targets(toy_task), model="told")[0] == 0
    origins = {row["model"]: row["model_origin"] for row in csv_files.read_csv(tmp_path / "results" / "results.csv")}
    assert origins == {"counted": "external, size counted: not given", "told": "external, size declared: not given"}
    _, out, _ = nmbench("leaderboard", str(tmp_path / "results"))
    sizes = {line.split()[0]: line for line in out.splitlines() if "(+0.0%)" in line}
    assert "declared" in sizes["told"] and "declared" not in sizes["counted"]
    # The number need not be given twice, but it must not contradict the file.
    base = ["--task=toy", f"--predictions={tmp_path / 'p.npz'}", "--model=counted", f"--results_dir={tmp_path / 'results'}"]
    code, _, err = nmbench("score", *base, f"--params_file={learned}")
    assert code == 0 and "these predictions are already in" in err
    code, out, err = nmbench("score", *base, f"--params_file={learned}", "--params=99")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert f"--params=99, but {learned} holds 100 numbers in 2 arrays of floats" in err


def test_models_trained_elsewhere_stand_beside_others_on_request(score, toy_task, nmbench, tmp_path):
    truth = targets(toy_task)
    for seed in range(2):
        assert score(truth + 0.5 - seed * 1e-6, f"--seed={seed}")[0] == 0
    facts = {"task": "toy", "testset_sha256": toy_task.frozen("test").sha256, "n_test": 12, "floor": 1.0}
    facts |= {"params_target": 100, "params_actual": 100, "params_dev": 0.0}
    ours = [make_row(name, i, value, **facts) for name, value in (("a", 0.125), ("b", 0.5)) for i in range(2)]
    write_csv(tmp_path / "ours.csv", ours)
    both = [str(tmp_path / "ours.csv"), str(tmp_path / "results")]
    _, plain, _ = nmbench("leaderboard", *both)
    code, out, err = nmbench("leaderboard", *both, "--with_external", "--protocol=matched")
    assert code == 0, err
    # Its error of 0.25 lies between 0.125 and 0.5. It has no rank, and it changes no rank.
    lines = [line for line in out.splitlines() if "%)" in line]
    assert [line.split()[:2] for line in lines] == [["1", "a"], ["mine", "(external)"], ["1", "b"]]
    assert "declared" in lines[1] and "trained outside nmbench, with steps and tuning that it does not know" in out
    assert "(external)" not in plain and "protocol external" in plain
    code, out, err = nmbench("leaderboard", *both, "--with_external", "--format=html", f"--out={tmp_path / 'page'}")
    assert code == 0, err
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.count("mine (external)") >= 2 and "budget 100, +0.0%, declared" in page
    code, out, err = nmbench("leaderboard", *both, "--with_external", "--tier=re-scored")
    assert (code, out, err.count("\n")) == (2, "", 1) and "leave out --tier or --with_external" in err
    # Rows with another budget are another reason than rows that depart from their protocol.
    write_csv(tmp_path / "larger.csv", [make_row("a", 0, 0.125, **facts | {"params_target": 200, "params_dev": -0.5})])
    code, out, err = nmbench("leaderboard", str(tmp_path / "larger.csv"), both[1], "--with_external")
    assert (code, out) == (2, "") and "no other rows have the task and budget" in err
    away = [make_row("a", 0, 0.125, departures="steps 20, not 40", **facts)]
    write_csv(tmp_path / "away.csv", away)
    code, out, err = nmbench("leaderboard", str(tmp_path / "away.csv"), both[1], "--with_external")
    assert (code, out) == (2, "") and "depart from their protocol; these models stand only beside" in err
    code, out, err = nmbench("leaderboard", both[0], "--with_external")
    assert (code, out) == (2, "") and "no rows with protocol 'external'" in err
    code, out, err = nmbench("leaderboard", both[1], "--with_external")
    assert (code, out) == (
        2,
        "",
    ) and "no other rows have the task and budget of the models trained elsewhere (toy v1, " in err


def test_validation_predictions_give_the_validation_loss(score, toy_task, tmp_path):
    np.savez(tmp_path / "v.npz", predictions=targets(toy_task, "validation") + 2)
    assert score(targets(toy_task), f"--validation_predictions={tmp_path / 'v.npz'}")[0] == 0
    (row,) = csv_files.read_csv(tmp_path / "results" / "results.csv")
    assert row["validation_loss"] == pytest.approx(4, rel=1e-6)


def with_nan():
    array = np.zeros(SHAPE, np.float32)
    array[2, 7, 0] = np.nan
    return array


BAD_ARRAYS = {
    "transposed": (np.zeros((12, 5, 1)), "have shape (12, 5, 1), not [T, B, O] = (5, 12, 1); its trials come first"),
    "no last axis": (np.zeros((5, 12)), "add it with [..., None]"),
    "too few trials": (np.zeros((5, 11, 1)), "the set has 12 trials"),
    "too many outputs": (np.zeros((5, 12, 2)), "have shape (5, 12, 2)"),
    "a number": (np.zeros(()), "have shape ()"),
    "nothing": (np.zeros((5, 0, 1)), "have shape (5, 0, 1)"),
    "NaN": (with_nan(), "1 of 60 values are not finite in float32, the first at [2, 7, 0]"),
    "infinity": (np.full(SHAPE, np.inf), "not finite"),
    "too large for float32": (np.full(SHAPE, 1e300), "not finite in float32"),
    "complex numbers": (np.zeros(SHAPE, complex), "have dtype complex128"),
    "words": (np.full(SHAPE, "x"), "have dtype <U1"),
    "booleans": (np.zeros(SHAPE, bool), "have dtype bool"),
    "records": (np.zeros(SHAPE, [("a", "f4")]), "have dtype"),
    "pickled objects": (np.full(SHAPE, None), "pickled Python objects"),
}


@pytest.mark.parametrize("label", BAD_ARRAYS)
def test_bad_predictions_give_one_line_and_write_nothing(score, tmp_path, label):
    array, message = BAD_ARRAYS[label]
    code, out, err = score(array)
    assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("nmbench.score: ") and message in err, err
    assert sorted(os.listdir(tmp_path)) == ["p.npz", "testsets"]


BAD_SCORES = {
    "no task": (["--task="], "--task is missing"),
    "unknown task": (["--task=toyy"], "unknown task 'toyy'; did you mean 'toy'?"),
    "no predictions": (["--predictions="], "--predictions is missing; give --predictions=FILE.npz"),
    "no such file": (["--predictions=missing.npz"], "no such file"),
    "a folder": (["--predictions=/"], "no such file"),
    "a device": (["--predictions=/dev/zero"], "no such file"),
    "a name that is too long": ([f"--predictions={'x' * 5000}"], "no such file"),
    "a home that nobody has": (["--predictions=~nobody_here/p.npz"], "no such file"),
    "no such validation file": (["--validation_predictions=missing.npz"], "--validation_predictions=missing.npz: no such"),
    "no model": (["--model="], "--model is missing"),
    "a model of nmbench": (["--model=nmrnn"], "nmrnn is a model of nmbench; give yours another name"),
    "a name with a space": (["--model=my model"], "'my model' cannot name a model"),
    "a name with a path": (["--model=../x"], "'../x' cannot name a model"),
    "a long name": ([f"--model={'x' * 65}"], "cannot name a model"),
    "a name that is no text": (["--model=\udcff"], "cannot name a model"),
    "no file of parameters": (["--params_file=missing.npz"], "--params_file=missing.npz: no such file; save the learned"),
    "no parameters": (["--params=0"], "--params"),
    "negative parameters": (["--params=-5"], "--params"),
    "parameters in words": (["--params=many"], "--params"),
    "half a parameter": (["--params=99.5"], "--params"),
    "more parameters than budget": (["--params=106"], "106 parameters are +6.0% off the budget of 100"),
    "far too many parameters": (
        ["--params=99999999999999999999", "--allow_budget_miss"],
        "--params must lie in 1..1000000000000",
    ),
    "a number without end": ([f"--params={'9' * 5000}", "--allow_budget_miss"], "--params"),
    "budget zero": (["--budget=0"], "--budget"),
    "huge budget": ([f"--budget={10**400}", "--allow_budget_miss"], "--budget must lie in"),
    "negative seed": (["--seed=-1"], "--seed"),
    "seed in words": (["--seed=first"], "--seed"),
    "seed out of range": (["--seed=2147483648"], "--seed must lie in 0..2147483647"),
    "origin of two lines": (["--origin=a\nb"], "--origin must be one line"),
    "origin of a novel": ([f"--origin={'x' * 201}"], "--origin must be one line of at most 200"),
    "results folder is a file": (["--results_dir=/etc/passwd"], "cannot be written"),
    "results folder in /proc": (["--results_dir=/proc/results"], "cannot be written"),
    "results folder of too long a name": ([f"--results_dir={'x' * 300}"], "cannot be written"),
    "unknown flag": (["--parms=3"], "Unknown command line flag 'parms'"),
    "stray word": (["mine"], "unexpected argument 'mine'"),
}


@pytest.mark.parametrize("label", BAD_SCORES)
def test_bad_flags_of_score_give_one_line_and_write_nothing(score, toy_task, tmp_path, monkeypatch, label):
    monkeypatch.chdir(tmp_path)
    argv, message = BAD_SCORES[label]
    code, out, err = score(targets(toy_task), *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("nmbench.score: ") and message in err, err
    assert sorted(os.listdir(tmp_path)) == ["p.npz", "testsets"]


def test_rows_of_other_protocols_need_the_columns_about_training(score, toy_task, tmp_path):
    assert score(targets(toy_task))[0] == 0
    (row,) = Store(tmp_path / "results").rows()
    with pytest.raises(NmbenchError, match="column 'data_seed': empty"):
        schema.check_row({**row, "protocol": "matched"}, "x")
    with pytest.raises(NmbenchError, match="column 'seed': empty"):
        schema.check_row({**row, "seed": None}, "x")


def test_the_pytorch_example_is_short_and_does_not_import_nmbench():
    source = (pathlib.Path(__file__).parents[2] / "examples" / "pytorch_element_finder.py").read_text()
    assert len(source.splitlines()) <= 80 and "import nmbench" not in source and "from nmbench" not in source
