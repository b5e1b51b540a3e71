"""A stranger's model in a process of its own: what it cannot do, with and without namespaces."""

import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from nmbench.contracts import frozen_sets, metrics
from nmbench.contracts.catalog import TASKS
from nmbench.submissions import isolated, isolation, model_source
from nmbench.submissions.isolation import Limits
from nmbench.support.errors import NmbenchError
from support.processes import finish, start

ROOT = pathlib.Path(__file__).parents[2]
SETS = ROOT / "tasks" / "testsets"


@pytest.fixture(params=["namespaces", "audit hook only"])
def ask(request, tmp_path, monkeypatch):
    """A function that runs a file in the process and returns the message of the error that stops it."""
    if request.param == "namespaces" and not isolation.namespaces():
        pytest.skip("this system does not allow user namespaces")
    monkeypatch.setattr(isolation, "namespaces", lambda: request.param == "namespaces")
    monkeypatch.setattr(model_source, "check", lambda path: None)  # what it refuses is the subject of another test

    def run(code: str, **limits) -> str:
        (tmp_path / "model.py").write_text(code)
        plugin, limited = tmp_path / "model.py", Limits(**{"seconds": 120, **limits})
        with isolation.own_process(plugin, [tmp_path], limited) as model, pytest.raises(NmbenchError) as error:
            model.ask({"ask": "check", "model": "none", "tasks": []})
        return str(error.value)

    return run


@pytest.mark.slow
def test_what_is_refused(ask, tmp_path, monkeypatch):
    """One process tries everything; what it gets is in the message of its last line."""
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    (tmp_path / "kept.txt").write_text("kept")
    code = f"""
import os, socket, subprocess
found = []
for name, attempt in {{
    "connect": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "process": lambda: subprocess.run(["true"]),
    "shell": lambda: os.system("true"),
    "test set": lambda: open({str(SETS / "element_finder-v1-test.npz")!r}, "rb").read(),
    "submission": lambda: open({str(tmp_path / "kept.txt")!r}).read(),
    "write": lambda: open({str(tmp_path / "written.txt")!r}, "w"),
    "remove": lambda: os.remove({str(tmp_path / "kept.txt")!r}),
    "other processes": lambda: open(f"/proc/{{os.getppid() or {os.getpid()}}}/environ").read(),
    "secret": lambda: os.environ["SECRET_TOKEN"],
    "other folder": lambda: os.chdir({str(tmp_path)!r}),
    "folder as a start": lambda: os.open("/usr", os.O_RDONLY),
    "link": lambda: os.symlink({str(tmp_path)!r}, "link"),
    "home": lambda: open(os.path.expanduser("~/note"), "w").write("x") and 1 / 0,
}}.items():
    try:
        attempt()
        found.append(name)
    except Exception as error:
        if isinstance(error, ZeroDivisionError): found.append("own home is writable")
raise ValueError(f"succeeded: {{found}}")
"""
    assert ask(code) == "--plugin=model.py: ValueError in line 24: succeeded: ['own home is writable']"
    assert (tmp_path / "kept.txt").read_text() == "kept" and not (tmp_path / "written.txt").exists()


@pytest.mark.slow
def test_limits(ask):
    assert "longer than 3 s" in ask("while True: pass", seconds=3)
    assert "MemoryError" in ask("bytearray(3 << 30)", memory_mb=2048)
    assert "File too large" in ask("open('x', 'wb').write(bytes(3 << 20))", file_mb=2)


@pytest.mark.slow
def test_what_it_prints_or_leaves_is_not_believed(ask):
    assert "ended with code 3" in ask("""import os; print('{"answer": {}}', flush=True); os._exit(3)""")
    assert "uses os.symlink" in ask("""import os; os.symlink(os.getcwd(), "params.safetensors")""")


def test_processes_see_no_others_and_no_network():
    """With namespaces, the kernel refuses even what Python's audit hook does not see."""
    if not isolation.namespaces():
        pytest.skip("this system does not allow user namespaces")
    command = ["sh", "-c", f"ls {SETS}; ls /proc | grep -c '^[0-9]'; cat /proc/net/dev | grep -c :; umount {SETS}"]
    done = subprocess.run(isolation._in_namespaces(command, [SETS]), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "umount" in done.stderr
    processes, devices = map(int, done.stdout.split())
    assert processes <= 4 and devices == 1  # sh, ls, grep; the loopback device


@pytest.mark.release
def test_an_example_is_asked_and_trained(tmp_path, monkeypatch):
    """The Equinox example answers `check` and is trained in its process, with the values that it has in this one."""
    from nmbench.results import curves, store
    from nmbench.results.store import Store
    from nmbench.submissions import retraining

    shutil.copy(ROOT / "examples" / "equinox_model.py", tmp_path)
    plugin = tmp_path / "equinox_model.py"
    name = re.search(r'register_baseline\(\s*"(.+?)"', plugin.read_text())[1]
    argv = (
        "--plugin=equinox_model.py",
        f"--model={name}",
        "--task=element_finder",
        "--seeds=6",
        "--steps=250",
        "--budget=127",
    )
    code, _, err = finish(start("nmbench.run", *argv, "--results_dir=r", cwd=tmp_path))
    assert code == 0, err
    rows = sorted(store.read(str(tmp_path / "r")), key=lambda row: row["seed"])
    found = {row["seed"]: curves.read_curve(Store(tmp_path / "r").runs / row["run_id"]) for row in rows}
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)  # of the tests, as the flags that `start` leaves out
    with isolation.own_process(plugin, [tmp_path / "r"]) as model:
        rules = model.ask({"ask": "check", "model": name, "tasks": ["element_finder"]})["rules"]
        assert {rule["verdict"] for rule in rules} <= {"PASS", "WARN"}
        starts = retraining.check_starts(rows, found, model).details
        assert starts["recognised"] == starts["judged"] > 3
        assert retraining.check_values(rows, [2, 3], model).details["equal"] == [2, 3]


def test_every_task_can_be_scored_without_its_test_set(monkeypatch):
    """Otherwise the training run of `nmbench check` fails there."""
    monkeypatch.setattr(frozen_sets, "load", frozen_sets.load)
    monkeypatch.setattr(metrics.Metric, "chosen", metrics.Metric.chosen)
    isolated.hide_test_sets()
    for entry in TASKS.entries():
        task = TASKS.get(entry.name)
        instead = task.frozen("test")
        assert frozen_sets.digest(instead.arrays) == task.frozen("validation").sha256 != instead.sha256
        trials = np.shape(task.unpack(instead.arrays).targets)[1]
        predictions = np.zeros((task.spec.steps, trials, task.spec.output_size), np.float32)
        values = task.evaluate(predictions, instead.arrays)["values"]
        assert np.isfinite(list(values.values())).all(), task.name
