"""The scripts that the workflows call, run here as they run there."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from support.processes import users_environment

ROOT = pathlib.Path(__file__).parents[2]


def comment(folder: pathlib.Path, *flags: str) -> str:
    command = [sys.executable, str(ROOT / ".ci" / "comment"), str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_comment_shows_what_was_verified(tmp_path):
    record = {"model": "facilitating_rnn", "task": "element_finder", "tier": "re-trained", "duration_s": 95.4}
    (tmp_path / "mine.json").write_text(json.dumps({"format": 1, "records": [record]}))
    (tmp_path / "mine.log").write_text("ok")
    (tmp_path / "other.log").write_text("FAIL")
    text = comment(tmp_path)
    assert "| mine | facilitating_rnn | element_finder | re-trained | 95 |" in text
    assert "| other |  |  | not verified |  |" in text


def test_a_comment_believes_nothing(tmp_path):
    """The artefact of a job that ran a stranger's code: no text of it reaches the comment."""
    evil = "@everyone](http://example.org) <img src=x>"
    record = {"model": evil, "task": ["a"], "tier": evil, "duration_s": evil}
    (tmp_path / "mine.json").write_text(json.dumps({"records": [record, evil, None]}))
    (tmp_path / "mine.log").write_text(evil)
    (tmp_path / "b c`.log").write_text(evil)
    (tmp_path / "link.log").write_text("")
    os.symlink("/etc/hostname", tmp_path / "link.json")
    text = comment(tmp_path, "--other_files")
    assert "| mine | ? | ? | ? | ? |" in text and "| ? |  |  | not verified |  |" in text
    assert "example.org" not in text and "everyone" not in text
    assert text.startswith("This pull request changes files outside")


def test_a_comment_without_an_artefact(tmp_path):
    assert comment(tmp_path) == "No submission was verified; the log of the checks says why.\n"


@pytest.fixture
def clone(tmp_path):
    """A clone of this checkout with a pull request that adds a damaged submission; the function runs .ci/submission."""
    place = tmp_path / "clone"
    git = lambda *arguments: subprocess.run(["git", "-C", str(place), *arguments], check=True, timeout=60)
    subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(place)], check=True, timeout=60)
    (place / ".ci" / "submission").write_bytes((ROOT / ".ci" / "submission").read_bytes())
    (place / "submissions" / "mine").mkdir(parents=True)
    (place / "submissions" / "mine" / "submission.toml").write_text('name = "Mine"\n')

    def run(base: str = "HEAD~1", **files: str) -> tuple[int, str]:
        for name, text in files.items():
            (place / "submissions" / "mine" / name.replace("__", ".")).write_text(text)
        git("add", "submissions")
        git("-c", "user.name=ci", "-c", "user.email=ci@localhost", "commit", "-q", "-m", "A submission")
        environment = {**os.environ, "PYTHON": sys.executable, "BASE": base, "OUT": str(tmp_path / "out")}
        command = ["bash", ".ci/submission"]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
        log = tmp_path / "out" / "mine.log"
        return done.returncode, (log.read_text() if log.exists() else done.stdout) + done.stderr

    return run


@pytest.mark.slow
def test_a_damaged_submission_fails_with_one_line(clone):
    code, log = clone()
    assert code == 1 and log.count("\n") == 1
    assert "submission.toml: models, authors, citation, licence, description are missing" in log


@pytest.mark.slow
def test_a_pull_request_cannot_bring_its_own_verification(clone):
    code, log = clone(verification__json="{}")
    assert (code, log) == (1, "submissions/mine: remove verification.json; it is written here\n")


@pytest.mark.slow
def test_an_older_verification_does_not_pass_for_a_new_one(clone, tmp_path):
    clone(verification__json="{}")
    code, log = clone(model__py="changed = True")
    assert code == 1 and "submission.toml: models" in log
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.log"]


def test_without_the_base_nothing_passes(clone):
    code, said = clone(base="nonexistent")
    assert code != 0 and "nonexistent" in said and "passed" not in said


@pytest.mark.release
def test_a_week_of_the_board(tmp_path):
    """The scheduled job at its quickest tier, in a clone: every week has an experiment, and this one verifies."""
    place = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(place)], check=True, timeout=60)
    environment = {**users_environment(), "PYTHON": sys.executable, "TIER": "self-reported", "WEEK": "3"}
    environment |= {"OUT": str(tmp_path), "PYTHONPATH": str(place)}
    command = ["bash", ".ci/retrain_board"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "week 3: --models=" in done.stdout and "1 of 1 experiments are self-reported" in done.stdout
    assert json.loads((tmp_path / "board.json").read_text())["records"]
