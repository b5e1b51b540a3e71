"""One experiment: what its run id depends on, and what a protocol with several phases records in a row."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.task import FixedData
from nmbench.experiments import resolution, running, tuning
from nmbench.experiments.request import Request
from nmbench.results.store import Store
from nmbench.training import trainer


@pytest.fixture
def register(toy_task, monkeypatch):
    """Replace the toy task in the registry by a changed one."""

    def put(**changes):
        task = dataclasses.replace(toy_task, **changes)
        monkeypatch.setitem(TASKS._entries, "toy", dataclasses.replace(TASKS.entry("toy"), value=task))
        return task

    return put


def resolve(**changes):
    return resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}, **changes))


def two_phases(**second):
    phases = (Phase(steps=6, stage="early"), Phase(steps=4, **second))
    return (Protocol(name="matched", phases=phases, validate_every=2),)


def test_the_run_id_changes_with_training_data_and_validation_sets(toy_task, register):
    before = resolve().run_id(0)
    assert resolve().run_id(0) == before
    double = lambda: jax.tree.map(lambda a: 2 * a, toy_task.training["train"].make())
    register(training={"train": FixedData(double)})
    assert resolve().run_id(0) != before
    register(set_sizes={**toy_task.set_sizes, "second": 12}, protocols=two_phases(validation="second"))
    arrays = dict(toy_task.frozen("validation").arrays)
    frozen_sets.save(toy_task.sets_folder, "toy", 1, "second", arrays, 12)
    first = resolve()
    assert set(first.validation_sha256) == {"validation", "second"}
    manifest = json.loads((toy_task.sets_folder / "manifest.json").read_text())
    manifest.pop("toy-v1-second")
    (toy_task.sets_folder / "manifest.json").write_text(json.dumps(manifest))
    arrays["targets"] = arrays["targets"] + 1
    frozen_sets.save(toy_task.sets_folder, "toy", 1, "second", arrays, 12)
    assert resolve().run_id(0) != first.run_id(0)


@pytest.mark.slow
def test_stages_are_evaluated_on_the_test_set_and_recorded(toy_task, register, tmp_path):
    metric = dataclasses.replace(toy_task.metrics[0], stages=("early", "never"))
    other = dataclasses.replace(metric, name="unstaged", stages=())
    task = register(metrics=(metric, other), protocols=two_phases(relative_rate=10.0))
    experiment = resolve()
    store = Store(tmp_path)
    store.prepare()
    (row,) = running.run_seeds(experiment, [0], store)
    early = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}))
    early = dataclasses.replace(early, phases=early.phases[:1])
    (trained,), _ = trainer.train(early.training_setup(), [trainer.TrainingRun(0, experiment.learning_rate.value)])
    arrays = task.frozen("test").arrays
    predictions = np.asarray(experiment.model.apply(trained.params, task.unpack(arrays).inputs))
    expected = task.evaluate(predictions, arrays)
    assert row["metrics.mse.early"] == pytest.approx(expected["values"]["mse"], rel=1e-5)
    assert row["metrics.mse.early"] != pytest.approx(row["value"], rel=1e-3)
    assert {name for name in row if name.startswith("metrics.")} == {"metrics.mse.early", "metrics.unstaged"}
    conditions = json.loads(row["conditions_json"])
    assert set(conditions) == {"mse", "unstaged", "mse.early"}
    assert conditions["mse.early"] == pytest.approx(expected["conditions"]["mse"], rel=1e-5)
    with np.load(store.runs / row["run_id"] / "per_trial.npz") as file:
        assert set(file.files) == {"mse", "unstaged", "mse.early"}
    rates = [p["learning_rate"] for p in json.loads(row["config_json"])["protocol"]["phases"]]
    assert rates == [row["learning_rate"], 10 * row["learning_rate"]]


def test_a_metric_that_raises_loses_one_run_and_a_number_that_is_not_finite_names_its_metric(toy_task, register, tmp_path):
    calls = []

    def fragile(predictions, arrays):
        calls.append(1)
        if len(calls) == 3:  # of the second seed; every seed is evaluated twice
            raise KeyError("no such trial")
        return np.full(12, np.nan if len(calls) > 3 else 1.0)

    other = dataclasses.replace(toy_task.metrics[0], name="fragile", per_trial=fragile, conditions=None)
    register(metrics=(*toy_task.metrics, other), protocols=(Protocol(name="matched", phases=(Phase(steps=2),)),))
    store = Store(tmp_path)
    store.prepare()
    experiment = resolve()
    calls.clear()
    rows = running.run_seeds(experiment, [0, 1, 2], store)
    assert [row["status"] for row in rows] == ["ok", "failed", "diverged"]
    assert rows[1]["error"] == "the evaluation on the test set failed: KeyError: 'no such trial'"
    assert rows[2]["error"] == "metric fragile of the predictions on the test set is not a number up to 1e300"


def test_tuning_weights_a_phase_by_the_trials_that_its_parameters_are_judged_on(toy_task):
    """Three of the 12 test trials of the made-up task are judged before the second of three phases."""
    phases = [Phase(steps=1, stage="first"), Phase(steps=1, stage="second"), Phase(steps=1)]
    assert tuning.weights(toy_task, phases) == [0.0, 0.0, 1.0] and tuning.weights(toy_task, phases[2:]) == [1.0]
    primary = dataclasses.replace(toy_task.primary, earlier={"second": lambda arrays: np.arange(12) < 3})
    with_primary = lambda primary: dataclasses.replace(toy_task, metrics=(primary, *toy_task.metrics[1:]))
    task = with_primary(primary)
    assert tuning.weights(task, phases) == [0.0, 0.25, 0.75] and tuning.weights(task, phases[2:]) == [1.0]
    # A metric that counts the first six trials only; and stages whose trials overlap, of which the second counts.
    half = dataclasses.replace(primary, subset=lambda arrays: np.arange(12) < 6)
    assert tuning.weights(with_primary(half), phases) == [0.0, 0.5, 0.5]
    both = {"first": lambda arrays: np.arange(12) < 9, "second": lambda arrays: np.arange(12) >= 6}
    assert tuning.weights(with_primary(dataclasses.replace(primary, earlier=both)), phases) == [0.5, 0.5, 0.0]
    assert tuning.mean_loss([0.0, 0.25, 0.75], [100.0, 4.0, 8.0]) == 7.0


def test_the_multitask_is_tuned_on_its_four_tasks_alike():
    task = TASKS.get("multitask")
    assert tuning.weights(task, task.protocols[0].phases) == [0.75, 0.25]


def test_the_learning_rate_of_the_user_reaches_every_phase(toy_task, register):
    register(protocols=two_phases(relative_rate=0.1))
    experiment = resolve(learning_rate=0.5)
    assert [p["learning_rate"] for p in experiment.resolved_protocol()["phases"]] == [0.5, 0.05]
