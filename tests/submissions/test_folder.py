"""Submission folders are data of strangers: nothing is executed, and what does not belong there is refused."""

import hashlib
import json

import numpy as np
import pytest

from nmbench.submissions import about, folder
from nmbench.support.errors import NmbenchError
from support.submissions import arrays_of, repack, rewrite, rows_of

TOML = """
name = "Leaky"
models = ["leaky"]
authors = ["A. Person"]
citation = "none"
licence = "MIT"
description = '''A network.
It leaks.'''
[model_file]
path = "leaky.py"
sha256 = "%s"
""" % ("0" * 64)


def refused(place):
    with pytest.raises(NmbenchError) as error:
        folder.read_submission(place)
    return str(error.value)


def test_a_submission_is_read_without_running_its_code(submitted):
    source = submitted / "leaky.py"
    toml = submitted / "submission.toml"
    old = about.read(toml).sha256
    source.write_text("raise SystemExit('executed')")
    toml.write_text(toml.read_text().replace(old, hashlib.sha256(source.read_bytes()).hexdigest()))
    found = folder.read_submission(submitted)
    assert found.plugin == source and found.about.models == ("leaky",) and [*found.rows] == [*found.packs] == ["toy"]
    assert [*found.tuning] == ["tuning/leaky.toy.matched.100.json"]
    assert len(found.content_sha256) == 64
    (submitted / "verification.json").write_text("[]")
    assert folder.read_submission(submitted).content_sha256 == found.content_sha256
    rows = rows_of(submitted)
    rewrite(submitted, [*rows[:-1], {**rows[-1], "train_s": 0.0}])
    assert folder.read_submission(submitted).content_sha256 != found.content_sha256


def test_other_files_and_links_are_refused(submitted):
    for name in ("helper.py", "notes.txt", "tuning/script.py", "model.pkl"):
        (submitted / name).write_text("x")
        assert f"contains {name}, which is no file of a submission" in refused(submitted)
        (submitted / name).unlink()
    (submitted / "data.csv").symlink_to(submitted / "toy.csv")
    assert "contains data.csv, which is a folder or a link" in refused(submitted)
    (submitted / "data.csv").unlink()
    (submitted / "more").mkdir()
    assert "contains more, which is a folder or a link" in refused(submitted)


def test_a_folder_of_submissions_is_no_submission(submitted):
    assert refused(submitted.parent) == f"{submitted.parent} holds submissions; name one of them, such as {submitted}"
    assert "is not a folder" in refused(submitted / "absent")


def test_folders_that_are_no_submission_say_why(submitted):
    (submitted / "submission.toml").unlink()
    assert refused(submitted).startswith(f"{submitted} is no submission: it has no submission.toml; ")
    (submitted / "runs").mkdir()
    assert refused(submitted).startswith(f"{submitted} is a results folder; make a submission from it with ")


def test_large_files_are_refused(submitted, monkeypatch):
    monkeypatch.setitem(folder.LARGEST, ".csv", 100)
    assert "bytes; 100 are the most" in refused(submitted)
    monkeypatch.setattr(folder, "MOST_FILES", 2)
    monkeypatch.setitem(folder.LARGEST, ".csv", 1 << 20)
    assert "has more than 2 files" in refused(submitted)


def test_rows_and_arrays_must_belong_to_the_submission(submitted):
    rows, arrays = rows_of(submitted), arrays_of(submitted)
    repack(submitted, {**arrays, "other.toy.matched.s0.0123/params/a|b": np.zeros(3)})
    assert "holds the run 'other.toy.matched.s0.0123', which has no row in toy.csv" in refused(submitted)
    repack(submitted, {**arrays, f"{rows[0]['run_id']}/../escape": np.zeros(3)})
    assert "holds an unknown array" in refused(submitted)
    (submitted / "toy.safetensors").write_bytes(b"not safetensors")
    assert "cannot read" in refused(submitted)
    repack(submitted, arrays)
    rewrite(submitted, [{**row, "model_origin": "/home/someone/leaky.py:6"} for row in rows])
    assert "column 'model_origin': it names a folder" in refused(submitted)
    rewrite(submitted, [{**row, "task": "other", "tuning_trials": 0} for row in rows])
    assert "it is a row of other, and belongs in other.csv" in refused(submitted)
    (submitted / "toy.csv").unlink()
    assert refused(submitted).endswith("has no results CSV")


def test_tuning_records_are_checked(submitted):
    (path,) = (submitted / "tuning").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "chosen": 1e-2}))
    assert "is not a tuning record: 'chosen' is 0.01, but its losses choose 0.1" in refused(submitted)
    path.write_text("[" * 100_000)
    assert "is not a tuning record" in refused(submitted)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("leaky.py", "../leaky.py", "[model_file] path is '../leaky.py'; expected e.g. my_model.py"),
        ('licence = "MIT"', "", "licence is missing"),
        ('licence = "MIT"', 'license = "MIT"', "unknown entry 'license'; the entries are name, models"),
        ('"Leaky"', '"Lea\\u001bky"', "'name' must be one line of text of at most 100 printable characters"),
        ('["leaky"]', '["a b"]', "'a b' cannot name a model"),
        ('["A. Person"]', "[]", "authors is missing"),
        ('["A. Person"]', '["A", "A"]', "'authors' must be a list of 1 to 100 different texts"),
        ("[model_file]", "[other]", "unknown entry 'other'"),
        ("name =", "name", "cannot read"),
    ],
)
def test_what_is_wrong_in_submission_toml_is_said(tmp_path, old, new, message):
    path = tmp_path / "submission.toml"
    path.write_text(TOML)
    assert about.read(path).description == "A network.\nIt leaks."
    path.write_text(TOML.replace(old, new))
    with pytest.raises(NmbenchError) as error:
        about.read(path)
    assert message in str(error.value)


def test_submission_toml_survives_writing(tmp_path):
    entries = {"name": 'A "name" \\ with é', "models": ["a", "b"], "authors": ["X", "Y"], "citation": "c", "licence": "MIT"}
    code = {"package": {"name": "my-package", "version": "1.0", "sha256": "a" * 64}}
    made = about.from_dict({**entries, "description": "two\nlines", "contact": "x@y", **code}, "here")
    (tmp_path / "submission.toml").write_text(made.to_toml(), encoding="utf-8")
    assert about.read(tmp_path / "submission.toml") == made


def test_a_package_is_pinned_by_the_hash_of_its_files():
    version, sha256 = about.package_hash("tabulate")
    assert version and about.package_hash("tabulate") == (version, sha256) and len(sha256) == 64
    with pytest.raises(NmbenchError, match="is not installed"):
        about.package_hash("no-such-package-1")
