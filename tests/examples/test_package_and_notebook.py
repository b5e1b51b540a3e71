"""The example package in a new environment, and the notebook, which is executed again."""

import pathlib
import re
import shutil
import site
import subprocess
import sys
import venv

import pytest

from support.processes import users_environment

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "first_model.ipynb"


def test_an_installed_package_registers_its_model_and_task(tmp_path):
    """After the installation, nmbench finds the model and the task by name, without --plugin; before it, it does not."""
    venv.create(tmp_path / "fresh", with_pip=True)
    (packages,) = (tmp_path / "fresh").glob("lib/python*/site-packages")
    dependencies = [p for p in site.getsitepackages() if p.endswith("site-packages")]
    beside = [p for p in sys.path if p.endswith("site-packages") and p not in dependencies]
    (packages / "dependencies.pth").write_text("\n".join([str(ROOT), *dependencies, *beside]) + "\n")
    source = shutil.copytree(ROOT / "examples" / "package", tmp_path / "package")
    (tmp_path / "empty").mkdir()

    def run(*argv, expected=0):
        environment = {k: v for k, v in users_environment().items() if k != "PYTHONPATH"}
        python = tmp_path / "fresh" / "bin" / "python"
        done = subprocess.run([python, "-m", *argv], cwd=tmp_path / "empty", capture_output=True, text=True, env=environment)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "unknown model 'gated_leak'" in run("nmbench.describe", "gated_leak", expected=2).replace(
        "task or model", "model"
    )
    run("pip", "install", "--quiet", "--no-deps", str(source))
    listed = run("nmbench.list")
    assert re.search(r"^gated_leak .*nmbench-example", listed, re.M) and re.search(
        r"^running_mean .*nmbench-example", listed, re.M
    )
    out = run("nmbench.run", "--model=gated_leak", "--task=running_mean", "--protocol=smoke", "--seeds=1")
    assert re.search(r"^ +1 +gated_leak ", out, re.M), out


def test_the_notebook_runs_and_gives_the_committed_kinds_of_output():
    import nbclient
    import nbformat

    committed = nbformat.read(NOTEBOOK, 4)
    again = nbformat.read(NOTEBOOK, 4)
    for cell in again.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    nbclient.NotebookClient(again, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    for then, now in zip(committed.cells, again.cells, strict=True):
        if then.cell_type == "code":
            kinds = lambda cell: [o.output_type for o in cell.outputs if o.output_type != "stream"]
            assert kinds(then) == kinds(now) and bool(then.outputs) == bool(now.outputs), then.source
            assert "error" not in kinds(now)
    printed = "".join(o.get("text", "") for cell in again.cells for o in cell.get("outputs", []))
    assert "16 rules: 16 passed" in printed and re.search(r"^ +\d +my_model ", printed, re.M)
    assert re.search(r"^ +\d +lstm ", printed, re.M)
