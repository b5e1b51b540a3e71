"""The leaderboard as text: literal tables, escaping."""

import csv
import io
import re

import pytest

from nmbench.report import leaderboard, leaderboard_csv
from nmbench.results.overall import overall_rankings
from support.rows import diverged, make_row, tables_of, tuned

A = [1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875]


def rows(model, values, task="made_up", **changes):
    return [make_row(model, s, v, task=task, run_id=f"r{s}", **changes) for s, v in enumerate(values)]


def render(made, form, wide=False):
    tables = tables_of(made)
    return leaderboard.render(tables, overall_rankings(tables), form, wide)


def test_terminal_table_equals_literal_text():
    text = render(rows("b", [3.0] * 8) + rows("a", [1.0] * 7) + [diverged(model="a", seed=7)], "terminal")
    title, table, heading, metrics, notes, legend = text.split("\n\n")
    assert title == "made_up v1, protocol matched, budget 500: mse (lower is better)"
    # One lost seed counts as 4. The interval of the median of eight seeds reaches from the smallest to the largest.
    assert table.splitlines() == [
        "rank  model  group       params       seeds  median  95%     score  beats next  s/seed",
        "----  -----  -----  -----------  ----------  ------  ------  -----  ----------  ------",
        "   1  a      a      497 (-0.6%)  8 (1 lost)       1  1 .. 4   75.0        0.88     2.0",
        "   2  b      b      497 (-0.6%)           8       3  3 .. 3   25.0                 2.0",
    ]
    assert heading == "Medians of the other metrics:" and metrics.splitlines()[2].split() == ["a", "0.5"]
    assert notes.startswith(
        "10 test trials (sha256 aaaaaaaaaaaa); floor 4, ceiling 0; parameters selected on validation loss"
    )
    assert legend.startswith("rank: 1 + the number of models")


def test_wide_tables_fit_a_terminal():
    names = {f"metrics.other_metric_{i}": 0.5 for i in range(12)}
    text = render(rows("a", A, **names) + rows("b", A, **names), "terminal", wide=True)
    assert (
        "Means, extremes, learning rates" in text
        and "geometric mean" in text
        and "Medians of the other metrics, continued:" in text
    )
    tables = [line for part in text.split("\n\n") if "---" in part for line in part.splitlines()]
    assert max(map(len, tables)) <= leaderboard.WIDTH
    assert all(f"other_metric_{i}" in text for i in range(12))


def test_the_range_of_few_seeds_is_marked():
    text = render(rows("a", [1.0, 2.0, 3.0]) + rows("b", [1.5, *A]), "terminal")
    lines = {line.split()[1]: line for line in text.splitlines() if "(-0.6%)" in line}
    assert "1.000 .. 3.000 (range)" in lines["a"] and "1.125 .. 1.750 " in lines["b"] and "range" not in lines["b"]
    fields = {line["label"]: line for line in csv.DictReader(io.StringIO(render(rows("a", A[:3]) + rows("b", A), "csv")))}
    assert (fields["a"]["median_interval"], fields["b"]["median_interval"]) == ("range", "95%")
    assert fields["a"]["geometric"] == "true" and float(fields["a"]["mean"]) == pytest.approx((1.125 * 1.25) ** (1 / 3))


def test_the_mean_of_other_metrics_is_not_called_geometric():
    up = {"higher_is_better": True, "floor": 0.0, "ceiling": 10.0}
    text = render(rows("a", A, **up), "terminal", wide=True)
    # The mean of A is 1.4375, its geometric mean 1.408.
    assert "geometric" not in text and re.search(r"^a +1\.438 ", text, re.MULTILINE)
    assert re.search(r"^a +1\.408 ", render(rows("a", A), "terminal", wide=True), re.MULTILINE)


def test_few_seeds_are_mentioned():
    assert "With so few seeds of 2 models, even the largest difference" in render(
        rows("a", A[:3]) + rows("b", A[:3]), "terminal"
    )
    assert "With so few seeds" not in render(rows("a", A) + rows("b", A), "terminal")
    assert "With so few seeds" not in render(rows("a", A[:3]), "terminal")


def test_the_best_of_a_model_is_a_seed_that_finished():
    lost = {"status": "diverged", "error": "loss nan", "value": None, "score": None, "conditions_json": None}
    lost |= {"validation_loss": None, "last_value": None, "metrics.exact_match": None}
    made = rows("a", [20.0, 30.0, 10.0])  # beyond the floor, as which the lost seed counts
    made[2] |= lost
    line = next(line.split() for line in render(made, "terminal", wide=True).splitlines() if re.match(r"a +\d", line))
    assert "20" in line[1:] or "20.00" in line[1:]


def test_an_overall_table_follows_if_there_are_two_tasks():
    made = [row for task in ("t1", "t2") for m in "ab" for row in rows(m, A, task)] + rows("c", A, "t1")
    text = render(made, "terminal")
    assert "Overall, protocol matched: mean score over t1 (500), t2 (500)" in text
    assert "Not ranked, because they lack two seeds under one name on a task: c (t2 (500))." in text
    assert [line.split() for line in text.splitlines() if line.startswith("   1  a ")][-1][:5] == [
        "1",
        "a",
        "a",
        "8",
        "64.1",
    ]


def test_csv_has_no_text_that_a_spreadsheet_takes_for_a_formula():
    assert leaderboard_csv._text([{"label": "=1+1", "gap": -2.5, "name": "a=b"}]) == "label,gap,name\n'=1+1,-2.5,a=b"


