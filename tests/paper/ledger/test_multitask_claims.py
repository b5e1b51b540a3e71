"""Claims on the multitask: percent correct before retraining, the source of the metric, and retraining."""

import numpy as np
import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger.multitask import cited_percent_correct
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.support.errors import NmbenchError
from support.claimed import line_of, make_rows

CONTEXT = "multitask"
OLD = ("delay_anti", "delay_pro", "memory_pro")


def percent(model, corrected, published, new=(50, 50), **more):
    """Multitask rows with these percentages, one of each per seed, on the old tasks; `new`: both on memory_anti."""
    rows = []
    for seed, (right, as_published) in enumerate(zip(corrected, published, strict=True)):
        by = {
            "percent_correct": {**dict.fromkeys(OLD, right), "memory_anti": new[0]},
            "percent_correct_published": {**dict.fromkeys(OLD, as_published), "memory_anti": new[1]},
        }
        others = {"percent_correct_published": as_published}
        rows += make_rows(model, CONTEXT, [right], "paper", first_seed=seed, conditions=by, others=others, **more)
    return rows


def answers(found):
    return {line.what: (line.value, line.note) for line in found.measured if line.what.startswith("(")}


def test_percent_shows_references(judge):
    """The test recomputes the references from the frozen test set with the task's metrics."""
    task = TASKS.get(CONTEXT)
    arrays = task.frozen("test").arrays
    found = judge("percent", "paper")
    assert found.verdict is Verdict.NO_DATA and len(found.commands) == 4
    assert set(answers(found)) == {f"({label})" for label in task.references} and len(task.references) >= 2
    metrics = {metric.name: metric for metric in task.metrics}
    values = {}
    for label, predict in task.references.items():
        predicted = predict(arrays)
        right, as_published = (
            np.mean(metrics[name].per_trial(predicted, arrays)) for name in ("percent_correct", "percent_correct_published")
        )
        values[label] = as_published - right
        assert answers(found)[f"({label})"] == (f"{right:.1f}", f"by the authors' code {as_published:.1f}; no training")
    assert max(values.values()) > 40  # the published metric rates a trivial answer far too high


PERCENT = {
    "alike": ([80, 82, 84], [80, 82, 84], Verdict.HOLDS),
    "a point above": ([80, 82, 84], [81, 83, 85], Verdict.HOLDS),
    "a point below": ([80, 82, 84], [79, 81, 83], Verdict.HOLDS),
    "far below": ([80, 82, 84], [50, 52, 54], Verdict.FAILS),
    "ten points off, above and below": ([80, 80, 80], [90, 70, 80], Verdict.UNDECIDED),
    "always ten points off, above or below": ([80, 80, 80], [90, 70, 90], Verdict.FAILS),
    "two points above": ([80, 82, 84], [82, 84, 86], Verdict.FAILS),
    "a point above at the mean": ([80, 80, 80], [80, 81, 82], Verdict.UNDECIDED),
    "one seed": ([80], [95], Verdict.UNDECIDED),
}


@pytest.mark.parametrize("label", PERCENT)
def test_verdicts_of_percent(judge, label):
    corrected, published, verdict = PERCENT[label]
    found = judge("percent", "paper", percent("nmrnn", corrected, published))
    assert found.verdict is verdict and found.qualifier == "not trained in full: lrrnn, rnn, lstm"
    assert len(answers(found)) == len(TASKS.get(CONTEXT).references)
    line = line_of(found, "nmrnn, memory_pro: corrected, mean")
    assert line.value == f"{np.mean(corrected):.1f}" and f"by the authors' code {np.mean(published):.1f} (" in line.note


@pytest.mark.parametrize("published", [[80, 80], [90, 90]])
def test_a_shortened_training_decides_nothing_about_percent(judge, published):
    short = percent("nmrnn", [80, 80], published, steps=6000)
    found = judge("percent", "paper", short)
    assert found.verdict is Verdict.UNDECIDED and found.qualifier.endswith("after 6000 of 200000 steps")
    # Fully trained networks decide, and the others are not used.
    found = judge("percent", "paper", percent("lstm", [80, 80], [80, 80]), short)
    assert (found.verdict, found.qualifier) == (Verdict.HOLDS, "not trained in full: nmrnn, lrrnn, rnn")
    assert not any(line.what.startswith("nmrnn") for line in found.measured) and len(found.commands) == 4


