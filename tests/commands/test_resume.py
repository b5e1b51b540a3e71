"""Nothing is lost: real processes, killed, interrupted and short of room, and then the same command again."""

import json
import signal
import time

import numpy as np
import pytest
import safetensors.numpy

from nmbench.results import schema
from support.processes import finish, start

BASE = ("nmbench.run", "--model=rnn", "--task=element_finder", "--hparams=N=3", "--devices=1")
# Of a run that was cut short these may differ: they say how long it took, when and where.
CIRCUMSTANCES = {"compile_s", "train_s", "eval_s", "peak_rss_mb", "started_utc", "seeds_together", "n_devices"}


def outcome(folder):
    """Everything in a results folder that must not depend on how often its command was cut short."""
    runs = {}
    for run in sorted((folder / "runs").iterdir()):
        row = json.loads((run / "row.json").read_text())
        params = {k: v.tobytes() for k, v in safetensors.numpy.load_file(str(run / "params.safetensors")).items()}
        with np.load(run / "per_trial.npz") as file:
            trials = {name: file[name].tobytes() for name in file.files}
        row = {k: v for k, v in row.items() if k not in CIRCUMSTANCES}
        runs[run.name] = (row, params, trials, (run / "curve.csv").read_text())
    assert sorted(runs) == sorted(row["run_id"] for row in schema.read_csv(folder / "results.csv"))
    return runs


def checkpoints(folder):
    return sorted((folder / "checkpoints").glob("*.safetensors"))


def wait_for_checkpoint(process, folder, beyond=0.0):
    """Until a checkpoint is there that is newer than `beyond`; returns when it was written."""
    for _ in range(3000):
        newest = max((p.stat().st_mtime for p in checkpoints(folder)), default=0.0)
        if newest > beyond:
            return newest
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no checkpoint within a minute")


STEPS = ("--steps=20000", "--seeds=2", "--checkpoint_minutes=0")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, _, err = finish(start(*BASE, *STEPS, "--results_dir=out", cwd=folder))
    assert code == 0, err
    assert checkpoints(folder / "out") == []
    return outcome(folder / "out")


def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path, uninterrupted):
    newest, resumed = 0.0, []
    for _ in range(3):
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


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_it_keeps_everything_and_goes_on(tmp_path, uninterrupted, number, expected):
    """The signal comes soon after a checkpoint, long before the next one is due: what it keeps is its own."""
    steps = (*STEPS[:2], "--checkpoint_minutes=0.03")
    process = start(*BASE, *steps, "--results_dir=out", cwd=tmp_path)
    written = wait_for_checkpoint(process, tmp_path / "out")
    time.sleep(0.3)
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (expected, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("nmbench.run: interrupted; 2 runs kept at step ") and "the same command goes on" in last
    assert "Traceback" not in err
    step = int(last.split("step ")[1].split()[0])
    assert min(p.stat().st_mtime for p in checkpoints(tmp_path / "out")) > written
    assert len(checkpoints(tmp_path / "out")) == 2 and not list((tmp_path / "out").glob("checkpoints/.tmp-*"))
    code, _, err = finish(start(*BASE, *steps, "--results_dir=out", cwd=tmp_path))
    assert code == 0 and f"2 runs resumed at step {step} of 20000" in err
    assert outcome(tmp_path / "out") == uninterrupted
    assert checkpoints(tmp_path / "out") == []
