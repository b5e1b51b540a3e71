"""Comparisons of files: constructed rows, literal verdicts, refusals, tables."""

import hashlib
import json
import pathlib
import re

import numpy as np
import pandas
import pytest
import scipy.stats

from nmbench.report import comparison as report
from nmbench.results import csv_files, schema
from nmbench.results.comparison import COLUMNS, compare_results
from nmbench.support.errors import NmbenchError
from support.rows import diverged, make_row

ROOT = pathlib.Path(__file__).parents[2]
A = [1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875]


def rows(model, values, task="made_up", protocol="matched", **changes):
    changes |= {"task": task, "protocol": protocol}
    return [make_row(model, s, v, **{"run_id": f"{model}.{task}.{protocol}.s{s}", **changes}) for s, v in enumerate(values)]


def config(row, **changes):
    """`row` with a changed configuration and the run id that follows from it."""
    text = schema.canonical_json(json.loads(row["config_json"]) | changes)
    return row | {"config_json": text, "run_id": f"{row['run_id']}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"}


@pytest.fixture
def write(tmp_path):
    def to(name, *parts):
        path = tmp_path / name
        path.write_text(csv_files.to_csv([row for part in parts for row in part]))
        return str(path)

    return to


def gap(x, y, axis):
    """Difference of the means, for SciPy's permutation test."""
    return np.mean(y, axis=axis) - np.mean(x, axis=axis)


def verdicts(frame):
    return {(b if isinstance(b, str) else a): v for a, b, v in zip(frame.model_a, frame.model_b, frame.verdict, strict=True)}


def test_verdicts_by_model(write):
    shifted = [v + 0.5 for v in A]
    base = write("a.csv", rows("up", A), rows("down", A), rows("same", A), rows("one", A), rows("gone", A))
    new = write(
        "b.csv",
        rows("up", shifted),
        rows("down", [v - 0.5 for v in A]),
        rows("same", A[::-1]),
        rows("one", [0.1]),
        rows("fresh", A),
    )
    frame = compare_results([base, new])
    assert list(frame.columns) == list(COLUMNS)
    assert verdicts(frame) == {
        "down": "better",
        "fresh": "only in B",
        "gone": "only in A",
        "one": "cannot tell: one seed",
        "same": "cannot tell",
        "up": "worse",
    }
    line = frame.set_index("model_b").loc["up"]
    # Of the three lines with a p, this one has the smallest, which Holm multiplies by 3.
    theirs = scipy.stats.permutation_test((np.log10(A), np.log10(shifted)), gap, n_resamples=np.inf, vectorized=True)
    assert line.p == frame.p.min() == pytest.approx(theirs.pvalue)
    assert line.p_corrected == pytest.approx(3 * theirs.pvalue)
    interval = scipy.stats.ttest_ind(np.log10(shifted), np.log10(A), equal_var=False).confidence_interval()
    assert (line.kind, line.effect) == ("ratio", pytest.approx(np.prod(shifted) ** (1 / 8) / np.prod(A) ** (1 / 8)))
    assert (line.low, line.high) == pytest.approx((10**interval.low, 10**interval.high))
    assert (line.median_a, line.median_b) == (1.4375, 1.9375)
    # Of 64 pairs, B is better in 3 + 2 + 1 (A is 5, 6 or 7 steps higher) and ties in 4 (A is 4 steps higher).
    assert line.improvement == 8 / 64
    assert (line.seeds_a, line.seeds_b, line.least_p) == (8, 8, 2 / 12870)
    one = frame.set_index("model_b").loc["one"]
    assert one.effect == pytest.approx(0.1 / np.prod(A) ** (1 / 8))
    assert np.isnan(one[["low", "high", "p", "p_corrected", "least_p"]].to_numpy(float)).all()


def test_higher_is_better_reverses_the_verdict(write):
    up = {"higher_is_better": True, "floor": 0.0, "ceiling": 10.0}
    frame = compare_results([write("a.csv", rows("m", A, **up)), write("b.csv", rows("m", [v + 1 for v in A], **up))])
    assert verdicts(frame) == {"m": "better"} and frame.improvement[0] == 1.0 and frame.higher_is_better[0]
    assert (frame.kind[0], frame.effect[0]) == ("difference", 1.0)


