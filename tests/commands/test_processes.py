"""Commands as real processes: imports, signals, memory, progress, devices and compiled programs."""

import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import termios
import time

import pytest

from nmbench.results import csv_files
from support.processes import finish, start

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("argv", [["nmbench.list"], ["nmbench.run", "--help"], ["nmbench", "--help"]])
def test_light_commands_do_not_import_jax(tmp_path, argv):
    """This keeps `list` and `--help` well under two seconds. Times themselves are measured by benchmarks."""
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:]\ntry: runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    code += "\nexcept SystemExit as e: assert not e.code\nassert 'jax' not in sys.modules and 'haiku' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, *argv], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nmrnn" in done.stdout or "usage" in done.stdout


def test_unknown_commands_give_one_line(tmp_path):
    code, out, err = finish(start("nmbench", "leaderbord", cwd=tmp_path))
    assert (code, out) == (2, "") and err.startswith("nmbench: unknown command 'leaderbord'; did you mean 'leaderboard'?")
    code, out, err = finish(start("nmbench", "--version", cwd=tmp_path))
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_ctrl_c_keeps_finished_runs_and_the_next_call_continues(tmp_path):
    base = ["nmbench.run", "--model=rnn", "--task=element_finder", "--results_dir=out", "--hparams=N=3"]
    assert finish(start(*base, "--steps=10", "--seeds=1", cwd=tmp_path))[0] == 0
    process = start(*base, "--steps=5000000", "--seeds=2", cwd=tmp_path)
    # The line on stderr comes after all checks; the training that follows would take hours.
    assert process.stderr.readline().startswith("rnn on element_finder")
    # Repeat the signal: on a busy machine the process may still be importing JAX, which can swallow an interrupt.
    for _ in range(24):
        time.sleep(8)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGINT)
    code, out, err = finish(process, timeout=60)
    assert code == 130 and out == ""
    assert err.strip().splitlines()[-1].startswith("nmbench.run: interrupted")
    assert "Traceback" not in err
    assert len(csv_files.read_csv(tmp_path / "out" / "results.csv")) == 1
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 1
    code, _, err = finish(start(*base, "--steps=10", "--seeds=2", cwd=tmp_path))
    assert code == 0 and "1 of 2 runs are already in" in err
    assert " left, loss " not in err  # no progress bar without a terminal
    assert [row["seed"] for row in csv_files.read_csv(tmp_path / "out" / "results.csv")] == [0, 1]


@pytest.mark.release
def test_memory_does_not_grow_with_steps_and_stays_below_the_limit(tmp_path):
    """Peak memory of ten seeds of nmrnn at 200 and at 1,000 steps."""
    peaks = []
    for steps in (200, 1000):
        argv = ["nmbench.run", "--model=nmrnn", "--task=element_finder", f"--steps={steps}", f"--results_dir=out{steps}"]
        code, _, err = finish(start(*argv, cwd=tmp_path))
        assert code == 0, err
        rows = [json.loads(p.read_text()) for p in (tmp_path / f"out{steps}").rglob("row.json")]
        peaks.append(max(row["peak_rss_mb"] for row in rows))
    assert max(peaks) < 1500
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal(tmp_path):
    base = ["nmbench.run", "--model=rnn", "--task=element_finder", "--seeds=1", "--steps=5000", "--hparams=N=3"]
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 120))
    command = [sys.executable, "-m", *base, "--results_dir=a"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # Linux raises this error after the other side has closed
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    bar = r"rnn, 1 seed +\d+%\|.*\| \d\d:\d\d left, loss [\d.]+ \(best [\d.]+\)"
    assert re.search(bar, text), text


def values_of(folder):
    return {row["seed"]: (row["value"], row["validation_loss"]) for row in csv_files.read_csv(folder / "results.csv")}


@pytest.mark.release
def test_one_and_eight_devices_give_the_same_results(tmp_path):
    """On simulated host devices, the values of each of five seeds are equal to the last bit."""
    base = ["nmbench.run", "--model=rnn", "--task=element_finder", "--protocol=smoke", "--seeds=5", "--hparams=N=3"]
    processes = [start(*base, f"--devices={n}", f"--results_dir=out{n}", cwd=tmp_path) for n in (1, 8)]
    for process in processes:
        code, _, err = finish(process)
        assert code == 0, err
    rows = [csv_files.read_csv(tmp_path / f"out{n}" / "results.csv") for n in (1, 8)]
    # A command uses at most as many devices as it has seeds.
    assert [r[0]["n_devices"] for r in rows] == [1, 5]
    one, eight = (values_of(tmp_path / f"out{n}") for n in (1, 8))
    assert len(one) == 5 and one == eight


@pytest.mark.slow
def test_compiled_programs_are_kept_and_give_the_same_results(tmp_path, monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = ["nmbench.run", "--model=rnn", "--task=element_finder", "--protocol=smoke", "--seeds=2"]
    assert finish(start(*base, "--results_dir=first", cwd=tmp_path))[0] == 0
    kept = {p: p.read_bytes() for p in tmp_path.glob("cache/nmbench/compiled-*/jit__chunk-*-cache")}
    assert len(kept) == 1
    assert finish(start(*base, "--results_dir=second", cwd=tmp_path))[0] == 0
    assert {p: p.read_bytes() for p in tmp_path.glob("cache/nmbench/compiled-*/jit__chunk-*-cache")} == kept
    assert values_of(tmp_path / "first") == values_of(tmp_path / "second")
