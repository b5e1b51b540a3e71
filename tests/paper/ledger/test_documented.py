"""Documented differences: no verdict, and what is computed or measured about them."""

import numpy as np
import pytest
import scipy.stats

from nmbench.paper import runs
from nmbench.paper.ledger import documented, publication
from nmbench.paper.ledger.evidence import Evidence
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.paper.runs import Need, Recipe
from nmbench.results import packs
from nmbench.results.store import Store
from nmbench.training.snapshot import CurvePoint
from support.claimed import line_of, make_rows, read, write_csv

CLAIMS = {claim.name: claim for claim in publication.CLAIMS}
DOCUMENTED = ("training_loss", "rivals_data", "test_trials", "training_times")
TASK = "element_finder"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_differences_have_no_verdict(name):
    claim = CLAIMS[name]
    found = claim.measure(Evidence(), "paper")
    assert found.verdict is Verdict.DOCUMENTED and found.reason and claim.protocols == ("paper",)
    assert "supplement" in claim.source and claim.rule.startswith("none")


def test_a_source_other_than_the_supplement_says_so():
    for claim in publication.CLAIMS:
        if "main text" in claim.source:
            assert publication.NOTES in claim.source, claim.name
        if "code" in claim.source:
            assert publication.AUTHORS_CODE in claim.source, claim.name


@pytest.mark.parametrize(("trials", "share"), [(25, 0.5), (25, 0.9), (1000, 0.5), (1000, 0.9), (2000, 0.9), (1, 0.5)])
def test_the_binomial_range_agrees_with_scipy(trials, share):
    assert documented.binomial_range(trials, share) == scipy.stats.binom(trials, share).interval(0.95)


def test_the_noise_of_few_trials():
    """For 25 trials and a probability of 90%, 19 to 25 correct trials."""
    found = CLAIMS["test_trials"].measure(Evidence(), "paper")
    assert found.reason.endswith(
        "with probability 90% is, for at least 95% of test sets of 25 trials, between 76.0 and 100.0; for 1000 trials of "
        "each task, as here, between 88.1 and 91.8"
    )
    assert [line.interval for line in found.measured] == ["32.0 .. 68.0", "46.9 .. 53.1", "76.0 .. 100.0", "88.1 .. 91.8"]


@pytest.mark.parametrize("where", ["a results folder", "a packed CSV", "a folder with packed CSVs"])
def test_selection_on_the_training_loss(tmp_path, where):
    """The training loss is lowest at the second point, the validation loss at the third, where it is half as large."""
    store = Store(tmp_path)
    store.prepare()
    curve = [CurvePoint(250, 3.0, 9.0), CurvePoint(500, 1.0, 4.0), CurvePoint(750, 2.0, 2.0)]
    errors = np.repeat([0.0, 2.0], 5000)  # half of the trials have no error
    *rows, bare = make_rows("nmrnn", TASK, [1.0, 1.0, 1.0], "paper")
    for row in rows:
        store.write(row, None, {"mse": errors}, curve)
    store.write(bare, None, {}, [])  # a folder without a curve is not used
    table = tmp_path / "tables" / "rows.csv"
    table.parent.mkdir()
    write_csv(table, [*rows, bare])
    packs.pack(rows, tmp_path, packs.beside(table))
    results = {"a results folder": tmp_path, "a packed CSV": table, "a folder with packed CSVs": table.parent}[where]
    found = CLAIMS["training_loss"].measure(read(str(results)), "paper")
    selected = line_of(found, "nmrnn, validation error at the lowest training loss / lowest validation error")
    assert selected[1:] == ("2", "2 .. 2 (range)", "median of 2 runs")
    lowest = line_of(found, "nmrnn, lowest of 1000 minibatches of 128 / test error")
    # The lowest of 1000 means of 128 numbers, each 0 or 2, is 3.24 standard errors below 1.
    assert float(lowest.value) == pytest.approx(1 - 3.24 / np.sqrt(128), abs=0.06)
    assert found.verdict is Verdict.DOCUMENTED and selected.what in found.reason and len(found.measured) == 2
    need = Need("nmrnn", TASK, 3)
    drawn = runs.find([need], Recipe(str(results), "paper"))[need]
    assert [runs.curve(run).tolist() for run in drawn[:2]] == [[[250, 9], [500, 4], [750, 2]]] * 2
    assert len(drawn) == (3 if where == "a results folder" else 2)  # a pack does not have the third


def test_without_run_folders_nothing_is_measured():
    found = CLAIMS["training_loss"].measure(Evidence(), "paper")
    assert found.measured == () and found.reason.startswith("No curves on element_finder, protocol paper, are here")
    assert len(found.commands) == 4


def test_training_times(tmp_path):
    rows = make_rows("nmrnn", TASK, [1.0, 1.0, 1.0], "paper", train_s=30.0)
    found = CLAIMS["training_times"].measure(read(write_csv(tmp_path / "rows.csv", rows)), "paper")
    line = line_of(found, "element_finder, nmrnn: minutes as published")
    assert line.value == "5" and line.note == "here 0.5 minutes (median of 3 seeds; Processor 9000 (6/1), 2 cores)"
    assert found.reason == "The published times are 10 times as long as ours"
    rows += make_rows("nmrnn", TASK, [None] * 4, "paper", first_seed=3, train_s=0.0)  # of a lost run, the time is unknown
    again = CLAIMS["training_times"].measure(read(write_csv(tmp_path / "rows.csv", rows)), "paper")
    assert again.reason == found.reason
    assert line_of(found, "multitask, lrrnn: minutes as published")[1:] == ("150", "", "no fully trained rows")
    assert len(found.measured) == len(found.commands) == 13
