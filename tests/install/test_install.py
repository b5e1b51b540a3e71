"""nmbench works from any folder: without installation, after an editable or regular install, and from a wheel."""

import pathlib
import shutil
import site
import subprocess
import sys

import pytest

from support.processes import users_environment

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ["--model=rnn", "--task=element_finder", "--steps=20", "--seeds=2", "--results_dir=out"]
# uv takes seconds where pip takes half a minute; README's commands, which .ci/run executes, use pip.
UV = pathlib.Path(sys.executable).parent / "uv"
WHERE = "import nmbench.tasks, nmbench.baselines as b; print(b.__file__)"


def run(*command, cwd, timeout=900):
    environment = {k: v for k, v in users_environment().items() if k != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=timeout, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, called `nmbench`, in which builds may leave files. The script beside.py is next to it."""
    folder = tmp_path_factory.mktemp("clones")
    (folder / "beside.py").write_text(WHERE)
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", "runs", ".*_cache")
    return pathlib.Path(shutil.copytree(ROOT, folder / "nmbench", ignore=ignored))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The Python of an environment with the dependencies and without nmbench."""
    folder = tmp_path_factory.mktemp("environment")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    (packages,) = folder.glob("lib/python*/site-packages")
    dependencies = [p for p in site.getsitepackages() if p.endswith("site-packages")]
    # A .pth line adds a folder but does not run that folder's own .pth files, so the editable install stays out.
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return folder / "bin" / "python"


@pytest.fixture
def python(environment, tmp_path):
    run(UV, "pip", "uninstall", "--quiet", "--python", environment, "nmbench", cwd=tmp_path)
    code = "import importlib.util as u; print(u.find_spec('nmbench'), u.find_spec('jax') is not None)"
    assert run(environment, "-c", code, cwd=tmp_path).split() == ["None", "True"]
    return environment


def install(python, *what, cwd):
    run(UV, "pip", "install", "--quiet", "--no-deps", "--python", python, *what, cwd=cwd)


def finds(python, cwd, root, *script):
    """Check that Python, started in `cwd`, imports nmbench from a folder below `root`."""
    where = run(python, *(script or ("-c", WHERE)), cwd=cwd)
    assert pathlib.Path(where.strip()).resolve().is_relative_to(root.resolve()), where
    assert "element_finder" in run(python, "-m", "nmbench", "list", cwd=cwd)


def sweeps(python, cwd, *start):
    """A sweep trains in a child process, which finds the same nmbench."""
    grid = ["--models=rnn", "--tasks=element_finder", "--steps=20", "--seeds=1", "--results_dir=swept"]
    assert "rnn" in run(python, *start, *grid, cwd=cwd)


def trains(python, cwd):
    assert run(python, "-m", "nmbench.freeze", "--task=element_finder", "--check", cwd=cwd).count("identical") == 2
    assert "rnn" in run(python, "-m", "nmbench.run", *SMALL, cwd=cwd)
    assert (cwd / "out" / "results.csv").is_file()


@pytest.mark.slow
def test_from_the_root_of_a_checkout_without_installing(checkout, python):
    finds(python, checkout, checkout)
    finds(python, checkout.parent, checkout, "beside.py")
    sweeps(python, checkout, "-m", "nmbench.sweep")


@pytest.mark.slow
def test_editable_install(checkout, python, tmp_path):
    install(python, "-e", ".", cwd=checkout)
    finds(python, checkout, checkout)
    finds(python, checkout.parent, checkout, "beside.py")
    finds(python, tmp_path, checkout)
    finds(python, tmp_path, checkout, checkout.parent / "beside.py")


@pytest.mark.slow
def test_regular_install(checkout, python, tmp_path):
    install(python, ".", cwd=checkout)
    finds(python, checkout, checkout)
    finds(python, checkout.parent, checkout, "beside.py")
    finds(python, tmp_path, python.parent.parent)
    assert "usage: nmbench" in run(python.parent / "nmbench", "--help", cwd=tmp_path)
    (tmp_path / "jax.py").write_text("raise SystemExit('this is not the library')")
    sweeps(python.parent / "nmbench", tmp_path, "sweep")


def other_python():
    """Another Python, of version 3.13 or 3.12, if one is installed; otherwise the Python of this process."""
    for version in ("3.13", "3.12"):
        installed = pathlib.Path.home().glob(f".pyenv/versions/{version}*/bin/python")
        for candidate in filter(None, [shutil.which(f"python{version}"), *map(str, installed)]):
            command = [candidate, "-c", "import sys, venv, ensurepip; print(sys.version)"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.startswith(version) and not sys.version.startswith(version):
                return candidate
    return sys.executable


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, cwd=checkout)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.release
def test_wheel_with_the_lowest_dependencies(wheel, tmp_path):
    """Every dependency in the lowest version that pyproject.toml allows."""
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "lowest", cwd=tmp_path)
    python = tmp_path / "lowest" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--resolution=lowest-direct", "--python", python, f"{wheel}[report]", cwd=tmp_path)
    trains(python, tmp_path)
    run(python, "-m", "nmbench.leaderboard", "out", "--format=html", "--out=page", cwd=tmp_path)


@pytest.mark.release
def test_wheel_in_an_empty_folder_with_the_newest_dependencies(wheel, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    run(UV, "venv", "--quiet", "--python", other_python(), tmp_path / "fresh", cwd=tmp_path)
    python = tmp_path / "fresh" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, f"{wheel}[report]", cwd=tmp_path)
    finds(python, folder, tmp_path / "fresh")
    trains(python, folder)
    # The wheel also contains the templates, the style sheet and the script of the page.
    run(python, "-m", "nmbench.leaderboard", "out", "--format=html", "--out=page", cwd=folder)
    assert (folder / "page" / "index.html").stat().st_size > 30_000
