"""`nmbench.train`, and files of one's own models in Python."""

import json
import pathlib
import re

import numpy as np
import pandas
import pytest

import nmbench
from nmbench.contracts import fingerprints, tuning_record
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import plugin_loading, session
from nmbench.experiments.request import Request
from nmbench.results import csv_files, frames
from nmbench.results.store import Store
from nmbench.support import progress
from nmbench.support.errors import NmbenchError

MODEL = '''
import jax.numpy as jnp
import nmbench

@nmbench.register_baseline("mine", free_size="N")
class Mine(nmbench.Core):
    """y_t = C x_t"""

    def __init__(self, spec, N: int, gain: float = 1.0):
        super().__init__(spec)
        self.B, self.C = self.learned("B", (N, spec.input_size), gain), self.learned("C", (spec.output_size, N), gain)
        self.N = N

    def input_map(self, inputs):
        return self.B @ self.concat(inputs)

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size))

    def step(self, x, v_t):
        return 0.5 * x + v_t

    def readout(self, x):
        return self.C @ x
'''


@pytest.fixture
def folder(toy_task, tmp_path, monkeypatch):
    """The current folder, in which `mine.py` registers a model; the toy task is registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugin_loading, "_loaded", {})
    pathlib.Path("mine.py").write_text(MODEL)
    return tmp_path


def test_train_stores_and_returns_rows_as_the_command_does(folder, capsys, call_run):
    kwargs = {"seeds": np.int64(2), "steps": 3, "hparams": {"N": np.int64(4)}, "plugin": "mine.py", "devices": 1}
    frame = nmbench.train("mine", "toy", **kwargs)
    assert re.match(r"mine on toy, protocol matched: 12 parameters, gain=1.0, N=4; learning rate", capsys.readouterr().err)
    assert frame.seed.tolist() == [0, 1] and set(frame.status) == {"ok"} and frame.train_steps.tolist() == [3, 3]
    stored = csv_files.read_csv(pathlib.Path("results/results.csv"))
    pandas.testing.assert_frame_equal(frame, frames.of_rows(stored))
    assert frame.value.tolist() == [row["value"] for row in stored]
    pandas.testing.assert_frame_equal(frame, nmbench.read_results())
    # Both find the runs of the other: the rows are the same.
    code, out, err = call_run("--plugin=mine.py --model=mine --task=toy --seeds=2 --steps=3 --hparams=N=4 --devices=1")
    assert code == 0 and "2 of 2 runs are already in results/runs" in err and "mine" in out
    assert nmbench.train("mine", "toy", quiet=True, **kwargs).equals(frame) and capsys.readouterr().err == ""
    network = nmbench.load_network(f"results/runs/{frame.run_id[1]}")
    assert network.row["value"] == frame.value[1] and network.hparams["N"] == 4
    assert nmbench.load_network(frame.run_id[1]).row == nmbench.load_network("results/results.csv:2").row == network.row


@pytest.fixture
def call_run(capsys):
    """A function that calls `nmbench.run` with flags and returns (exit code, stdout, stderr)."""
    from nmbench import run
    from nmbench.support import cli

    def call(flags):
        code = cli.call(run.main, run.FLAGS, run.__doc__, "nmbench.run", "", flags.split())
        return code, *capsys.readouterr()

    return call


WRONG = {
    "model": ({"model": "minee"}, "unknown model 'minee'; did you mean 'mine'?"),
    "task": ({"task": "toyy"}, "unknown task 'toyy'; did you mean 'toy'?"),
    "protocol": ({"protocol": "mached"}, "has no protocol 'mached'; did you mean 'matched'?"),
    "a class": ({"model": nmbench.Core}, "--model must be a registered name, as text; got <class "),
    "hyperparameter": ({"hparams": {"gian": 1}}, "has no hyperparameter 'gian'; did you mean 'gain'?"),
    "tune as text": ({"tune": "no"}, "--tune must be True or False, got 'no'"),
    "remat as a number": ({"remat": 1}, "--remat must be True or False, got 1"),
    "hparams as text": ({"hparams": "N=3"}, "--hparams must be a dict, such as {'N': 18}; got 'N=3'"),
    "negative seeds": ({"seeds": -1}, "--seeds must be a whole number from 1 to 100000, got -1; --seeds is how many"),
    "a list of seeds": ({"seeds": [1, 2]}, "--seeds must be a whole number from 1 to 100000, got [1, 2]"),
    "first seed": ({"first_seed": 2**31 - 1, "seeds": 2}, "seeds must be below 2147483648"),
    "steps as text": ({"steps": "300"}, "--steps must be a whole number from 1 to 2147483647, got '300'"),
    "half a step": ({"steps": 0.5}, "--steps must be a whole number"),
    "true steps": ({"steps": True}, "--steps must be a whole number"),
    "large data seed": ({"data_seed": 2**40}, "--data_seed must be a whole number from 0 to 2147483647"),
    "learning rate": ({"learning_rate": "0.1"}, "--learning_rate must be a positive number, at most 1e+30, got '0.1'"),
    "two learning rates": ({"learning_rate": 0.1, "tune": True}, "give only one of --tune and --learning_rate"),
    "a tuning seed": ({"first_seed": 1000, "tune": True}, "seed 1000 is used for tuning"),
    "a seed of the shipped tuning": (
        {"model": "lstm", "task": "element_finder", "first_seed": 1009},
        "seed 1009 is used for tuning",
    ),
    "log": ({"log": ["wandb"]}, "--log must be text"),
    "minutes": ({"checkpoint_minutes": "5"}, "--checkpoint_minutes must be 0 or more, got '5'"),
    "plugin": ({"plugin": "mein.py"}, "--plugin=mein.py: no such Python file"),
    "number as folder": ({"results_dir": 5}, "--results_dir must be the path of a folder, got 5"),
    "null byte": ({"results_dir": "a\0b"}, "cannot be written"),
    "a file": ({"results_dir": "mine.py"}, "--results_dir=mine.py cannot be written (Not a directory)"),
}


def test_wrong_arguments_are_named_before_anything_is_written(folder):
    before = sorted(folder.rglob("*"))
    for changes, message in WRONG.values():
        with pytest.raises(NmbenchError, match=re.escape(message)) as caught:
            nmbench.train(**{"model": "mine", "task": "toy", "plugin": "mine.py", "quiet": True, **changes})
        assert "\n" not in str(caught.value)
    assert sorted(folder.rglob("*")) == before


def test_a_changed_file_is_loaded_again(folder):
    file = pathlib.Path("mine.py")
    assert nmbench.load_plugin(file) == nmbench.load_plugin("mine.py") == ["mine"]
    before = BASELINES.get("mine")
    file.write_text("# A comment is no change.\n" + MODEL)
    nmbench.load_plugin(file)
    assert BASELINES.get("mine") is before
    file.write_text(MODEL.replace("gain: float = 1.0", "gain: float = 2.0"))
    changed = r"mine.py has changed since it was loaded; start Python again, or call nmbench.load_plugin again"
    with pytest.raises(NmbenchError, match=changed):
        nmbench.train("mine", "toy")
    assert nmbench.load_plugin(file) == ["mine"] and BASELINES.get("mine").hparams == {"gain": 2.0}
    assert [entry.name for entry in TASKS.entries()].count("toy") == 1  # what other files registered stays


def test_a_changed_file_beside_a_changed_file_is_loaded_again(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    for gain in ("1.0", "2.0"):
        pathlib.Path("gains.py").write_text(f"GAIN = {gain}\n")
        pathlib.Path("mine.py").write_text(
            f"# {gain}\nimport gains\n" + MODEL.replace("gain: float = 1.0", "gain: float = gains.GAIN")
        )
        nmbench.load_plugin("mine.py")
        assert BASELINES.get("mine").hparams == {"gain": float(gain)}


def test_a_file_that_is_edited_during_tuning_counts_as_it_was(folder, monkeypatch):
    monkeypatch.setattr(tuning_record, "MOST_BEYOND", 0)
    nmbench.load_plugin("mine.py")
    before = fingerprints.of_module("mine.py")

    def edit(line):
        if "; chosen " in line:
            pathlib.Path("mine.py").write_text(MODEL.replace("0.5 * x", "0.6 * x"))

    store = Store("results")
    rows = session.train_rows(Request(model="mine", task="toy", steps=2, hparams={"N": 4}), [0], store, tune=True, say=edit)
    assert json.loads(rows[0]["config_json"])["model_sha256"] == before != fingerprints.of_module("mine.py")


def test_a_file_that_failed_is_loaded_when_it_is_mended(folder):
    file = pathlib.Path("mine.py")
    file.write_text(MODEL + "\n1 / 0\n")
    for _ in range(2):
        with pytest.raises(NmbenchError, match="--plugin=mine.py: ZeroDivisionError in line 26"):
            nmbench.load_plugin(file)
    file.write_text(MODEL)
    assert nmbench.load_plugin(file) == ["mine"]


def test_a_model_of_a_notebook_cell_is_refused(folder):
    exec(compile(MODEL, "/tmp/ipykernel_1/2.py", "exec"), {})
    with pytest.raises(NmbenchError, match="the model 'mine' is not in a file, so its rows could not name its code"):
        nmbench.train("mine", "toy", steps=1, quiet=True)
    assert not pathlib.Path("results").exists()


def test_a_notebook_shows_the_progress_bar(monkeypatch):
    written = []
    stream = type("OutStream", (), {"write": lambda self, text: written.append(text), "flush": lambda self: None})
    stream.__module__ = "ipykernel.iostream"
    monkeypatch.setattr(progress.sys, "stderr", stream())
    with progress.Progress("tuning", 10) as bar:
        bar(5, np.array([0.5]))
    assert any("tuning   0%" in text for text in written)
