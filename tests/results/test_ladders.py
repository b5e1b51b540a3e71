"""Ladders of budgets: the smallest budget that reaches the threshold, in tables, CSV, page and picture."""

import csv
import dataclasses
import io
import json

import pytest
from matplotlib.figure import Figure

from nmbench.experiments.row_commands import RowCommands
from nmbench.report import ladder_figures, leaderboard
from nmbench.report.ladder_text import reached_at
from nmbench.report.model_styles import Style
from nmbench.report.page import sections
from nmbench.results import schema, verification
from nmbench.results.ladders import ladders
from nmbench.results.overall import overall_rankings
from support.rows import diverged, make_row, tables_of


@pytest.fixture
def row(toy_task):
    """A row of the toy task, whose threshold is mse <= 0.1."""

    def make(model, budget, seed, value, **changes):
        facts = {"task": "toy", "testset_sha256": toy_task.frozen("test").sha256, "floor": 1.0}
        facts |= {"params_target": budget, "params_actual": budget + 3, "run_id": f"{model}{budget}s{seed}"}
        return (diverged if value is None else make_row)(
            **{"model": model, "seed": seed, **({} if value is None else {"value": value}), **facts, **changes}
        )

    return make


@pytest.fixture
def made(row):
    """Rows of four models.

    up reaches the threshold at 500, back at 250 but not at 1000; never has no run at 500; one seed of lost diverged.
    """
    values = {
        "up": {250: [0.5, 0.5, 0.05], 500: [0.1, 0.1, 0.5], 1000: [0.01, 0.01, 0.01]},
        "back": {250: [0.05] * 3, 500: [0.05] * 3, 1000: [0.2] * 3},
        "never": {250: [0.9] * 3, 1000: [0.5, 0.5, 0.01]},
        "lost": {500: [0.02, None, 0.3], 1000: [0.02, None, 0.02]},
    }
    return [
        row(model, budget, seed, value)
        for model, budgets in values.items()
        for budget, seeds in budgets.items()
        for seed, value in enumerate(seeds)
    ]


def test_first_is_the_smallest_budget_whose_median_reaches_the_threshold(made):
    (ladder,) = ladders(tables_of(made))
    assert (ladder.task, ladder.protocol, ladder.budgets, ladder.threshold) == ("toy", "matched", (250, 500, 1000), 0.1)
    assert [(c.label, c.first, c.fell_back, c.not_run) for c in ladder.curves] == [
        ("back", 250, (1000,), ()),
        ("up", 500, (), ()),
        ("lost", 1000, (), (250,)),
        ("never", None, (), (500,)),
    ]
    assert [reached_at(c, ladder) for c in ladder.curves] == [
        "<= 250 (not at 1000)",
        "500",
        "1000 (250 not run)",
        "none (500 not run)",
    ]
    up = ladder.curves[1]
    assert [(p.budget, p.reached, p.entry.median.value, p.entry.solved, p.entry.params) for p in up.points] == [
        (250, False, 0.5, 1, 253),
        (500, True, 0.1, 2, 503),
        (1000, True, 0.01, 3, 1003),
    ]
    assert up.points[1].entry.score.value == pytest.approx(90.0)


def test_a_metric_where_higher_is_better_reaches_the_threshold_from_below(made):
    turned = [
        r | {"higher_is_better": True, "floor": -1.0, "ceiling": 0.0, "value": None if r["value"] is None else -r["value"]}
        for r in made
    ]
    tables = [dataclasses.replace(t, threshold=-0.1) for t in tables_of([r | {"task": "made_up"} for r in turned])]
    assert {c.label: c.first for c in ladders(tables)[0].curves} == {"back": 250, "up": 500, "never": None, "lost": 1000}
    # Without a threshold nothing is reached.
    bare = ladders([dataclasses.replace(t, threshold=None) for t in tables])[0]
    assert {(p.reached, c.first) for c in bare.curves for p in c.points} == {(None, None)}


