"""Results as pandas frames: the frame of the rows, of the leaderboard, and of comparisons of frames."""

import csv
import io
import re

import pandas
import pytest

import nmbench
from nmbench import leaderboard
from nmbench.results import csv_files, schema
from nmbench.support import cli
from nmbench.support.errors import NmbenchError
from support.rows import make_row


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder of a.csv with two models and b.csv with one of them, better and with a lost seed. It is the current one."""
    monkeypatch.chdir(tmp_path)
    a = [make_row(m, seed, 1 + seed / 8 + shift) for m, shift in (("m", 0), ("n", 2)) for seed in range(8)]
    lost = {"value": None, "status": "failed", "error": "killed", "conditions_json": None, "validation_loss": None}
    b = [make_row("n", seed, 0.1 + seed / 80) for seed in range(7)] + [make_row("n", 7, **lost)]
    (tmp_path / "a.csv").write_text(csv_files.to_csv(a))
    (tmp_path / "b.csv").write_text(csv_files.to_csv(b))
    return tmp_path


def test_metrics_by_condition_are_lines(files):
    frame = nmbench.read_conditions(["a.csv", "b.csv"])
    assert len(frame) == 15 and set(frame.metric) == {"mse"} and set(frame.condition) == {"0"} and set(frame.value) == {1.5}
    assert frame.columns.tolist() == ["run_id", "task", "protocol", "model", "seed", "metric", "condition", "value"]


def test_a_frame_of_rows_has_the_values_and_types_of_the_schema(files):
    frame = nmbench.read_results("b.csv")
    assert list(frame.columns) == [*schema.BY_NAME, "metrics.exact_match"]
    types = {"seed": "int64", "params_target": "Int64", "value": "float64", "x64": "bool", "git_dirty": "boolean"}
    assert {name: str(frame[name].dtype) for name in types} == types and str(frame.model.dtype) == "string"
    rows = csv_files.read_csv(files / "b.csv")
    for name in frame:
        assert [None if gone else value for value, gone in zip(frame[name], frame[name].isna())] == [r[name] for r in rows]
    both = nmbench.read_results([files / "a.csv", "b.csv"])  # of a run in both files, the last row counts
    assert len(both) == 16 and both.set_index("run_id").loc[frame.run_id].value.equals(frame.set_index("run_id").value)


@pytest.mark.parametrize("argv", [["a.csv"], ["a.csv", "b.csv"]])
def test_paths_and_frames_rank_as_the_command_prints(files, capsys, argv):
    args = ("nmbench.leaderboard", "FILE.csv", [*argv, "--format=csv"])
    assert cli.call(leaderboard.main, leaderboard.FLAGS, "", *args) == 0
    printed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    frame = nmbench.rank_results(argv)
    assert list(frame.columns) == list(printed[0])
    assert frame.label.tolist() == [line["label"] for line in printed]
    for name in ("rank", "seeds", "lost", "median", "median_low", "median_high", "score", "success_rate"):
        assert frame[name].astype(object).where(frame[name].notna(), None).tolist() == [
            float(line[name]) if line[name] else None for line in printed
        ]
    for same in (nmbench.read_results(argv), [nmbench.read_results(path) for path in argv]):
        pandas.testing.assert_frame_equal(frame, nmbench.rank_results(same))
    assert frame.group.tolist() == ["a", "b"] and frame.label[0] == ("m" if len(argv) == 1 else "n")


def test_a_part_of_a_frame_ranks_and_other_columns_do_no_harm(files):
    frame = nmbench.read_results("a.csv").assign(mine=1)
    ranked = nmbench.rank_results(frame[frame.model == "n"])
    assert ranked.label.tolist() == ["n"] and ranked.run_ids[0].split() == frame.run_id[frame.model == "n"].tolist()


def test_frames_compare_as_paths_do(files):
    frames = [nmbench.read_results(path) for path in ("a.csv", "b.csv")]
    by_path, by_frame = nmbench.compare_results(["a.csv", "b.csv"]), nmbench.compare_results(frames)
    pandas.testing.assert_frame_equal(
        by_path.drop(columns=["file_a", "file_b"]), by_frame.drop(columns=["file_a", "file_b"])
    )
    assert set(by_frame.file_a) == {"frame 1"} and set(by_frame.file_b) == {"frame 2"}
    assert nmbench.compare_results(frames[0]).verdict.tolist() == nmbench.compare_results("a.csv").verdict.tolist()


def test_wrong_results_are_named(files):
    frame = nmbench.read_results("a.csv")
    forged = frame.assign(value=frame.value.where(frame.seed != 3, 0.0))
    for function in (nmbench.rank_results, nmbench.compare_results):
        for results, message in (
            ("c.csv", "no such file or folder: c.csv"),
            ([], "name at least one results CSV or results folder"),
            (None, "or frames of nmbench.read_results; got nothing"),
            ([{"model": "m"}], "got a value of type dict"),
            (frame[:0], "no rows in frame 1"),
            (frame.drop(columns="score"), "frame 1, line 0: column 'score' is missing"),
            (forged, "frame 1, line 3, column 'score': "),
            ([frame, forged], "frame 2, line 3, column 'score': "),
        ):
            with pytest.raises(NmbenchError, match=re.escape(message)):
                function(results)
        with pytest.raises(NmbenchError, match="no rows with task 'made_upp'; did you mean 'made_up'?"):
            function(frame, task="made_upp")
        for second, message in (
            (frame, "task must be a name, got a value of type DataFrame"),
            ("a.csv", "no rows with task"),
        ):
            with pytest.raises(NmbenchError, match=rf"{message}.*; give several results as a list: \[a, b\]"):
                function(frame, second)
    for paths, message in (("c.csv", "no such file"), (3, "got a value of type int"), (frame, "a value of type DataFrame")):
        with pytest.raises(NmbenchError, match=message):
            nmbench.read_results(paths)
    (files / "large.csv").write_text(csv_files.to_csv([make_row(seed=2**70)]))
    with pytest.raises(NmbenchError, match="column 'seed' has a number beyond"):
        nmbench.read_results("large.csv")
