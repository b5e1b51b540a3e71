"""The command `describe`: its text about a task and its pictures."""

import os

import numpy as np
import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.report import trials
from nmbench.report.trials import plot_trials


def test_describe_names_channels_epochs_and_every_phase(nmbench):
    code, out, _ = nmbench("describe", "multitask", "mwg_rank3")
    assert code == 0
    for fact in (
        "input context: 4 channels (delay_pro, delay_anti, memory_pro, memory_anti)",
        "training data retrain: 1000 fixed trials",
        "validation_retrain set: 300 trials",
        "old_tasks: floor 10, ceiling 100, higher is better, also per task, also before_retraining",
        "trains the partition neuromodulatory_subnetwork or else input_weights, weights of context/3 start at 0.1",
        "10 times the run's learning rate",
        "optimiser state reset every 1000 steps",
        "for nmrnn instead:",
        "epochs of test trial 0: fixation 0..14, measure 15..26, wait 27..36, go 37..48, hold 49..109",
        "reference rows: best constant, fixed ramp of 15 steps, interval clamped to [12, 18], perfect",
    ):
        assert fact in out, fact


@pytest.mark.parametrize("task", ["mwg_rank3", "multitask"])
def test_describe_draws_trials(nmbench, tmp_path, task):
    code, out, err = nmbench("describe", task, f"--plot={tmp_path / 'trials.png'}")
    assert code == 0, err
    assert out.endswith(f"trials drawn in {tmp_path / 'trials.png'}\n")
    picture = (tmp_path / "trials.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000


def test_pictures_show_inputs_targets_and_epochs(tmp_path):
    """The lines show the arrays of the test set, and every epoch is shaded."""
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
    assert [axes[i].get_title() for i in (0, 1)] == [
        "test trial 0\ninterval 12, trained",
        "test trial 149\ninterval 17, interpolated",
    ]
    widths = [line.get_linewidth() for line in axes[0].get_lines()]
    assert widths == sorted(set(widths), reverse=True)


def test_trials_with_an_angle_give_it():
    task = TASKS.get("multitask")
    arrays = task.frozen("test").arrays
    (label,) = trials.labels(task, arrays, [1])
    assert label == f"task {task.primary.conditions(arrays)[1]}, theta_in {arrays['theta_in'][1]:.2f}"


@pytest.mark.parametrize(
    ("names", "plot", "message"),
    [
        (["nmrnn"], "a.png", "--plot draws the trials of one task, not of nmrnn"),
        (["mwg_rank1", "mwg_rank3"], "a.png", "--plot draws the trials of one task"),
        (["mwg_rank1"], "a.jpeg", "the name of a picture must end in .png or .svg or .pdf"),
        (["mwg_rank1"], "no/such/folder/a.png", "there is no folder no/such/folder"),
        (["mwg_rank1"], "/proc/a.png", "cannot be written"),
    ],
)
def test_impossible_pictures_are_refused_before_any_output(nmbench, tmp_path, monkeypatch, names, plot, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = nmbench("describe", *names, f"--plot={plot}")
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert os.listdir(tmp_path) == []
