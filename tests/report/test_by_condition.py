"""The figures of a metric by condition on the leaderboard page."""

import json

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.report.page import by_condition
from support.rows import make_row, tables_of


def test_conditions_are_ordered_by_number():
    def found(*texts):
        made = [make_row("rnn", i, run_id=f"r{i}", conditions_json=text) for i, text in enumerate(texts)]
        (table,) = tables_of(made)
        return by_condition.conditions(table, {row["run_id"]: row for row in made})

    (by,) = found('{"mse":{"10":1,"9":3.0}}', '{"mse":{"10":3.0,"9":5.0}}')
    assert (by.metric, by.what, by.names) == ("mse", "condition", [9.0, 10.0])
    np.testing.assert_array_equal(by.medians["rnn"], [4.0, 2.0])
    assert [by.names for by in found('{"other":{"pro":1.0,"anti":2.0}}')] == [["pro", "anti"]]
    assert found('{"mse":{"1":1.0}}') == [] and found("{}") == []
    # A word and a number: one figure for each word.
    grouped = found('{"mse":{"motion 0.15":1.0,"motion -0.3":2.0,"colour 0.3":4.0,"colour -0.3":3.0,"colour 0.15":5.0}}')
    assert [(by.group, by.names, by.medians["rnn"].tolist()) for by in grouped] == [
        ("motion", [-0.3, 0.15], [2.0, 1.0]),
        ("colour", [-0.3, 0.15, 0.3], [3.0, 5.0, 4.0]),
    ]
    assert grouped[0].title == "mse by condition (motion)"
    assert [by.names for by in found('{"mse":{"motion 0.15":1.0,"motion":2.0}}')] == [["motion 0.15", "motion"]]


def test_a_task_with_two_conditions_has_both_and_one_metric_for_each():
    """Flip-flop has two metrics by held time; context integration has the relevant and the irrelevant stream."""

    def shown(task):
        registered = TASKS.get(task)
        arrays = registered.frozen("test").arrays
        answer = next(iter(registered.references.values()))(arrays)
        judged = registered.evaluate(answer, arrays)
        facts = {"task": task, "metric": registered.primary.name, "conditions_json": json.dumps(judged["conditions"])}
        made = [make_row("rnn", i, run_id=f"r{i}", **facts) for i in range(2)]
        (table,) = tables_of(made)
        return [(by.title, len(by.names)) for by in by_condition.conditions(table, {row["run_id"]: row for row in made})]

    assert shown("flip_flop") == [("mse by steps since the last pulse", 15)]
    of = "accuracy by relevant coherence", "error_incongruent by irrelevant coherence"
    assert shown("context_integration") == [
        (f"{title} ({stream})", n) for title, n in zip(of, (6, 10), strict=True) for stream in ("colour", "motion")
    ]
