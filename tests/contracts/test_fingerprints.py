"""The fingerprint of a model's source."""

import pathlib

import pytest

from nmbench.contracts import fingerprints
from nmbench.support.errors import NmbenchError


def test_the_fingerprint_depends_on_the_file_and_its_sibling_imports(tmp_path):
    model, shared, deeper, helper, other = (
        tmp_path / f"{name}.py" for name in ("model", "_shared", "_deeper", "helper", "other")
    )
    model.write_text("from ._shared import gain\nimport json, helper\n")
    helper.write_text("gain = 1\n")
    shared.write_text("from . import _deeper\ngain = 1\n")
    deeper.write_text("from ._shared import gain\n")  # a cycle of imports
    other.write_text("x = 1\n")
    seen = [fingerprints.of_module(model)]
    other.write_text("x = 2\n")
    assert fingerprints.of_module(model) == seen[0]
    for file in (model, shared, deeper, helper):
        file.write_text(file.read_text() + "changed = 2\n")
        seen.append(fingerprints.of_module(model))
    assert len(set(seen)) == 5


def test_the_fingerprint_depends_on_all_files_of_the_package_that_are_imported(tmp_path):
    source = {
        "__init__": "",
        "model": "from mine.helper import A\nimport mine.deep.cells, other_package\nfrom . import beside\n"
        "from .deep import other\n",
        "helper": "A = 1\n",
        "beside": "from .. import mine\n",
        "unused": "",
        "nmbench/__init__": "",
        "other_package/__init__": "",
        "deep/__init__": "",
        "deep/cells": "from ..above import B\n",
        "deep/other": "import json, nmbench\n",
        "above": "B = 1\n",
    }
    for name, text in source.items():
        (tmp_path / "mine" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "mine" / f"{name}.py").write_text(text)
    model = tmp_path / "mine" / "model.py"
    found = {file.relative_to(tmp_path / "mine").with_suffix("").as_posix() for file in fingerprints.with_own_files(model)}
    assert found == source.keys() - {"unused", "nmbench/__init__", "other_package/__init__"}


def test_the_fingerprint_depends_on_a_package_beside_the_file(tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "cells.py").write_text("gain = 1\n")
    model = tmp_path / "model.py"
    model.write_text("import jax, nmbench\nfrom library.cells import gain\n")
    assert [file.name for file in fingerprints.with_own_files(model)] == ["model.py", "cells.py"]
    before = fingerprints.of_module(model)
    (tmp_path / "library" / "cells.py").write_text("gain = 2\n")
    assert fingerprints.of_module(model) != before


def test_installed_packages_beside_each_other_are_not_followed(tmp_path):
    """`mine` is a package, `alone` a single module; haiku is installed beside both."""
    folder = tmp_path / "site-packages"
    for name in ("mine", "haiku"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("import haiku\n")
    (folder / "alone.py").write_text("import haiku\n")
    for path in (folder / "mine" / "__init__.py", folder / "alone.py"):
        assert fingerprints.with_own_files(path) == [path]
    copy = folder.rename(tmp_path / "elsewhere") / "mine" / "__init__.py"
    assert fingerprints.with_own_files(copy) == [copy]


def test_code_that_changed_after_its_import_is_noticed(tmp_path):
    model, helper = tmp_path / "model.py", tmp_path / "helper.py"
    model.write_text("import helper\n")
    helper.write_text("gain = 1\n")
    fingerprints.remember(model)
    assert fingerprints.of_imported(model) == fingerprints.of_module(model)
    helper.write_text("gain = 1  # a comment\n")
    assert fingerprints.of_imported(model) == fingerprints.of_module(model)
    helper.write_text("gain = 2\n")
    with pytest.raises(NmbenchError, match="model.py has changed since it was loaded; start Python again"):
        fingerprints.of_imported(model)
    fingerprints.remember(tmp_path / "missing.py")  # a cell of a notebook


def test_the_fingerprint_of_a_built_in_model_includes_shared_files():
    folder = pathlib.Path(__file__).parents[2] / "baselines"
    names = lambda model: [path.name for path in fingerprints.with_own_files(folder / f"{model}.py")]
    assert names("lstm") == ["lstm.py", "_products.py", "_shared.py"]
    assert names("nmrnn") == ["nmrnn.py", "_neuromodulated.py", "_products.py", "_shared.py", "_subspace.py"]


def test_a_file_with_a_syntax_error_has_a_fingerprint(tmp_path):
    (tmp_path / "model.py").write_text("def\n")
    assert len(fingerprints.of_module(tmp_path / "model.py")) == 64


def test_words_and_tuning_seeds_of_a_protocol_do_not_count(tmp_path):
    path = tmp_path / "task.py"
    seen = set()
    for given in ("", "summary='words', ", "tuning_seeds=(1, 2), ", "steps=3, "):
        path.write_text(f"p = Protocol({given}name='matched')\n")
        seen.add(fingerprints.of_module(path))
    assert len(seen) == 2  # the steps count


def test_whether_a_metric_is_a_share_of_trials_does_not_count(tmp_path):
    path = tmp_path / "task.py"
    seen = set()
    for given in ("", ", share_of_trials=True", ", floor=0.5"):
        path.write_text(f"m = Metric('error', f{given})\n")
        seen.add(fingerprints.of_module(path))
    assert len(seen) == 2  # the floor counts