def test_diverged_seeds_count_as_the_floor_and_are_counted(write):
    lost = [diverged(model="m", seed=s, run_id=f"lost{s}", status="diverged" if s % 2 else "failed") for s in range(8)]
    frame = compare_results([write("a.csv", rows("m", A)), write("b.csv", lost)])
    assert frame.median_b[0] == 4.0 and frame.lost_b[0] == 8 and frame.lost_a[0] == 0
    assert frame.verdict[0] == "worse"
    assert "8 (8 lost)" in report.render(frame, "terminal")


def test_all_seeds_count_whatever_their_numbers(write):
    """Seeds 100 and 101 are better than all eight of the baseline; so low a sum is one of C(10, 2) = 45."""
    base = write("a.csv", rows("m", A))
    frame = compare_results([base, write("b.csv", [make_row("m", s, 0.5) for s in (100, 101)])])
    assert frame.p[0] == pytest.approx(2 / 45) and frame.verdict[0] == "better"
    numbered = write("c.csv", [make_row("m", s, 0.5) for s in (6, 7)])
    columns = ["effect", "low", "high", "p", "improvement", "verdict"]
    assert compare_results([base, numbered])[columns].equals(frame[columns])


@pytest.mark.parametrize(("up", "a", "b"), [(False, [0.05, 0.1, 0.2], [0.3, 0.1]), (True, [0.2, 0.1, 0.05], [0.0, 0.1])])
def test_solved_seeds_are_counted_if_the_task_has_a_threshold(write, toy_task, up, a, b):
    """The threshold is 0.1. A lost seed solves nothing, and neither do rows of another test set."""
    facts = {"task": "toy", "testset_sha256": toy_task.frozen("test").sha256, "floor": 1.0, "higher_is_better": up}
    lost = diverged(model="m", seed=9, run_id="lost", **facts)
    base, new = write("a.csv", rows("m", a, **facts), [lost]), write("b.csv", rows("m", b, **facts))
    frame = compare_results([base, new])
    assert (frame.solved_a[0], frame.solved_b[0], frame.seeds_a[0]) == (2, 1, 4)
    header, _, cells = ([c.strip() for c in line.split("|")] for line in report.render(frame, "markdown").splitlines()[2:5])
    assert [cells[header.index(name)] for name in ("solved A", "solved B")] == ["2", "1"]
    elsewhere = compare_results([write("c.csv", rows("m", a)), write("d.csv", rows("m", b))])
    assert elsewhere[["solved_a", "solved_b"]].isna().all(axis=None)
    assert "solved A" not in report.render(elsewhere, "terminal")


def test_models_in_only_one_file_are_listed(write):
    frame = compare_results([write("a.csv", rows("a", A)), write("b.csv", rows("b", A))])
    assert frame.verdict.tolist() == ["only in A", "only in B"]
    for form in report.FORMATS:
        assert "only in A" in report.render(frame, form)
    frame = compare_results([write("a.csv", rows("a", A)), write("b.csv", rows("a", A, protocol="paper"))])
    assert list(zip(frame.protocol, frame.verdict, strict=True)) == [("matched", "only in A"), ("paper", "only in B")]


def test_a_single_file_compares_its_models_pairwise(write):
    path = write(
        "a.csv",
        rows("x", A),
        rows("y", [v + 1 for v in A]),
        rows("z", [v + 0.1 * (-1) ** i for i, v in enumerate(A)]),
        rows("alone", A, params_target=1000),
        rows("x", A, task="other"),
    )
    frame = compare_results(path)
    assert list(zip(frame.model_a, frame.model_b, frame.verdict, strict=True)) == [
        ("x", "y", "worse"),
        ("x", "z", "cannot tell"),
        ("y", "z", "better"),
    ]
    assert set(frame.task) == {"made_up"} and set(frame.budget) == {500}
    empty = compare_results(write("b.csv", rows("x", A)))
    assert len(empty) == 0 and list(empty.columns) == list(COLUMNS)
    assert "Nothing to compare" in report.render(empty, "terminal")


def test_three_files_are_each_compared_with_the_first_in_one_family(write):
    paths = [write(f"{n}.csv", rows("m", [v + n for v in A])) for n in range(3)]
    frame = compare_results(paths)
    assert frame.file_b.tolist() == paths[1:] and set(frame.file_a) == {paths[0]}
    assert frame.p.tolist() == pytest.approx([2 / 12870] * 2)
    assert frame.p_corrected.tolist() == pytest.approx([4 / 12870] * 2)


