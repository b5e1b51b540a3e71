"""Editing prose changes no run id. Changing a number changes the run ids of exactly the models that depend on it."""

import pathlib
import re
import shutil
import sys

import pytest

from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import BASELINES
from nmbench.results import store

ROOT = pathlib.Path(__file__).parents[2]
PLUGIN = '''
"""A model and its task."""

import jax.numpy as jnp
import numpy as np

import nmbench


@nmbench.register_baseline("line", free_size="N", summary="old words", citation="nobody")
def line(spec, N: int):
    """The old docstring."""
    init = lambda key: {"w": jnp.ones((spec.input_size, N)), "v": jnp.ones((N, 1))}  # an old comment
    return init, lambda params, inputs: 0.5 * nmbench.concat_inputs(inputs) @ params["w"] @ params["v"]
'''
PROSE = [("old", "new"), ("nobody", "somebody, 2025"), ("import numpy", "\n# A comment.\nimport numpy")]


@pytest.fixture
def copies(tmp_path):
    """Copies of the folders of models and tasks, which tests may edit."""
    for folder in ("baselines", "tasks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("testsets", "tuned", "__pycache__"))
    return tmp_path


def of_models(folder):
    return {
        e.name: fingerprints.of_module(folder / pathlib.Path(BASELINES.get(e.name).path).name) for e in BASELINES.entries()
    }


def edit_prose(path):
    """Add a comment to a module and a sentence to its docstring."""
    text = path.read_text()
    path.write_text("# A new comment.\n" + re.sub(r'^"""(.*?)"""', r'"""\1 And more words."""', text, count=1, flags=re.S))


def test_editing_prose_does_not_change_fingerprints(copies):
    models, task = of_models(copies / "baselines"), fingerprints.of_module(copies / "tasks" / "element_finder.py")
    assert models == of_models(ROOT / "baselines")
    for file in [*copies.glob("baselines/*.py"), *copies.glob("tasks/*.py")]:
        before = file.read_text()
        edit_prose(file)
        assert file.read_text() != before
    assert of_models(copies / "baselines") == models
    assert fingerprints.of_module(copies / "tasks" / "element_finder.py") == task


def test_a_number_in_a_shared_file_changes_only_the_models_that_use_it(copies):
    models = of_models(copies / "baselines")
    shared = copies / "baselines" / "_subspace.py"
    shared.write_text(shared.read_text() + "\nONE_NUMBER = 1\n")
    changed = {name for name, value in of_models(copies / "baselines").items() if value != models[name]}
    users = {
        file.stem
        for file in (ROOT / "baselines").glob("[a-z]*.py")
        if "_subspace.py" in {path.name for path in fingerprints.with_own_files(file)}
    }
    assert changed == users and 0 < len(users) < len(models)


def test_a_stored_run_is_reused_until_a_number_changes(nmbench, tmp_path, monkeypatch):
    """After an edit of prose, the command finds the stored row. After a change of a number, it trains again."""
    monkeypatch.chdir(tmp_path)
    seen = []
    for changes in ([], PROSE, [("0.5 *", "0.25 *")]):
        text = PLUGIN
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        pathlib.Path("mine.py").write_text(text)
        for name in [name for name in sys.modules if name.startswith("nmbench_plugin_mine")]:
            del sys.modules[name]
        argv = ("--plugin=mine.py", "--model=line", "--task=element_finder", "--hparams=N=2", "--steps=3", "--seeds=1")
        with BASELINES.restored():
            code, _, err = nmbench("run", *argv)
        assert code == 0, err
        seen.append(("1 of 1 runs are already in" in err, {row["run_id"] for row in store.read("results")}))
    assert [already for already, _ in seen] == [False, True, False]
    assert seen[0][1] == seen[1][1] < seen[2][1]