def test_percent_is_judged_on_the_old_tasks_only(judge):
    """After retraining, the metrics differ by 40 points on the new task, which is shown but has no effect."""
    found = judge("percent", "paper", percent("nmrnn", [80, 82], [80, 82], new=(10, 50)))
    assert found.verdict is Verdict.HOLDS and "on delay_anti, before retraining, mean of 2 seeds)" in found.reason
    line = line_of(found, "nmrnn, memory_anti, after retraining, not judged: corrected, mean")
    assert line.value == "10.0" and "by the authors' code 50.0" in line.note
    assert [line.what for line in found.measured if "not judged" not in line.what and line.what[0] != "("] == [
        f"nmrnn, {name}: {what}, mean" for what in ("absolute difference", "corrected") for name in OLD
    ]


def test_percent_holds_in_part_if_it_holds_for_one_model(judge):
    found = judge("percent", "paper", percent("nmrnn", [80, 80], [80, 80]), percent("lstm", [70, 70], [90, 90]))
    assert found.verdict is Verdict.PARTLY
    assert "20.0 points (20.0 .. 20.0" in found.reason and "lstm on delay_anti" in found.reason
    assert len([line for line in found.measured if "corrected, mean" in line.what]) == 2 * 4


def test_percent_ignores_lost_seeds(judge):
    """The floors of the two metrics differ by 9 points; the metrics of the finished seeds are equal."""
    lost = make_rows("nmrnn", CONTEXT, [None], "paper", first_seed=2)
    found = judge("percent", "paper", percent("nmrnn", [80, 82], [80, 82]), lost)
    assert found.verdict is Verdict.HOLDS
    line = line_of(found, "nmrnn, delay_pro: corrected, mean")
    assert line.value == "81.0" and "3 seeds (1 lost)" in line.note
    other = judge("percent", "paper", percent("lstm", [80, 82], [80, 82]), lost)
    assert other.verdict is Verdict.HOLDS and other.qualifier.startswith("no finished run: nmrnn; not trained in full: ")
    nothing = judge("percent", "paper", lost)
    assert nothing.verdict is Verdict.NO_DATA and nothing.reason == "No run of nmrnn on multitask has finished"
    assert answers(nothing)


def test_the_metric_is_not_that_of_the_cited_work(judge):
    found = judge("metric_source", "paper")
    assert (found.verdict, found.commands) == (Verdict.FAILS, ())
    values = {line.what: (line.value, line.note) for line in found.measured}
    of = lambda label: values[f"({label}): the authors' code"]
    assert of("perfect") == ("100.0", "the cited code 100.0; conditions of C.4 100.0")
    assert of("opposite angle") == ("100.0", "the cited code 0.0; conditions of C.4 0.0")
    assert of("perfect, but never fixates") == ("0.0", "the cited code 100.0; conditions of C.4 0.0")
    assert of("perfect, but fixates to the end") == ("100.0", "the cited code 0.0; conditions of C.4 100.0")
    assert "opposite angle 100.0 and 0.0" in found.reason and f"of {len(values)} answers" in found.reason


def test_the_metric_of_the_cited_work_by_hand():
    """Angles of 0.1 (the target), 0.4, 0.42 (too far away) and -0.2; the last answer does not release fixation."""
    target = np.zeros((2, 5, 3))
    target[-1, :, 1:] = np.sin(0.1), np.cos(0.1)
    angles = np.array([0.1, 0.4, 0.42, 2 * np.pi - 0.2, 0.1])
    outputs = np.stack([[0, 0, 0, 0.5, 0.51], 3 * np.sin(angles), 3 * np.cos(angles)], axis=-1)[None].repeat(2, axis=0)
    assert cited_percent_correct(outputs, target).tolist() == [100, 100, 0, 100, 0]


