"""`submit`, `verify` and what `leaderboard` shows of verification, as commands."""

import json
import os
import re

import pytest

from nmbench.results import verification
from nmbench.submissions import board_seeds, folder
from nmbench.support import files
from support.submissions import rows_of

FILLED = {"name": "Leaky", "authors": ["A. Person"], "citation": "none", "licence": "MIT", "description": "It leaks."}


@pytest.fixture
def submit(nmbench, submitter, tmp_path):
    """A function that submits `leaky`; returns (exit code, stdout, stderr)."""
    out = tmp_path / "sent" / "leaky"
    argv = [f"--plugin={submitter.plugin}", f"--results_dir={submitter.results}", f"--out={out}"]
    return lambda *more: nmbench("submit", *argv, *more)


def fill_in(path):
    text = path.read_text()
    for name, value in FILLED.items():
        text = re.sub(rf"^{name} = \S+", f"{name} = {json.dumps(value)}", text, flags=re.M)
    path.write_text(text)


def test_submit_asks_for_a_description_and_then_makes_the_folder(submit, submitter, tmp_path):
    place = tmp_path / "sent" / "leaky"
    code, out, err = submit("--models=leaky")
    assert (code, err) == (1, "") and out.startswith(f"The rows can be submitted. Fill in {place / 'submission.toml'}")
    assert os.listdir(place) == ["submission.toml"] and os.listdir(place.parent) == ["leaky"]
    fill_in(place / "submission.toml")
    code, out, err = submit("--models=leaky")
    assert (code, err) == (0, "") and "leaky, 4 rows of toy." in out and os.listdir(place.parent) == ["leaky"]
    made = folder.read_submission(place)
    assert made.about.authors == ("A. Person",) and made.plugin.read_text() == submitter.plugin.read_text()
    assert {path.name for path in place.iterdir()} == {
        "leaky.py",
        "submission.toml",
        "toy.csv",
        "toy.safetensors",
        "tuning",
    }
    # Nothing names the submitter's machine or folders.
    for path in (path for path in place.rglob("*") if path.is_file()):
        assert str(tmp_path).encode() not in path.read_bytes() and os.uname().nodename.encode() not in path.read_bytes()
    (place / "other.py").write_text("mine = 1")
    code, out, err = submit("--models=leaky")
    assert (code, out) == (2, "") and "contains other.py, which is no file of this submission" in err
    assert (place / "other.py").exists()
    (place / "other.py").unlink()
    (place / "notes.txt").write_text("mine")
    code, out, err = submit("--models=leaky")
    assert (code, out) == (2, "") and "contains notes.txt, which is no file of this submission" in err


def test_submit_replaces_only_a_submission_of_its_models(submit, tmp_path):
    place = tmp_path / "sent" / "leaky"
    place.mkdir(parents=True)
    (place / "toy.csv").write_text("")
    code, out, err = submit("--models=leaky")
    assert (code, out) == (2, "") and err.endswith(f"{place} is not empty and has no submission.toml; name another folder\n")
    (place / "submission.toml").write_text('models = ["a", "b"]\n')
    code, out, err = submit("--models=leaky")
    assert (code, out) == (2, "") and err.endswith(f"{place} is a submission of a, b; name another folder\n")
    assert sorted(path.name for path in place.iterdir()) == ["submission.toml", "toy.csv"]


