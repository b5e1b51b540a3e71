"""Every way of having nmbench works: from the checkout without installing, `pip install .`, a wheel in an empty folder.

(An editable install is what the tests themselves run from.)
"""

import os
import pathlib
import shutil
import site
import subprocess
import sys
import venv

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ["--model=nmrnn", "--task=element_finder", "--steps=20", "--seeds=2", "--results_dir=out"]


def run(*command, cwd, timeout=900):
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PYTHONPATH")}
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=timeout, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy of the checkout, so that building leaves nothing behind in this one."""
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", "runs", ".*_cache")
    return pathlib.Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=ignored))


@pytest.fixture
def bare(tmp_path):
    """Python of an environment that has the dependencies and nothing else: nmbench itself is not installed there."""
    folder = tmp_path / "bare"
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    dependencies = [p for p in site.getsitepackages() if p.endswith("site-packages")]
    # A .pth line adds a folder but does not run that folder's own .pth files, so the editable install stays out.
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    python = folder / "bin" / "python"
    code = "import importlib.util as u; print(u.find_spec('nmbench'), u.find_spec('jax') is not None)"
    assert run(python, "-c", code, cwd=tmp_path).split() == ["None", "True"]
    return python


def works(python, cwd, expected_root):
    """Names, sets and a small run, and that the package used is the expected one. Returns the CSV that the run made."""
    where = run(python, "-c", "import nmbench.tasks, nmbench.baselines as b; print(b.__file__)", cwd=cwd)
    assert pathlib.Path(where.strip()).resolve().is_relative_to(expected_root.resolve()), where
    assert "element_finder" in run(python, "-m", "nmbench.list", cwd=cwd)
    assert run(python, "-m", "nmbench.freeze", "--task=element_finder", "--check", cwd=cwd).count("identical") == 2
    assert "nmrnn" in run(python, "-m", "nmbench.run", *SMALL, cwd=cwd)
    return cwd / "out" / "results.csv"


def test_from_the_root_of_a_checkout_without_installing(checkout, bare):
    assert works(bare, checkout, checkout).is_file()


def test_pip_install_then_run_from_the_root_and_from_elsewhere(checkout, bare, tmp_path):
    run(bare, "-m", "pip", "install", "--quiet", "--no-deps", ".", cwd=checkout)
    assert works(bare, checkout, checkout).is_file()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert works(bare, elsewhere, bare.parent.parent).is_file()
    assert "usage: nmbench" in run(bare.parent / "nmbench", "--help", cwd=elsewhere)


def interpreters():
    """This Python, and 3.13 where it is present."""
    found = [sys.executable]
    for candidate in [shutil.which("python3.13"), *pathlib.Path.home().glob(".pyenv/versions/3.13*/bin/python")]:
        works_ = candidate and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0
        if works_ and sys.version_info[:2] != (3, 13):
            return [*found, str(candidate)]
    return found


@pytest.mark.parametrize("interpreter", interpreters())
def test_wheel_in_an_empty_folder_with_the_newest_dependencies(checkout, tmp_path, interpreter):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "wheels", cwd=checkout)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    folder = tmp_path / "empty"
    folder.mkdir()
    run(interpreter, "-m", "venv", tmp_path / "fresh", cwd=tmp_path)
    python = tmp_path / "fresh" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    csv = works(python, folder, tmp_path / "fresh")
    assert csv.is_file()
    # The page's template, style sheet and script are in the wheel as well.
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[report]", cwd=folder)
    run(python, "-m", "nmbench.leaderboard", "out", "--format=html", "--out=page", cwd=folder)
    assert (folder / "page" / "index.html").stat().st_size > 30_000
