"""The command `leaderboard`: formats, files and errors."""

import functools
import os
import pathlib
import sys

import pytest

from nmbench.results import csv_files
from support.rows import make_row

ROOT = pathlib.Path(__file__).parents[2]
REFERENCE = str(ROOT / "results" / "board" / "element_finder.csv")


@pytest.fixture
def call(nmbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        make_row(m, s, 1 + s / 8 + (m == "b"), task=t, run_id=f"{m}{t}{s}") for m in "ab" for t in "xy" for s in range(8)
    ]
    (tmp_path / "r.csv").write_text(csv_files.to_csv(rows))
    return functools.partial(nmbench, "leaderboard")


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "latex"])
def test_the_reference_rows_in_every_format(call, form):
    code, out, err = call(REFERENCE, f"--format={form}", "--protocol=matched")
    assert (code, err) == (0, "") and "lstm" in out and "paper" not in out
    assert call(REFERENCE, f"--format={form}", "--protocol=matched") == (code, out, err)


def test_tables_of_one_kind(call):
    assert "Overall" not in call("r.csv", "--tables=tasks")[1]
    code, out, _ = call("r.csv", "--tables=overall")
    assert code == 0 and out.startswith("Overall, protocol matched: mean score over x (500), y (500)\n")
    code, out, _ = call("r.csv", "--tables=overall", "--format=csv")
    assert code == 0 and out.startswith("protocol,rank,group,label,") and out.count("\n") == 3
    code, out, err = call("r.csv", "--tables=overall", "--task=x")
    assert (code, out) == (2, "") and "no two models share results of two tasks" in err


def test_out_writes_the_printed_text_to_a_file(call):
    (_, printed, _), before = call("r.csv", "--format=csv"), set(os.listdir())
    pathlib.Path("old.csv").write_text("old")
    assert call("r.csv", "--format=csv", "--out=old.csv") == (0, "", "")
    assert pathlib.Path("old.csv").read_text() == printed and set(os.listdir()) == before | {"old.csv"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["r.csv", "--out=r.csv"], "--out=r.csv is an input, or would be read as one in this folder; name another file"),
        ([".", "--out=r.csv"], "--out=r.csv is an input"),
        ([".", "--out=new.csv"], "--out=new.csv is an input, or would be read as one"),
        (["r.csv", "--out=verification.json"], "--out=verification.json is an input"),
        (["r.csv", "--out=."], "--out=. is a folder"),
        (["r.csv", "--out="], "is a folder; name a file"),
        (["r.csv", "--out=no/such/t.csv"], "there is no folder no/such"),
        (["missing.csv", "--out=t.csv"], "no such file or folder: missing.csv"),
        (["r.csv", "--task=xx"], "no rows with task 'xx'; did you mean 'x'?"),
        (["r.csv", "--protocol=match"], "did you mean 'matched'?"),
        (["r.csv", "--format=xml"], "--format"),
        (["other.csv", "r.csv"], "r.csv: ax0 has testset_sha256"),
    ],
)
def test_bad_input_gives_one_line_and_writes_nothing(call, argv, message):
    other = [make_row("a", 0, 1.0, task="x", testset_sha256="b" * 64)]
    pathlib.Path("other.csv").write_text(csv_files.to_csv(other))
    before = {name: pathlib.Path(name).read_text() for name in os.listdir()}
    code, out, err = call(*argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert {name: pathlib.Path(name).read_text() for name in os.listdir()} == before


def test_a_picture_of_the_models_of_each_task(call):
    code, _, err = call("r.csv", "--plot=models.svg", "--out=r.txt")
    assert (code, err) == (0, "models drawn in models.svg\n")
    assert "<svg " in pathlib.Path("models.svg").read_text()


def test_ladders_in_tables_and_pictures(call, monkeypatch):
    rows = [make_row("a", 0, 1.0, params_target=b, run_id=f"a{b}") for b in (250, 500)]
    pathlib.Path("l.csv").write_text(csv_files.to_csv(rows))
    code, out, err = call("l.csv", "--tables=ladders", "--plot_ladders=l.png")
    assert (code, err) == (0, "ladders drawn in l.png\n") and out.startswith(
        "made_up v1, protocol matched, budgets 250, 500"
    )
    assert pathlib.Path("l.png").read_bytes().startswith(b"\x89PNG")
    assert call("l.csv", "--tables=ladders", "--format=csv")[1].count("\n") == 3
    pathlib.Path("l.png").unlink()
    before = sorted(os.listdir())
    for argv, message in (
        (["r.csv", "--plot_ladders=l.png"], "no ladder: no model has results at two budgets or more"),
        (["r.csv", "--tables=ladders"], "no ladder: no model has results at two budgets or more"),
        (["l.csv", "--plot_ladders=l.gif"], "the name of a picture must end in .png"),
        (["l.csv", "--plot_ladders=no/such/l.png"], "there is no folder no/such"),
    ):
        code, out, err = call(*argv)
        assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = call("l.csv", "--plot_ladders=l.png")
    assert (code, out) == (2, "") and "pictures need matplotlib" in err and sorted(os.listdir()) == before
