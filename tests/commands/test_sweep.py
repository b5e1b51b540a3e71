"""The command `sweep`: dry runs, files, bad input, crashes and interruptions."""

import json
import os
import pathlib
import re
import signal
import sys
import time

import pytest

from nmbench.results import csv_files
from nmbench.sweeps import configfile, worker
from support.outcomes import checkpoints
from support.processes import finish, start

TWO = ("--models=rnn,lstm", "--tasks=element_finder", "--budgets=250", "--seeds=2", "--protocols=smoke")


def test_dry_run_lists_pending_runs_and_skipped_combinations_and_writes_nothing(nmbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = nmbench(
        "sweep",
        "--models=rnn,lstm",
        "--tasks=element_finder,multitask,mwg_rank1",
        "--budgets=default,250,5",
        "--seeds=3",
        "--dry_run",
    )
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line and line[0] not in "-l"}
    # Two models at two budgets; neither meets a budget of 5, and on the multitask both miss 250 by more than 5%.
    assert lines["element_finder"][1:6] == ["4", "12", "0", "0", "2"]
    assert lines["multitask"][1:6] == ["2", "6", "0", "0", "4"]
    assert lines["all"][1:6] == ["10", "30", "0", "0", "8"]
    assert 0.01 < float(lines["element_finder"][6]) < float(lines["all"][6]) < 20
    assert out.count("\nskipped: ") == 8
    assert "skipped: lstm on multitask, budget 250: lstm with N=5 has 275 parameters, +10.0% off the budget" in out
    assert re.search(r"\non multitask, --budgets=2\d\d suits all 2 models\n", out)
    assert os.listdir(tmp_path) == []


def test_every_setting_of_hyperparameters_is_a_point_of_the_grid(nmbench, tmp_path):
    """Two settings and the defaults for each model; the vanilla RNN has no K."""
    (tmp_path / "s.toml").write_text('models = ["nmrnn", "rnn"]\ntasks = "flip_flop"\nhparams = ["", "K=6", "K=4,M=8"]\n')
    argv = ("--models=nmrnn,rnn", "--tasks=flip_flop", "--hparams=", "--hparams=K=6", "--hparams=K=4,M=8")
    for given in (argv, (f"--sweep={tmp_path}/s.toml",)):
        code, out, err = nmbench("sweep", *given, "--seeds=2", "--dry_run", f"--results_dir={tmp_path}/r")
        counts = next(line.split() for line in out.splitlines() if line.startswith("flip_flop"))
        assert (code, err, counts[1:6]) == (0, "", ["4", "8", "0", "0", "2"])
        assert "skipped: rnn on flip_flop, K=6: model 'rnn' has no hyperparameter 'K'" in out


def test_shards_of_a_dry_run_add_up(nmbench, tmp_path):
    argv = ("--models=rnn,lstm", "--tasks=all", "--seeds=3", "--dry_run", f"--results_dir={tmp_path}")
    experiments = []
    for i in (1, 2):
        code, out, _ = nmbench("sweep", *argv, f"--shard={i}/2")
        assert code == 0
        experiments.append(int(next(line for line in out.splitlines() if line.startswith("all")).split()[1]))
    assert sorted(experiments) == [11, 11]


