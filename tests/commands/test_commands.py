"""Every command as a user types it, in process: what it prints, its exit code, and what it writes."""

import importlib
import json
import os
import pathlib
import re

import numpy as np
import pytest

from nmbench import __main__, cli, testsets
from nmbench.catalog import BASELINES, TASKS
from nmbench.results import schema

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def nmbench(capsys):
    """Call a command; returns (exit code, stdout, stderr)."""

    def call(name, *argv):
        module = importlib.import_module(f"nmbench.{name}")
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
        out, err = capsys.readouterr()
        return code, out, err

    with TASKS.restored(), BASELINES.restored():
        yield call


SMALL = ("--steps=20", "--seeds=2", "--hparams=N=4,M=2,K=2")


def run_small(nmbench, folder, *extra):
    return nmbench("run", "--model=nmrnn", "--task=element_finder", f"--results_dir={folder}", *SMALL, *extra)


def test_run_trains_records_prints_and_skips(nmbench, tmp_path):
    code, out, err = run_small(nmbench, tmp_path)
    assert code == 0, err
    assert "element_finder v1, protocol matched, given sizes" in out
    assert "(chance (always 0))" in out and "(perfect)" in out
    runs = sorted((tmp_path / "runs").iterdir())
    assert [re.sub(r"[0-9a-f]{12}$", "", p.name) for p in runs] == [
        "nmrnn.element_finder.matched.s0.",
        "nmrnn.element_finder.matched.s1.",
    ]
    rows = schema.read_csv(tmp_path / "results.csv")
    assert [row["seed"] for row in rows] == [0, 1]
    for row, folder in zip(rows, runs, strict=True):
        config = json.loads(row["config_json"])
        assert config["hparams"]["N"] == 4 and config["protocol"]["phases"][0]["steps"] == 20
        assert row["params_target"] is None and row["train_steps"] == row["selected_step"] == 20
        assert len(json.loads(row["conditions_json"])["mse"]) == 25
        with np.load(folder / "per_trial.npz", allow_pickle=False) as file:
            assert file["mse"].shape == (10000,)
            assert file["mse"].mean() == pytest.approx(row["value"], rel=1e-12)
    assert rows[0]["value"] != rows[1]["value"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("row.json")}
    code, out, err = run_small(nmbench, tmp_path)
    assert code == 0 and "2 of 2 runs are in" in err and "protocol matched" in out
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("row.json")} == before
    code, out, err = run_small(nmbench, tmp_path, "--force")
    assert code == 0
    again = schema.read_csv(tmp_path / "results.csv")
    assert [r["value"] for r in again] == [r["value"] for r in rows]
    assert all(p.stat().st_mtime_ns != before[p] for p in tmp_path.rglob("row.json"))
    # More seeds go on with the rest.
    code, out, err = nmbench(
        "run", "--model=nmrnn", "--task=element_finder", f"--results_dir={tmp_path}", "--steps=20", "--seeds=3", SMALL[2]
    )
    assert code == 0 and "2 of 3 runs are in" in err
    assert len(schema.read_csv(tmp_path / "results.csv")) == 3


def test_tune_chooses_on_validation_data_and_is_recorded(nmbench, tmp_path):
    code, _, err = run_small(nmbench, tmp_path, "--tune")
    assert code == 0, err
    (record_file,) = (tmp_path / "tuning").glob("*.json")
    record = json.loads(record_file.read_text())
    assert record["grid"] == [0.001, 0.003, 0.01, 0.03, 0.1] and record["seeds"] == [1000, 1001, 1002]
    losses = np.array(record["validation_losses"])
    assert losses.shape == (5, 3)
    # Rates matter: no two rates end alike.
    assert len({tuple(row) for row in losses.tolist()}) == 5
    assert record["chosen"] == record["grid"][int(np.argmin(losses.mean(axis=1)))]
    rows = schema.read_csv(tmp_path / "results.csv")
    assert {row["learning_rate"] for row in rows} == {record["chosen"]}
    assert {row["tuning_trials"] for row in rows} == {15}
    assert json.loads(rows[0]["tuning_json"])["grid"] == record["grid"]
    stamp = record_file.stat().st_mtime_ns
    code, _, err = run_small(nmbench, tmp_path, "--tune")
    assert code == 0 and "2 of 2 runs are in" in err
    assert record_file.stat().st_mtime_ns == stamp


