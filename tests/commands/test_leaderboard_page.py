"""The command `leaderboard --format=html`: its checks before it computes, and its files."""

import os
import sys

import pytest

from nmbench.results import csv_files
from support.rows import make_row


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(csv_files.to_csv([make_row(run_id="a"), make_row("lstm", 1, 0.5, run_id="b")]))
    return str(path)


def test_a_page_is_written_into_a_new_folder(nmbench, csv, tmp_path):
    code, out, err = nmbench("leaderboard", csv, "--format=html", f"--out={tmp_path}/new/page")
    assert code == 0 and out.startswith(f"{tmp_path}/new/page/index.html: ") and err == "drawing made_up\n"
    assert os.listdir(tmp_path / "new" / "page") == ["index.html"]
    text = (tmp_path / "new" / "page" / "index.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "lstm" in text and text.endswith("</html>")
    # A bad --task is refused, and the page that exists is unchanged.
    code, _, err = nmbench("leaderboard", csv, "--format=html", f"--out={tmp_path}/new/page", "--task=made")
    assert code == 2 and "no rows with task 'made'; did you mean 'made_up'?" in err
    assert (tmp_path / "new" / "page" / "index.html").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--out is missing; give the folder that the page is written into"),
        (["--out={csv}"], "is not a folder; name a folder"),
        (["--out="], "is not a folder; name a folder"),
        (["--out={csv}/below"], "cannot be written"),
        (["--out={folder}/own"], "index.html exists and is not a page of nmbench"),
        (["--out={folder}/page", "--tables=overall"], "the page contains all tables; leave out --tables"),
        (["--out={folder}/page", "nothing.csv"], "no such file or folder: nothing.csv"),
    ],
)
def test_bad_input_gives_one_line_and_writes_nothing(nmbench, csv, tmp_path, argv, message):
    own = tmp_path / "own"
    own.mkdir()
    (own / "index.html").write_text("mine")
    argv = [a.format(csv=csv, folder=tmp_path) for a in argv]
    code, out, err = nmbench("leaderboard", csv, "--format=html", *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert sorted(os.listdir(tmp_path)) == ["own", "results.csv"] and (own / "index.html").read_text() == "mine"


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(nmbench, csv, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    code, _, err = nmbench("leaderboard", csv, "--format=html", f"--out={tmp_path}/page")
    assert code == 2 and f"the page needs {library}: pip install 'nmbench[report]'" in err
    assert os.listdir(tmp_path) == ["results.csv"]