def test_holm_corrects_for_the_number_of_lines(write):
    """Four seeds give p = 2 / 70 at least, enough for one line of a budget but not for two."""

    def file(name, values):
        big = [row | {"run_id": f"big.{row['seed']}"} for row in rows("m1", values, params_target=1000)]
        return write(name, rows("m1", values), rows("m2", values), big)

    frame = compare_results([file("a.csv", A[:4]), file("b.csv", [v + 1 for v in A[:4]])])
    assert frame.p.tolist() == pytest.approx([2 / 70] * 3) and frame.budget.tolist() == [500, 500, 1000]
    assert frame.p_corrected.tolist() == pytest.approx([4 / 70, 4 / 70, 2 / 70])
    assert frame.verdict.tolist() == ["cannot tell", "cannot tell", "worse"]
    text = report.render(frame, "terminal")
    assert "even the largest difference would not be" in text and "p is at least 0.02857" in text and "2 lines" in text
    assert "for 1 line" not in text


def test_the_pairs_of_one_file_are_corrected_by_shaffer(write):
    """Of 252 divisions of 0 .. 4 and 3 .. 7, five have a sum of 10 or less. Holm would double 10 / 252."""
    up = {"higher_is_better": True, "floor": 0.0, "ceiling": 10.0}
    parts = [rows(name, range(first, first + 5), **up) for name, first in (("x", 0), ("y", 3), ("z", 6))]
    frame = compare_results(write("a.csv", *parts, rows("one", [5.0], **up)))
    tested = frame[frame.verdict != "cannot tell: one seed"]
    assert list(zip(tested.model_a, tested.model_b, strict=True)) == [("x", "y"), ("x", "z"), ("y", "z")]
    assert tested.p.tolist() == pytest.approx([10 / 252, 2 / 252, 10 / 252])
    assert tested.p_corrected.tolist() == pytest.approx([10 / 252, 6 / 252, 10 / 252])
    assert set(tested.verdict) == {"better"} and len(frame) == 6


def test_configurations_of_a_model_are_distinguished_and_matched(write):
    small, large = [config(r, hparams={"N": 5}) for r in rows("m", A)], [config(r, hparams={"N": 9}) for r in rows("m", A)]
    frame = compare_results([write("a.csv", small, large), write("b.csv", large)])
    assert verdicts(frame) == {"m [N=5]": "only in A", "m [N=9]": "cannot tell"}
    # The same configurations with another engine version.
    newer = [config(r, engine=2) for r in [*small, *large]]
    frame = compare_results([write("a.csv", small, large), write("b.csv", newer)])
    assert verdicts(frame) == {"m [N=5]": "cannot tell", "m [N=9]": "cannot tell"}
    assert frame.changed.tolist() == ["engine None -> 2"] * 2
    # With one configuration each, the two are compared and their differences are named.
    frame = compare_results([write("a.csv", small), write("b.csv", large)])
    assert verdicts(frame) == {"m": "cannot tell"} and frame.changed.tolist() == ["hparams.N 5 -> 9"]
    assert "m: hparams.N 5 -> 9" in report.render(frame, "terminal")
    frame = compare_results(write("a.csv", small, large))
    assert list(zip(frame.model_a, frame.model_b, strict=True)) == [("m [N=5]", "m [N=9]")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("testset_sha256", "b" * 64),
        ("task_version", 2),
        ("metric", "error"),
        ("higher_is_better", True),
        ("floor", 5.0),
        ("ceiling", -1.0),
    ],
)
def test_rows_that_were_evaluated_differently_are_refused(write, field, value):
    base, other = write("a.csv", rows("m", A)), write("b.csv", rows("m", A, **{field: value}))
    with pytest.raises(NmbenchError) as caught:
        compare_results([base, other])
    text = str(caught.value)
    assert other in text and base in text and f"m.made_up.matched.s0 has {field} {value}" in text
    assert "\n" not in text
    mixed = write("c.csv", rows("m", A), rows("n", A, **{field: value}))
    with pytest.raises(NmbenchError, match=f"n.made_up.* has {field}"):
        compare_results(mixed)
    # Rows of another task may differ.
    other = write("d.csv", rows("m", A, task="elsewhere", **{field: value}))
    assert set(compare_results([base, other]).verdict) == {"only in A", "only in B"}
    assert compare_results([base, other], task="made_up").verdict.tolist() == ["only in A"]


