"""Output that cannot be written, and closed streams."""

import subprocess
import sys

import pytest

from support.processes import users_environment


def test_a_file_that_cannot_be_used_needs_one_line(tmp_path):
    name = "a" * 300
    line = [sys.executable, "-B", "-m", "nmbench.verify", name]
    done = subprocess.run(line, cwd=tmp_path, env=users_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nmbench.verify: cannot use 'aaa") and done.stderr.endswith("': File name too long\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ulimit -f 0; {list} > full", (2, "", "nmbench.list: cannot write the output: File too large\n")),
        ("{list} --nonsense 2>&-", (2, "", "")),
        ("{list} >&-", (0, "", "")),
        ("{list} 2>&- | head -n 0", (0, "", "")),
    ],
)
def test_a_full_disk_and_closed_streams_need_at_most_one_line(tmp_path, line, expected):
    line = line.format(list=f"{sys.executable} -B -m nmbench.list")
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=users_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == expected
