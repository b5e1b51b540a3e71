"""Ranking tables: literal numbers from literal rows."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

from nmbench.results import ranking, schema
from nmbench.results.statistics import Estimate
from nmbench.support.errors import NmbenchError
from support.rows import diverged, make_row, tables_of

A = [1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875]


def rows(model, values, task="made_up", first=0, **changes):
    names = {"run_id": lambda s: f"{model}.{task}.s{s}"}
    return [
        make_row(model, s, v, task=task, run_id=names["run_id"](s), **changes) for s, v in enumerate(values, start=first)
    ]


def entries(*files):
    (table,) = tables_of(*files)
    return table, {entry.label: entry for entry in table.entries}


def test_an_interval_of_a_percentage_ends_at_the_perfect_answer():
    percent = {"metric": "percent", "higher_is_better": True, "floor": 10.0, "ceiling": 100.0}
    _, by = entries(rows("a", [60.0, 100.0, 100.0, 100.0, 100.0, 100.0], **percent))
    theirs = scipy.stats.ttest_1samp([60.0, *[100.0] * 5], 0.0).confidence_interval()
    assert theirs.high > 100.0 and (by["a"].mean.low, by["a"].mean.high) == (pytest.approx(theirs.low), 100.0)


def test_an_entry_by_hand():
    table, by = entries(rows("b", [v + 0.5 for v in A]) + rows("a", A))
    assert dataclasses.replace(table, entries=()) == ranking.Table(
        task="made_up",
        task_version=1,
        protocol="matched",
        budget=500,
        metric="mse",
        higher_is_better=False,
        floor=4.0,
        ceiling=0.0,
        threshold=None,
        n_test=10,
        testset_sha256="a" * 64,
        logarithmic=True,
        least_p=2 / 12870,
        metrics=("exact_match",),
        entries=(),
    )
    assert [(e.rank, e.group, e.label) for e in table.entries] == [(1, "a", "a"), (2, "b", "b")]
    a = by["a"]
    assert (a.model, a.reference, a.tied, a.params, a.deviation, a.lost) == ("a", False, (), 497, -0.006, 0)
    assert a.sample.seeds.tolist() == list(range(8)) and a.sample.values.tolist() == A
    # The interval of the median of eight seeds contains all of them. Scores are 100 (1 - value / 4).
    assert a.median == Estimate(1.4375, 1.0, 1.875) and a.score == Estimate(64.0625, 53.125, 75.0)
    theirs = scipy.stats.ttest_1samp(np.log10(A), 0.0).confidence_interval()
    expected = np.prod(A) ** (1 / 8), 10**theirs.low, 10**theirs.high
    assert (a.mean.value, a.mean.low, a.mean.high) == pytest.approx(expected)
    assert (a.last, a.others, a.train_s, a.learning_rate, a.tuning_trials) == (1.9375, {"exact_match": 0.5}, 2.0, 0.01, 0)
    assert (a.solved, a.success) == (None, None)
    # Of 64 pairs of seeds, b is better in 3 + 2 + 1 and ties in 4.
    assert (a.beats_next, by["b"].beats_next) == (56 / 64, None)
    assert a.run_ids == tuple(f"a.made_up.s{s}" for s in range(8))
    assert "seed" not in json.loads(a.config) and json.loads(a.config)["model"] == "a"


def test_higher_is_better_reverses_the_order():
    up = {"higher_is_better": True, "floor": 0.0, "ceiling": 2.0}
    table, by = entries(rows("low", [v - 1 for v in A], **up) + rows("high", A, **up))
    assert [(e.rank, e.label) for e in table.entries] == [(1, "high"), (2, "low")]
    assert by["high"].score.value == 71.875
    assert not table.logarithmic and by["high"].mean.value == 1.4375


def test_models_that_cannot_be_told_apart_share_a_rank():
    table, by = entries(rows("b", A[::-1]) + rows("a", A) + rows("c", [v + 2 for v in A]))
    assert [(e.rank, e.group, e.tied) for e in table.entries] == [(1, "a", ("b",)), (1, "a", ("a",)), (3, "b", ())]
    # a and b have the same values; all seeds of c are worse. The smallest p, 2 / 12870, would be multiplied by 3.
    assert table.least_p == pytest.approx(6 / 12870)
    assert by["a"].median == by["b"].median


def test_equal_seeds_have_collapsed_intervals_and_tie():
    table, by = entries(rows("x", [1.0] * 5) + rows("y", [1.0] * 5))
    assert by["x"].median == Estimate(1.0, 1.0, 1.0, covers=False) and by["x"].mean == Estimate(1.0, 1.0, 1.0)
    assert by["x"].score == Estimate(75.0, 75.0, 75.0, covers=False)
    assert [(e.label, e.rank, e.group) for e in table.entries] == [("x", 1, "a"), ("y", 1, "a")]


def test_one_seed_has_no_interval_and_no_rank():
    table, by = entries(rows("a", [1.0]) + rows("b", [3.0]))
    assert table.least_p is None
    assert [(e.label, e.rank, e.group, e.tied) for e in table.entries] == [("a", None, "", ()), ("b", None, "", ())]
    assert by["a"].median == by["a"].mean == Estimate(1.0, None, None) and by["b"].score == Estimate(25.0, None, None)


def test_a_model_with_one_seed_does_not_change_the_ranks_of_others():
    """Four seeds give p = 2 / 70 at least; two more comparisons would make that 6 / 70."""
    table, _ = entries(rows("a", A[:4]) + rows("b", [v + 1 for v in A[:4]]) + rows("one", [3.0]))
    assert table.least_p == pytest.approx(2 / 70)
    assert [(e.label, e.rank, e.tied) for e in table.entries] == [
        ("a", 1, ()),
        ("b", 2, ()),
        ("one", None, ()),
    ]


def test_ranks_use_all_seeds_whatever_their_numbers():
    table, by = entries(rows("a", A[:2]) + rows("b", [v + 1 for v in A], first=2))
    # One of C(10, 2) = 45 divisions is as extreme.
    assert table.least_p == pytest.approx(2 / 45) and (by["a"].rank, by["b"].rank) == (1, 2)
    assert by["b"].sample.seeds.tolist() == list(range(2, 10)) and by["b"].median.value == 2.4375


def test_lost_seeds_count_as_the_floor():
    lost = [diverged(model="a", seed=1), diverged(model="a", seed=2, status="timeout")]
    _, by = entries([make_row("a", 0, 1.0), *lost])
    a = by["a"]
    assert (a.lost, a.median.value, a.score.value) == (2, 4.0, 0.0)
    assert a.mean.value == pytest.approx(16 ** (1 / 3))
    assert (a.last, a.others) == (1.5, {"exact_match": 0.5}) and a.sample.lost.tolist() == [False, True, True]
    _, by = entries([diverged(model="a", seed=s) for s in range(3)])
    assert by["a"].median == Estimate(4.0, 4.0, 4.0, covers=False) and (by["a"].last, by["a"].others) == (None, {})


def test_each_configuration_of_a_model_has_an_entry():
    small, large = rows("m", A), rows("m", [v + 1 for v in A])
    for row in large:
        row["config_json"] = schema.canonical_json(json.loads(row["config_json"]) | {"hparams": {"N": 9}})
    table, _ = entries(small + large)
    assert [(e.label, e.model, e.rank) for e in table.entries] == [("m [N=5]", "m", 1), ("m [N=9]", "m", 2)]


def test_external_rows_may_lack_training_columns():
    blank = dict.fromkeys([c.name for c in schema.COLUMNS if c.training] + ["last_value", "params_target", "params_dev"])
    made = [schema.check_row(row | blank, "x") for row in rows("mine", A[:2], protocol="external")]
    table, by = entries(made)
    mine = by["mine"]
    assert (table.protocol, table.budget, mine.params, mine.deviation) == ("external", None, 497, None)
    assert (mine.learning_rate, mine.tuning_trials, mine.train_s, mine.last) == (None, None, None, None)


def test_references_are_placed_by_their_value(toy_task):
    frozen = toy_task.frozen("test")
    zero = float((frozen.arrays["targets"].astype(float) ** 2).mean())
    facts = {"task": "toy", "testset_sha256": frozen.sha256, "n_test": 12, "floor": 1.0}
    better, worse = (
        [make_row("good", s, v, **facts) for s, v in enumerate([0.05, 0.1])],
        [make_row("bad", 0, 2 * zero, **facts)],
    )
    table, by = entries(better + worse)
    assert [e.label for e in table.entries] == ["good", "zero", "bad"] and table.threshold == 0.1
    reference = by["zero"]
    assert (reference.reference, reference.rank, reference.sample, reference.group) == (True, None, None, "")
    assert reference.median.value == pytest.approx(zero) and reference.median.low is None
    assert (by["good"].solved, by["bad"].solved, reference.solved) == (2, 0, None)
    # Wilson's lower limit for two of two seeds, by hand: 1 / (1 + z**2 / 2).
    assert by["good"].success.low == pytest.approx(1 / (1 + 1.959964**2 / 2), abs=1e-6) and by["good"].success.high == 1.0
    # The references and the threshold do not apply to rows of another test set.
    table, _ = entries([row | {"testset_sha256": "b" * 64} for row in better])
    assert [e.label for e in table.entries] == ["good"] and table.threshold is None


@pytest.mark.parametrize(("field", "value"), [("testset_sha256", "b" * 64), ("task_version", 2), ("floor", 5.0)])
def test_rows_that_were_evaluated_differently_are_refused(field, value):
    mine, other = rows("a", A), rows("b", A, **{field: value})
    with pytest.raises(NmbenchError, match=f"1.csv: b.made_up.s0 has {field} {value}"):
        tables_of(mine + other)
    with pytest.raises(NmbenchError, match=f"2.csv: b.made_up.s0 has {field} {value}, but a.made_up.s0 in 1.csv has"):
        tables_of(mine, other)


def test_the_last_file_counts_for_a_run_in_several_files():
    _, by = entries(rows("a", A[:4]), rows("a", [9.0, 9.5], first=3, **{"metrics.more": 1.0}))
    a = by["a"]
    assert a.sample.seeds.tolist() == [0, 1, 2, 3, 4] and a.sample.values.tolist() == [1.0, 1.125, 1.25, 9.0, 9.5]
    assert a.run_ids == tuple(f"a.made_up.s{s}" for s in range(5)) and a.others["more"] == 1.0
    assert tables_of(rows("a", A), rows("a", A)) != [] and len(entries(rows("a", A), rows("a", A))[1]["a"].run_ids) == 8


def test_tables_come_in_order_and_the_same_rows_give_the_same_tables():
    made = rows("a", A, task="z") + rows("a", A, params_target=1000) + rows("a", A) + rows("a", A, protocol="paper")
    tables = tables_of(made)
    keys = [(t.task, t.protocol, t.budget) for t in tables]
    assert keys == [
        ("made_up", "matched", 500),
        ("made_up", "matched", 1000),
        ("made_up", "paper", 500),
        ("z", "matched", 500),
    ]
    alone = tables_of(rows("a", A))[0].entries[0]
    again = tables_of(made[::-1])[0].entries[0]
    assert (alone.median, alone.mean, alone.score) == (again.median, again.mean, again.score)


def test_too_many_entries_are_refused(monkeypatch):
    monkeypatch.setattr(ranking, "MOST_ENTRIES", 2)
    with pytest.raises(NmbenchError, match="3 models and configurations of made_up, protocol matched: at most 2"):
        tables_of([row for m in "abc" for row in rows(m, A[:1])])


def test_numbers_have_plain_python_types():
    (table,) = tables_of(rows("a", A) + rows("b", A))
    for entry in table.entries:
        plain = dataclasses.asdict(dataclasses.replace(entry, sample=None))
        assert not any(
            isinstance(v, np.generic)
            for v in [*plain.values(), *(v for name in ("median", "mean", "score") for v in plain[name].values())]
        )
        json.dumps(plain)