def retrained(model, new, old=95.0, **more):
    others = {"old_tasks": old, "old_tasks.before_retraining": 99.0, "new_task.before_retraining": 3.0}
    rows = [
        make_rows(model, CONTEXT, [50.0], first_seed=i, others={**others, "new_task": n}, **more) for i, n in enumerate(new)
    ]
    return [row for each in rows for row in each]


RETRAINING = {
    "reaches": ([90.0] * 6, Verdict.HOLDS, "in 6 of 6 seeds; the median is 90.0% (90.0 .. 90.0): most seeds do"),
    "below": ([89.9] * 6, Verdict.FAILS, "in 0 of 6 seeds; the median is 89.9% (89.9 .. 89.9): most seeds do not"),
    "either side": (
        [99.0, 99.0, 99.0, 10.0, 10.0, 10.0],
        Verdict.UNDECIDED,
        "in 3 of 6 seeds; the median is 54.5% (10.0 .. 99.0): whether most seeds do is open; more than 1000 seeds are "
        "needed to decide it",
    ),
    "nine of ten": (
        [95.0] * 9 + [10.0],
        Verdict.HOLDS,
        "in 9 of 10 seeds; the median is 95.0% (95.0 .. 95.0): most seeds do",
    ),
    "eight of ten": (
        [95.0] * 8 + [10.0] * 2,
        Verdict.UNDECIDED,
        "in 8 of 10 seeds; the median is 95.0% (10.0 .. 95.0): whether most seeds do is open; about 20 seeds "
        "are needed to decide it",
    ),
    "five seeds": (
        [95.0] * 5,
        Verdict.UNDECIDED,
        "in 5 of 5 seeds; the median is 95.0% (range 95.0 .. 95.0): whether most seeds do is open; about 6 seeds are "
        "needed to decide it",
    ),
    "one seed": (
        [99.0],
        Verdict.UNDECIDED,
        "in 1 of 1 seed; the median is 99.0% (one seed): whether most seeds do is open; about 6 seeds are "
        "needed to decide it",
    ),
}


@pytest.mark.parametrize("label", RETRAINING)
def test_verdicts_of_retraining(judge, label):
    new, verdict, reason = RETRAINING[label]
    found = judge("retraining", "matched", retrained("nmrnn", new))
    assert found.verdict is verdict and found.reason.endswith(reason), found.reason
    assert found.qualifier == "" and len(found.commands) == 4
    line = line_of(found, "nmrnn, new task: median")
    assert line.note.startswith("before retraining 3.0 (") and line.value == f"{np.median(new):.1f}"
    assert line_of(found, "nmrnn, old tasks: median").value == "95.0"


def test_rivals_of_retraining_are_shown_but_do_not_affect_the_verdict(judge):
    found = judge("retraining", "matched", retrained("nmrnn", [95.0] * 6), retrained("lstm", [20.0] * 3))
    assert found.verdict is Verdict.HOLDS
    assert line_of(found, "lstm, new task: median").interval == "20.0 .. 20.0 (range)"
    assert line_of(found, "lstm, new task: median").value == "20.0" and len(found.measured) == 6
    assert line_of(found, "lstm, new task: seeds at 90% or more")[1:3] == ("0 of 3", "0% .. 56%")
    assert judge("retraining", "matched", retrained("lstm", [95.0] * 3)).verdict is Verdict.NO_DATA


def test_rivals_do_not_lead_to_a_shorter_training_of_ours(judge):
    rows = [retrained(m, [20.0] * 6, steps=6000) for m in ("nmrnn", "lstm", "rnn")]
    found = judge("retraining", "matched", *rows)
    assert (found.verdict, len(found.measured)) == (Verdict.UNDECIDED, 9)
    assert found.qualifier.startswith("does not hold after 6000 of 60000 steps")
    found = judge("retraining", "matched", *rows, retrained("nmrnn", [95.0] * 6))
    assert (found.verdict, found.qualifier, len(found.measured)) == (Verdict.HOLDS, "", 3)


