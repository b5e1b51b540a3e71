"""The files and changes that the fingerprint of the training code covers, and the processors that a run names."""

import ast
import pathlib
import shutil

import numpy as np
import pytest

import nmbench
from nmbench.contracts import fingerprints
from nmbench.support.errors import NmbenchError
from nmbench.training import checkpoints
from nmbench.training.snapshot import CurvePoint, Snapshot

PACKAGE = pathlib.Path(nmbench.__file__).parent
# The training code imports these files, but they do not affect how training continues.
NO_INFLUENCE = {
    "contracts/fingerprints.py",
    "contracts/frozen_sets.py",
    "contracts/metrics.py",
    "contracts/plugin_files.py",
    "contracts/tuning_record.py",
}


def imported(path):
    """Files of the folders training and contracts that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nmbench."):
            base = node.module.replace(".", "/").removeprefix("nmbench/")
            names = [base, *(f"{base}/{alias.name}" for alias in node.names)]
            found |= {f"{name}.py" for name in names if (PACKAGE / f"{name}.py").is_file()}
    return {name for name in found if name.startswith(("training/", "contracts/"))}


def test_the_training_code_lists_all_imports_of_the_trainer():
    found, waiting = set(), {"training/trainer.py"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= imported(PACKAGE / name) - found
    assert found - NO_INFLUENCE == set(checkpoints.TRAINING_CODE)


@pytest.mark.parametrize("name", ["training/trainer.py", "contracts/unroll.py"])
def test_comments_keep_checkpoints_valid_and_code_changes_do_not(tmp_path, name):
    for file in checkpoints.TRAINING_CODE:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(PACKAGE / file, tmp_path / file)
    code = lambda: fingerprints.of_files(tmp_path / file for file in checkpoints.TRAINING_CODE)
    before, text = code(), (tmp_path / name).read_text()
    (tmp_path / name).write_text("# A comment.\n" + text.replace('"""', '"""More words. ', 1))
    assert code() == before
    (tmp_path / name).write_text(text + "\nNUMBER = 1\n")
    assert code() != before


def test_a_run_names_every_processor_that_trained_it(tmp_path, monkeypatch):
    snapshot = Snapshot(
        phase=0,
        step=5,
        state={"weights": np.ones(2, np.float32)},
        outcomes=[],
        curve=[CurvePoint(5, 1.0, 2.0)],
        diverged_at=None,
    )
    for model, names in (("A", "A"), ("B", "A; then B"), ("B", "A; then B"), ("A", "A; then B")):
        monkeypatch.setattr(checkpoints, "processor", lambda model=model: model)
        part = checkpoints.Checkpoints(tmp_path)
        resumed = part.load("run")
        assert (resumed is None) == (names == "A")
        assert part.processor("run") == names
        with part.training(["run"], lambda: [snapshot]):
            part.rescue()


def test_a_run_that_changed_the_device_says_so_and_other_checkpoints_are_counted(tmp_path, monkeypatch):
    snapshot = Snapshot(
        phase=0, step=5, state={"w": np.ones(2)}, outcomes=[], curve=[CurvePoint(5, 1.0, 2.0)], diverged_at=None
    )
    monkeypatch.setattr(checkpoints, "processor", lambda: "A")
    first = checkpoints.Checkpoints(tmp_path)
    with first.training(["m.t.p.s0.aaa"], lambda: [snapshot]):
        first.rescue()
    monkeypatch.setattr(checkpoints, "_device", lambda: "GPU")
    second = checkpoints.Checkpoints(tmp_path)
    second.load("m.t.p.s0.aaa")
    assert second.processor("m.t.p.s0.aaa") == "A with cpu; then A"
    assert [second.unused([key]) for key in ("m.t.p.s0.bbb", "m.t.p.s0.aaa", "m.t.p.s1.bbb")] == [1, 0, 0]


def test_memory_that_runs_out_is_one_line(tmp_path):
    kept = checkpoints.Checkpoints(tmp_path)
    message = "^memory ran out; try fewer seeds at a time, a smaller model, or --remat$"
    with pytest.raises(NmbenchError, match=message), kept.training(["run"], list):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 432000000 bytes.")


def test_a_command_that_starts_from_the_beginning_writes_no_checkpoint(tmp_path):
    kept = checkpoints.Checkpoints(tmp_path / "checkpoints", minutes=0, keep=False)
    with (
        pytest.raises(NmbenchError, match="^full; unfinished runs are not saved and start again from step 0$"),
        kept.training(["run"], lambda: pytest.fail("no state is needed")),
    ):
        kept.update()
        raise NmbenchError("full")
    assert not (tmp_path / "checkpoints").exists()
