"""The flag `--log`: logs, read with the packages' own readers, and loggers that fail."""

import contextlib
import dataclasses
import errno
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.results.store import Store
from nmbench.support import loggers
from nmbench.support.errors import NmbenchError

ROOT = pathlib.Path(__file__).parents[2]
RUN = ["--model=nmrnn", "--task=element_finder", "--steps=500", "--seeds=2", "--hparams=N=4,M=2,K=2", "--devices=1"]


def curve(folder):
    """Map each step in the curve.csv of a run folder to (training loss, validation loss)."""
    lines = (folder / "curve.csv").read_text().splitlines()[1:]
    return {int(step): (float(train), float(valid)) for step, train, valid in (line.split(",") for line in lines)}


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    texts = {tag: events.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    return scalars, {tag: json.loads(text) for tag, text in texts.items()}


def run(folder, *argv, **environment):
    """Call `run` in a child process, with `folder` as current folder and home."""
    code = "import warnings; warnings.simplefilter('error'); import nmbench.__main__ as m; m.main()"
    where = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "XDG"))}
    return subprocess.run(
        [sys.executable, "-c", code, "run", *argv],
        cwd=folder,
        env={**clean, **where, **environment},
        capture_output=True,
        text=True,
    )


class Recorder:
    """A logger that records its calls, and fails at a given step."""

    def __init__(self, calls, fails_at=None):
        self.calls, self.fails_at = calls, fails_at

    def start(self, run_id, config):
        self.calls.append(("start", run_id, config["seed"]))

    def scalars(self, step, values):
        if step == self.fails_at:
            raise OSError(errno.ENOSPC, "No space left\non device")
        self.calls.append(("scalars", step, sorted(values)))

    def finish(self, row):
        self.calls.append(("finish", row and row["status"]))


def recording(patch, name, fails_at=None):
    """Register a kind of logger that records; return a list, which will contain the list of calls of each run."""
    runs = []

    def make(folder):
        runs.append([])
        return Recorder(runs[-1], fails_at)

    patch.setitem(loggers.KINDS, name, loggers.Kind(make, "json"))
    return runs


def resolved():
    request = Request(model="rnn", task="toy", steps=40, hparams={"N": "4"}, learning_rate=0.01, allow_budget_miss=True)
    return resolution.resolve(request)


@dataclasses.dataclass
class Logged:
    """Two runs that were trained together with three kinds of loggers, one of which fails at step 20."""

    experiment: Any
    store: Store
    rows: list
    stderr: str
    recorded: list
    failing: list


@pytest.fixture(scope="module")
def logged(tmp_path_factory, toy_maker):
    root = tmp_path_factory.mktemp("logged")
    task = toy_maker(root / "testsets")
    with pytest.MonkeyPatch.context() as patch, TASKS.restored():
        TASKS.register("toy", task, origin="tests/support/toys.py:1", tags=("testing",), summary=task.summary)
        experiment, store = resolved(), Store(root / "r")
        store.prepare()
        recorded, failing = recording(patch, "recorder"), recording(patch, "failing", fails_at=20)
        names = ["recorder", "failing", "tensorboard"]
        with contextlib.redirect_stderr(io.StringIO()) as err:
            rows = running.run_seeds(experiment, [0, 1], store, loggers=loggers.Loggers(names, store.root / "logs"))
            # Finished runs are not logged again.
            running.run_seeds(experiment, [0, 1], store, loggers=loggers.Loggers(names, store.root / "logs"))
    return Logged(experiment, store, rows, err.getvalue(), recorded, failing)


