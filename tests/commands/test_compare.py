"""The command `compare`: output and exit codes."""

import csv
import functools
import io
import os
import pathlib
import re
import subprocess
import sys

import pytest

from nmbench.results import csv_files
from support.rows import make_row

ROOT = pathlib.Path(__file__).parents[2]
REFERENCE = str(ROOT / "results" / "board" / "element_finder.csv")


@pytest.fixture
def call(nmbench):
    return functools.partial(nmbench, "compare")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder of a.csv and of b.csv, whose model is better. It is the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, shift in (("a.csv", 0.5), ("b.csv", 0.0)):
        made = [make_row("m", s, 1 + s / 8 + shift) for s in range(8)]
        (tmp_path / name).write_text(csv_files.to_csv(made))
    return tmp_path


def test_two_files(call, files):
    code, out, err = call("a.csv", "b.csv")
    assert (code, err) == (0, "")
    assert out.startswith("made_up, protocol matched, budget 500: mse (lower is better); A = a.csv, B = b.csv\n")
    assert re.search(r"^m +8 +8 +1\.938 +1\.438 +0\.7350 +0\.5971 \.\. 0\.9046 +0\.008236 +0\.88 +better *$", out, re.M), out
    assert call("a.csv", "b.csv") == (code, out, err)
    assert sorted(os.listdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("form", "fact"),
    [("markdown", "| better"), ("csv", ",better,"), ("latex", "& better"), ("terminal", " better")],
)
def test_every_format(call, files, form, fact):
    code, out, err = call("a.csv", "b.csv", f"--format={form}")
    assert (code, err) == (0, "") and fact in out
    if form == "csv":
        (line,) = csv.DictReader(io.StringIO(out))
        assert (line["verdict"], line["kind"], line["budget"], line["file_b"]) == ("better", "ratio", "500", "b.csv")
        assert line["p_corrected"] == line["p"] == str(106 / 12870) and line["solved_a"] == ""


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "latex"])
def test_reference_rows_in_every_format(call, form):
    code, out, err = call(REFERENCE, f"--format={form}", "--protocol=matched")
    assert (code, err) == (0, "") and "lstm" in out and "paper" not in out
    assert "worse" in out and "better" in out


def test_reference_rows_equal_themselves(call):
    code, out, _ = call(REFERENCE, REFERENCE, "--format=csv")
    lines = list(csv.DictReader(io.StringIO(out)))
    rows = csv_files.read_csv(REFERENCE)
    tables = {(row["task"], row["protocol"], row["departures"], row["params_target"], row["model"]) for row in rows}
    assert code == 0 and len(lines) == len(tables)
    assert {(line["verdict"], line["kind"], line["effect"]) for line in lines} == {("cannot tell", "ratio", "1.0")}
    # For 30 seeds, p comes from random divisions.
    assert all(float(line["p"]) == 1 if line["seeds_a"] == "10" else float(line["p"]) > 0.99 for line in lines)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "name at least one results CSV or results folder"),
        (["missing.csv"], "no such file or folder: missing.csv"),
        (["a.csv", "changed.csv"], f"changed.csv: other has testset_sha256 {'b' * 64}, but m.made_up"),
        (["a.csv", "later.csv"], "later.csv: other has task_version 2, but m.made_up"),
        (["a.csv", "newer.csv"], "newer.csv, row 1, column 'schema_version': 3 is not 2"),
        (["a.csv", "b.csv", "--task=made_upp"], "did you mean 'made_up'?"),
        (["a.csv", "b.csv", "--protocol=match"], "did you mean 'matched'?"),
        (["a.csv", "--format=html"], "--format"),
        (["empty.csv"], "empty.csv is empty"),
    ],
)
def test_bad_input_gives_one_line(call, files, argv, message):
    changes = {"changed": {"testset_sha256": "b" * 64}, "later": {"task_version": 2}, "newer": {"schema_version": 3}}
    for name, change in changes.items():
        (files / f"{name}.csv").write_text(csv_files.to_csv([make_row("m", 0, 1.0, run_id="other", **change)]))
    (files / "empty.csv").write_text("")
    code, out, err = call(*argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from nmbench import __main__; sys.argv = ['nmbench', 'compare', '--help']\n"
        "try: __main__.main()\nexcept SystemExit as e: assert not e.code\n"
        "assert not {'jax', 'scipy', 'pandas', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: nmbench.compare A.csv [B.csv ...]")


@pytest.mark.slow
def test_the_command_compares_from_any_folder(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "nmbench.compare", REFERENCE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "element_finder, protocol matched, budget 500" in done.stdout


def test_compare_results_in_python(files):
    import nmbench

    frame = nmbench.compare_results(["a.csv", "b.csv"])
    assert frame.verdict.tolist() == ["better"] and frame.model_b.tolist() == ["m"]