def test_one_budget_or_given_sizes_are_no_ladder(row):
    assert ladders(tables_of([row("a", 250, 0, 0.5), row("b", 500, 0, 0.5)])) == []
    sizes = {"params_target": None, "params_dev": None}
    assert ladders(tables_of([row("a", 250, 0, 0.5), row("a", 500, 0, 0.5, **sizes)])) == []
    assert "reached at" not in leaderboard.of_rows([row("a", 250, 0, 0.5)])


def test_models_trained_differently_at_another_budget_are_named(row):
    def config(steps, rate, n):
        return schema.canonical_json(
            {
                "model": "a",
                "seed": 0,
                "hparams": {"N": n},
                "learning_rate": rate,
                "protocol": {"phases": [{"steps": steps, "learning_rate": rate}]},
            }
        )

    pair = lambda steps: [
        row("a", 250, 0, 0.5, config_json=config(300, 0.1, 5)),
        row("a", 500, 0, 0.05, config_json=config(steps, 0.2, 9)),
    ]
    assert ladders(tables_of(pair(300)))[0].curves[0].changed == ""
    text = leaderboard.of_rows(pair(600))
    assert "a was not trained in the same way at all budgets: protocol.phases.0.steps 300 -> 600." in text


def test_numbered_labels_are_left_out_and_named(row):
    odd = [
        row("a", budget, 0, 0.5, run_id=f"{budget}{x}", config_json=json.dumps({"seed": 0, "x": x}))
        for budget in (250, 500)
        for x in ("same beginning 1", "same beginning 2")
    ]
    (ladder,) = ladders(tables_of([*odd, row("b", 250, 0, 0.5), row("b", 500, 0, 0.5)]))
    assert [c.label for c in ladder.curves] == ["b"]
    assert ladder.left_out == ("a [x=same beg #1]", "a [x=same beg #2]")


def test_terminal_ladder_equals_literal_text(made):
    text = leaderboard.of_rows(made)
    _, _, after = text.partition("toy v1, protocol matched, budgets 250, 500, 1000: mse (lower is better)\n\n")
    heading, scores, second, medians, notes, _ = after.split("\n\n")
    assert (heading, second) == ("Score by budget:", "Median mse by budget:")
    assert scores.splitlines() == [
        "model          250          500         1000            reached at",
        "-----  -----------  -----------  -----------  --------------------",
        "back   *95.0 (3/3)  *95.0 (3/3)   80.0 (0/3)  <= 250 (not at 1000)",
        "up      50.0 (1/3)  *90.0 (2/3)  *99.0 (3/3)                   500",
        "lost                 70.0 (1/3)  *98.0 (2/3)    1000 (250 not run)",
        "never   10.0 (0/3)                50.0 (1/3)    none (500 not run)",
    ]
    assert medians.splitlines()[3].split() == ["up", "0.50", "0.10", "0.01"]
    assert notes.startswith("*: the median mse over seeds is <= 0.1, the threshold. reached at: the smallest budget")
    assert max(map(len, after.splitlines())) <= leaderboard.WIDTH


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_ladder_follows_its_tables_in_every_form(made, form):
    tables = tables_of(made)
    text = leaderboard.render(tables, [], form, wide=True, ladders=ladders(tables))
    assert text.index("budget 1000") < text.index("budgets 250, 500, 1000") and text.count("reached at") == 2
    # For a single budget there is no ladder, and the text shows none.
    alone = tables_of([r for r in made if r["params_target"] == 500])
    assert leaderboard.render(alone, [], form, ladders=ladders(alone)) == leaderboard.render(alone, [], form)


def test_csv_has_a_line_per_model_and_budget(made):
    lines = list(csv.DictReader(io.StringIO(leaderboard.render([], [], "csv", ladders=ladders(tables_of(made))))))
    shown = [(s["label"], s["budget"], s["reached"], s["first_budget"], s["fell_back"], s["not_run"]) for s in lines]
    assert shown[:2] == [("back", "250", "true", "250", "1000", ""), ("back", "500", "true", "250", "1000", "")]
    assert shown[-2:] == [("never", "250", "false", "", "", "500"), ("never", "1000", "false", "", "", "500")]
    assert len(lines) == 3 + 3 + 2 + 2 and float(lines[3]["median"]) == 0.5


