"""`export` writes a task's sets as plain arrays."""

import json
import math
import os

import numpy as np
import pytest
import tree

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.contracts.task import SQUARED_ERROR
from nmbench.exchange import exported_sets
from nmbench.results import csv_files

NAMES = [e.name for e in TASKS.entries()]
SHAPE = (5, 12, 1)  # [T, B, O] of the toy task


def targets(task, split="test"):
    return np.asarray(task.unpack(task.frozen(split).arrays).targets)


def read(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module", params=NAMES)
def exported(request, tmp_path_factory):
    """(task, folder of its export) for every task."""
    task, folder = TASKS.get(request.param), tmp_path_factory.mktemp(request.param) / "data"
    sampled = any(not hasattr(source, "make") for source in task.training.values())
    exported_sets.export(task, folder, 300 if sampled else None, 0)
    return task, folder


@pytest.mark.slow
def test_exported_arrays_and_description_match_the_sets(exported):
    task, folder = exported
    description = json.loads((folder / "task.json").read_text())
    files = {file["file"]: file for file in description["files"]}
    assert {p.name for p in folder.iterdir()} == {*files, "task.json", "README.md"}
    assert set(files) == {f"{split}.npz" for split in (*task.training, *task.set_sizes)}
    for split in (*task.training, *task.set_sizes):
        arrays, file = read(folder / f"{split}.npz"), files[f"{split}.npz"]
        assert {key: list(a.shape) for key, a in arrays.items()} == file["arrays"]
        assert {a.dtype for a in arrays.values()} == {np.dtype("float32")}
        assert file["arrays_sha256"] == frozen_sets.digest(arrays)
        assert arrays["targets"].shape == (task.spec.steps, file["trials"], task.spec.output_size)
        if split in task.set_sizes:
            batch = task.unpack(task.frozen(split).arrays)
            assert file["frozen_sha256"] == task.frozen(split).sha256
        elif hasattr(task.training[split], "make"):
            batch = task.training[split].arrays()
        else:
            assert file["trials"] == 300 and file["data_seed"] == 0
            continue
        inputs = {"_".join(("inputs", *path)): leaf for path, leaf in tree.flatten_with_path(batch.inputs)}
        assert {*inputs, "targets", "mask"} == set(arrays) and set(inputs) == set(description["inputs"])
        for key, leaf in {**inputs, "targets": batch.targets}.items():
            np.testing.assert_array_equal(arrays[key], leaf)
        np.testing.assert_array_equal(arrays["mask"], np.broadcast_to(batch.mask, batch.targets.shape))
    assert [m["name"] for m in description["metrics"]] == [m.name for m in task.metrics]
    assert [m["floor"] for m in description["metrics"]] == [m.floor for m in task.metrics]
    text = (folder / "README.md").read_text()
    for fact in (task.summary, task.frozen("test").sha256, description["score"]["command"], "test targets are here"):
        assert fact in text
    assert all(f"`{m.name}`" in text for m in task.metrics)


def test_exported_targets_as_predictions_score_the_ceiling(nmbench, exported, tmp_path):
    """A round trip that uses only the exported folder and NumPy between the two commands."""
    task, folder = exported
    np.savez(tmp_path / "p.npz", predictions=read(folder / "test.npz")["targets"])
    np.save(tmp_path / "v.npy", read(folder / "validation.npz")["targets"])
    command = json.loads((folder / "task.json").read_text())["score"]["command"]
    command = command.replace("predictions.npz", f"{tmp_path}/p.npz").replace("NAME", "oracle")
    argv = command.replace("=N ", f"={task.default_budget} ").split()[3:]
    code, out, err = nmbench(
        "score",
        *argv,
        f"--results_dir={tmp_path / 'r'}",
        f"--validation_predictions={tmp_path / 'v.npy'}",
        "--origin=a test",
    )
    assert code == 0, err
    (row,) = csv_files.read_csv(tmp_path / "r" / "results.csv")
    assert (row["value"], row["score"]) == (task.primary.ceiling, 100.0)
    # As logits of two classes, 1 and 0 are no certain answer.
    loss = 0.0 if task.loss == SQUARED_ERROR else math.log(1 + math.exp(-1))
    assert row["validation_loss"] == pytest.approx(loss, rel=1e-6)
    assert (
        row["protocol"] == "external" and row["model_origin"] == "external, size declared: a test" and row["params_dev"] == 0
    )
    assert row["testset_sha256"] == task.frozen("test").sha256 and row["n_test"] == task.frozen("test").n
    assert f"{task.name} v{task.version}, protocol external, budget {task.default_budget}" in out and "oracle" in out
    # A metric can use only part of the trials, so the other metrics need not be at their ceilings.
    perfect = task.evaluate(targets(task), task.frozen("test").arrays)
    for metric in task.metrics[1:]:
        assert row[f"metrics.{metric.name}"] == perfect["values"][metric.name]
    (run,) = (tmp_path / "r" / "runs").iterdir()
    assert sorted(p.name for p in run.iterdir()) == ["per_trial.npz", "row.json"]
    assert {key: a.shape for key, a in read(run / "per_trial.npz").items()} == {
        m.name: (row["n_test"],) for m in task.metrics
    }


def test_drawn_training_data_depend_only_on_the_data_seed(nmbench, tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        argv = ["--task=element_finder", f"--out={tmp_path / folder}", "--train_trials=300", f"--data_seed={seed}"]
        assert nmbench("export", *argv)[0] == 0
    a, b, c = (read(tmp_path / folder / "train.npz") for folder in "abc")
    assert a["targets"].shape == (26, 300, 1)
    query, elements = a["inputs_sensory"][0, :, 0].astype(int), a["inputs_sensory"][1:, :, 0]
    np.testing.assert_array_equal(a["targets"][-1, :, 0], elements[query, np.arange(300)])
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(a["inputs_sensory"], c["inputs_sensory"])


def test_export_accepts_an_empty_folder_and_creates_parents(nmbench, toy_task, tmp_path):
    (tmp_path / "data").mkdir()
    code, out, _ = nmbench("export", "--task=toy", f"--out={tmp_path / 'data'}")
    assert code == 0 and "test.npz" in out and "README.md" in out
    assert nmbench("export", "--task=toy", f"--out={tmp_path / 'some' / 'where' / 'data'}")[0] == 0
    assert read(tmp_path / "data" / "test.npz").keys() == {"inputs_context", "inputs_sensory", "targets", "mask"}


BAD_EXPORTS = {
    "no task": (["--out=x"], "--task is missing"),
    "unknown task": (["--task=element_findr", "--out=x"], "did you mean 'element_finder'?"),
    "no folder": (["--task=toy"], "--out is missing"),
    "folder with something in it": (["--task=toy", "--out=full"], "--out=full is not empty"),
    "a file": (["--task=toy", "--out=full/file"], "is a file"),
    "below a file": (["--task=toy", "--out=full/file/x"], "cannot be written"),
    "where nobody can write": (["--task=toy", "--out=/proc/x"], "cannot be written"),
    "where nobody can make folders": (["--task=toy", "--out=/proc/x/y"], "cannot be written"),
    "a name that is too long": (["--task=toy", f"--out={'x' * 300}"], "cannot be written"),
    "no trials": (["--task=element_finder", "--out=x", "--train_trials=0"], "--train_trials"),
    "more trials than fit": (["--task=element_finder", "--out=x", "--train_trials=1000000000"], "give a smaller"),
    "trials of a fixed set": (["--task=toy", "--out=x", "--train_trials=5"], "omit --train_trials"),
    "data seed out of range": (["--task=element_finder", "--out=x", "--data_seed=2147483648"], "--data_seed"),
}


@pytest.mark.parametrize("label", BAD_EXPORTS)
def test_a_refused_export_gives_one_line_and_writes_nothing(nmbench, toy_task, tmp_path, monkeypatch, label):
    home = tmp_path / "home"
    (home / "full").mkdir(parents=True)
    (home / "full" / "file").write_text("precious")
    monkeypatch.chdir(home)
    argv, message = BAD_EXPORTS[label]
    code, out, err = nmbench("export", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("nmbench.export: ") and message in err, err
    assert [p.name for p in home.rglob("*")] == ["full", "file"] and (home / "full" / "file").read_text() == "precious"


def test_an_export_of_a_damaged_set_writes_nothing(nmbench, toy_task, tmp_path):
    next((tmp_path / "testsets").glob("*test.npz")).write_bytes(b"broken")
    code, out, err = nmbench("export", "--task=toy", f"--out={tmp_path / 'new' / 'data'}")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "is corrupt" in err
    assert os.listdir(tmp_path) == ["testsets"]


def test_export_resolves_dots_after_a_missing_folder(nmbench, tmp_path):
    code, out, err = nmbench("export", "--task=element_finder", f"--out={tmp_path}/absent/../data")
    assert code == 0, err
    assert os.listdir(tmp_path) == ["data"] and f"{tmp_path}/data/test.npz" in out
