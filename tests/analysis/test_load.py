"""Networks from run folders; slow, because a network is trained."""

import shutil

import numpy as np
import pytest

import nmbench
from nmbench import analysis
from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import TASKS
from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.results.store import PARAMS, Store
from nmbench.support.errors import NmbenchError
from nmbench.training import parameter_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_maker):
    """Results folder and row of a trained NM-RNN."""
    root = tmp_path_factory.mktemp("load")
    task = toy_maker(root / "testsets")
    with TASKS.restored():
        TASKS.register("toy", task, origin="tests/support/toys.py:1", tags=("testing",), summary=task.summary)
        experiment = resolution.resolve(Request(model="nmrnn", task="toy", hparams={"N": 6, "M": 2, "K": 2}, devices=1))
        store = Store(root / "results")
        store.prepare()
        (row,) = running.run_seeds(experiment, [0], store)
        yield root / "results", row


def test_a_loaded_network_has_the_score_of_its_row(run):
    folder, row = run
    network = nmbench.load_network(row["run_id"], folder)
    assert network.task is not None and network.hparams["K"] == 2
    arrays = network.task.frozen("test").arrays
    outputs = network.apply(network.task.unpack(arrays).inputs)
    assert network.task.evaluate(outputs, arrays)["values"]["mse"] == pytest.approx(row["value"], rel=1e-6)
    recorded = analysis.record(network)
    np.testing.assert_allclose(recorded["y"], outputs, rtol=1e-6, atol=1e-7)
    assert {name: values.shape[-1] for name, values in recorded.items()} == {"x": 6, "z": 2, "s": 2, "y": 1}


def test_a_changed_model_is_loaded_only_if_its_score_is_the_same(run, tmp_path, monkeypatch):
    folder, row = run
    monkeypatch.setattr(fingerprints, "of_imported", lambda path: "0" * 64)
    with pytest.warns(UserWarning, match="source of the model nmrnn has changed.*; with this code it reaches "):
        assert nmbench.load_network(row["run_id"], folder).row == row
    shutil.copytree(folder, tmp_path / "results")
    file = tmp_path / "results" / "runs" / row["run_id"] / PARAMS
    with pytest.warns(UserWarning, match="has changed"):
        params = nmbench.load_network(row["run_id"], folder).params
    ((module, leaves),) = params.items()
    parameter_files.save_params(file, {module: {**leaves, "C": np.asarray(leaves["C"]) + 1}})
    with pytest.raises(NmbenchError, match="source of the model nmrnn has changed.* and it now reaches .* instead of "):
        nmbench.load_network(row["run_id"], tmp_path / "results")


def test_runs_without_a_network_are_refused(run, tmp_path):
    folder, row = run
    with pytest.raises(NmbenchError, match="no run 'nmrnn.toy.matched.s1.000000000000'"):
        nmbench.load_network("nmrnn.toy.matched.s1.000000000000", folder)
    with pytest.raises(NmbenchError, match="no such file or folder"):
        nmbench.load_network(row["run_id"], tmp_path / "none")
    shutil.copytree(folder, tmp_path / "results")
    (tmp_path / "results" / "runs" / row["run_id"] / PARAMS).unlink()
    with pytest.raises(NmbenchError, match="the parameters of nmrnn.toy.matched.* are not here") as caught:
        nmbench.load_network(row["run_id"], tmp_path / "results")
    assert "\n" not in str(caught.value)
