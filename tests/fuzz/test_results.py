"""Damaged results: CSVs, row.json files and run folders, read by every command that reads them."""

import os

import pytest
from hypothesis import strategies as st

from nmbench.results import csv_files
from support import mangled
from support.guard import FEW, cases, fuzz

READERS = [
    ("validate",),
    ("leaderboard", "--format=terminal"),
    ("leaderboard", "--format=markdown"),
    *(("compare", f"--format={form}") for form in ("terminal", "markdown", "csv", "latex")),
]


@cases("csv")
def test_csv(guard, count):
    good = guard.given / "good.csv"
    good.write_text(csv_files.to_csv(mangled.base_rows()), encoding="utf-8")

    def check(case):
        data, (name, *flags), beside = case
        path = guard.folder() / "results.csv"
        path.write_bytes(data)
        paths = {0: [path], 1: [path, good], 2: [good, path]}[beside]
        return guard.call(name, *map(str, paths), *flags)[0]

    codes = fuzz(count, st.tuples(mangled.csvs(), st.sampled_from(READERS), st.integers(0, 2)), check)
    assert len(codes) >= count and set(codes) <= {0, 2}
    assert count == FEW or set(codes) == {0, 2}  # both valid and refused cases occur


def _add_oddity(folder, kind):
    """Create an unexpected file, folder or link in a results folder."""
    if kind == "folder named row.json":
        (folder / "runs" / "b" / "row.json").mkdir(parents=True)
    elif kind == "dangling link":
        os.symlink(folder / "nowhere", folder / "runs" / "b")
    elif kind == "link in a circle":
        os.symlink(folder / "runs" / "b", folder / "runs" / "b")
    elif kind == "row.json is a link in a circle":
        (folder / "runs" / "b").mkdir()
        os.symlink(folder / "runs" / "b" / "row.json", folder / "runs" / "b" / "row.json")
    elif kind == "row.json is a device":
        (folder / "runs" / "b").mkdir()
        os.symlink("/dev/zero", folder / "runs" / "b" / "row.json")
    elif kind == "a file among the runs":
        (folder / "runs" / "b").write_text("text")
    elif kind == "a link out":
        os.symlink("/", folder / "runs" / "b")
    elif kind == "a folder called x.csv":
        (folder / "x.csv").mkdir()
    elif kind == "odd bytes in names":
        (folder / "runs" / os.fsdecode(b"b\xff\n\x1b[31m")).mkdir()
        (folder / "runs" / os.fsdecode(b"b\xff\n\x1b[31m") / "row.json").write_text("{")
    elif kind == "runs is a file":
        (folder / "runs").rename(folder / "old")
        (folder / "runs").write_text("text")


ODDITIES = [
    "nothing", "folder named row.json", "dangling link", "link in a circle", "row.json is a link in a circle",
    "row.json is a device", "a file among the runs", "a link out", "a folder called x.csv",
    "odd bytes in names", "runs is a file",
]  # fmt: skip


@cases("run folders")
def test_run_folders(guard, count):
    def check(case):
        rows, kind, (name, *flags) = case
        folder = guard.folder()
        (folder / "runs").mkdir()
        for i, data in enumerate(rows):
            (folder / "runs" / f"run{i}").mkdir()
            (folder / "runs" / f"run{i}" / "row.json").write_bytes(data)
        _add_oddity(folder, kind)
        return guard.call(name, str(folder), *flags)[0]

    several = st.lists(mangled.row_files(), min_size=1, max_size=2)
    codes = fuzz(count, st.tuples(several, st.sampled_from(["nothing"] * 10 + ODDITIES), st.sampled_from(READERS)), check)
    assert len(codes) >= count and set(codes) <= {0, 2}
    assert count == FEW or set(codes) == {0, 2}  # both valid and refused cases occur


@pytest.mark.release
@pytest.mark.parametrize("everywhere", [False, True])
def test_every_bad_value_in_every_kind_of_column(guard, everywhere):
    columns = {"config_json": mangled.JSONS, "value": mangled.NUMBERS, "seed": mangled.NUMBERS, "floor": mangled.NUMBERS}
    columns |= dict.fromkeys(("params_target", "params_actual", "last_value", "train_s"), mangled.NUMBERS)
    columns |= dict.fromkeys(("model", "task", "protocol", "metric"), mangled.TEXTS)
    codes = []
    for column, bad in columns.items():
        for text in bad:
            rows = mangled.base_rows()
            for row in rows if everywhere else rows[1:2]:
                row[column] = text
            path = guard.folder() / "results.csv"
            path.write_bytes(csv_files.to_csv(rows).encode("utf-8", "surrogatepass"))
            for name, *flags in READERS:
                codes.append(guard.call(name, str(path), *flags)[0])
    assert set(codes) == {0, 2}
