"""The check before a release, on a small repository of its own, and on this one."""

import pathlib
import subprocess

import pytest
import release_check

from nmbench.report import board_snapshots
from support.claimed import write_csv
from support.rows import make_row

ROOT = pathlib.Path(__file__).parents[2]
DATE = "2026-01-31"


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "release")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository that is ready to be released as 1.2.0."""
    monkeypatch.setattr("nmbench.__version__", "1.2.0")
    folder = tmp_path / "repository"
    (folder / "nmbench").mkdir(parents=True)
    (folder / "nmbench" / "__init__.py").write_text('"""Text."""\n\n__version__ = "1.2.0"\n')
    (folder / "CITATION.cff").write_text(f"version: 1.2.0\ndate-released: {DATE}\n")
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## 1.2.0 ({DATE})\n\n## 1.1.0 (2025-01-01)\n")
    board = write_csv(tmp_path / "made_up.csv", [make_row("a", 0, 1.0)])
    board_snapshots.write(folder / "results" / "snapshots", DATE, [board])
    git(folder, "init", "-q")
    commit(folder)
    return folder


def problems(folder):
    return {what: problem for what, problem in release_check.conditions(folder).items() if problem}


def test_a_repository_that_is_ready_has_no_problem(repository):
    assert problems(repository) == {}


def test_files_that_are_not_committed_and_a_tag_are_problems(repository):
    (repository / "CITATION.cff").write_text((repository / "CITATION.cff").read_text() + "\n")
    git(repository, "tag", "v1.2.0")
    assert problems(repository) == {
        "everything is committed": "1 files are not, such as CITATION.cff",
        "the version has no tag yet": "there is a tag v1.2.0",
    }


BAD = {
    "another version": ("CITATION.cff", "version: 1.2.0", "version: 1.1.0", "found '1.1.0', expected '1.2.0'"),
    "no date": ("CITATION.cff", f"date-released: {DATE}", "", "it has no date-released"),
    "another date": ("CITATION.cff", DATE, "2026-02-01", f"found '1.2.0 ({DATE})', expected '1.2.0 (2026-02-01)'"),
    "nothing released": ("CHANGELOG.md", f"1.2.0 ({DATE})", "Unreleased", "found 'Unreleased', expected"),
    "an older snapshot": ("CHANGELOG.md", DATE, "2026-02-01", f"the newest is of {DATE}, version 1.2.0"),
    "a changed snapshot": (f"results/snapshots/{DATE}/made_up.csv", "1.0", "0.5", "differs from its hash in manifest.json"),
}


@pytest.mark.parametrize("label", BAD)
def test_what_does_not_fit_is_named(repository, label):
    name, old, new, problem = BAD[label]
    text = (repository / name).read_text()
    assert old in text
    (repository / name).write_text(text.replace(old, new))
    commit(repository)
    assert any(problem in found for found in problems(repository).values())


def test_no_snapshot_is_a_problem(repository):
    for path in (repository / "results" / "snapshots").rglob("*.*"):
        path.unlink()
    commit(repository)
    assert problems(repository) == {"the board has a snapshot of this version": "there are no snapshots"}


def test_version_and_citation_of_this_checkout_agree():
    assert release_check.conditions(ROOT)["CITATION.cff has the version of nmbench"] == ""


@pytest.mark.release
def test_the_wheel_builds_and_is_complete(monkeypatch):
    assert release_check.wheel(ROOT) == ""
    monkeypatch.setattr(release_check, "IN_WHEEL", ("no/such/file",))
    assert release_check.wheel(ROOT).endswith(".whl lacks no/such/file")