BAD = {
    "no models": (["--models="], "--models is missing"),
    "no tasks": (["--tasks="], "--tasks is missing; give --tasks=NAME,NAME or --tasks=all"),
    "unknown model": (["--models=nmrn"], "--models: unknown model 'nmrn'; did you mean 'nmrnn'?"),
    "hyperparameters without a value": (["--hparams=K"], "--hparams: 'K' is not of the form K=V"),
    "a hyperparameter that is no number": (["--hparams=N=many"], "nothing can be trained: rnn on element_finder"),
    "unknown task": (["--tasks=element_findr"], "did you mean 'element_finder'?"),
    "empty part": (["--models=rnn,,lstm"], "--models='rnn,,lstm' has an empty part"),
    "unknown protocol": (["--protocols=papr"], "none of the tasks has a protocol 'papr'; did you mean 'paper'?"),
    "budget in words": (["--budgets=250,many"], "--budgets: 'many' is not a number of parameters"),
    "budget zero": (["--budgets=0"], "--budgets: '0' is not"),
    "budgets that nothing meets": (
        ["--budgets=1"],
        "nothing can be trained: rnn on element_finder, protocol smoke, budget 1: a budget of 1 is too small",
    ),
    "too many budgets": ([f"--budgets={','.join(map(str, range(400, 10401)))}"], "10001 experiments are too many"),
    "no seeds": (["--seeds=0"], "--seeds"),
    "too many seeds": (["--seeds=1000000000"], "--seeds=1000000000: 1000000000 is not an integer in the range [1, 100000]"),
    "very many seeds": ([f"--seeds=0x{'f' * 60_000}"], " ... "),
    "shard zero": (["--shard=0/4"], "--shard=0/4: shards are counted from 1"),
    "shard in words": (["--shard=first"], "--shard='first' is not of the form i/n"),
    "unknown executor": (["--executor=cloud"], "--executor"),
    "too many workers": (["--workers=100000"], "--workers=100000 is far more than this machine's"),
    "no time": (["--timeout_minutes=0"], "--timeout_minutes must be positive, got 0"),
    "time not a number": (["--timeout_minutes=nan"], "--timeout_minutes must be positive, got nan"),
    "untuned protocol": (["--tune"], "protocol 'smoke' of element_finder declares no grid of learning rates to tune"),
    "seeds that tuned the shipped rate": (
        ["--protocols=matched", "--first_seed=1005"],
        "rnn on element_finder, protocol matched: seed 1005 is used for tuning",
    ),
    "no such file": (["--sweep=missing.toml"], "cannot read --sweep=missing.toml"),
    "unsupported kind of file": (["--sweep=missing.json"], "a sweep is a .toml, .yaml or .yml file"),
    "no such plugin": (["--plugin=missing.py"], "no such Python file"),
    "results folder is a file": (["--results_dir=/etc/passwd"], "cannot be written"),
    "results folder is a file, dry run": (["--results_dir=/etc/passwd", "--dry_run"], "cannot be written"),
    "results folder in /proc": (["--results_dir=/proc/results"], "cannot be written"),
}


