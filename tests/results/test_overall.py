"""Overall rankings: literal numbers from literal rows."""

import pytest

from nmbench.results.overall import overall_rankings
from nmbench.results.statistics import Estimate
from support.rows import make_row, tables_of

A = [1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875]


def rows(model, values, task="made_up", first=0, **changes):
    names = {"run_id": lambda s: f"{model}.{task}.s{s}"}
    return [
        make_row(model, s, v, task=task, run_id=names["run_id"](s), **changes) for s, v in enumerate(values, start=first)
    ]


def test_an_overall_ranking_by_hand():
    # Four seeds of one task cannot distinguish a from b (p = 2 / 16); eight differences in two tasks can (2 / 256).
    made = [row for task in ("t1", "t2") for row in rows("a", A[:4], task) + rows("b", [v + 1 for v in A[:4]], task)]
    assert {e.rank for table in tables_of(made) for e in table.entries} == {1}
    (overall,) = overall_rankings(tables_of(made))
    assert (overall.protocol, [t.task for t in overall.tables]) == ("matched", ["t1", "t2"])
    assert [(e.label, e.rank, e.group, e.tied, e.seeds) for e in overall.entries] == [
        ("a", 1, "a", (), (4, 4)),
        ("b", 2, "b", (), (4, 4)),
    ]
    a, b = overall.entries
    assert a.score.value == 70.3125 and a.scores == (70.3125, 70.3125)  # mean of A[:4] is 1.1875
    assert b.score.value == 45.3125 and b.score.low < 45.3125 < b.score.high
    # Seeds are resampled within tables, so the interval is that of one table divided by sqrt(2).
    alone = tables_of(made)[0].entries[0].score
    assert (a.score.high - a.score.low) / (alone.high - alone.low) == pytest.approx(2**-0.5, abs=0.1)
    assert (overall.left_out, overall.unused) == ({}, ())


def test_tasks_have_equal_weight_whatever_their_number_of_budgets():
    made = rows("a", [4.0] * 2, "t1") + rows("a", [0.0] * 2, "t2") + rows("a", [0.0] * 2, "t2", params_target=900)
    made += [row | {"model": "b", "run_id": f"b{i}"} for i, row in enumerate(made)]
    (overall,) = overall_rankings(tables_of(made))
    assert [e.score for e in overall.entries] == [Estimate(50.0, 50.0, 50.0)] * 2
    assert [e.scores for e in overall.entries] == [(0.0, 100.0, 100.0)] * 2


def test_models_and_tables_that_are_left_out_are_named():
    made = [row for m in "abc" for task in ("t1", "t2") for row in rows(m, A, task)]
    made += rows("partial", A, "t1") + rows("a", A, "t3")
    (overall,) = overall_rankings(tables_of(made))
    assert [e.label for e in overall.entries] == ["a", "b", "c"]
    assert overall.left_out == {"partial": (("t2", 500),)} and overall.unused == (("t3", 500),)
    assert overall_rankings(tables_of(rows("a", A, "t1") + rows("b", A, "t1"))) == []
    assert overall_rankings(tables_of(rows("a", A, "t1") + rows("a", A, "t2"))) == []


def test_models_without_shared_seeds_cannot_be_told_apart():
    made = [row for task in ("t1", "t2") for row in rows("a", A, task) + rows("b", [v + 1 for v in A], task, first=100)]
    (overall,) = overall_rankings(tables_of(made))
    assert [(e.label, e.rank, e.tied) for e in overall.entries] == [("a", 1, ("b",)), ("b", 1, ("a",))]
    single = [row for task in ("t1", "t2") for m in "ab" for row in rows(m, [1.0], task)]
    assert [e.score for e in overall_rankings(tables_of(single))[0].entries] == [Estimate(75.0, None, None)] * 2