def test_ladders_of_few_models_do_not_exclude_others_from_the_overall_ranking(row):
    made = [row(m, 250, s, 0.5, task=t, run_id=f"{m}{t}{s}") for m in "abc" for t in ("x", "y") for s in range(2)]
    made += [row(m, b, s, 0.1, task="x") for m in "ab" for b in (500, 1000, 2000) for s in range(2)]
    (overall,) = overall_rankings(tables_of(made))
    assert [e.label for e in overall.entries] == ["a", "b", "c"]
    assert overall.left_out == {} and overall.unused == (("x", 500), ("x", 1000), ("x", 2000))


@pytest.mark.slow
def test_the_page_draws_the_ladder_and_has_its_table(made):
    rows = {r["run_id"]: r for r in made}
    tables = tables_of(made)
    styles = {label: Style(f"#00010{i}", "osD^"[i]) for i, label in enumerate(["back", "up", "lost", "never"])}
    anchors = {id(e): "e" for t in tables for e in t.entries}
    sources = sections.Sources(rows, [], RowCommands().of, styles, anchors, verification.Verifications([]), with_tier=False)
    (group,) = sections.section("toy", tables, "here", sources)["groups"]
    ladder = group["ladder"]
    assert [p["title"] for p in ladder["plots"]] == ["Score by budget", "mse by budget"]
    assert [t["size"] for t in group["tables"]] == ["budget 250", "budget 500", "budget 1000"]
    assert "up: score 50.0" in ladder["plots"][0]["svg"] and "threshold reached at budget: 500" in ladder["plots"][0]["svg"]
    assert "Threshold: 0.1. back: median mse 0.05" in ladder["plots"][1]["svg"]
    table = ladder["table"]
    assert [h.text for h in table.headings] == ["Model", "Budget 250", "Budget 500", "Budget 1000", "Reached at"]
    assert [h.numeric for h in table.headings] == [False, True, True, True, True]
    cells = table.rows[1].cells
    assert [c.text for c in cells] == ["up", "50.0", "*90.0", "*99.0", "500"]
    assert (cells[2].small, cells[4].value, table.rows[3].cells[4].value) == ("0.10, 2/3", "500.0", "")
    assert all([p["title"] for p in t["plots"]] == ["Seeds"] for t in group["tables"])
    # Sizes that were given: no ladder, but a figure of scores by size.
    sized = [{**r, "params_target": None, "params_actual": 503 + len(r["model"])} for r in made if r["params_target"] == 500]
    alone = tables_of(sized)
    sources = dataclasses.replace(sources, anchors={id(e): "e" for t in alone for e in t.entries})
    (group,) = sections.section("toy", alone, "here", sources)["groups"]
    assert group["ladder"] is None and [p["title"] for p in group["tables"][0]["plots"]] == ["Seeds", "Score and size"]


def test_a_ring_marks_where_a_model_first_reaches_the_threshold(made):
    figure = Figure()
    (ladder,) = ladders(tables_of(made))
    axis = figure.subplots()
    styles = {c.label: Style(f"#11111{i}", "s") for i, c in enumerate(ladder.curves)}
    ladder_figures.draw_medians(axis, ladder, styles)
    rings = [line for line in axis.lines if line.get_marker() == "o"]
    found = [(r.get_color(), float(r.get_xdata()[0]), float(r.get_ydata()[0])) for r in rings]
    assert [(x, y) for _, x, y in found] == [(253, 0.05), (503, 0.1), (1003, 0.02)]
    assert [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--"][-1] == 0.1


def test_a_picture_is_written_without_a_date(made, tmp_path):
    path = tmp_path / "l.svg"
    ladder_figures.write_picture(path, ladders(tables_of(made)))
    text = path.read_text()
    assert "<svg" in text and "<dc:date>" not in text and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["l.svg"]
