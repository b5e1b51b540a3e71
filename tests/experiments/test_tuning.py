"""Tuning: rounds of training, shipped tuning records, and departures from a protocol."""

import dataclasses
import json

import numpy as np
import pytest

from nmbench.contracts import fingerprints, tuning_record
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution, tuning
from nmbench.experiments.experiment import LearningRate
from nmbench.experiments.loading import resolve_again
from nmbench.experiments.request import Request
from nmbench.results import provenance
from nmbench.results.store import Store
from nmbench.submissions import checks
from nmbench.support.errors import NmbenchError
from nmbench.training import trainer
from support.rows import make_tuning_record


def resolve(**changes):
    return resolution.resolve(Request(**{"model": "rnn", "task": "toy", "hparams": {"N": 5}, "devices": 1, **changes}))


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def with_grid(toy_task, monkeypatch, grid):
    protocol = dataclasses.replace(toy_task.protocols[0], learning_rate_grid=grid)
    task = dataclasses.replace(toy_task, protocols=(protocol,))
    monkeypatch.setitem(TASKS._entries, "toy", dataclasses.replace(TASKS.entry("toy"), value=task))


def test_a_record_has_the_losses_of_each_phase(toy_task, monkeypatch):
    phases = (dataclasses.replace(toy_task.protocols[0].phases[0], steps=5),) * 2
    protocol = dataclasses.replace(toy_task.protocols[0], phases=phases)
    task = dataclasses.replace(toy_task, protocols=(protocol,))
    monkeypatch.setitem(TASKS._entries, "toy", dataclasses.replace(TASKS.entry("toy"), value=task))
    run = lambda *by_phase: tuning.TuningOutcome(by_phase[-1], 1.0, by_phase)
    found = {0.01: [run(1.0, 2.0), run(3.0, 4.0)], 0.001: [run(None, None), run(7.0, 8.0)]}
    record = tuning_record.check(tuning.summarise(resolve(), found))
    assert record["grid"] == [0.001, 0.01] and record["validation_losses"] == [[None, 8.0], [2.0, 4.0]]
    assert record["losses_by_phase"] == [[[None, 7.0], [1.0, 3.0]], [[None, 8.0], [2.0, 4.0]]]


@pytest.mark.slow
def test_the_loss_of_a_tuning_run_is_the_mean_over_its_phases(toy_task, store, monkeypatch):
    """A quarter of the trials is judged before the second phase. The record of a submission is checked for it."""
    phase = dataclasses.replace(toy_task.protocols[0].phases[0], steps=10)
    protocol = dataclasses.replace(toy_task.protocols[0], phases=(dataclasses.replace(phase, stage="before"), phase))
    primary = dataclasses.replace(toy_task.primary, earlier={"before": lambda arrays: np.arange(12) < 3})
    task = dataclasses.replace(toy_task, protocols=(protocol,), metrics=(primary, *toy_task.metrics[1:]))
    monkeypatch.setitem(TASKS._entries, "toy", dataclasses.replace(TASKS.entry("toy"), value=task))
    experiment = resolve()
    tuning.tune(experiment, store)
    (file,) = store.tuning.glob("*.json")
    record = json.loads(file.read_text())
    before, after = np.array(record["losses_by_phase"])
    np.testing.assert_allclose(record["validation_losses"], 0.25 * before + 0.75 * after, rtol=1e-12)
    assert not np.allclose(before, after)
    checks.check_phases(record, task, experiment.configuration(0))
    for damaged in ({}, {"losses_by_phase": [after.tolist(), before.tolist()]}, {"losses_by_phase": [before.tolist()]}):
        rest = {name: value for name, value in record.items() if name != "losses_by_phase"}
        with pytest.raises(NmbenchError, match="are not the means of those of its phases; tune again"):
            checks.check_phases({**rest, **damaged}, task, experiment.configuration(0))


