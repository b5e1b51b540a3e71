"""Interrupted runs resume: real processes are killed and interrupted, and the same command is run again."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.results import csv_files
from nmbench.results.store import Store
from nmbench.training.checkpoints import Checkpoints
from support.outcomes import BASE, checkpoints, outcome
from support.processes import finish, start


def wait_for_checkpoint(process, folder, beyond=0.0):
    """Wait for a checkpoint that is newer than `beyond`; return its modification time."""
    for _ in range(3000):
        newest = max((p.stat().st_mtime for p in checkpoints(folder)), default=0.0)
        if newest > beyond:
            return newest
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no checkpoint within a minute")


STEPS = ("--steps=12000", "--seeds=2", "--checkpoint_minutes=0")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, _, err = finish(start(*BASE, *STEPS, "--results_dir=out", cwd=folder))
    assert code == 0, err
    assert checkpoints(folder / "out") == []
    return outcome(folder / "out")


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory):
    """The results folder of an interrupted command: it has two checkpoints and no run."""
    folder = tmp_path_factory.mktemp("cut_short")
    process = start(*BASE, *STEPS, "--results_dir=out", cwd=folder)
    wait_for_checkpoint(process, folder / "out")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    return folder / "out"


@pytest.mark.slow
def test_a_run_that_was_killed_twice_equals_an_uninterrupted_run(tmp_path, uninterrupted):
    newest, resumed = 0.0, []
    for _ in range(2):
        process = start(*BASE, *STEPS, "--results_dir=out", cwd=tmp_path)
        newest = wait_for_checkpoint(process, tmp_path / "out", newest)
        time.sleep(0.1)
        process.kill()
        code, _, err = finish(process)
        assert code == -signal.SIGKILL
        assert list((tmp_path / "out" / "runs").iterdir()) == []
        resumed.append(err)
    code, _, err = finish(start(*BASE, *STEPS, "--results_dir=out", cwd=tmp_path))
    assert code == 0, err
    assert "2 runs resumed at step " in err or "1 run resumed at step " in err
    assert outcome(tmp_path / "out") == uninterrupted
    assert checkpoints(tmp_path / "out") == []


@pytest.mark.slow
def test_a_signal_saves_checkpoints_and_the_runs_resume(tmp_path, uninterrupted):
    """The signal comes soon after a checkpoint, long before the next one is due, so it causes the new checkpoint."""
    steps = (*STEPS[:2], "--checkpoint_minutes=0.03")
    process = start(*BASE, *steps, "--results_dir=out", cwd=tmp_path)
    written = wait_for_checkpoint(process, tmp_path / "out")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert (code, out) == (143, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("nmbench.run: interrupted; 2 runs saved at step ") and "the same command again" in last
    assert "Traceback" not in err
    step = int(last.split("step ")[1].split()[0])
    assert min(p.stat().st_mtime for p in checkpoints(tmp_path / "out")) > written
    assert len(checkpoints(tmp_path / "out")) == 2 and not list((tmp_path / "out").glob("checkpoints/.tmp-*"))
    code, _, err = finish(start(*BASE, *steps, "--results_dir=out", cwd=tmp_path))
    assert code == 0 and f"2 runs resumed at step {step} of 12000" in err
    assert outcome(tmp_path / "out") == uninterrupted
    assert checkpoints(tmp_path / "out") == []


@pytest.mark.slow
def test_another_range_of_seeds_resumes_the_shared_seeds(tmp_path, cut_short, uninterrupted):
    """After an interruption of seeds 0 and 1, a command for seeds 1 and 2 resumes seed 1, starts seed 2 and keeps seed 0."""
    shutil.copytree(cut_short, tmp_path / "out")
    steps = ("--steps=12000", "--first_seed=1", "--seeds=2")
    code, _, err = finish(start(*BASE, *steps, "--results_dir=out", cwd=tmp_path))
    assert code == 0 and "1 run resumed at step" in err
    found = outcome(tmp_path / "out")
    shared = [name for name in found if ".s1." in name]
    assert [".s1." in name or ".s2." in name for name in found] == [True, True] and len(shared) == 1
    # Curves are not compared: the order of summation of the mean training loss depends on the seeds trained together.
    assert found[shared[0]][:3] == uninterrupted[shared[0]][:3]
    assert [".s0." in p.name for p in checkpoints(tmp_path / "out")] == [True]


def spoil(path, how):
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "one flipped bit":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    else:
        other = next(p for p in path.parent.glob("*.safetensors") if p != path)
        path.write_bytes(other.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["truncated", "one flipped bit", "of another run"])
def test_a_damaged_checkpoint_is_set_aside_with_one_line(tmp_path, cut_short, how):
    """The other seed resumes; the seed with the damaged checkpoint starts from the beginning."""
    shutil.copytree(cut_short, tmp_path / "out")
    spoilt, whole = checkpoints(tmp_path / "out")
    spoil(spoilt, how)
    said = []
    store = Store(tmp_path / "out")
    request = Request(model="rnn", task="element_finder", hparams={"N": 3}, steps=12000)
    plan = running.plan(resolution.resolve(request), [0, 1], store, Checkpoints(store.checkpoints, say=said.append))
    assert len(said) == 1 and "\n" not in said[0]
    assert f"{spoilt.name} cannot be used: it" in said[0] and "the run starts from step 0" in said[0]
    assert [(group.indices, group.step > 0, len(group.snapshots)) for group in plan.groups] == [
        ([1], True, 1),
        ([0], False, 0),
    ]
    assert sorted(p.name for p in store.checkpoints.iterdir()) == [f"{spoilt.name}.unusable", whole.name]


@pytest.mark.release
def test_interrupted_tuning_resumes(tmp_path):
    tune = (*BASE[:-1], "--steps=500", "--seeds=1", "--tune", "--checkpoint_minutes=0")
    assert finish(start(*tune, "--results_dir=whole", cwd=tmp_path))[0] == 0
    process = start(*tune, "--results_dir=out", cwd=tmp_path)
    wait_for_checkpoint(process, tmp_path / "out")
    process.kill()
    finish(process)
    code, _, err = finish(start(*tune, "--results_dir=out", cwd=tmp_path))
    assert code == 0, err
    assert re.search(r"tuning runs? resumed at step", err)
    assert outcome(tmp_path / "out").keys() == outcome(tmp_path / "whole").keys()
    records = [json.loads(next((tmp_path / f / "tuning").iterdir()).read_text()) for f in ("out", "whole")]
    assert records[0].pop("train_s") > 0 and records[1].pop("train_s") > 0
    assert records[0] == records[1]
    assert checkpoints(tmp_path / "out") == []


# The process that is killed at random moments: it writes runs and collects them without end.
WRITER = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from nmbench.experiments.configuration import Configuration
from support.rows import make_row, whole_config
import numpy as np
from nmbench.training import parameter_files
from nmbench.results.store import Store
store = Store(sys.argv[1])
store.prepare()
print("ready", flush=True)
params = {"m": {"w": np.arange(30000.0)}}
for seed in range(1 << 20):
    # Every run is written, replaced by itself, and collected.
    row = make_row(seed=seed % 7)
    configuration = Configuration.from_dict(whole_config(row))
    row |= {"config_json": configuration.to_json(), "run_id": configuration.run_id}
    save = lambda path: parameter_files.save_params(path, params)
    store.write(row, save, {"mse": np.arange(5000.0)}, [(1, 2.0, 3.0)] * 500)
    store.collect()
"""


