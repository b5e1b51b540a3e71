"""The command on made networks, on a trained one, and on rows that it has to refuse."""

import os
import re
import shutil

import pytest

RUN = ("--model=nmrnn_linear", "--task=mwg_rank1", "--seeds=1", "--devices=1")
BOTH = "--hparams=tau_x=1,linear_z=true,feedback=true"
NUMBER = r"[\d.e+-]+"


def columns(text, heading):
    """Cells of the first table below a line with this heading: `[[cell, ...], ...]`."""
    lines = iter(text.split("\n"))
    assert any(heading in line for line in lines), heading
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def test_made_networks(nmbench, tmp_path):
    code, out, err = nmbench("theory", "--instances=20", f"--plot={tmp_path}/ramps.svg")
    assert (code, err) == (0, "")
    rows = columns(out, "Proposition 1")
    assert [row[:2] for row in rows] == [["20 random instances", "20"], ["N=40 M=7 K=3 P=4 O=2, H=14", "200"]]
    assert all(0 < float(error) < 1e-12 for row in rows for error in row[2:])
    rows = columns(out, "Rank-1 signal")
    assert [row[:2] for row in rows] == [["linear", "no"], ["linear", "yes"], ["tanh", "no"], ["tanh", "yes"]]
    assert all(0 < float(error) < 1e-10 for row in rows for error in row[2:4])
    assert [(row[0], row[4]) for row in columns(out, "Ramp from")] == [("7", "0.123"), ("15", "0.0541"), ("23", "0.0346")]
    assert "No trained network was asked for" in out
    assert "python -m nmbench.run --model=nmrnn_linear --task=mwg_rank1 --seeds=1 --hparams=tau_x=1," in out
    picture = (tmp_path / "ramps.svg").read_text()
    assert "<svg" in picture and out.rstrip().endswith(f"drawn in {tmp_path}/ramps.svg")
    assert nmbench("theory", "--instances=20")[1] == out.split("\n\nsignal and state drawn")[0] + "\n"
    assert columns(nmbench("theory", "--instances=20", "--seed=1")[1], "Proposition 1") != columns(out, "Proposition 1")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--instances=0"], "--instances"),
        (["--instances=100001"], "--instances can be at most 100000"),
        (["--seed=-1"], "--seed"),
        (["--seed=4294967296"], "--seed can be at most 4294967295"),
        (["--run="], "--run is empty"),
        (["--run=nmrnn_linear.mwg_rank1.matched.s0.000000000000"], "no such file or folder"),
        (["--run=x y"], "neither a run id nor FILE.csv:N nor FILE.csv#RUN_ID"),
        (["--run=missing.csv:1"], "missing.csv"),
        (["--plot=theory.txt"], "ends in .png, .svg, .pdf"),
        (["--plot=missing/theory.png"], "is not a folder"),
        (["--plugin=missing.py"], "no such Python file"),
        (["x"], "unexpected argument 'x'"),
    ],
)
def test_bad_input_is_one_line_code_two_and_writes_nothing(nmbench, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = nmbench("theory", *argv)
    assert (code, out) == (2, "") and err.startswith("nmbench.theory: ") and err.count("\n") == 1 and message in err, err
    assert os.listdir(tmp_path) == []


def run_ids(folder):
    return sorted(p.name for p in (folder / "runs").iterdir())


@pytest.mark.slow
def test_trained_networks(nmbench, tmp_path):
    """300 steps with the hypotheses of Proposition 1, 300 with the published time constant, which has a part in one half."""
    for extra in ((BOTH,), ()):
        assert nmbench("run", *RUN, *extra, "--steps=300", f"--results_dir={tmp_path}")[0] == 0
    texts = {}
    for run_id in run_ids(tmp_path):
        code, out, err = nmbench("theory", f"--run={run_id}", f"--results_dir={tmp_path}", f"--plot={tmp_path}/t.png")
        assert (code, err) == (0, ""), err
        texts[re.search(r"tau_x=(\d)", out)[1]] = out
        assert (tmp_path / "t.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        rows = columns(out, "from the network's own output")
        assert [row[:2] for row in rows] == [["7", "10"], ["15", "10"], ["23", "10"]]
        for _, _, share, s, x in rows:
            assert float(share) > 0.05 and 0 < float(s) < 1e-10 and 0 < float(x) < 1e-10
        rows = columns(out, "from the task's target")
        assert [row[0] for row in rows] == ["7", "15", "23"]
        assert all(0 < float(row[5]) < 1 for row in rows)
    ((z, y),) = columns(texts["1"], "Proposition 1: semilinear LSTM with H=24")
    assert 0 < float(z) < 1e-12 and 0 < float(y) < 1e-12
    assert "Not shown: Proposition 1 is for tau_x = 1, a network without a leak (Eq. 1); this one has 2" in texts["2"]
    # A row without its folder, as one gets from others.
    shutil.copy(tmp_path / "results.csv", tmp_path.parent / "alone.csv")
    code, _, err = nmbench("theory", f"--run={tmp_path.parent}/alone.csv:1", f"--results_dir={tmp_path}/none")
    assert code == 2 and "a CSV does not hold them" in err and err.count("\n") == 1
    # Parameters of a model that is no linearised NM-RNN.
    small = ("--model=nmrnn", "--task=mwg_rank1", "--steps=2", "--hparams=N=8,K=1", "--seeds=1", "--devices=1")
    assert nmbench("run", *small, f"--results_dir={tmp_path}/other")[0] == 0
    (run_id,) = run_ids(tmp_path / "other")
    code, out, err = nmbench("theory", f"--run={run_id}", f"--results_dir={tmp_path}/other")
    assert (code, out) == (2, "") and "these are not the parameters of a linearised NM-RNN" in err and err.count("\n") == 1
