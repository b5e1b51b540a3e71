"""The example package in a new environment, and the notebooks, which are executed again."""

import importlib
import os
import pathlib
import re
import shutil
import site
import subprocess
import sys

import pytest

from support.processes import users_environment

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_an_installed_package_registers_its_model_and_task(tmp_path):
    """After the installation, nmbench finds the model and the task by name, without --plugin; before it, it does not."""
    uv = pathlib.Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "fresh"], check=True)
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
    python = tmp_path / "fresh" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, source], check=True)
    listed = run("nmbench.list")
    assert re.search(r"^gated_leak .*nmbench-example", listed, re.M) and re.search(
        r"^running_mean .*nmbench-example", listed, re.M
    )
    out = run("nmbench.run", "--model=gated_leak", "--task=running_mean", "--protocol=smoke", "--seeds=1")
    assert re.search(r"^ +gated_leak ", out, re.M), out


@pytest.mark.release
def test_the_notebooks_run_and_give_the_committed_kinds_of_output(tmp_path, monkeypatch):
    import nbformat

    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    notebooks = importlib.import_module("notebooks")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the notebooks write
    for name in set(os.environ) - set(users_environment()):  # short training is faster when it is compiled for users
        monkeypatch.delenv(name)
    committed, made = [], []
    for name in (*notebooks.HAND_WRITTEN, *notebooks.FROM_GALLERY):
        committed += nbformat.read(notebooks.EXAMPLES / f"{name}.ipynb", 4).cells
        made += notebooks.source(name).cells
    # One kernel executes all notebooks.
    assert [cell.source for cell in committed] == [cell.source for cell in made], "call docs/notebooks.py"
    assert not any("!" in line[:1] for cell in made if cell.cell_type == "code" for line in cell.source.splitlines())
    for number, cell in enumerate(made):
        cell.id = f"cell-{number}"
    again = nbformat.v4.new_notebook(cells=made)
    notebooks.execute(again)
    kinds = lambda cell: [output.output_type for output in cell.get("outputs", []) if output.output_type != "stream"]
    for then, now in zip(committed, again.cells, strict=True):
        assert kinds(then) == kinds(now) and bool(then.get("outputs")) == bool(now.get("outputs")), then.source
    printed = "".join(output.get("text", "") for cell in again.cells for output in cell.get("outputs", []))
    assert len(re.findall("^PASS  M", printed, re.M)) == 15 and "FAIL" not in printed
    tables = "".join(
        output.get("data", {}).get("text/plain", "") for cell in again.cells for output in cell.get("outputs", [])
    )
    assert re.search(r"^\d +1 +a +my_model +3 ", tables, re.M) and re.search(r"^\d +1 +a +lstm +3 ", tables, re.M), tables