@pytest.mark.slow
def test_the_grid_is_extended_while_its_highest_learning_rate_wins(toy_task, store):
    """With 20 steps, higher learning rates of the grid 0.001, 0.01 are better, so 0.03 and 0.1 are tried as well."""
    experiment, lines = resolve(steps=20), []
    choice = tuning.tune(experiment, store, say=lines.append)
    (file,) = store.tuning.glob("*.json")
    record = json.loads(file.read_text())
    assert lines[0] == "tuning: the highest learning rate wins, so 0.03 is tried too"
    assert record["grid"] == [0.001, 0.01, 0.03, 0.1][: 2 + len(lines)] and record["seeds"] == [1000, 1001]
    means = np.log10(np.array(record["validation_losses"])).mean(axis=1)
    assert record["chosen"] == choice.value == record["grid"][int(np.argmin(means))]
    assert choice.tuning_runs == 2 * len(record["grid"]) and choice.record["source"] == "tuned in this results folder"
    assert tuning_record.check(record) and not list(store.checkpoints.glob("*"))
    # The runs of the second round are those of separate training.
    (run,), _ = trainer.train(experiment.training_setup(), [trainer.TrainingRun(1001, 0.03)])
    assert record["validation_losses"][2][1] == pytest.approx(run.validation_loss, rel=1e-4)
    arrays = toy_task.frozen("test").arrays
    predictions = np.asarray(experiment.model.apply(run.params, toy_task.unpack(arrays).inputs))
    assert record["test_values"][2][1] == pytest.approx(toy_task.evaluate(predictions, arrays)["values"]["mse"], rel=1e-4)


@pytest.mark.slow
def test_stored_runs_resume_and_force_starts_again(toy_task, store):
    """An error at step 20 of 40 leaves checkpoints of the first round."""
    experiment, steps = resolve(), []

    def fail(step, losses):
        if step == 20:
            raise NmbenchError("full")

    for force in (False, True):
        with pytest.raises(NmbenchError, match="full; 4 runs saved at step 20"):
            tuning.tune(experiment, store, report=fail, force=force)
        steps.clear()
        tuning.tune(experiment, store, force=force, report=lambda step, losses: steps.append(step))
        assert (steps[0] > 20) == (not force)
    assert tuning.stored(experiment, store).value == json.loads(next(store.tuning.glob("*")).read_text())["chosen"]


def test_if_every_run_diverges_lower_learning_rates_are_tried(toy_task, store, monkeypatch):
    with_grid(toy_task, monkeypatch, (1e30,))
    lines = []
    choice = tuning.tune(resolve(steps=2), store, say=lines.append)
    assert lines[0] == "tuning: every run diverged, so 300 is tried too"
    assert choice.value in (100, 300) and choice.record["grid"][-1] == 1e30


def test_a_model_that_always_diverges_gives_one_line(toy_task, store, monkeypatch):
    with_grid(toy_task, monkeypatch, (1e30,))
    monkeypatch.setattr(tuning_record, "MOST_BEYOND", 0)
    message = r"^rnn diverged on toy at every learning rate of \[1e\+30\]; a lower one may work: --learning_rate=1e\+29$"
    with pytest.raises(NmbenchError, match=message):
        tuning.tune(resolve(steps=10), store)


@pytest.fixture
def shipped(toy_task, tmp_path):
    """A function from changes to the default learning rate of a model with a shipped tuning record with these changes."""
    experiment = resolve()
    facts = {"model": "rnn", "task": "toy", "hparams": experiment.sizing.hparams, "steps": 40, "params": 46}
    facts["validation_sha256"] = experiment.validation_sha256
    good = make_tuning_record({0.001: [2.0, 2.0], 0.01: [1.0, 3.0], 0.03: [4.0, 4.0]}, **facts)
    baseline = dataclasses.replace(BASELINES.get("rnn"), path=str(tmp_path / "rnn.py"))
    file = tmp_path / "tuned" / "rnn.toy.matched.json"
    file.parent.mkdir()
    (tmp_path / "rnn.py").write_text("")

    def default(hparams=None, asked_steps=40, **changes):
        file.write_text(json.dumps({**good, **changes}))
        given = experiment.sizing.hparams if hparams is None else hparams
        return resolution.default_learning_rate(baseline, toy_task, experiment.protocol, given, asked_steps)

    return default