@pytest.mark.slow
def test_event_files_hold_curve_configuration_and_outcome(logged):
    store, rows = logged.store, logged.rows
    assert sorted(os.listdir(store.root / "logs")) == sorted(row["run_id"] for row in rows)
    for row in rows:
        scalars, texts = read_events(store.root / "logs" / row["run_id"])
        points = curve(store.runs / row["run_id"])
        assert list(points) == [10, 20, 30, 40]
        for i, tag in enumerate(("train_loss", "validation_loss")):
            assert [step for step, _ in scalars[tag]] == list(points)
            np.testing.assert_allclose([value for _, value in scalars[tag]], [p[i] for p in points.values()], rtol=1e-6)
        assert scalars["test/mse"] == [(40, pytest.approx(row["value"], rel=1e-6))]
        assert scalars["test/score"] == [(40, pytest.approx(row["score"], rel=1e-6))]
        assert texts["config"] == {"run_id": row["run_id"], **json.loads(row["config_json"])}
        assert texts["outcome"]["status"] == "ok"
    assert rows[0]["value"] != rows[1]["value"]


def test_every_run_has_a_logger_that_is_called_in_order(logged):
    scalars = [("scalars", step, ["train_loss", "validation_loss"]) for step in (10, 20, 30, 40)]
    expected = [[("start", logged.experiment.run_id(s), s), *scalars, ("finish", "ok")] for s in (0, 1)]
    assert logged.recorded == expected


def test_a_logger_that_fails_is_switched_off_and_training_continues(logged):
    assert [row["status"] for row in logged.rows] == ["ok", "ok"]
    line = "nmbench: --log=failing failed and is switched off: OSError: [Errno 28] No space left on device\n"
    assert logged.stderr == line
    assert [calls[-1] for calls in logged.failing] == [("finish", None)] * 2
    assert all(len(calls) == 3 for calls in logged.failing)


def test_a_repeated_run_replaces_its_events(tmp_path):
    for steps in ((10, 20), (10,)):
        logger = loggers.TensorBoard(tmp_path)
        logger.start("run", {})
        for step in steps:
            logger.scalars(step, {"train_loss": 1.0})
        logger.finish(None)
    scalars, _ = read_events(tmp_path / "run")
    assert scalars == {"train_loss": [(10, 1.0)]}


def test_an_interrupt_finishes_the_log(tmp_path, monkeypatch):
    runs = recording(monkeypatch, "recorder")
    with (
        pytest.raises(KeyboardInterrupt),
        loggers.Loggers(["recorder"], tmp_path).started([("a", {"seed": 0}), ("b", {"seed": 1})]) as log,
    ):
        log.finish(0, {"status": "ok"})
        raise KeyboardInterrupt
    assert [calls[-1] for calls in runs] == [("finish", "ok"), ("finish", None)]


def test_a_logger_that_cannot_start_stops_before_training(toy_task, tmp_path):
    store = Store(tmp_path)
    store.prepare()
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(NmbenchError, match="--log=tensorboard cannot start: .*Error"):
        running.run_seeds(resolved(), [0], store, loggers=loggers.Loggers(["tensorboard"], tmp_path / "logs"))
    assert store.folders() == []


@pytest.mark.slow
def test_loggers_do_not_change_rows_and_are_off_by_default(toy_task, tmp_path):
    plain, logged = Store(tmp_path / "a"), Store(tmp_path / "b")
    values = []
    for store, kinds in ((plain, []), (logged, ["tensorboard"])):
        store.prepare()
        rows = running.run_seeds(resolved(), [3], store, loggers=loggers.Loggers(kinds, store.root / "logs"))
        values.append((rows[0]["run_id"], rows[0]["value"]))
    assert values[0] == values[1]
    assert set(os.listdir(logged.root)) - set(os.listdir(plain.root)) == {"logs"} and not (plain.root / "logs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensorbord", r"--log: unknown logger 'tensorbord'; did you mean 'tensorboard'\? \(known: tensorboard, wandb\)"),
        ("wandb,wandb", "--log: 'wandb' is given twice"),
        ("none", r"unknown logger 'none' \(known: tensorboard, wandb\)"),
    ],
)
def test_bad_names_give_one_line(text, message):
    with pytest.raises(NmbenchError, match=message):
        loggers.parse(text)