@pytest.mark.parametrize(
    ("steps", "new", "verdict"),
    [
        (6000, 20.0, Verdict.UNDECIDED),
        (6000, 95.0, Verdict.HOLDS),
        (60000, 20.0, Verdict.FAILS),
        (90000, 20.0, Verdict.FAILS),
    ],
)
def test_a_shortened_retraining_does_not_refute_the_claim(judge, steps, new, verdict):
    found = judge("retraining", "matched", retrained("nmrnn", [new] * 6, steps=steps))
    assert found.verdict is verdict
    assert found.qualifier.startswith("does not hold after 6000 of 60000 steps") == (verdict is Verdict.UNDECIDED)


def shares(*solved, seeds=10, **more):
    """Rows of the four models, the given numbers of whose seeds learn the new task; most of them miss it by one point."""
    models = ("nmrnn", "lrrnn", "rnn", "lstm")
    return [retrained(m, [95.0] * n + [89.0] * (seeds - n), **more) for m, n in zip(models, solved, strict=True)]


SHARES = {
    "more than all": (
        (10, 2, 1, 0),
        Verdict.HOLDS,
        "more than lrrnn (2 of 10) and more than rnn (1 of 10) and more than lstm",
    ),
    "fewer than one": (
        (1, 1, 9, 2),
        Verdict.FAILS,
        "fewer than rnn (9 of 10) and not distinguishable from lstm (2 of 10; about 281 seeds of each are needed)",
    ),
    "more than one": (
        (9, 8, 1, 8),
        Verdict.PARTLY,
        "not distinguishable from lrrnn (8 of 10; about 281 seeds of each are needed) and more than rnn (1 of 10)",
    ),
    "alike": (
        (5, 5, 5, 5),
        Verdict.UNDECIDED,
        "not distinguishable from lrrnn (5 of 10; no number of seeds would tell such equal shares apart)",
    ),
}


@pytest.mark.parametrize("label", SHARES)
def test_verdicts_of_retraining_against_rivals(judge, label):
    solved, verdict, reason = SHARES[label]
    found = judge("retraining_rivals", "matched", *shares(*solved))
    assert found.verdict is verdict and reason in found.reason
    assert found.reason.startswith(f"nmrnn reaches 90% on the new task in {solved[0]} of 10 seeds: ")
    assert line_of(found, "rnn, new task: seeds at 90% or more").value == f"{solved[2]} of 10"
    line = line_of(found, "nmrnn - rnn, share of seeds")
    assert line.value == f"{(solved[0] - solved[2]) / 10:+.0%}" and "permutation test" in line.note


def test_differences_of_equal_shares_have_an_interval(judge):
    """Ten of ten against ten of ten: Wilson's intervals of the shares are 72% .. 100%."""
    found = judge("retraining_rivals", "matched", *shares(10, 10, 0, 10))
    assert line_of(found, "nmrnn - lrrnn, share of seeds")[1:3] == ("+0%", "-28% .. +28%")
    assert line_of(found, "nmrnn - rnn, share of seeds")[1:3] == ("+100%", "+61% .. +100%")


def test_the_test_of_shares_is_fishers_exact_test(judge):
    """7 of 8 against 1 of 8: the smaller tail, doubled, and multiplied by three rivals. All divisions are counted."""
    import scipy.stats

    found = judge("retraining_rivals", "matched", *shares(7, 1, 7, 7, seeds=8))
    p = 3 * 2 * scipy.stats.fisher_exact([[7, 1], [1, 7]], "greater").pvalue
    assert line_of(found, "nmrnn - lrrnn, share of seeds").note == f"p = {p:.2g} (permutation test, corrected by Holm)"


def test_a_shortened_training_decides_nothing_about_rivals(judge):
    found = judge("retraining_rivals", "matched", *shares(10, 0, 0, 0, steps=6000))
    assert found.verdict is Verdict.UNDECIDED and found.qualifier.startswith("holds after 6000 of 60000 steps")
    missing = judge("retraining_rivals", "matched", *shares(10, 0, 0, 0)[:2])
    assert missing.verdict is Verdict.NO_DATA and len(missing.commands) == 4


def test_rows_without_the_metrics_of_a_claim_are_refused(judge):
    for name in ("percent", "retraining"):
        with pytest.raises(NmbenchError, match="; another version of nmbench made the row"):
            judge(name, "matched", make_rows("nmrnn", CONTEXT, [50.0]))
