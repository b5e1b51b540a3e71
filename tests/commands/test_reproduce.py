"""The command `reproduce`: it trains a row again, scores its parameters again, and refuses rows that it cannot compare."""

import dataclasses
import hashlib
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.protocol import Phase
from nmbench.experiments import resolution, tuning
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.request import Request
from nmbench.experiments.row_commands import command_of
from nmbench.results import csv_files, packs, schema
from nmbench.results.store import Store
from support.processes import finish, start
from support.rows import make_row, make_tuning_record

pytestmark = pytest.mark.exact

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results folder of two short runs."""
    folder = tmp_path_factory.mktemp("reproduce")
    argv = ("nmbench.run", "--model=rnn", "--task=element_finder", "--hparams=N=3", "--steps=30", "--seeds=2")
    code, _, err = finish(start(*argv, "--results_dir=results", cwd=folder))
    assert code == 0, err
    return folder / "results"


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def run_id_of(config):
    """The run id of a configuration, which may be invalid."""
    key = hashlib.sha256(schema.canonical_json(config).encode()).hexdigest()[:12]
    protocol = config.get("protocol", {})
    return f"{config.get('model')}.{config.get('task')}.{protocol.get('name')}.s{config.get('seed')}.{key}"


def rewrite(results, tmp_path, change, keep_id=False):
    """Write a CSV whose first row is changed; return FILE.csv:1. Unless `keep_id`, the run id fits the new configuration."""
    rows = csv_files.read_csv(results / "results.csv")
    config = json.loads(rows[0]["config_json"])
    change(rows[0], config)
    rows[0]["config_json"] = schema.canonical_json(config)
    if not keep_id:
        rows[0]["run_id"] = run_id_of(config)
    path = tmp_path / "changed.csv"
    path.write_text(csv_files.to_csv(rows))
    return f"{path}:1"


def test_a_row_is_reproduced_and_nothing_is_written(nmbench, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, row = everything(results), csv_files.read_csv(results / "results.csv")[1]
    code, out, err = nmbench("reproduce", f"{results}/results.csv:2")
    assert code == 0, out + err
    lines = out.splitlines()
    command = command_of(Configuration.from_json(row["config_json"]))
    assert lines[0] == f"{row['run_id']}, made {row['started_utc']}: {command}"
    assert f"  mse              {row['value']!r} in the row, {row['value']!r} here" in lines
    assert lines[-1] == "reproduced exactly"
    assert everything(results) == before and everything(tmp_path) == {}


def test_every_way_to_name_a_row(nmbench, results, tmp_path):
    run_id = csv_files.read_csv(results / "results.csv")[1]["run_id"]
    shutil.copy(results / "results.csv", tmp_path / "alone.csv")
    ways = [
        [run_id, f"--results_dir={results}"],
        [run_id, str(results)],
        [run_id, str(tmp_path / "alone.csv"), str(results)],
        [f"{results}/results.csv:2"],
        [f"{results}/results.csv#{run_id}"],
        [f"{tmp_path}/alone.csv:2", f"--results_dir={results}"],
    ]
    for way in ways:
        code, out, err = nmbench("reproduce", *way, "--from=params")
        assert code == 0 and out.startswith(run_id) and out.endswith("\nreproduced exactly\n"), (way, out, err)


def test_other_parameters_do_not_reproduce_the_row(nmbench, results, tmp_path):
    shutil.copytree(results, tmp_path / "other")
    row = csv_files.read_csv(results / "results.csv")[0]
    path = tmp_path / "other" / "runs" / row["run_id"] / "params.safetensors"
    tensors = {k: np.array(v) for k, v in safetensors.numpy.load_file(str(path)).items()}
    name = next(iter(tensors))
    for change, code, message in [
        (lambda: {**tensors, name: tensors[name] * 1.5}, 1, "NOT reproduced"),
        (lambda: {**tensors, name: tensors[name].ravel()[:1]}, 2, "does not hold this model's parameters"),
    ]:
        safetensors.numpy.save_file(change(), str(path))
        found = nmbench("reproduce", row["run_id"], f"--results_dir={tmp_path}/other", "--from=params")
        assert found[0] == code and message in found[1] + found[2]
    # A slightly different value is accepted with a tolerance.
    safetensors.numpy.save_file({**tensors, name: tensors[name] * (1 + 1e-6)}, str(path))
    argv = (row["run_id"], f"--results_dir={tmp_path}/other", "--from=params")
    assert nmbench("reproduce", *argv, "--tolerance=0")[0] == 1
    code, out, _ = nmbench("reproduce", *argv, "--tolerance=0.01")
    assert code == 0 and out.endswith("\nreproduced within the tolerance of 0.01\n")
    path.write_bytes(b"no parameters")
    code, _, err = nmbench("reproduce", *argv)
    assert code == 2 and err.count("\n") == 1 and "cannot read parameters" in err


TOY = ("--model=rnn", "--task=toy", "--hparams=N=4", "--seeds=1", "--devices=1")


def test_the_parameters_of_an_earlier_stage_are_stored_and_scored(nmbench, toy_task, tmp_path, monkeypatch):
    """The first half of the trials is judged with the parameters of the first phase."""
    first_half = lambda arrays: np.arange(12) < 6
    metric = dataclasses.replace(toy_task.metrics[0], stages=("early",), earlier={"early": first_half})
    phases = (Phase(steps=10, stage="early"), Phase(steps=10))
    protocol = dataclasses.replace(toy_task.protocols[0], phases=phases)
    task = dataclasses.replace(toy_task, metrics=(metric,), protocols=(protocol,))
    monkeypatch.setitem(TASKS._entries, "toy", dataclasses.replace(TASKS.entry("toy"), value=task))
    code, _, err = nmbench("run", *TOY, f"--results_dir={tmp_path}/r")
    assert code == 0, err
    (row,) = csv_files.read_csv(tmp_path / "r" / "results.csv")
    folder = tmp_path / "r" / "runs" / row["run_id"]
    assert {path.name for path in folder.glob("params.*")} == {"params.safetensors", "params.early.safetensors"}
    with np.load(folder / "per_trial.npz") as file:
        same = file["mse"] == file["mse.early"]
        assert same[:6].all() and not same[6:].any()
        assert row["value"] == pytest.approx(file["mse"].mean())
    argv = ("reproduce", row["run_id"], f"--results_dir={tmp_path}/r", "--from=params")
    code, out, err = nmbench(*argv)
    assert code == 0 and out.endswith("\nreproduced exactly\n"), out + err
    (folder / "params.early.safetensors").unlink()
    code, out, err = nmbench(*argv)
    assert code == 2 and err.count("\n") == 1 and f"runs/{row['run_id']}/params.early.safetensors" in err


def test_a_row_with_a_tuned_learning_rate_is_trained_again(nmbench, toy_task, tmp_path):
    experiment = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 4}, steps=10))
    losses = {0.001: [2.0, 2.0], 0.01: [1.0, 1.0], 0.03: [3.0, 3.0]}
    Store(tmp_path / "r").save_tuning(tuning.name_of(experiment), make_tuning_record(losses, model="rnn", task="toy"))
    code, _, err = nmbench("run", *TOY, "--steps=10", "--tune", f"--results_dir={tmp_path}/r")
    assert code == 0 and "0.001: 2, 0.01: 1, 0.03: 3; chosen 0.01 after 6 tuning runs" in err, err
    code, out, err = nmbench("reproduce", f"{tmp_path}/r/results.csv:1", f"--out={tmp_path}/again")
    assert code == 0 and "reproduced" in out.splitlines()[-1], out + err
    (then,), (now,) = (csv_files.read_csv(tmp_path / name / "results.csv") for name in ("r", "again"))
    assert now["tuning_json"] == then["tuning_json"] and now["tuning_trials"] == 6
    assert now["departures"] == then["departures"] == "steps 10, not 40"


def test_an_invented_value_is_not_reproduced(nmbench, results, tmp_path):
    def flatter(row, config):
        row["value"] *= 0.9
        row["score"] = TASKS.get("element_finder").primary.score(row["value"])

    code, out, _ = nmbench("reproduce", rewrite(results, tmp_path, flatter), "--tolerance=0")
    assert code == 1 and out.splitlines()[-1] == "NOT reproduced: 0.1 is more than 0"


def test_another_library_version_is_named_and_changes_the_tolerance(nmbench, results, tmp_path):
    def age(row, config):
        row["jax_version"] = "0.5.0"

    name = rewrite(results, tmp_path, age)
    code, out, _ = nmbench("reproduce", name)
    assert code == 0 and "  jax_version      0.5.0 in the row, " in out and "tolerance 0.5\n" in out
    assert out.endswith("\nreproduced exactly\n")
    code, out, _ = nmbench("reproduce", name, "--from=params", f"--results_dir={results}")
    assert code == 0 and "tolerance 0.001" in out


def test_other_settings_of_jax_are_named_and_change_the_tolerance(nmbench, results, tmp_path):
    def change(row, config):
        config["jax_settings"] = {"threefry_partitionable": False}

    code, out, _ = nmbench("reproduce", rewrite(results, tmp_path, change))
    assert code == 0 and "jax_threefry_partitionable False in the row, default here" in out and "tolerance 0.5\n" in out


def test_a_changed_model_or_engine_is_reported_and_the_run_repeated(nmbench, results, tmp_path):
    def change(row, config):
        config["model_sha256"], config["engine"] = "0" * 64, 0
        config["training_sha256"] = {"train": "0" * 64}

    code, out, err = nmbench("reproduce", rewrite(results, tmp_path, change))
    assert "the source of the model rnn has changed: 000000000000..." in err
    assert "the engine version has changed: 0 in the row, 1 here" in err
    assert "the training data of element_finder, or the file that draws them, have changed: 000000000000..." in err
    assert code == 0 and out.endswith("\nreproduced exactly\n")


def set_in(name, value, column=True):
    def change(row, config):
        config[name] = value
        if column:
            row[name] = value

    return change


def lengthen(row, config):
    config["protocol"]["phases"][0]["clip_norm"] = 0.5


REFUSED = {
    "another test set": (set_in("testset_sha256", "0" * 64), False, "was made with another testset_sha256 (000000000000..."),
    "another task version": (set_in("task_version", 2), False, "was made with another task_version (2, here 1)"),
    "another recipe": (lengthen, False, "was made with another protocol.phases.0.clip_norm (0.5, here 1.0)"),
    "a configuration changed by hand": (set_in("data_seed", 7), True, "does not match its config_json"),
    "a column changed by hand": (lambda row, c: row.update(testset_sha256="0" * 64), False, "disagree on testset_sha256"),
    "a model that is not here": (set_in("model", "nowhere"), False, "its model 'nowhere', registered by"),
    "a generator that does not exist": (
        lambda row, c: row.update(prng_impl="dice"),
        False,
        "generator 'dice' is not available",
    ),
    "no configuration": (lambda row, c: c.clear() or c.update(a=1), True, "config_json is not the configuration of a run"),
    "trained elsewhere": (lambda row, c: row.update(protocol="external"), True, "belongs to a model trained elsewhere"),
}


@pytest.mark.parametrize("label", REFUSED)
def test_rows_that_cannot_be_compared_are_refused_before_training(nmbench, results, tmp_path, label):
    way = "params" if len(label) % 2 else "training"
    change, keep_id, message = REFUSED[label]
    name = rewrite(results, tmp_path, change, keep_id)
    code, out, err = nmbench("reproduce", name, f"--from={way}", f"--results_dir={results}")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err, err


BAD = {
    "nothing": ([], "name a row"),
    "a whole CSV": (["results.csv"], "is not one row"),
    "a folder": (["."], "is not one row"),
    "no such file": (["missing.csv:1"], "no such file"),
    "no such row": (["results.csv:3"], "has rows 1 to 2, so there is no row 3"),
    "row zero": (["results.csv:0"], "so there is no row 0"),
    "no such run": (["results.csv#rnn.element_finder"], "no run 'rnn.element_finder' in results.csv"),
    "no such run in a folder": (["rnn.elementfinder.s0", "--results_dir=."], "no run 'rnn.elementfinder.s0' in ."),
    "a path as run id": (["../../etc/passwd"], "is neither a run id nor"),
    "a negative tolerance": (["results.csv:1", "--tolerance=-1"], "--tolerance must be 0 or more"),
    "a tolerance that is no number": (["results.csv:1", "--tolerance=nan"], "--tolerance must be 0 or more"),
    "an unknown source": (["results.csv:1", "--from=memory"], "--from"),
    "scoring into a folder": (["results.csv:1", "--from=params", "--out=x"], "--out is for --from=training"),
    "a folder that cannot be written": (["results.csv:1", "--out=/proc/x"], "cannot be written"),
    "a folder that has it": (["results.csv:1", "--out=."], "already contains this run"),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_input_gives_one_line(nmbench, results, monkeypatch, label):
    monkeypatch.chdir(results)
    before = everything(results)
    argv, message = BAD[label]
    code, _, err = nmbench("reproduce", *argv)
    assert code == 2 and err.count("\n") == 1 and err.startswith("nmbench.reproduce: ") and message in err, err
    assert everything(results) == before


def test_a_csv_alone_has_no_parameters(nmbench, results, tmp_path):
    shutil.copy(results / "results.csv", tmp_path / "alone.csv")
    code, _, err = nmbench("reproduce", f"{tmp_path}/alone.csv:1", "--from=params", f"--results_dir={tmp_path}")
    assert code == 2 and "a CSV does not contain them" in err and "--from=training" in err


def test_packed_parameters_stand_for_run_folders(nmbench, results, tmp_path):
    rows = csv_files.read_csv(results / "results.csv")
    shutil.copy(results / "results.csv", tmp_path / "board.csv")
    packs.pack(rows, results, tmp_path / "board.safetensors")
    code, out, err = nmbench("reproduce", f"{tmp_path}/board.csv:2", "--from=params", f"--results_dir={tmp_path}")
    assert code == 0 and "reproduced exactly" in out, err
    folder = packs.run_folder(tmp_path / "board.safetensors", rows[0]["run_id"])
    original = results / "runs" / rows[0]["run_id"]
    unpacked, own = (safetensors.numpy.load_file(f / "params.safetensors") for f in (folder, original))
    assert unpacked.keys() == own.keys() and all(np.array_equal(unpacked[name], own[name]) for name in own)
    with np.load(folder / "per_trial.npz") as packed, np.load(original / "per_trial.npz") as stored:
        assert packed.files == ["mse"] and np.any(packed["mse"] != stored["mse"])
        np.testing.assert_allclose(packed["mse"], stored["mse"], rtol=2**-11, atol=stored["mse"].max() * 2**-39)
    assert packs.unpack(rows, tmp_path / "board.safetensors", tmp_path / "unpacked") == 2
    assert Store(tmp_path / "unpacked").rows() == Store(results).rows()
    assert packs.unpack(rows, tmp_path / "board.safetensors", tmp_path / "unpacked") == 0
    unpacked = tmp_path / "unpacked" / "runs" / rows[0]["run_id"]
    assert (unpacked / "curve.csv").read_text() == (original / "curve.csv").read_text()
    assert packs.run_folder(tmp_path / "board.safetensors", "rnn.element_finder.matched.s9.0123456789ab") is None
    (tmp_path / "board.safetensors").write_bytes(b"not a pack")
    code, out, err = nmbench("reproduce", f"{tmp_path}/board.csv:2", "--from=params", f"--results_dir={tmp_path}")
    assert (code, out, err.count("\n")) == (2, "", 1) and "board.safetensors" in err


def test_a_diverged_run_diverges_again_and_out_stores_it(nmbench, tmp_path):
    argv = ("--model=rnn", "--task=element_finder", "--hparams=N=3", "--steps=20", "--seeds=1", "--learning_rate=1e30")
    assert nmbench("run", *argv, f"--results_dir={tmp_path}/a")[0] == 1
    code, out, err = nmbench("reproduce", f"{tmp_path}/a/results.csv:1", f"--out={tmp_path}/b")
    assert code == 0 and out.endswith("\nreproduced: it diverges again\n"), err
    rows = [csv_files.read_csv(tmp_path / name / "results.csv") for name in "ab"]
    assert [r[0]["run_id"] for r in rows] == [rows[0][0]["run_id"]] * 2
    assert (tmp_path / "b" / "runs" / rows[0][0]["run_id"] / "params.safetensors").is_file()
    code, _, err = nmbench("reproduce", f"{tmp_path}/a/results.csv:1", "--from=params", f"--results_dir={tmp_path}/a")
    assert code == 2 and "diverged, so it has no value to compare with" in err


def test_rows_without_a_configuration_are_refused(nmbench, tmp_path):
    failed = dict.fromkeys(("value", "score", "conditions_json", "last_value", "validation_loss"))
    path = tmp_path / "r.csv"
    path.write_text(
        csv_files.to_csv([make_row(**failed, status="failed", error="out of memory"), make_row(seed=1, run_id="x")])
    )
    for n in (1, 2):
        code, out, err = nmbench("reproduce", f"{path}:{n}")
        assert (code, out) == (2, "") and err.count("\n") == 1 and "config_json is not the configuration of a run" in err


def test_double_precision_and_plugins_are_reproduced(tmp_path, monkeypatch):
    """Another process, which knows only the row and the plugin, computes the same value."""
    source = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S).group(1)
    (tmp_path / "my_model.py").write_text(source)
    argv = ("--task=element_finder", "--hparams=N=3", "--steps=30", "--seeds=1", "--results_dir=out", "--remat")
    monkeypatch.setenv("JAX_ENABLE_X64", "true")
    code, _, err = finish(start("nmbench.run", "--plugin=my_model.py", "--model=my_model", *argv, cwd=tmp_path))
    assert code == 0, err
    monkeypatch.delenv("JAX_ENABLE_X64")
    code, out, err = finish(start("nmbench.reproduce", "out/results.csv:1", "--plugin=my_model.py", cwd=tmp_path))
    assert code == 0 and out.endswith("\nreproduced exactly\n"), out + err
    assert "JAX_ENABLE_X64=true python -m nmbench.run --plugin=my_model.py --model=my_model" in out
    code, _, err = finish(start("nmbench.reproduce", "out/results.csv:1", cwd=tmp_path))
    assert code == 2 and "its model 'my_model', registered by my_model.py" in err and "--plugin=FILE.py" in err