@pytest.mark.slow
def test_killing_a_writer_leaves_no_incomplete_run(tmp_path):
    support = str(pathlib.Path(__file__).parents[1])
    random = np.random.RandomState(0)
    left_behind = 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", WRITER, "out", support], cwd=tmp_path, stdout=-1, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.communicate()
        names = {p.name for p in (tmp_path / "out").rglob(".*") if p.name.startswith(".tmp-")}
        left_behind += len(names)
        for run in (tmp_path / "out" / "runs").glob("nmrnn.made_up.*"):
            assert sorted(p.name for p in run.iterdir()) == ["curve.csv", "params.safetensors", "per_trial.npz", "row.json"]
            assert len((run / "curve.csv").read_text().splitlines()) == 501
            assert safetensors.numpy.load_file(str(run / "params.safetensors"))["m|w"].shape == (30000,)
            with np.load(run / "per_trial.npz") as file:
                assert file["mse"].shape == (5000,)
    # Some kills interrupted a write: they left temporary files.
    assert left_behind >= 1
    code, _, err = finish(start("nmbench.validate", "out", "out/results.csv", cwd=tmp_path))
    assert code == 0, err
    # The next command removes temporary files and restores a run that was being replaced.
    before = {p.name for p in (tmp_path / "out" / "runs").glob("nmrnn.made_up.*")}
    code, _, err = finish(start(*BASE, "--steps=10", "--seeds=1", "--results_dir=out", cwd=tmp_path))
    assert code == 0, err
    assert [p for p in (tmp_path / "out").rglob(".*") if p.name != ".lock"] == []
    assert {p.name for p in (tmp_path / "out" / "runs").glob("nmrnn.made_up.*")} >= before
    assert len(csv_files.read_csv(tmp_path / "out" / "results.csv")) == len(list((tmp_path / "out" / "runs").iterdir()))


@pytest.mark.release
def test_concurrent_commands_lose_no_run(tmp_path):
    """Of four commands at the same time, two train each seed, and two have --force."""
    commands = [
        (
            *BASE,
            "--steps=40",
            "--seeds=1",
            f"--first_seed={i // 2}",
            *(["--force"] if i % 3 == 0 else []),
            "--results_dir=out",
        )
        for i in range(4)
    ]
    processes = [start(*command, cwd=tmp_path) for command in commands]
    for process in processes:
        code, _, err = finish(process)
        assert code == 0, err
    rows = csv_files.read_csv(tmp_path / "out" / "results.csv")
    assert sorted(row["seed"] for row in rows) == [0, 1]
    assert len(outcome(tmp_path / "out")) == 2
    assert [p for p in (tmp_path / "out").rglob(".*") if p.name != ".lock"] == []
    assert list((tmp_path / "out").glob("checkpoints/*")) == []