def test_a_dry_run_shows_its_counts_where_slurm_is_missing(nmbench, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    argv = (
        "--models=rnn",
        "--tasks=element_finder",
        "--seeds=2",
        "--dry_run",
        "--executor=slurm",
        f"--results_dir={tmp_path}/r",
    )
    code, out, err = nmbench("sweep", *argv)
    assert code == 0 and "element_finder" in out and "core-hours to go" in out
    assert err.startswith("nmbench.sweep: the sweep cannot start on this machine: --executor=slurm needs ")
    assert err.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", BAD)
def test_bad_input_gives_one_line_and_writes_nothing(nmbench, tmp_path, monkeypatch, label):
    monkeypatch.chdir(tmp_path)
    argv, message = BAD[label]
    code, out, err = nmbench("sweep", "--models=rnn", "--tasks=element_finder", "--protocols=smoke", *argv)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("nmbench.sweep: "), err
    assert message in err
    assert os.listdir(tmp_path) == []


FILES = {
    "s.toml": '\ufeffmodels=["rnn", "lstm"]\ntasks = "element_finder"\nbudgets=[250, "default"]\nseeds=3\ndry_run=true\n',
    "s.yaml": "models: [rnn, lstm]\ntasks: element_finder\nbudgets: [250, default]\nseeds: 3\ndry_run: true\nsteps:\n",
}


@pytest.mark.parametrize("name", FILES)
def test_flags_of_the_command_line_take_precedence_over_a_file(nmbench, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(FILES[name])
    code, out, err = nmbench("sweep", f"--sweep={name}")
    assert (code, err) == (0, "") and out.splitlines()[2].split()[:3] == ["element_finder", "4", "12"]
    code, out, err = nmbench("sweep", f"--sweep={name}", "--models=rnn", "--seeds=5")
    assert (code, err) == (0, "") and out.splitlines()[2].split()[:3] == ["element_finder", "2", "10"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.toml", "modles = 'rnn'", "s.toml: unknown key 'modles'; did you mean 'models'?"),
        ("s.yaml", "sweep: other.yaml", "s.yaml: unknown key 'sweep'"),
        ("s.toml", "plugin = 'mine.py'", "s.toml: a file cannot name plugins, which are code; pass --plugin"),
        ("s.yaml", "plugin: [mine.py]", "s.yaml: a file cannot name plugins, which are code; pass --plugin"),
        ("s.toml", "models = ", "cannot read --sweep=s.toml"),
        ("s.yaml", "models: [rnn", "cannot read --sweep=s.yaml"),
        ("s.yaml", "models: !!python/object/apply:os.getcwd []", "cannot read --sweep=s.yaml"),
        ("s.yaml", "- rnn", "s.yaml contains no keys"),
        ("s.yaml", "", "s.yaml contains no keys"),
        ("s.yaml", "1: 2", "the key 1 is not a name"),
        ("s.yaml", "models: 2020-01-01", "'models' holds a date"),
        ("s.toml", "models = [['rnn']]", "'models' holds a list"),
        ("s.toml", "[slurm]\nx = {y = 1}", "'slurm_x' holds a dict"),
        ("s.toml", "[dry]\nrun = true", "s.toml: unknown table 'dry'; the only table is 'slurm', for flags --slurm_*"),
        ("s.toml", "slurm_mem = '4G'\n[slurm]\nmem = '8G'", "'slurm_mem' is given twice, by itself and in the table"),
        ("s.yaml", "models: rnn\nmodels: lstm", "cannot read --sweep=s.yaml: the key 'models' is given twice"),
        ("s.yaml", "seeds: 010", "cannot read --sweep=s.yaml: YAML reads 010 as 8; write the number"),
        ("s.toml", f"seeds = 0x{'f' * 5000}", "s.toml: the number 'seeds' has too many digits"),
        ("s.toml", "seeds = 'ten'", "s.toml: flag --seeds=ten"),
        ("s.toml", "seeds = 1.5", "s.toml: flag --seeds=1.5"),
        ("s.toml", "tune = 'perhaps'", "s.toml: flag --tune=perhaps"),
        ("s.yaml", "[" * 1_000, "cannot read --sweep=s.yaml"),
        ("s.toml", "x = " + "[" * 100_000, "cannot read --sweep=s.toml"),
    ],
)
def test_malformed_files_are_refused(nmbench, tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    code, out, err = nmbench("sweep", f"--sweep={name}", "--dry_run")
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1, err


def test_a_large_file_and_a_yaml_bomb_are_refused(nmbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("#" * (configfile.LARGEST_BYTES + 1))
    assert "is larger than 1 MB" in nmbench("sweep", "--sweep=s.yaml")[2]
    lines = ["a: &a [x]"] + [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi")]
    (tmp_path / "s.yaml").write_text("\n".join(lines))
    assert "'b' holds a list" in nmbench("sweep", "--sweep=s.yaml")[2]


def test_the_name_of_a_table_is_a_prefix_of_its_flags(tmp_path):
    from nmbench.support import cli

    values = cli.new_flags()
    cli.string(values, "slurm_partition", None, "")
    values(["x"])
    (tmp_path / "s.toml").write_text("[slurm]\npartition = 'short'\n")
    configfile.apply(str(tmp_path / "s.toml"), values, ["slurm_partition"])
    assert values.slurm_partition == "short"


def test_stored_runs_are_skipped_and_failed_runs_are_trained_again_on_request(nmbench, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-I", "-c", "import os; os.abort()"))
    out_dir = f"--results_dir={tmp_path}"
    code, out, err = nmbench("sweep", *TWO, out_dir, "--workers=2")
    assert code == 1 and "2 of 2 experiments to train, 4 runs, about " in err and "; 0 stored already" in err
    assert re.search(
        r"^\[1/2\] \w+\.element_finder\.smoke\.b250\.[0-9a-f]{10}: its process was killed by SIGABRT; see logs/", err, re.M
    )
    assert "budget 250: mse" in out and "2 (2 lost)" in out
    assert {row["status"] for row in csv_files.read_csv(tmp_path / "results.csv")} == {"failed"}
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("row.json")}
    code, out, err = nmbench("sweep", *TWO, out_dir)
    assert code == 1 and err.startswith(
        "0 of 2 experiments to train, 0 runs; 4 stored already, 4 of them failed (--retry_failed"
    )
    assert err.count(": failed: its process was killed by SIGABRT; see logs/sweep/") == 4
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("row.json")} == stamps
    code, out, err = nmbench("sweep", *TWO, out_dir, "--retry_failed")
    assert code == 1 and err.startswith("2 of 2 experiments to train, 4 runs")
    assert all(path.stat().st_mtime_ns != stamps[path] for path in tmp_path.rglob("row.json"))
    code, out, err = nmbench("sweep", *TWO, out_dir, "--seeds=3", "--dry_run")
    assert code == 0 and out.splitlines()[2].split()[:6] == ["element_finder", "2", "6", "0", "4", "0"]


CRASH = '''"""A model that kills its process when it is run, and not before."""

import os
import signal

import jax
import jax.numpy as jnp

import nmbench


@nmbench.register_baseline("crash", free_size="N")
def crash(spec, N):
    """y = B u"""
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)

    def apply(params, inputs):
        jax.debug.callback(kill)
        return inputs["sensory"] * params["B"][0]

    return lambda key: {"B": jnp.ones((N,))}, apply
'''


@pytest.mark.slow
def test_a_sweep_survives_a_crash_and_continues_after_an_interrupt(tmp_path):
    (tmp_path / "crash.py").write_text(CRASH)
    argv = ["nmbench.sweep", *TWO, "--results_dir=out", "--workers=2"]
    code, out, err = finish(start(*argv, "--models=rnn,crash", "--plugin=crash.py", cwd=tmp_path))
    assert code == 1 and "\n[2/2] " in err, err
    assert "budget 250: mse" in out and "crash" in out
    rows = csv_files.read_csv(tmp_path / "out" / "results.csv")
    assert sorted((row["model"], row["seed"], row["status"]) for row in rows) == [
        ("crash", 0, "failed"), ("crash", 1, "failed"), ("rnn", 0, "ok"), ("rnn", 1, "ok"),
    ]  # fmt: skip
    assert {row["error"] for row in rows if row["model"] == "crash"} == {
        f"its process was killed by SIGKILL, perhaps because memory ran out; see logs/sweep/{p.name}"
        for p in (tmp_path / "out" / "logs" / "sweep").glob("crash.*.log")
    }
    # Each worker used its share of the cores, and `nmbench.run` finds the same runs.
    assert {row["n_cpu"] for row in rows if row["model"] != "crash"} == {max(1, len(os.sched_getaffinity(0)) // 2)}
    code, _, err = finish(start("nmbench.run", "--model=rnn", *TWO[3:4], "--task=element_finder", "--budget=250",
                                "--protocol=smoke", "--results_dir=out", cwd=tmp_path))  # fmt: skip
    assert code == 0 and "2 of 2 runs are already in" in err

    # Interrupt another experiment in the middle of training, then continue it.
    more = [a.replace("smoke", "matched").replace("rnn,lstm", "rnn") for a in argv]
    more += ["--steps=8000", "--checkpoint_minutes=0", "--seeds=1"]
    process = start(*more, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not checkpoints(tmp_path / "out") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130 and out == ""
    assert (
        err.splitlines()[-1] == "nmbench.sweep: interrupted; 0 of 1 experiments done; run the same command again to continue"
    )
    assert len(checkpoints(tmp_path / "out")) == 1
    code, out, err = finish(start(*more, cwd=tmp_path))
    assert code == 0 and "1 of 1 experiments to train, 1 run," in err
    logs = [p.read_text() for p in (tmp_path / "out" / "logs" / "sweep").glob("*.matched.*.log")]
    assert len(logs) == 1 and re.search(r"1 run resumed at step \d+ of 8000", logs[0])
    assert checkpoints(tmp_path / "out") == []
    rows = [json.loads(p.read_text()) for p in (tmp_path / "out" / "runs").glob("*.matched.*/row.json")]
    assert [row["status"] for row in rows] == ["ok"]


@pytest.mark.release
def test_a_tuned_sweep_is_not_trained_again(tmp_path):
    argv = ["nmbench.sweep", "--models=rnn", "--tasks=element_finder", "--budgets=250", "--tune", "--steps=20", "--seeds=1"]
    code, _, err = finish(start(*argv, "--results_dir=out", cwd=tmp_path))
    assert code == 0, err
    (record,) = pathlib.Path(tmp_path, "out", "tuning").glob("*.json")
    (row,) = csv_files.read_csv(tmp_path / "out" / "results.csv")
    tuned = json.loads(record.read_text())
    assert row["learning_rate"] == tuned["chosen"] and row["tuning_trials"] == 10 * len(tuned["grid"])
    code, out, err = finish(start(*argv, "--results_dir=out", cwd=tmp_path))
    assert code == 0 and err.startswith("0 of 1 experiments to train, 0 runs; 1 stored already") and "rnn" in out