def test_divergence_is_a_row_and_exit_code_one(nmbench, tmp_path):
    code, out, err = run_small(nmbench, tmp_path, "--learning_rate=1e30")
    assert code == 1
    assert "2 (2 diverged)" in out and "seed 0: diverged: the loss was not a number or above 1e+08" in err
    rows = schema.read_csv(tmp_path / "results.csv")
    assert [row["status"] for row in rows] == ["diverged"] * 2 and rows[0]["value"] is None


def test_leaderboard_and_validate_read_what_run_wrote(nmbench, tmp_path):
    assert run_small(nmbench, tmp_path)[0] == 0
    csv_file = str(tmp_path / "results.csv")
    for path in (csv_file, str(tmp_path)):
        code, out, _ = nmbench("leaderboard", path)
        assert code == 0 and "497" not in out and "(perfect)" in out
        code, out, _ = nmbench("validate", path)
        assert code == 0 and out == f"{path}: 2 valid rows\n"
    code, out, _ = nmbench("leaderboard", csv_file, "--format=markdown")
    assert code == 0 and out.startswith("## element_finder v1") and "\n|" in out
    code, out, err = nmbench("leaderboard", csv_file, "--task=element_findr")
    assert code == 2 and "did you mean 'element_finder'" in err


BAD_RUNS = {
    "unknown model": (["--model=nmrn"], "unknown model 'nmrn'; did you mean 'nmrnn'?"),
    "unknown task": (["--task=element_findr"], "unknown task 'element_findr'; did you mean 'element_finder'?"),
    "no model": (["--model="], "--model is missing"),
    "unknown variant of a task": (["--task=mwg_rank3_cod"], "did you mean 'mwg_rank3_code'?"),
    "unknown protocol": (["--protocol=papr"], "has no protocol 'papr'; did you mean 'paper'?"),
    "budget too small": (["--budget=10"], "a budget of 10 is too small for nmrnn"),
    "budget zero": (["--budget=0"], "--budget"),
    "negative budget": (["--budget=-5"], "--budget"),
    "negative seeds": (["--seeds=-1"], "--seeds"),
    "no seeds": (["--seeds=0"], "--seeds"),
    "seeds in words": (["--seeds=ten"], "--seeds"),
    "half a step": (["--steps=1.5"], "--steps"),
    "negative first seed": (["--first_seed=-1"], "--first_seed"),
    "rate in words": (["--learning_rate=fast"], "--learning_rate"),
    "rate zero": (["--learning_rate=0"], "--learning_rate must be positive"),
    "rate nan": (["--learning_rate=nan"], "--learning_rate must be positive"),
    "rate and tune": (["--learning_rate=0.1", "--tune"], "one of --tune and --learning_rate"),
    "tuning a fixed recipe": (["--protocol=paper", "--tune"], "declares no grid"),
    "seeds that tuning uses": (["--tune", "--first_seed=995"], "seed 1000 is one that tuning uses"),
    "unknown flag": (["--modle=nmrnn"], "Unknown command line flag 'modle'"),
    "stray word": (["nmrnn"], "unexpected argument 'nmrnn'"),
    "malformed hparams": (["--hparams=M5"], "'M5' is not of the form K=V"),
    "repeated hparam": (["--hparams=M=5,M=6"], "'M' is given twice"),
    "unknown hparam": (["--hparams=Q=5"], "no hyperparameter 'Q'"),
    "hparam in words": (["--hparams=M=five"], "nmrnn.M wants a int, got 'five'"),
    "size zero": (["--hparams=N=0"], "nmrnn.N must be at least 1"),
    "negative size": (["--hparams=N=5,M=-3"], "nmrnn"),
    "time constant below a step": (["--hparams=tau_x=0.5"], "time constant"),
    "size off the budget": (["--hparams=N=40", "--budget=500"], "off the budget of 500"),
    "results folder is a file": (["--results_dir=/etc/passwd"], "cannot be written"),
    "results folder in /proc": (["--results_dir=/proc/results"], "cannot be written"),
    "no such plugin": (["--plugin=missing.py"], "no such Python file"),
    "too many devices": (["--devices=100000"], "--devices=100000"),
}


