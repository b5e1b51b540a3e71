"""The leaderboard: literal tables from literal rows."""

import json

import pytest

from nmbench.errors import NmbenchError
from nmbench.report import leaderboard
from nmbench.results import schema
from support.rows import diverged, make_row


def board(rows):
    (table,) = leaderboard.boards(rows)
    return table, {line[1]: dict(zip(table.columns, line, strict=True)) for line in table.lines}


def test_cells_are_summarised_and_ranked():
    rows = [make_row("b", s, v) for s, v in enumerate([1.0, 3.0, 2.0])]
    rows += [make_row("a", s, v) for s, v in enumerate([0.5, 0.25])]
    table, lines = board(rows)
    assert [line[:2] for line in table.lines] == [["1", "a"], ["2", "b"]]
    assert lines["b"]["mse median"] == "2"
    assert lines["b"]["quartiles"] == "1.5 .. 2.5"
    assert (lines["b"]["best"], lines["b"]["worst"]) == ("1", "3")
    assert lines["b"]["score"] == "50.0"
    assert lines["b"]["params"] == "497 (-0.6%)"
    assert lines["b"]["seeds"] == "3"
    assert lines["b"]["last step"] == "2.5"
    assert lines["b"]["exact_match median"] == "0.5"
    assert lines["a"]["mse median"] == "0.375"


def test_higher_is_better_turns_the_order():
    up = {"higher_is_better": True, "floor": 0.1, "ceiling": 1.0, "score": 50.0}
    table, lines = board([make_row("a", 0, 0.2, **up), make_row("b", 0, 0.9, **up), make_row("b", 1, 0.7, **up)])
    assert [line[1] for line in table.lines] == ["b", "a"]
    assert (lines["b"]["best"], lines["b"]["worst"]) == ("0.9", "0.7")


def test_diverged_seeds_count_as_the_floor_and_are_shown():
    table, lines = board([make_row("a", 0, 1.0), diverged(model="a", seed=1), diverged(model="a", seed=2)])
    assert lines["a"]["seeds"] == "3 (2 diverged)"
    assert lines["a"]["mse median"] == "4"
    assert lines["a"]["last step"] == "1.5"
    assert any("Diverged" in note for note in table.notes)


def test_variants_of_a_model_are_told_apart():
    other = json.loads(make_row()["config_json"]) | {"hparams": {"N": 9}}
    rows = [make_row("a", 0, 1.0), make_row("a", 1, 2.0, config_json=schema.canonical_json(other | {"model": "a"}))]
    rows[0]["config_json"] = schema.canonical_json(json.loads(rows[0]["config_json"]) | {"model": "a"})
    assert [line[1] for line in board(rows)[0].lines] == ["a [N=5]", "a [N=9]"]


def test_budgets_protocols_and_tasks_have_tables_of_their_own():
    rows = [make_row(), make_row(protocol="paper", params_target=None, params_dev=None), make_row(params_target=1000)]
    titles = [b.title for b in leaderboard.boards(rows)]
    assert titles == [
        "made_up v1, protocol matched, budget 500",
        "made_up v1, protocol matched, budget 1000",
        "made_up v1, protocol paper, given sizes",
    ]


@pytest.mark.parametrize("changes", [{"testset_sha256": "b" * 64}, {"task_version": 2}])
def test_rows_of_different_test_sets_do_not_share_a_table(changes):
    with pytest.raises(NmbenchError, match="come from different test sets"):
        leaderboard.boards([make_row(), make_row("other", **changes)])


def test_reference_rows_are_computed_on_the_frozen_set(toy_task):
    frozen = toy_task.frozen("test")
    row = make_row(task="toy", testset_sha256=frozen.sha256, n_test=12, floor=1.0, score=0.0)
    _, lines = board([row])
    zero = (frozen.arrays["targets"].astype(float) ** 2).mean()
    assert lines["(zero)"]["mse median"] == leaderboard.number(zero)
    assert lines["(zero)"]["rank"] == ""
    assert lines["nmrnn"]["<= 0.1"] == "0/1"


def test_many_metrics_get_a_table_of_their_own():
    rows = [make_row("a", s, 1.0, **{"metrics.other": float(s)}) for s in range(3)] + [make_row("b", 0, 2.0)]
    (table,) = leaderboard.boards(rows)
    assert not any("exact_match" in column for column in table.columns)
    assert table.more_columns == ["model", "exact_match", "other"]
    assert table.more_lines == [["a", "0.5", "1"], ["b", "0.5", ""]]
    text = leaderboard.render([table], "markdown")
    assert "Medians of the other metrics:" in text and text.count("\n|---") + text.count("\n|-") >= 2


def test_markdown_escapes_names():
    text = leaderboard.render(leaderboard.boards([make_row("<script>|*x*", run_id="r")]), "markdown")
    assert "<script>" not in text and "|*x*" not in text and "&#60;script&#62;&#124;\\*x\\*" in text


def test_numbers_have_four_digits():
    shown = [leaderboard.number(v) for v in (0.0, 12.3456, 36.66667, 0.00123456, 1e-7, 123456.0)]
    assert shown == ["0", "12.35", "36.67", "0.001235", "1.000e-07", "1.235e+05"]
