"""The command `theory`: random networks, trained networks and bad input."""

import os
import re

import numpy as np
import pytest

from nmbench.paper.theory import trained
from support.claimed import make_rows, write_csv, write_untrained


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


def test_random_networks(nmbench, tmp_path):
    code, out, err = nmbench("theory", "--instances=20", f"--plot={tmp_path}/ramps.svg")
    assert (code, err) == (0, "")
    rows = columns(out, "Proposition 1")
    assert [row[:2] for row in rows] == [["20 random instances", "20"], ["N=40 M=7 K=3 P=4 O=2, H=14", "200"]]
    assert all(0 < float(error) < 1e-12 for row in rows for error in row[2:])
    rows = columns(out, "Rank-1 signal")
    assert [row[:2] for row in rows] == [["linear", "no"], ["linear", "yes"], ["tanh", "no"], ["tanh", "yes"]]
    assert all(0 < float(error) < 1e-10 for row in rows for error in row[2:4])
    assert [(row[0], row[4]) for row in columns(out, "Ramp from")] == [("7", "0.123"), ("15", "0.0541"), ("23", "0.0346")]
    assert "No trained network was given" in out
    assert "python -m nmbench.run --model=nmrnn_linear --task=mwg_rank1 --seeds=1 --hparams=tau_x=1," in out
    picture = (tmp_path / "ramps.svg").read_text()
    assert "<svg" in picture and out.rstrip().endswith(f"plotted in {tmp_path}/ramps.svg")
    assert nmbench("theory", "--instances=20")[1] == out.split("\n\nsignal and state plotted")[0] + "\n"
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
        (["--run=x y"], "neither a run id nor a run folder nor FILE.csv:N nor FILE.csv#RUN_ID"),
        (["--run=missing.csv:1"], "missing.csv"),
        (["--plot=theory.txt"], "must end in .png or .svg or .pdf"),
        (["--plot=missing/theory.png"], "there is no folder missing"),
        (["--plugin=missing.py"], "no such Python file"),
        (["x"], "unexpected argument 'x'"),
    ],
)
def test_bad_input_gives_one_line_and_writes_nothing(nmbench, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = nmbench("theory", *argv)
    assert (code, out) == (2, "") and err.startswith("nmbench.theory: ") and err.count("\n") == 1 and message in err, err
    assert os.listdir(tmp_path) == []


def test_trained_networks(nmbench, monkeypatch, tmp_path):
    """One run meets the hypotheses of Proposition 1; the other has the published time constant. Parameters are random."""
    settings = (("tau_x", "1"), ("linear_z", "true"), ("feedback", "true"))
    rows = [write_untrained(tmp_path, "nmrnn_linear", "mwg_rank1", settings=s) for s in (settings, ())]
    code, out, err = nmbench("theory", f"--run={rows[0]['run_id']}", f"--results_dir={tmp_path}")
    assert (code, out) == (2, "") and "its row has 0.1: they are damaged" in err and err.count("\n") == 1
    monkeypatch.setattr(trained, "VALUE_TOLERANCE", np.inf)
    texts = {}
    for row, plot in zip(rows, ([], [f"--plot={tmp_path}/t.png"]), strict=True):
        run_id = row["run_id"]
        code, out, err = nmbench("theory", f"--run={run_id}", f"--results_dir={tmp_path}", *plot)
        assert (code, err) == (0, ""), err
        texts[re.search(r"tau_x=(\d)", out)[1]] = out
        table = columns(out, "from the network's own output")
        assert [line[:2] for line in table] == [["7", "10"], ["15", "10"], ["23", "10"]]
        for _, _, share, s, x in table:
            assert float(share) > 0.05 and 0 < float(s) < 1e-10 and 0 < float(x) < 1e-10
        table = columns(out, "from the task's target")
        assert [line[0] for line in table] == ["7", "15", "23"]
        assert all(float(line[5]) > 0 for line in table)
    assert (tmp_path / "t.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    ((z, y),) = columns(texts["1"], "Proposition 1: semilinear LSTM with H=24")
    assert 0 < float(z) < 1e-12 and 0 < float(y) < 1e-12
    assert (
        "Not shown: Proposition 1 applies to networks without a leak, tau_x = 1 (Eq. 1); this one has tau_x = 2"
        in texts["2"]
    )


def test_rows_that_the_theory_cannot_use(nmbench, tmp_path):
    """A row without its run folder and a run of another model are refused with one line."""
    table = write_csv(tmp_path / "alone.csv", make_rows("nmrnn_linear", "mwg_rank1", [0.1]))
    code, _, err = nmbench("theory", f"--run={table}:1", f"--results_dir={tmp_path}")
    assert code == 2 and "a CSV does not contain them" in err and err.count("\n") == 1
    row = write_untrained(tmp_path / "other", "nmrnn", "mwg_rank1", settings=(("N", "8"), ("K", "1")))
    code, out, err = nmbench("theory", f"--run={row['run_id']}", f"--results_dir={tmp_path}/other")
    assert (code, out) == (2, "") and "these are not the parameters of nmrnn_linear" in err and err.count("\n") == 1
