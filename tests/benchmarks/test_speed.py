"""The speed benchmark runs, prints positive numbers and refuses bad input with one line."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def speed(*flags):
    command = [sys.executable, str(ROOT / "benchmarks/speed.py"), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)


@pytest.mark.release
def test_two_styles_of_one_case(tmp_path):
    path = tmp_path / "speed.md"
    styles = ["nmbench", "published"]
    done = speed(
        "--cases=element_finder", "--models=rnn", "--seeds=2", f"--styles={','.join(styles)}", "--rounds=2",
        "--block_seconds=0.05", f"--markdown={path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("element_finder")]
    times, limits = rows[:2], rows[2:]
    assert [row[2:4] for row in times] == [["2", style] for style in styles]
    for row in times:
        ms, steps, ratio, low, dots, high, memory, compile_s = row[4:]
        assert dots == ".." and float(low) <= float(ratio) <= float(high)
        assert all(float(value) > 0 for value in (ms, steps, low, memory))
        assert float(compile_s) >= 0  # 0.0 if the program is in the cache
    assert [row[2] for row in limits] == ["2"]
    assert all(float(value) > 0 for row in limits for value in row[3:-1])
    text = path.read_text()
    assert "python benchmarks/speed.py --cases=element_finder" in text and re.search(r"- \d+ cores, \S", text)
    assert "jax " in text and text.count("| element_finder ") == 3


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("--cases=elements", "element_finder"),
        ("--models=nmrn", "nmrnn"),
        ("--styles=numpy", "published"),
        ("--styles=", "published"),
        ("--seeds=1,x", "whole numbers"),
        ("--seeds=0", "at least 1"),
        ("--rounds=0", "rounds"),
        ("--block_seconds=0", "positive"),
        ("--markdown=/nowhere/at/all.md", "no such folder"),
        ("--scaling=picture.txt", ".png"),
        ("--case=mwg_rank3", "case"),
    ],
)
def test_bad_input_gives_one_line(flag, word):
    done = speed(flag)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1 and word in done.stderr
    assert done.stdout == ""