@pytest.mark.parametrize("label", BAD_RUNS)
def test_bad_input_is_one_line_code_two_and_writes_nothing(nmbench, tmp_path, monkeypatch, label):
    monkeypatch.chdir(tmp_path)
    argv, message = BAD_RUNS[label]
    code, out, err = nmbench("run", "--model=nmrnn", "--task=element_finder", *argv)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("nmbench.run: "), err
    assert message in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("def f(:\n", "syntax error in line 1"), ("x = 1\n", "registers nothing"), ("1/0\n", "ZeroDivisionError in line 1")],
)
def test_bad_plugins_are_one_line_in_every_command(nmbench, tmp_path, text, message):
    plugin = tmp_path / "bad.py"
    plugin.write_text(text)
    for name, argv in [("run", ["--model=nmrnn", "--task=element_finder"]), ("list", []), ("describe", ["nmrnn"])]:
        code, _, err = nmbench(name, *argv, f"--plugin={plugin}")
        assert code == 2 and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == ["bad.py"]


def test_a_corrupt_test_set_stops_a_run_before_it_starts(nmbench, tmp_path, monkeypatch):
    task = TASKS.get("element_finder")
    folder = tmp_path / "testsets"
    for split in task.set_sizes:
        arrays = dict(task.frozen(split).arrays)
        testsets.save(folder, task.name, task.version, split, arrays, task.set_sizes[split])
    broken = dict(task.frozen("test").arrays)
    broken["query"] = (broken["query"] + 1) % 25
    np.savez(folder / "element_finder-v1-test.npz", **broken)
    monkeypatch.setitem(task.__dict__, "sets_folder", folder)
    code, out, err = run_small(nmbench, tmp_path / "results")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "the test set of element_finder does not match its manifest" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["leaderboard", "validate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("", "is empty"), ("a,b\n1,2\n", "not an nmbench results CSV"), ("\x00", "CSV")],
)
def test_foreign_files_are_refused(nmbench, tmp_path, command, text, message):
    path = tmp_path / "foreign.csv"
    if text is not None:
        path.write_text(text)
    code, out, err = nmbench(command, str(path))
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err


def test_truncated_results_are_refused(nmbench, tmp_path):
    assert run_small(nmbench, tmp_path)[0] == 0
    path = tmp_path / "results.csv"
    text = path.read_text()
    for cut in (1, 30, 700):
        path.write_text(text[:-cut])
        for command in ("leaderboard", "validate"):
            code, out, err = nmbench(command, str(path))
            assert code == 2 and out == "" and err.count("\n") == 1 and "results.csv" in err


def test_validate_names_row_and_column(nmbench, tmp_path):
    assert run_small(nmbench, tmp_path)[0] == 0
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace(",true,", ",perhaps,").replace(",false,", ",perhaps,"))
    code, _, err = nmbench("validate", str(path))
    assert code == 2 and re.search(r"results.csv, row 1, column '\w+': 'perhaps' is not a bool", err)


def test_list_describe_and_help(nmbench):
    code, out, _ = nmbench("list")
    assert code == 0
    for name in ("element_finder", "nmrnn", "lrrnn", "rnn", "lstm", "baselines/nmrnn.py:"):
        assert name in out
    code, out, _ = nmbench("list", "--tag=gated")
    assert "lstm" in out and "nmrnn" not in out
    code, out, _ = nmbench("describe", "element_finder", "nmrnn")
    assert code == 0
    for fact in (
        "26 time steps",
        "10000 trials, sha256",
        "floor 36.67",
        "matched (default)",
        "N=18, 497 parameters",
        "s_t =",
    ):
        assert fact in out
    code, _, err = nmbench("describe", "lstmm")
    assert code == 2 and "did you mean 'lstm'" in err
    code, _, err = nmbench("describe")
    assert code == 2 and "name a task or a model" in err
    for command in __main__.COMMANDS:
        code, out, _ = nmbench(command, "--help")
        assert code == 0 and out.startswith(f"usage: nmbench.{command}") and "flags:" in out