def test_a_shipped_record_gives_the_tuned_learning_rate(shipped):
    rate = shipped()
    # The logarithms of 1 and 3 have a lower mean than that of 2.
    assert (rate.value, rate.tuning_runs, rate.record["source"]) == (0.01, 6, "shipped tuning record")
    assert shipped(source="elsewhere").record["source"] == "shipped tuning record"


@pytest.mark.parametrize(
    "changes",
    [
        {"task_version": 2},
        {"steps": 20},
        {"engine": 99},
        {"seeds": [1000, 1002]},
        {"validation_sha256": {"validation": "c" * 64}},
        {"grid": [0.001, 0.02, 0.03], "chosen": 0.02},
    ],
)
def test_a_shipped_record_of_another_task_or_protocol_is_ignored(shipped, changes):
    name = next(iter(changes))
    source = f"default of the protocol; the shipped tuning record has another {name}"
    assert shipped(**changes) == LearningRate(0.01, 0, {"source": source})


def test_a_shipped_record_of_other_sizes_or_steps_is_not_a_tuned_learning_rate(shipped):
    expected = LearningRate(0.01, 0, {"source": "shipped tuning record, made with other hparams"})
    assert shipped(hparams={"N": 6}) == expected
    assert shipped(asked_steps=20).record == {"source": "shipped tuning record, made with other steps"}


def test_a_shipped_record_of_other_code_or_data_is_not_a_tuned_learning_rate(shipped, tmp_path, toy_task):
    code, data = fingerprints.of_module(tmp_path / "rnn.py"), {"train": toy_task.training["train"].fingerprint()}
    assert shipped(model_sha256=code, training_sha256=data).tuning_runs == 6
    assert shipped(model_sha256="c" * 64).record == {"source": "shipped tuning record, made with other model_sha256"}
    other = shipped(model_sha256=code, training_sha256={"train": "c" * 64})
    assert other.record == {"source": "shipped tuning record, made with other training_sha256"}


@pytest.mark.parametrize(("entry", "value"), [("model", "lstm"), ("task", "other"), ("protocol", "paper")])
def test_a_record_of_another_model_task_or_protocol_is_refused(shipped, entry, value):
    with pytest.raises(NmbenchError, match=f"'{entry}' is '{value}', not '") as caught:
        shipped(**{entry: value})
    assert "\n" not in str(caught.value)


def tuned(experiment):
    return dataclasses.replace(experiment, learning_rate=LearningRate(0.01, 4, {"source": "tuned"}))


def test_a_run_with_the_recipe_of_its_protocol_has_no_departures(toy_task):
    assert tuned(resolve()).departures == "" and tuned(resolve(hparams={"N": 9})).departures == ""
    assert resolve(protocol="untuned").departures == "" == resolve(protocol="untuned", learning_rate=0.01).departures
    for task in ("element_finder", "mwg_rank3", "multitask"):
        for model in ("nmrnn", "lstm"):
            assert resolution.resolve(Request(model=model, task=task, protocol="paper")).departures == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "learning rate not tuned"),
        ({"learning_rate": 0.03}, "learning rate not tuned"),
        ({"steps": 20, "protocol": "untuned"}, "steps 20, not 40"),
        ({"steps": 40, "protocol": "untuned"}, ""),
        ({"data_seed": 3, "protocol": "untuned"}, "data_seed 3, not 0"),
        ({"learning_rate": 0.03, "protocol": "untuned"}, "learning rate 0.03, not 0.01"),
        ({"steps": 20, "data_seed": 3}, "steps 20, not 40; data_seed 3, not 0; learning rate not tuned"),
    ],
)
def test_departures_are_listed_and_follow_from_the_configuration(toy_task, changes, text):
    experiment = resolve(**changes)
    assert experiment.departures == text
    assert resolve_again(experiment.configuration(0)).departures == text


def test_settings_of_the_process_are_departures(toy_task, monkeypatch):
    experiment = resolve(protocol="untuned")
    monkeypatch.setattr(provenance, "uses_x64", lambda: True)
    assert experiment.departures == "64-bit floats"
    monkeypatch.setattr(provenance, "jax_settings", lambda: {"default_matmul_precision": "highest"})
    assert experiment.departures == "64-bit floats; other settings of JAX"
