"""The results folder: whole runs or none, concurrent collectors, refusals before anything is computed."""

import json
import multiprocessing
import os
import pathlib
import shutil

import numpy as np
import pytest

from nmbench.results import csv_files, store
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from support.rows import make_row


def write(folder, seed, **changes):
    row = make_row(seed=seed, run_id=f"r{seed}", **changes)
    save = lambda path: path.write_bytes(b"params")
    Store(folder).write(row, save, {"mse": np.arange(3.0)}, [(1, 2.0, 3.0)])


@pytest.fixture
def folder(tmp_path):
    Store(tmp_path / "results").prepare()
    return tmp_path / "results"


def test_a_stored_run_has_all_its_files(folder):
    write(folder, 0)
    run = folder / "runs" / "r0"
    assert sorted(p.name for p in run.iterdir()) == ["curve.csv", "params.safetensors", "per_trial.npz", "row.json"]
    assert json.loads((run / "row.json").read_text())["seed"] == 0
    assert (run / "curve.csv").read_text() == "step,train_loss,validation_loss\n1,2.0,3.0\n"
    with np.load(run / "per_trial.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["mse"], [0, 1, 2])
    assert Store(folder).row("r0")["value"] == 1.0
    assert Store(folder).row("r1") is None


def test_a_run_can_be_replaced(folder):
    write(folder, 0)
    write(folder, 0, value=2.0)
    assert Store(folder).row("r0")["value"] == 2.0
    assert [p.name for p in (folder / "runs").iterdir()] == ["r0"]


def test_a_failure_while_writing_leaves_no_files(folder):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(NmbenchError, match="cannot store run r0 .*: No space left on device"):
        Store(folder).write(make_row(run_id="r0"), fail, {}, [])
    assert list((folder / "runs").iterdir()) == []


def test_a_row_that_does_not_fit_the_schema_is_not_stored(folder):
    with pytest.raises(NmbenchError, match="column 'seed'"):
        write(folder, "x")
    assert list((folder / "runs").iterdir()) == []


def test_collecting_writes_the_rows_of_all_runs(folder):
    for seed in (2, 0, 1):
        write(folder, seed)
    (folder / "runs" / ".tmp-left-over").mkdir()
    assert [row["seed"] for row in Store(folder).collect()] == [0, 1, 2]
    assert [row["seed"] for row in csv_files.read_csv(folder / "results.csv")] == [0, 1, 2]
    assert not [p for p in folder.iterdir() if p.name.startswith(".results-")]


def write_and_collect(folder, seed):
    write(folder, seed)
    Store(folder).collect()


@pytest.mark.slow
def test_sixteen_processes_write_all_their_runs(folder):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_and_collect, args=(folder, seed)) for seed in range(16)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0] * 16
    assert sorted(row["seed"] for row in csv_files.read_csv(folder / "results.csv")) == list(range(16))


def test_a_folder_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("x")
    for bad in (tmp_path / "file", tmp_path / "file" / "below", pathlib.Path("/proc/nmbench/results")):
        with pytest.raises(NmbenchError, match="cannot be written"):
            Store(bad).prepare()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["results.csv", ".lock"])
def test_a_folder_in_the_place_of_a_file_is_found_before_training(folder, name):
    (folder / name).mkdir()
    with pytest.raises(NmbenchError, match=f"{name} is a folder, but nmbench writes a file of this name"):
        Store(folder).prepare()


@pytest.mark.parametrize("name", ["tuning", "checkpoints", "logs", ".lock"])
def test_what_cannot_be_written_later_is_found_before_training(folder, name):
    (folder / name).symlink_to("nowhere")
    with pytest.raises(NmbenchError, match=f"{name} cannot be written .* make it writable, or choose another --results_dir"):
        Store(folder).prepare()


def test_preparing_leaves_no_temporary_file(folder):
    Store(folder).prepare()
    assert [p.name for p in folder.iterdir()] == ["runs"]


def test_reading_files_and_folders(folder, tmp_path):
    with pytest.raises(NmbenchError, match="no runs and no CSV"):
        store.read(str(folder))
    write(folder, 0)
    assert len(store.read(str(folder))) == 1
    Store(folder).collect()
    assert len(store.read(str(folder / "results.csv"))) == 1
    only_csv = tmp_path / "only_csv"
    only_csv.mkdir()
    (folder / "results.csv").rename(only_csv / "other.csv")
    assert len(store.read(str(only_csv))) == 1
    # A clone has the published rows in folders below results/.
    with pytest.raises(NmbenchError, match=f"name {only_csv}, which have CSVs, or train"):
        store.read(str(tmp_path))
    with pytest.raises(NmbenchError, match="no such file or folder"):
        store.read(str(tmp_path / "nowhere"))


def test_a_damaged_run_folder_is_named(folder):
    write(folder, 0)
    (folder / "runs" / "r0" / "row.json").write_text("{")
    with pytest.raises(NmbenchError, match="cannot read .*row.json"):
        Store(folder).collect()


def test_a_row_nested_too_deeply_is_refused(tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "row.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(NmbenchError, match=r"cannot read .*row\.json"):
        Store(tmp_path).rows()
    assert Store(tmp_path).row("a") is None
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "x.json").write_text("[" * 100_000)
    assert Store(tmp_path).load_tuning("x") is None


def test_of_copies_of_a_run_folder_the_one_named_by_the_run_id_counts(folder, capsys):
    write(folder, 0)
    for name, origin in (("a copy of r0", "r0"), ("r0.bak", "r0"), ("x", "r1"), ("y", "r1")):
        shutil.copytree(folder / "runs" / "r0", folder / "runs" / name)
        row = make_row(run_id=origin, seed=int(origin[1]), value=3.0)
        (folder / "runs" / name / "row.json").write_text(json.dumps(row))
    assert [(row["run_id"], row["value"]) for row in Store(folder).collect()] == [("r0", 1.0), ("r1", 3.0)]
    assert len(store.read(str(folder))) == len(store.read(str(folder / "results.csv"))) == 2
    lines = capsys.readouterr().err.splitlines()
    pairs = (("a copy of r0", "r0"), ("r0.bak", "r0"), ("y", "x"))
    for line, (copy, kept) in zip(lines, pairs, strict=True):
        assert f"{copy} and {folder}/runs/{kept} hold the same run; only {kept} counts" in line