def test_csv_has_a_line_per_entry_in_full_precision():
    made = rows("b", [v + 1 / 3 for v in A]) + rows("a", A) + rows("a", A, "other", params_target=None, params_dev=None)
    lines = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert [(line["task"], line["budget"], line["label"], line["rank"]) for line in lines] == [
        ("made_up", "500", "a", "1"),
        ("made_up", "500", "b", "2"),
        ("other", "", "a", "1"),
    ]
    entry = tables_of(made)[0].entries[1]
    assert float(lines[1]["median"]) == entry.median.value and float(lines[1]["score_high"]) == entry.score.high
    assert lines[1]["run_ids"].split() == [f"r{s}" for s in range(8)] and lines[1]["reference"] == "false"
    assert (lines[0]["metrics.exact_match"], lines[0]["solved"], lines[0]["lost"]) == ("0.5", "", "0")
    both = tables_of([row for task in ("t1", "t2") for m in "ab" for row in rows(m, A, task)])
    lines = list(csv.DictReader(io.StringIO(leaderboard.render([], overall_rankings(both), "csv"))))
    assert [(line["label"], line["score"], line["tasks"]) for line in lines] == [
        ("a", "64.0625", "2"),
        ("b", "64.0625", "2"),
    ]
    assert lines[0]["scores"] == "t1:500=64.0625; t2:500=64.0625"


def test_runs_that_depart_from_their_protocol_have_their_own_tables():
    made = [row for task in ("t1", "t2") for model in "ab" for row in rows(model, A, task)]
    made += rows("c", A, "t1", departures="steps 300, not 500; 64-bit floats")
    recipe = "matched (steps 300, not 500; 64-bit floats)"
    text = render(made, "terminal")
    titles = [line for line in text.splitlines() if line.startswith("t1 v1, ")]
    assert titles == [f"t1 v1, protocol {name}, budget 500: mse (lower is better)" for name in ("matched", recipe)]
    assert rf"\caption{{t1 v1, protocol {recipe}, budget 500" in render(made, "latex")
    assert r"\label{tab:t1-matched-steps-300-not-500-64-bit-floats-500}" in render(made, "latex")
    lines = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    found = [(line["task"], line["protocol"], line["label"], line["rank"]) for line in lines]
    assert found == [
        ("t1", "matched", "a", "1"),
        ("t1", "matched", "b", "1"),
        ("t1", recipe, "c", "1"),
        ("t2", "matched", "a", "1"),
        ("t2", "matched", "b", "1"),
    ]
    (overall,) = overall_rankings(tables_of(made))
    assert overall.protocol == "matched" and [entry.label for entry in overall.entries] == ["a", "b"]
    assert overall.left_out == {} and "Overall, protocol matched: mean score over" in text


def test_the_wide_table_shows_the_choice_of_the_learning_rate():
    chosen = tuned({0.003: [5.0, 6.0], 0.01: [1.0, 2.0]})
    text = render([make_row("nmrnn", s, v, **chosen) for s, v in enumerate(A)] + rows("b", A), "markdown", wide=True)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert [line[-3:] for line in cells if len(line) == 11 and not line[0].startswith("-")] == [
        ["learning rate", "tuning runs", "chosen again"],
        ["0.01", "0", ""],
        ["0.01", "4", "100%"],
    ]


NAME = r"<script>|\input{x}_&%$#^~*`[b]"


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("terminal", NAME),
        ("markdown", r"&#60;script&#62;&#124;\\input{x}\_&#38;%\$#^\~\*\`\[b\]"),
        (
            "latex",
            r"\ensuremath{<}script\ensuremath{>}\ensuremath{|}\textbackslash{}input\{x\}\_\&\%\$\#\textasciicircum{}"
            r"\textasciitilde{}*`[b]",
        ),
    ],
)
def test_names_are_escaped(form, shown):
    text = render(rows(NAME, A) + rows("b", A, **{f"metrics.{NAME}": 1.0}), form, wide=True)
    assert shown in text and (form == "terminal" or NAME not in text)
    (line,) = csv.DictReader(io.StringIO(render(rows(NAME, A), "csv")))
    assert line["label"] == NAME


def test_each_latex_table_has_its_own_environment_caption_and_label():
    made = rows("[x]", [v * 1e-5 for v in A], "a_b") + rows("*y", [v * 1e-5 for v in A], "a-b")
    text = render(made, "latex")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\toprule") == 2
    assert text.count(r"\resizebox") == text.count(r"\end{tabular}}") == 2
    assert r"\label{tab:a-b-matched-500}" in text and r"\label{tab:a-b-matched-500-2}" in text
    assert r"\caption{a\_b v1, protocol matched, budget 500: mse (lower is better). 10 test trials" in text
    assert r"1 & {}[x] & a & 497 (-0.6\%) & 8 & $1.438 \times 10^{-5}$ & [$1." in text


def test_latex_shows_intervals_of_shares(toy_task):
    facts = {"task": "toy", "testset_sha256": toy_task.frozen("test").sha256, "floor": 1.0}
    text = render([make_row("a", s, v, **facts) for s, v in enumerate([0.05, 0.5])], "latex", wide=True)
    assert r"& [9\%, 91\%] &" in text and r"& 1/2 &" in text and "mse \\ensuremath{<}= 0.1." in text
