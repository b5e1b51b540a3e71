"""Full disks: a real file system of one megabyte, and a limit on the size of files."""

import contextlib
import os
import subprocess

import pytest

from support.outcomes import BASE, checkpoints, outcome
from support.processes import finish, start

STEPS = ("--steps=3000", "--seeds=2", "--checkpoint_minutes=600")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    for steps in (("--steps=10", "--seeds=1"), STEPS):
        code, _, err = finish(start(*BASE, *steps, "--results_dir=out", cwd=folder))
        assert code == 0, err
    return outcome(folder / "out")


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of one megabyte; None if the user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    yield folder if mounted.returncode == 0 else None
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path):
    """Write to a file until the disk is full."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def refused(process, message):
    code, out, err = finish(process)
    assert (code, out) == (2, "") and "Traceback" not in err
    # The line that starts with "rnn on" names the experiment.
    lines = [line for line in err.splitlines() if not line.startswith("rnn on ")]
    assert len(lines) == 1 and lines[0].startswith("nmbench.run: ") and message in lines[0], err
    return lines[0]


def check_intact_then_run_again(folder, uninterrupted):
    code, out, err = finish(start("nmbench.validate", "out", "out/results.csv", cwd=folder))
    assert (code, out) == (0, "out: 1 valid row\nout/results.csv: 1 valid row\n"), err
    code, _, err = finish(start(*BASE, *STEPS, "--results_dir=out", cwd=folder))
    assert code == 0, err
    assert outcome(folder / "out") == uninterrupted
    assert checkpoints(folder / "out") == []


@pytest.mark.release
def test_a_disk_that_fills_up_during_training_gives_one_line(small_disk, tmp_path, uninterrupted):
    """Stored runs are unchanged, and the same command succeeds after space is freed."""
    folder = small_disk or tmp_path
    assert finish(start(*BASE, "--steps=10", "--seeds=1", "--results_dir=out", cwd=folder))[0] == 0
    if small_disk is None:
        # If the user may not mount: a limit on the size of files, which the file of values per trial exceeds.
        process = start(*BASE, *STEPS, "--results_dir=out", cwd=folder, longest_file=70_000)
    else:
        process = start(*BASE, *STEPS, "--results_dir=out", cwd=folder)
        process.stderr.readline()  # It names the experiment; it is printed after the check that the folder is writable.
        fill(folder / "filler")
        assert os.statvfs(folder).f_bavail == 0
    line = refused(process, "cannot store run rnn.element_finder.matched.s0.")
    assert (small_disk is None) or "not all runs could be saved in" in line
    with contextlib.suppress(FileNotFoundError):
        (folder / "filler").unlink()
    check_intact_then_run_again(folder, uninterrupted)


@pytest.mark.release
def test_a_file_that_grows_too_large_gives_one_line(tmp_path, uninterrupted):
    """The checkpoints are smaller than the limit, so both runs are saved and the next command only stores them."""
    assert finish(start(*BASE, "--steps=10", "--seeds=1", "--results_dir=out", cwd=tmp_path))[0] == 0
    process = start(*BASE, *STEPS, "--results_dir=out", cwd=tmp_path, longest_file=70_000)
    line = refused(process, "cannot store run rnn.element_finder.matched.s0.")
    assert "File too large; 2 runs saved at step 3000 in out/checkpoints; run the same command again to resume" in line
    assert [p for p in (tmp_path / "out").rglob(".*") if p.name != ".lock"] == []
    assert len(checkpoints(tmp_path / "out")) == 2
    check_intact_then_run_again(tmp_path, uninterrupted)


@pytest.mark.slow
def test_nothing_is_trained_on_a_full_disk(small_disk, tmp_path):
    folder = small_disk or tmp_path
    (folder / "out").mkdir()
    if small_disk is not None:
        fill(folder / "out" / "filler")
    options = {} if small_disk is not None else {"longest_file": 5_000}
    refused(start(*BASE, *STEPS, "--results_dir=out", cwd=folder, **options), "--results_dir=out cannot be written")
    assert not [p for p in (folder / "out").rglob("*") if p.is_file() and p.name != "filler"]
