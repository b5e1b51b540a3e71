"""docs/errata.md names only existing tests; this file tests the entries that no other file covers."""

import ast
import pathlib
import re

import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution
from nmbench.experiments.request import Request

ROOT = pathlib.Path(__file__).parents[3]


def test_every_entry_names_tests_that_exist():
    text = (ROOT / "docs" / "errata.md").read_text()
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", text)
    assert len(named) > 20
    for path, name in named:
        functions = [node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)]
        assert name in functions, f"{path}::{name}"
    entries = re.findall(r"^\*\*.+?(?=^\*\*|^## |\Z)", text, re.M | re.S)
    assert len(entries) == text.count("\n**") and all("::test_" in entry for entry in entries)


def test_a_fixed_measure_cue_determines_the_interval():
    """In mwg_rank3 each wait time belongs to one interval, trained or extrapolated; in mwg_rank3_code to several."""
    intervals = {}
    for name in ("mwg_rank3", "mwg_rank3_code"):
        arrays = TASKS.get(name).frozen("test").arrays
        waits = np.unique(arrays["t_wait"])
        intervals[name] = max(len(np.unique(arrays["interval"][arrays["t_wait"] == wait])) for wait in waits)
    assert intervals["mwg_rank3"] == 1 and intervals["mwg_rank3_code"] > 5


def test_time_constants_on_the_element_finder_are_swapped_in_the_code():
    nmrnn = BASELINES.get("nmrnn")
    taus = {name: nmrnn.defaults("element_finder", name) for name in ("paper", "paper_code")}
    assert {name: (h["tau_x"], h["tau_z"]) for name, h in taus.items()} == {"paper": (10, 2), "paper_code": (2, 10)}


def test_only_the_codes_protocol_restarts_adam():
    task = TASKS.get("mwg_rank3")
    every = {
        name: {p.reset_optimizer_every for p in task.protocol(name).phases_for("nmrnn")} for name in ("paper", "paper_code")
    }
    assert every == {"paper": {0}, "paper_code": {1000}}


@pytest.mark.parametrize("task", ["mwg_rank3", "mwg_rank3_code"])
def test_the_code_trains_the_vanilla_rnn_at_a_tenth_of_the_learning_rate(task):
    rate = lambda model, protocol: resolution.resolve(Request(model=model, task=task, protocol=protocol)).learning_rate.value
    assert [rate("rnn", protocol) for protocol in ("paper", "paper_code")] == [1e-2, 1e-3]
    assert {rate(model, protocol) for model in ("nmrnn", "lrrnn", "lstm") for protocol in ("paper", "paper_code")} == {1e-2}