def test_names_are_parsed():
    assert loggers.parse("") == () == loggers.parse(" , ")
    assert loggers.parse(" tensorboard ") == ("tensorboard",)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_names_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, loggers.KINDS[name].module, None)  # This makes the import fail.
    with pytest.raises(NmbenchError) as caught:
        loggers.parse(name)
    assert str(caught.value) == f"--log={name} needs a package that is missing: pip install 'nmbench[{name}]'"


def test_a_folder_of_the_same_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "logs_of_that_name").mkdir()  # Weights & Biases creates such a folder, called wandb/.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(loggers.KINDS, "absent", loggers.Kind(lambda folder: Recorder([]), "logs_of_that_name"))
    with pytest.raises(NmbenchError, match=r"pip install 'nmbench\[absent\]'"):
        loggers.parse("absent")


USES_TENSORBOARD = """
import pathlib, sys
from nmbench import run
from nmbench.support import loggers
assert not {"tensorboard", "wandb"} & {*sys.modules}
loggers.parse("tensorboard")
logger = loggers.TensorBoard(pathlib.Path(sys.argv[1]))
logger.start("run", {})
logger.scalars(1, {"a": float("nan")})
logger.finish(None)
print({"tensorflow", "torch", "wandb"} & {*sys.modules})
"""


def test_loggers_are_imported_late_and_tensorboard_without_tensorflow_and_torch(tmp_path):
    argv = [sys.executable, "-W", "error", "-c", USES_TENSORBOARD, str(tmp_path)]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")


def wandb_records(data):
    """Records of a .wandb file, which is a LevelDB log.

    After 7 bytes, it consists of blocks of 32 KiB with entries of (checksum, length, part) and bytes.
    """
    assert data[:4] == b":W&B"
    at, record = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, part = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if part in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


@pytest.mark.release
def test_wandb_offline_with_the_real_package(tmp_path):
    from wandb.proto import wandb_internal_pb2

    done = run(tmp_path, *RUN, "--results_dir=r", "--log=wandb")
    assert done.returncode == 0, done.stderr
    assert "wandb" not in done.stderr
    # By default, wandb is offline and writes only into the results folder.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r"]
    files = sorted((tmp_path / "r" / "logs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    rows = {row["run_id"]: row for row in Store(tmp_path / "r").rows()}
    seen = set()
    for file in files:
        begun, points, summary = None, {}, {}
        for data in wandb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                begun = record.run
            for item in record.history.item:
                points.setdefault(record.history.step.num, {})[item.key or item.nested_key[0]] = json.loads(item.value_json)
            for item in record.summary.update:
                summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
        row = rows[begun.display_name]
        seen.add(begun.display_name)
        assert begun.host == "unnamed"
        config = {item.key: json.loads(item.value_json) for item in begun.config.update}
        assert begun.project == "nmbench"
        assert config["run_id"] == row["run_id"] and config["seed"] == row["seed"] and config["hparams"]["N"] == 4
        expected = curve(tmp_path / "r" / "runs" / row["run_id"])
        assert {s: (p["train_loss"], p["validation_loss"]) for s, p in points.items()} == expected and len(expected) >= 2
        assert summary["test/mse"] == row["value"] and summary["status"] == "ok"
    assert seen == set(rows)


@pytest.mark.release
def test_wandb_environment_rules(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    small = [*RUN[:2], "--protocol=smoke", "--seeds=1"]
    done = run(
        tmp_path,
        *small,
        "--results_dir=r",
        "--log=wandb",
        WANDB_DIR=str(tmp_path / "elsewhere"),
        WANDB_MODE="offline",
        WANDB_PROJECT="mine",
    )
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "elsewhere").rglob("run-*.wandb")
    assert b"mine" in file.read_bytes()
    assert not (tmp_path / "r" / "logs").exists()
    # Without a key, the online mode gives one line before anything is computed.
    done = run(tmp_path, *small, "--results_dir=s", "--log=wandb", WANDB_MODE="online", WANDB_SILENT="true")
    assert done.returncode == 2 and "--log=wandb cannot start" in done.stderr.splitlines()[-1], done.stderr
    assert not list((tmp_path / "s" / "runs").iterdir())