SHORT = {"protocol": "matched", "departures": "steps 300, not 500"}


def test_a_model_is_compared_across_departures_from_the_protocol(write):
    """One family of two lines per protocol, so Holm doubles the smaller p: 2 / 12870 for eight and eight seeds."""
    short = [rows("m", [v + 2 for v in A], **SHORT), rows("n", A)]
    frame = compare_results([write("a.csv", rows("m", A), rows("n", A)), write("b.csv", *short)])
    lines = frame.set_index("model_b")
    assert lines.verdict.to_dict() == {"m": "worse", "n": "cannot tell"} and set(frame.protocol) == {"matched"}
    assert lines.p["m"] == pytest.approx(2 / 12870) and lines.p_corrected["m"] == pytest.approx(4 / 12870)
    same = compare_results([write("a.csv", rows("m", A, **SHORT)), write("b.csv", rows("m", A, **SHORT))])
    assert same.protocol.tolist() == ["matched (steps 300, not 500)"]


def test_within_a_file_only_runs_with_the_same_departures_are_compared(write):
    again = [dict(row, run_id=f"short.{row['run_id']}") for row in rows("n", A, **SHORT)]
    frame = compare_results(write("a.csv", rows("m", A), rows("o", A), again, rows("p", A, **SHORT)))
    assert list(zip(frame.protocol, frame.model_a, frame.model_b, strict=True)) == [
        ("matched", "m", "o"),
        ("matched (steps 300, not 500)", "n", "p"),
    ]


def test_another_schema_version_is_refused(write):
    with pytest.raises(NmbenchError, match=r"b.csv, row 1, column 'schema_version': 3 is not 2"):
        compare_results([write("a.csv", rows("m", A)), write("b.csv", rows("m", A, schema_version=3))])


def test_two_results_of_one_seed_are_refused_and_copies_are_not(write, tmp_path):
    again = make_row("m", 0, 2.0, run_id="again")
    with pytest.raises(NmbenchError, match=r"and again are two results of one configuration with one seed \(0\)"):
        compare_results(write("a.csv", rows("m", A), [again]))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(csv_files.to_csv(rows("m", A)))
    assert compare_results([folder, folder]).seeds_a.tolist() == [8]


def test_filters_and_empty_input(write):
    path = write("a.csv", rows("m", A), rows("n", A), rows("m", A, protocol="paper"), rows("n", A, protocol="paper"))
    assert set(compare_results(path, protocol="paper").protocol) == {"paper"}
    with pytest.raises(NmbenchError, match="no rows with task 'made_upp'; did you mean 'made_up'"):
        compare_results(path, task="made_upp")
    with pytest.raises(NmbenchError, match="no rows with protocol 'papr'; did you mean 'paper'"):
        compare_results(path, protocol="papr")
    both = write("b.csv", rows("m", A), rows("m", A, task="other", protocol="paper"))
    with pytest.raises(NmbenchError, match="no rows in .*b.csv with this task and protocol"):
        compare_results(both, task="made_up", protocol="paper")
    with pytest.raises(NmbenchError, match="name at least one"):
        compare_results([])
    with pytest.raises(NmbenchError, match="no such file"):
        compare_results("missing.csv")
    with pytest.raises(NmbenchError, match="no rows in"):
        compare_results(write("c.csv", []))


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("value", -1e200, "1e+150"),
        ("floor", 1e300, "1e+150"),
        ("seed", 2**63, "4.61e+18"),
        ("params_target", 10**400, "4.61e+18"),
    ],
)
def test_numbers_too_large_to_compare_are_refused(write, field, value, limit):
    path = write("a.csv", [make_row(**{"model": "m", field: value, "run_id": "m.made_up.matched.s0.0123456789ab"})])
    with pytest.raises(
        NmbenchError, match=re.escape(f"m.made_up.matched.s0.0123456789ab has a {field} beyond +-{limit}, which")
    ):
        compare_results(path)


