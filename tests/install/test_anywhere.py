"""In a folder that contains a clone called nmbench, `import nmbench` finds the package, not the folder of the clone."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = "import nmbench, nmbench.baselines as b; print(nmbench.__version__, nmbench.NmbenchError.__name__, b.__file__)"


@pytest.mark.parametrize(("where", "flags"), [("elsewhere", ["-P"]), ("above", []), ("checkout", [])])
def test_child_processes_import_from_the_current_folder_only_if_nmbench_is_there(tmp_path, where, flags):
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "nmbench").symlink_to(ROOT, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    folder = ROOT if where == "checkout" else tmp_path / where
    code = "from nmbench.sweeps import worker; print(worker.COMMAND)"
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # found from elsewhere as well, as after an installation
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{(sys.executable, *flags, '-m', 'nmbench.run')}\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["-m", "nmbench.list"], "element_finder"), (["-m", "nmbench", "--help"], "usage"), (["beside.py"], "NmbenchError")],
)
def test_the_package_is_found_from_the_parent_folder_of_a_clone(tmp_path, arguments, word):
    (tmp_path / "nmbench").symlink_to(ROOT, target_is_directory=True)
    (tmp_path / "beside.py").write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert word in done.stdout