def edit_rows(results, **changes):
    for path in results.glob("runs/*/row.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_submit_refuses_in_one_line(submit, submitter, tmp_path, monkeypatch):
    refused = lambda *more: submit("--models=leaky", *more)
    runs = sorted((submitter.results / "runs").iterdir())
    (parameters,) = runs[0].glob("params.safetensors")
    content = parameters.read_bytes()
    parameters.unlink()
    cases = [(refused(), f"run {runs[0].name} has no parameters")]
    parameters.write_bytes(content)
    cases.append((refused("--protocol=paper"), "has no rows of model 'leaky' under protocol paper"))
    cases.append((refused("--tasks=multitask"), "has no rows of task 'multitask' under protocol matched"))
    cases.append((refused("--tasks=multitas"), "'multitas' is not a task of nmbench; did you mean 'multitask'?"))
    monkeypatch.setattr(board_seeds, "wanted", lambda task: 5)
    cases.append(
        (refused(), "leaky on toy, matched, budget 100: 4 seeds, but the board asks for 5: train them with --seeds=5")
    )
    monkeypatch.setattr(board_seeds, "wanted", lambda task: 4)
    edit_rows(submitter.results, departures="steps 20, not 40")
    monkeypatch.setattr(board_seeds, "wanted", lambda task: 5)  # departures are named before missing seeds
    cases.append((refused(), "its rows depart from protocol matched (steps 20, not 40)"))
    monkeypatch.setattr(board_seeds, "wanted", lambda task: 4)
    edit_rows(submitter.results, departures=None)
    submitter.plugin.write_text(submitter.plugin.read_text().replace("/ 10", "/ 11"))
    cases.append((refused(), "was trained with another source of leaky"))
    submitter.plugin.write_text(submitter.plugin.read_text() + "\nimport os\n")
    cases.append((refused(), "it imports 'os', which is not among"))
    for (code, out, err), message in cases:
        assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert not list(tmp_path.glob("sent/*"))


def test_submit_needs_a_model_and_a_folder(nmbench, submitter):
    for argv, message in (
        ([], "--out is missing"),
        (["--out=x"], "give one --plugin=FILE.py"),
        (["--out=x", "--plugin=a.py", "--plugin=b.py"], "give one --plugin=FILE.py"),
        (["--out=x", "--package=no-such-package-1", "--models=leaky"], "unknown model 'leaky'"),
        (["--out=x", "--package=no-such-package-1", "--models=lstm"], "the package 'no-such-package-1' is not installed"),
        ([f"--plugin={submitter.plugin}", f"--out={submitter.plugin}"], "is a file; name a folder"),
    ):
        code, out, err = nmbench("submit", *argv)
        assert (code, out) == (2, "") and err.count("\n") == 1 and message in err, argv


@pytest.fixture
def board(submitted):
    """A folder like the committed board: rows and parameters of models that are registered, without a submission.toml."""
    for path in (submitted / "submission.toml", submitted / "leaky.py", *(submitted / "tuning").iterdir()):
        path.unlink()
    (submitted / "tuning").rmdir()
    return submitted


def test_verify_writes_what_it_compared(nmbench, board):
    code, out, err = nmbench("verify", str(board))
    assert (code, err) == (0, "") and "leaky on toy, matched, budget 100: re-scored" in out
    assert "1 of 1 experiments are re-scored" in out and out.count("  ok   ") == 7
    (record,) = verification.read(board / "verification.json")
    assert record.tier == "re-scored" and [*record.runs] == [row["run_id"] for row in rows_of(board)]
    code, out, err = nmbench("verify", str(board), "--models=other")
    assert (code, out) == (2, "") and "has no rows of model 'other' (it has leaky)" in err
    (board / "verification.json").write_text("{}")
    code, out, err = nmbench("verify", str(board))
    assert code == 2 and "is not a verification file" in err and err.count("\n") == 1


def test_verify_first_checks_that_it_can_write(nmbench, board, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    code, out, err = nmbench("verify", str(board))
    assert (code, out, err.count("\n")) == (2, "", 1) and f"{board} cannot be written (Permission denied); the " in err


def test_verify_ends_with_1_if_an_experiment_fails(nmbench, board, monkeypatch):
    nmbench("verify", str(board), "--tier=self-reported")
    assert [r.tier for r in verification.read(board / "verification.json")] == ["self-reported"]
    monkeypatch.setattr(board_seeds, "wanted", lambda task: 30)
    code, out, _ = nmbench("verify", str(board))
    assert code == 1 and "leaky on toy, matched, budget 100: NOT verified" in out
    assert "  FAIL 4 seeds, but the board asks for 30" in out and verification.read(board / "verification.json") == []


def test_the_leaderboard_shows_tiers_of_submissions(nmbench, board, tmp_path):
    (board / "submission.toml").write_text("")  # its content does not matter to the leaderboard
    everything = str(board.parent)
    assert "tier" not in nmbench("leaderboard", everything)[1]
    (board / "submission.toml").unlink()
    nmbench("verify", str(board), "--tier=self-reported")
    (board / "submission.toml").write_text("")
    code, out, _ = nmbench("leaderboard", everything)
    assert code == 0 and re.search(r"leaky .* self-reported$", out, re.M) and "tier: what nmbench verify checked" in out
    code, out, _ = nmbench("leaderboard", everything, "--format=csv", "--tier=self-reported")
    assert code == 0 and ",self-reported," in out
    code, out, err = nmbench("leaderboard", everything, "--tier=re-scored")
    assert (code, out) == (2, "") and "no rows are re-scored; python -m nmbench.verify" in err
    (board / "submission.toml").unlink()


@pytest.mark.slow
def test_the_page_links_what_was_verified(nmbench, board, tmp_path):
    nmbench("verify", str(board), "--tier=self-reported")
    code, _, _ = nmbench("leaderboard", str(board), "--format=html", f"--out={tmp_path / 'page'}")
    page = (tmp_path / "page" / "index.html").read_text()
    assert code == 0 and 'data-tier="1"' in page and '<a href="#entry-1-verification">self-reported</a>' in page
    assert '<option value="2">re-scored or higher</option>' in page and '<div id="entry-1-verification">' in page
    assert '<td class="prose">4 seeds, 0 to 3</td>' in page and 'download="verification.leaky.json"' in page