def test_describe_names_channels_epochs_and_every_phase(nmbench):
    code, out, _ = nmbench("describe", "multitask", "mwg_rank3")
    assert code == 0
    for fact in (
        "input context: 4 channels (delay_pro, delay_anti, memory_pro, memory_anti)",
        "training data retrain: 1000 fixed trials",
        "validation_retrain set: 300 trials",
        "old_tasks: floor 10, ceiling 100, higher is better, also per task, also before_retraining",
        "moves neuromodulatory_subnetwork or else input_weights, weights of context/3 start at 0.1",
        "10 times the run's rate",
        "moments restart every 1000 steps",
        "for nmrnn instead:",
        "epochs of test trial 0: fixation 0..14, measure 15..26, wait 27..36, go 37..48, hold 49..109",
        "reference rows: best constant, fixed ramp of 15 steps, interval clamped to [12, 18], perfect",
    ):
        assert fact in out, fact


@pytest.mark.parametrize("task", [e.name for e in TASKS.entries()])
def test_describe_draws_the_trials_of_every_task(nmbench, tmp_path, task):
    code, out, err = nmbench("describe", task, f"--plot={tmp_path / 'trials.png'}")
    assert code == 0, err
    assert out.endswith(f"trials drawn in {tmp_path / 'trials.png'}\n")
    picture = (tmp_path / "trials.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000


def test_pictures_show_the_trials(tmp_path):
    """What is drawn is the set's arrays, and every epoch is shaded where it lies."""
    from nmbench.report.trials import plot_trials

    task = TASKS.get("mwg_rank3")
    batch = task.unpack(task.frozen("test").arrays)
    axes = plot_trials(task, trials=2).axes
    assert len(axes) == 4
    for column, trial in enumerate((0, 149)):
        lines = [line.get_ydata() for line in axes[column].get_lines()]
        np.testing.assert_array_equal(np.stack(lines, axis=1), batch.inputs["sensory"][:, trial])
        np.testing.assert_array_equal(axes[2 + column].get_lines()[0].get_ydata(), batch.targets[:, trial, 0])
        spans = [patch.get_extents().transformed(axes[column].transData.inverted()) for patch in axes[column].patches]
        expected = [(first - 0.5, end - 0.5) for _, first, end in task.epochs(task.frozen("test").arrays, trial)]
        np.testing.assert_allclose([(s.x0, s.x1) for s in spans], expected, atol=1e-6)
    assert axes[0].get_title() == "test trial 0: interval 12"


@pytest.mark.parametrize(
    ("names", "plot", "message"),
    [
        (["nmrnn"], "a.png", "--plot draws the trials of one task, not of nmrnn"),
        (["mwg_rank1", "mwg_rank3"], "a.png", "--plot draws the trials of one task"),
        (["mwg_rank1"], "a.jpeg", "the name of a picture ends in .png, .svg, .pdf"),
        (["mwg_rank1"], "no/such/folder/a.png", "is not a folder"),
        (["mwg_rank1"], "/proc/a.png", "cannot be written"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused_before_anything_is_printed(
    nmbench, tmp_path, monkeypatch, names, plot, message
):
    monkeypatch.chdir(tmp_path)
    code, out, err = nmbench("describe", *names, f"--plot={plot}")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == []


PAIR = """
import jax.numpy as jnp
from nmbench import register_baseline

@register_baseline("pair", free_size="N")
def pair(spec, N: int):
    outputs = lambda params, inputs: jnp.tanh(inputs["sensory"] @ params["B"]) @ params["C"]
    return lambda key: {"B": jnp.ones((3, N)), "C": jnp.ones((N, spec.output_size))}, outputs
"""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--task=multitask"], "model 'pair' has no partition 'input_weights', which this protocol trains"),
        (["--task=delay_pro", "--remat"], "'pair' brings its own apply"),
    ],
)
def test_what_a_model_of_ones_own_lacks_is_one_line(nmbench, tmp_path, argv, message):
    plugin = tmp_path / "pair.py"
    plugin.write_text(PAIR)
    argv = ["--model=pair", f"--plugin={plugin}", f"--results_dir={tmp_path}/r", *argv]
    code, out, err = nmbench("run", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == ["pair.py"]
    # Where nothing more is asked of it, it trains.
    argv[3:] = ["--task=delay_pro", "--protocol=smoke", "--seeds=1", "--devices=1"]
    assert nmbench("run", *argv)[0] == 0


VARIANT = """
from nmbench.protocol import Phase, Protocol
from nmbench.task import register_task
from nmbench.tasks.measure_wait_go import attributes

register_task(
    "mwg_mine", version=1, summary="my intervals", default_budget=1000,
    protocols=(Protocol(name="matched", phases=(Phase(steps=10),)),),
    **attributes(%s),
)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "'delay', (12, 45), (13,)",
            "interval 45 with t_measure 15 and delay 10 ends its ramp at step 115, after the last step, 109: the interval "
            "can be at most 42",
        ),
        ("'delay', (12, 0), (13,)", "interval must lie in 1..109 steps, got 0"),
        ("'t_wait', (12,), (13,)", "what varies is 't_measure' or 'delay', not 't_wait'"),
        ("'delay', (12.5,), (13,)", "interval must be a whole number of steps"),
    ],
)
def test_an_interval_that_does_not_fit_is_one_line(nmbench, tmp_path, arguments, message):
    plugin = tmp_path / "variant.py"
    plugin.write_text(VARIANT % arguments)
    code, out, err = nmbench("run", "--model=nmrnn", "--task=mwg_mine", f"--plugin={plugin}", f"--results_dir={tmp_path}/r")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == ["variant.py"]


def test_a_variant_of_ones_own_is_frozen_and_run(nmbench, tmp_path):
    plugin = tmp_path / "variant.py"
    plugin.write_text(VARIANT % "'delay', (12, 20), (13,)")
    code, _, err = nmbench("run", "--model=rnn", "--task=mwg_mine", f"--plugin={plugin}", f"--results_dir={tmp_path}/r")
    assert code == 2 and "make it with nmbench.freeze --task=mwg_mine" in err
    assert nmbench("freeze", "--task=mwg_mine", f"--plugin={plugin}")[0] == 0
    code, out, err = nmbench(
        "run", "--model=rnn", "--task=mwg_mine", f"--plugin={plugin}", f"--results_dir={tmp_path}/r", "--seeds=1"
    )
    assert code == 0 and "(interval clamped to [12, 18])" in out, err


def test_every_command_is_listed_once():
    text = __main__.help_text()
    for command in __main__.COMMANDS:
        assert re.search(rf"^  {command} +\S", text, re.M)


def test_freeze_checks_and_rebuilds(nmbench):
    code, out, _ = nmbench("freeze", "--task=element_finder", "--check")
    assert code == 0 and out == "element_finder validation: identical\nelement_finder test: identical\n"


def contributed_model() -> str:
    """The first Python block of CONTRIBUTING.md."""
    return re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S).group(1)


def test_the_model_of_contributing_runs_as_a_plugin_and_enters_the_leaderboard(nmbench, tmp_path):
    source = contributed_model()
    assert len(source.splitlines()) <= 40
    plugin = tmp_path / "my_model.py"
    plugin.write_text(source)
    (name,) = re.findall(r'register_baseline\(\s*"(\w+)"', source)
    folder = tmp_path / "results"
    argv = [f"--model={name}", "--task=element_finder", f"--plugin={plugin}", f"--results_dir={folder}"]
    code, out, err = nmbench("run", *argv, "--steps=20", "--seeds=2")
    assert code == 0, err
    assert name in out
    (row, _) = schema.read_csv(folder / "results.csv")
    assert row["model_origin"].startswith("my_model.py:") and abs(row["params_dev"]) <= 0.05
    code, out, _ = nmbench("leaderboard", str(folder))
    assert code == 0 and re.search(rf"^ +1 +{name} ", out, re.M)
    argv[1] = "--task=multitask"
    code, out, err = nmbench("run", *argv, "--protocol=smoke", "--seeds=1", "--devices=1")
    assert code == 0 and "old_tasks.before_retraining" in out, err
