"""Overall rankings: literal numbers from literal rows."""

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
    # Three seeds of one task cannot distinguish a from b (p = 2 / 20); those of two tasks can (2 / 400).
    made = [row for task in ("t1", "t2") for row in rows("a", A[:3], task) + rows("b", [v + 1 for v in A[:3]], task)]
    assert {e.rank for table in tables_of(made) for e in table.entries} == {1}
    (overall,) = overall_rankings(tables_of(made))
    assert (overall.protocol, [t.task for t in overall.tables]) == ("matched", ["t1", "t2"])
    assert [(e.label, e.rank, e.group, e.tied, e.seeds) for e in overall.entries] == [
        ("a", 1, "a", (), (3, 3)),
        ("b", 2, "b", (), (3, 3)),
    ]
    a, b = overall.entries
    # The medians are 1.125 and 2.125; the score is 100 (1 - median / 4). Three seeds are too few for an interval.
    assert (a.score, a.scores) == (Estimate(71.875, None, None), (71.875, 71.875))
    assert (b.score, b.scores) == (Estimate(46.875, None, None), (46.875, 46.875))
    assert (overall.left_out, overall.unused) == ({}, ())


def test_scores_of_six_or_more_seeds_have_intervals():
    """Scores of the seeds are 53.125 .. 75; the interval of the median of one task reaches from the worst to the best."""
    made = [row for task in ("t1", "t2") for m in "ab" for row in rows(m, A, task)]
    (overall,) = overall_rankings(tables_of(made))
    score = overall.entries[0].score
    assert 53.125 < score.low < 62 and score.value == 64.0625 and 66 < score.high < 75.0
    fewer = [row for row in made if row["task"] == "t1" or row["seed"] < 5]
    assert overall_rankings(tables_of(fewer))[0].entries[0].score.low is None


def test_tasks_have_equal_weight_whatever_their_number_of_budgets():
    made = rows("a", [4.0] * 6, "t1") + rows("a", [0.0] * 6, "t2") + rows("a", [0.0] * 6, "t2", params_target=900)
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


def test_seeds_of_other_numbers_are_compared_and_single_seeds_are_not():
    made = [row for task in ("t1", "t2") for row in rows("a", A, task) + rows("b", [v + 1 for v in A], task, first=100)]
    (overall,) = overall_rankings(tables_of(made))
    assert [(e.label, e.rank, e.tied) for e in overall.entries] == [("a", 1, ()), ("b", 2, ())]
    single = [row for task in ("t1", "t2") for m in "ab" for row in rows(m, [1.0], task)]
    assert overall_rankings(tables_of(single)) == []
    (with_single,) = overall_rankings(
        tables_of(made + [row for t in ("t1", "t2") for row in rows("c", [1.0] * (t == "t1") or A, t)])
    )
    assert [e.label for e in with_single.entries] == ["a", "b"] and with_single.left_out == {"c": (("t1", 500),)}
