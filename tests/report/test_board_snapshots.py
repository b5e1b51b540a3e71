"""Snapshots of the board are written once and never change."""

import csv
import json
import pathlib

import pytest

from nmbench.report import board_snapshots
from nmbench.results import verification
from nmbench.support.errors import NmbenchError
from support.claimed import write_csv
from support.rows import make_row

COMMITTED = pathlib.Path(__file__).parents[2] / "results" / "snapshots"


@pytest.fixture
def board(tmp_path):
    """A folder with rows of two models: 1.0 to 1.25 and 2.0 in the units of the metric."""
    rows = [make_row("a", seed, value, run_id=f"a{seed}") for seed, value in enumerate((1.0, 1.25))]
    (tmp_path / "board").mkdir()
    write_csv(tmp_path / "board" / "made_up.csv", [*rows, make_row("b", 0, 2.0, run_id="b0", git_sha="e" * 40)])
    return tmp_path / "board"


@pytest.fixture
def folder(board, tmp_path):
    """A folder with one snapshot of that board."""
    board_snapshots.write(tmp_path / "snapshots", "2026-01-31", [str(board)])
    return tmp_path / "snapshots"


def test_committed_snapshots_are_those_of_their_hashes():
    for date, one in board_snapshots.check(COMMITTED).items():
        board_snapshots.check_date(date)
        assert one["nmbench_version"] and one["files"]


def test_a_snapshot_has_the_numbers_of_the_tables(folder):
    with open(folder / "2026-01-31" / "made_up.csv", newline="") as file:
        a, b = csv.DictReader(file)
    assert list(a) == list(board_snapshots.COLUMNS)
    assert (a["model"], a["rank"], a["seeds"], a["median"], a["median_low"], a["median_high"]) == (
        "a", "1", "2", "1.125", "1.0", "1.25",
    )  # fmt: skip
    assert (b["model"], b["score"], b["commits"], b["tier"]) == ("b", "50.0", "e" * 40, "")


def test_a_snapshot_holds_the_tier_that_all_rows_have_reached(board, tmp_path):
    rows = [make_row("a", seed, value, run_id=f"a{seed}") for seed, value in enumerate((1.0, 1.25))]
    record = verification.VerificationRecord(
        experiment=verification.SubmittedExperiment("a", "made_up", "matched", 500),
        tier=verification.RE_SCORED,
        runs={row["run_id"]: verification.row_hash(row) for row in rows},
        content_sha256="a" * 64,
        verified_utc="2026-01-31T00:00:00+00:00",
        duration_s=1.0,
        surroundings={},
        steps=(),
    )
    verification.write(board / verification.FILE, [record])
    text = board_snapshots.tables_of([str(board)])["made_up.csv"]
    assert {line["model"]: line["tier"] for line in csv.DictReader(text.splitlines())} == {"a": "re-scored", "b": ""}


def test_the_history_of_a_model_is_its_line_in_every_snapshot(board, folder):
    write_csv(board / "made_up.csv", [make_row("a", 0, 0.5, run_id="a0")])
    board_snapshots.write(folder, "2026-02-01", [str(board)])
    found = board_snapshots.history(folder, "a")
    assert [(line["date"], line["median"]) for line in found] == [("2026-01-31", "1.125"), ("2026-02-01", "0.5")]
    assert [line["date"] for line in board_snapshots.history(folder, "b")] == ["2026-01-31"]
    assert board_snapshots.models(folder) == ["a", "b"] and board_snapshots.models(folder / "absent") == []
    assert board_snapshots.history(folder, "c") == [] == board_snapshots.history(folder / "absent", "a")


@pytest.mark.parametrize("date", ["2026-01-31", "2026-01-30"])
def test_a_date_that_has_or_precedes_a_snapshot_is_refused(board, folder, date):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(NmbenchError, match="the newest snapshot is of 2026-01-31, and snapshots never change"):
        board_snapshots.write(folder, date, [str(board)])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("date", ["2026-1-31", "2026-02-30", "31.1.2026", "../x", "", "20260131"])
def test_other_dates_are_refused(board, tmp_path, date):
    with pytest.raises(NmbenchError, match="is not a date"):
        board_snapshots.write(tmp_path / "snapshots", date, [str(board)])
    assert not (tmp_path / "snapshots").exists()


CHANGES = {
    "another value": (lambda folder: change(folder / "2026-01-31" / "made_up.csv"), "differs from its hash"),
    "a lost file": (lambda folder: (folder / "2026-01-31" / "made_up.csv").unlink(), "made_up.csv is missing"),
    "a new file": (lambda folder: (folder / "2026-01-31" / "more.csv").write_text(""), "is not listed"),
    "a lost manifest": (lambda folder: (folder / "manifest.json").unlink(), "is not listed"),
    "no manifest": (lambda folder: (folder / "manifest.json").write_text("[]"), "cannot read"),
    "a forgotten snapshot": (lambda folder: (folder / "manifest.json").write_text(json.dumps({})), "is not listed"),
}


def change(path):
    path.write_text(path.read_text().replace("1.125", "0.125"))


@pytest.mark.parametrize("label", CHANGES)
def test_a_changed_snapshot_is_found_and_nothing_is_added(board, folder, label):
    apply, message = CHANGES[label]
    apply(folder)
    with pytest.raises(NmbenchError, match=message) as caught:
        board_snapshots.check(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(NmbenchError, match=message):
        board_snapshots.write(folder, "2026-02-01", [str(board)])
    assert not (folder / "2026-02-01").exists()