def test_large_numbers_and_deep_configurations_are_compared(write):
    deep = '{"a":' + "[" * 300 + "%d" + "]" * 300 + ',"seed":%d}'
    big = [1e150, -1e150, 3.0, 1e-320]
    base = write("a.csv", [make_row("m", s, v, config_json=deep % (1, s)) for s, v in enumerate(big)])
    new = write("b.csv", [make_row("m", s, -v, config_json=deep % (2, s)) for s, v in enumerate(big)])
    frame = compare_results([base, new])
    assert verdicts(frame) == {"m": "cannot tell"} and frame.changed[0].startswith("a.0.0.0")
    assert np.isfinite(frame[["low", "high", "p"]].to_numpy()).all()


def test_too_many_pairs_are_refused(write):
    path = write("a.csv", [make_row(f"m{i}", 0, 1.0) for i in range(202)])
    with pytest.raises(NmbenchError, match="20301 pairs of models, 20000 at most; choose some with --task"):
        compare_results(path)


def test_results_do_not_depend_on_other_rows_of_the_files(write):
    random = np.random.RandomState(0)
    a, b, c = random.rand(3, 20).tolist()
    base, new = write("a.csv", rows("m", a)), write("b.csv", rows("m", b))
    frame = compare_results([base, new])
    pandas.testing.assert_frame_equal(frame, compare_results([base, new]))
    wide = compare_results([write("c.csv", rows("k", c), rows("m", a)), write("d.csv", rows("k", a), rows("m", b))])
    computed = ["effect", "low", "high", "p", "improvement"]
    assert wide.set_index("model_a").loc["m", computed].tolist() == frame.loc[0, computed].tolist()
    assert frame.low[0] < frame.effect[0] < frame.high[0]


def test_tables_equal_literal_text(write, tmp_path):
    base, new = write("a.csv", rows("m", A), rows("gone", A)), write("b.csv", rows("m", [v + 1 for v in A]))
    frame = compare_results([base, new])
    text = report.render(frame, "terminal").replace(str(tmp_path), "")
    title, table = text.split("\n\n")[:2]
    assert title == "made_up, protocol matched, budget 500: mse (lower is better); A = /a.csv, B = /b.csv"
    lines = [line.split() for line in table.splitlines()]
    assert lines[2] == ["gone", "8", "1.438", "only", "in", "A"]
    assert lines[3] == ["m", "8", "8", "1.438", "2.438", "1.719", "1.412", "..", "2.092", "1.554e-04", "0.00", "worse"]
    assert report.render(frame, "markdown").startswith("## made\\_up, protocol matched, budget 500")
    latex = report.render(frame, "latex")
    assert "\\toprule" in latex and "\\caption{made\\_up, protocol" in latex and latex.count("\\begin{table}") == 1
    assert "95\\%" in latex
    text = report.render(frame, "csv")
    lines = text.splitlines()
    assert lines[0] == ",".join(COLUMNS) and len(lines) == 3
    assert float(lines[2].split(",")[list(COLUMNS).index("p")]) == frame.p[1]


@pytest.mark.parametrize(
    ("form", "escaped"),
    [("markdown", "&#60;b&#62;&#124;\\_%\\$"), ("latex", r"\ensuremath{<}b\ensuremath{>}\ensuremath{|}\_\%\$")],
)
def test_names_are_escaped(write, form, escaped):
    name = "<b>|_%$"
    frame = compare_results(
        write("a.csv", *([r | {"run_id": f"r{n}.{r['seed']}"} for r in rows(m, A)] for n, m in enumerate([name, "plain"])))
    )
    text = report.render(frame, form)
    assert escaped in text and name not in text


def test_seeds_of_a_model_trained_elsewhere_are_one_experiment(write):
    """Each configuration contains a hash of predictions, which differs between seeds."""
    files = []
    for name, shift in (("a.csv", 0.0), ("b.csv", 1.0)):
        made = rows("mine", [v + shift for v in A])
        for row in made:
            config = {"model": "mine", "seed": row["seed"], "predictions_sha256": f"{name}{row['seed']}"}
            row["config_json"] = schema.canonical_json(config)
        files.append(write(name, made))
    frame = compare_results(files)
    assert (frame.seeds_a.tolist(), frame.seeds_b.tolist(), frame.verdict.tolist()) == ([8], [8], ["worse"])
