"""Claims on performance: literal rows lead to each verdict, with its qualifier and the commands that produce the data."""

import shlex

import numpy as np
import pytest

from nmbench import run
from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger import publication
from nmbench.paper.ledger.evidence import Evidence
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.support.errors import NmbenchError
from support.claimed import make_rows, read, write_csv

CLAIMS = {claim.name: claim for claim in publication.CLAIMS}
TASK, TIMING, CONTEXT = "element_finder", "mwg_rank3", "multitask"
EIGHT = np.array([1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15, 0.85])


@pytest.fixture
def judge(tmp_path):
    """The finding on a claim under a protocol, from rows."""

    def finding(name, protocol, *groups):
        evidence = read(write_csv(tmp_path / "rows.csv", *groups)) if groups else Evidence()
        found = CLAIMS[name].measure(evidence, protocol)
        for line in found.commands:
            check_command(line)
        return found

    return finding


def check_command(line):
    """Parse a command with the flags of `run`; its model, task and protocol must exist."""
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "nmbench.run"]
    run.FLAGS.unparse_flags()
    for name in run.FLAGS:
        run.FLAGS[name].unparse()
    assert run.FLAGS(["run", *words[3:]])[1:] == []
    protocols = [p.name for p in TASKS.get(run.FLAGS.task).protocols]
    assert run.FLAGS.protocol in (None, *protocols)
    return run.request(run.FLAGS)


def errors(ours, protocol="matched", task=TASK, **models):
    """Rows of nmrnn and of other models, all with the same arguments to `make_rows`."""
    more = models.pop("more", {})
    return [make_rows(m, task, list(v), protocol, **more) for m, v in {"nmrnn": ours, **models}.items()]


def line_of(finding, what):
    (line,) = (line for line in finding.measured if line.what == what)
    return line


BELOW = {
    "below both": ((2.0, 3.0), Verdict.HOLDS, "nmrnn is below lrrnn and below rnn"),
    "below one, not distinguishable from the other": (
        (2.0, 0.0),
        Verdict.PARTLY,
        "nmrnn is below lrrnn and not distinguishable from rnn",
    ),
    "below one and above the other": ((-0.5, 2.0), Verdict.PARTLY, "nmrnn is above lrrnn and below rnn"),
    "above one": ((-0.5, 0.0), Verdict.FAILS, "nmrnn is above lrrnn and not distinguishable from rnn"),
    "above both": ((-0.5, -0.6), Verdict.FAILS, "nmrnn is above lrrnn and above rnn"),
    "distinguishable from none": (
        (0.0, 0.0),
        Verdict.UNDECIDED,
        "nmrnn is not distinguishable from lrrnn and not distinguishable from rnn",
    ),
}


@pytest.mark.parametrize("label", BELOW)
def test_verdicts_of_below(judge, label):
    (a, b), verdict, reason = BELOW[label]
    ours = 0.5 * EIGHT  # 0.5 is below the threshold of the task, 1
    found = judge("selection", "matched", *errors(ours, lrrnn=ours + a * 0.5, rnn=ours + b * 0.5))
    assert (found.verdict, found.reason, found.qualifier) == (verdict, reason, "")
    note = "8 seeds, 497 parameters, 20000 steps, tuned learning rate 0.01"
    assert line_of(found, "nmrnn: median mse")[1::2] == ("0.5125", note)
    ratio = line_of(found, "nmrnn / lrrnn, geometric mean")
    assert float(ratio.value) == pytest.approx(np.prod(EIGHT / (EIGHT + a)) ** (1 / 8), rel=1e-3)
    p = "0.00031" if a else "1"  # the smallest p for eight seeds, 2 / 12870, doubled by Holm
    assert ratio.note == f"p = {p} (permutation test, Holm)"


def test_below_with_one_seed(judge):
    found = judge("selection", "matched", *errors([0.1], lrrnn=[9.0], rnn=[9.0]))
    assert found.verdict is Verdict.UNDECIDED
    assert [line[1:] for line in found.measured if " / " in line.what] == [("0.01111", "", "one seed")] * 2


def test_below_counts_lost_seeds_as_the_floor(judge):
    """Seven of our eight seeds diverged: the floor, 36, is above the rivals' errors of 5."""
    found = judge("selection", "matched", *errors([1.0, *[None] * 7], lrrnn=5 * EIGHT, rnn=5 * EIGHT))
    assert found.verdict is Verdict.FAILS
    assert line_of(found, "nmrnn: median mse").note.startswith("8 seeds (7 lost)")


def test_a_better_model_that_does_not_solve_the_task_is_qualified(judge):
    floor = TASKS.get(TASK).metrics[0].floor
    found = judge("selection", "paper", *errors(10 * EIGHT, "paper", lrrnn=[floor] * 8, rnn=[floor] * 8))
    assert (found.verdict, found.qualifier) == (Verdict.HOLDS, "nmrnn solves the task in 0 of 8 seeds")
    half = judge("selection", "paper", *errors([0.5] * 4 + [9] * 4, "paper", lrrnn=[floor] * 8, rnn=[floor] * 8))
    assert half.qualifier == ""
    found = judge("selection_lstm", "paper", *errors([0.5, 1.0, 9, 9, 9], "paper", lstm=[9.0] * 5))
    assert found.qualifier == "nmrnn solves the task in 2 of 5 seeds"


PAR = {
    "equal": (EIGHT, EIGHT, Verdict.HOLDS, "The 95% interval of the ratio of errors, 0.8788 .. 1.138, lies within 1/2 .. 2"),
    "exactly twice": ([2.0] * 4, [1.0] * 4, Verdict.HOLDS, "2 .. 2, lies within 1/2 .. 2"),
    "worse": ([9.0] * 4, [1.0] * 4, Verdict.FAILS, "9 .. 9, lies above 2: nmrnn is worse by more than a factor of two"),
    "worse, size open": (
        [1.8, 2.0, 2.2, 2.4],
        [1.0] * 4,
        Verdict.WORSE,
        "1.715 .. 2.543, lies above 1 and contains 2: nmrnn is worse, perhaps by less than a factor of two",
    ),
    "better": ([1.0] * 4, [8.0] * 4, Verdict.MORE, "0.125 .. 0.125, lies below 1 and extends below 1/2: nmrnn is better"),
    "both sides": ([9.0, 1.0] * 3, [1.0, 9.0] * 3, Verdict.UNDECIDED, "contains 1 and extends beyond 1/2 or 2"),
    "one seed": ([9.0], [1.0], Verdict.UNDECIDED, "A single seed has no interval"),
    "two that solve nothing": ([30.0] * 4, [31.0] * 4, Verdict.UNDECIDED, "but neither model solves the task"),
    "an error of zero": ([0.0, 1.0], [1.0, 1.0], Verdict.UNDECIDED, "An error of 0 has no ratio"),
}


@pytest.mark.parametrize("label", PAR)
def test_verdicts_of_on_a_par(judge, label):
    ours, theirs, verdict, reason = PAR[label]
    found = judge("selection_lstm", "matched", *errors(ours, lstm=theirs))
    assert found.verdict is verdict and found.reason.endswith(reason)
    if 0 not in ours:
        line = line_of(found, "nmrnn / lstm, geometric mean")
        assert float(line.value) == pytest.approx(np.exp(np.mean(np.log(ours) - np.log(theirs))), rel=1e-3)


def test_a_shortened_training_confirms_no_claim(judge):
    found = judge("selection", "matched", *errors(0.1 * EIGHT, lrrnn=EIGHT, rnn=EIGHT, more={"steps": 3000}))
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "holds after 3000 of 20000 steps")
    longer = errors(0.1 * EIGHT, lrrnn=EIGHT, rnn=EIGHT, more={"steps": 30000})
    found = judge("selection", "matched", *longer)
    assert (found.verdict, found.qualifier) == (Verdict.HOLDS, "after 30000 of 20000 steps")
    short = percent("nmrnn", [80, 80], [90, 90], steps=6000)
    assert judge("percent", "paper", short).verdict is Verdict.FAILS
    assert judge("percent", "paper", percent("nmrnn", [80, 80], [80, 80], steps=6000)).verdict is Verdict.UNDECIDED


def test_on_a_par_uses_the_extrapolated_error_on_measure_wait_go(judge):
    rows = errors([0.001] * 4, task=TIMING, lstm=[0.008] * 4, more={"others": {"mse": 5.0, "mse_trained": 0.1}})
    found = judge("extrapolation_lstm", "matched", *rows)
    assert found.verdict is Verdict.MORE and line_of(found, "nmrnn: median mse_extrapolated").value == "0.001"
    assert [line.what for line in found.measured if "trained" in line.what] == [
        f"{model}: median mse_trained" for model in ("nmrnn", "lstm")
    ]


def test_the_models_of_the_claim_on_the_authors_code(judge):
    """Our model has protocol paper_code, the rivals have protocol paper; our model of protocol paper is not used."""
    rows = [
        make_rows("nmrnn", TASK, 0.1 * EIGHT, "paper_code"),
        *(make_rows(m, TASK, 5 * EIGHT, "paper") for m in ("lrrnn", "rnn", "lstm")),
        make_rows("nmrnn", TASK, 30 * EIGHT, "paper"),
    ]
    found = judge("selection_code", "paper", *rows)
    assert found.verdict is Verdict.HOLDS
    assert [check_command(line).protocol for line in found.commands] == ["paper_code", "paper", "paper"]
    assert judge("selection_code_lstm", "paper", *rows).verdict is Verdict.MORE
    assert judge("selection", "paper", *rows).verdict is Verdict.FAILS
    assert CLAIMS["selection_code"].protocols == CLAIMS["selection_code_lstm"].protocols == ("paper",)


def test_a_claim_without_data_names_the_commands_that_produce_it(judge):
    found = judge("selection", "paper")
    assert (found.verdict, found.measured, found.qualifier) == (Verdict.NO_DATA, (), "")
    assert found.reason == "There are no runs of nmrnn, lrrnn, rnn on element_finder, protocol paper"
    assert found.commands == tuple(
        f"python -m nmbench.run --model={model} --task=element_finder --protocol=paper --seeds=10"
        for model in ("nmrnn", "lrrnn", "rnn")
    )
    assert judge("selection", "matched", *errors(EIGHT, lstm=EIGHT)).reason.endswith(
        "no runs of lrrnn, rnn on element_finder, protocol matched"
    )
    # Rows of one protocol do not count for the other.
    assert judge("selection", "paper", *errors(EIGHT, lrrnn=EIGHT, rnn=EIGHT)).verdict is Verdict.NO_DATA


def test_commands_train_missing_models_as_long_as_the_others(judge):
    found = judge("selection_lstm", "matched", *errors(EIGHT, more={"steps": 3000}))
    assert found.reason == (
        "There are no runs of lstm on element_finder, protocol matched, trained for 3000 steps like the others"
    )
    wanted = [check_command(line) for line in found.commands]
    assert [(r.model, r.steps, r.protocol) for r in wanted] == [("nmrnn", 3000, None), ("lstm", 3000, None)]
    assert [shlex.split(line)[-1] for line in found.commands] == ["--seeds=8", "--seeds=10"]


def test_the_qualifier(judge):
    """The qualifier names shortened trainings and untuned learning rates; published learning rates need no tuning."""
    short = errors(0.1 * EIGHT, lstm=EIGHT, more={"steps": 3000})
    assert judge("selection_lstm", "matched", *short).qualifier == "more than holds after 3000 of 20000 steps"
    given = {"learning_rate": 0.5, "tuning_trials": 0}
    rows = [make_rows("nmrnn", TASK, 0.1 * EIGHT), make_rows("lstm", TASK, EIGHT, steps=20000, config=given, **given)]
    assert judge("selection_lstm", "matched", *rows).qualifier == "learning rate not tuned for lstm"
    both = errors(9 * EIGHT, lstm=EIGHT, more={"steps": 3000, "config": given, **given})
    found = judge("selection_lstm", "matched", *both)
    assert found.qualifier == (
        "nmrnn solves the task in 0 of 8 seeds; does not hold after 3000 of 20000 steps; "
        "learning rate not tuned for nmrnn, lstm"
    )
    paper = errors(0.1 * EIGHT, "paper", lstm=EIGHT)
    assert judge("selection_lstm", "paper", *paper).qualifier == ""


def percent(model, corrected, published, **more):
    """Multitask rows with these percentages, one of each per seed, on all four tasks."""
    rows = []
    for seed, (right, as_published) in enumerate(zip(corrected, published, strict=True)):
        tasks = ("delay_anti", "delay_pro", "memory_anti", "memory_pro")
        by = {
            "percent_correct": dict.fromkeys(tasks, right),
            "percent_correct_published": dict.fromkeys(tasks, as_published),
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
        assert answers(found)[f"({label})"] == (f"{right:.1f}", f"as published {as_published:.1f}; no training")
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
    assert found.verdict is verdict and found.qualifier == ""
    assert len(answers(found)) == len(TASKS.get(CONTEXT).references)
    line = line_of(found, "nmrnn, memory_anti: corrected, mean")
    assert line.value == f"{np.mean(corrected):.1f}" and f"as published {np.mean(published):.1f} (" in line.note


def test_percent_holds_in_part_if_it_holds_for_one_model(judge):
    found = judge("percent", "paper", percent("nmrnn", [80, 80], [80, 80]), percent("lstm", [70, 70], [90, 90]))
    assert found.verdict is Verdict.PARTLY
    assert "20.0 points (20.0 .. 20.0" in found.reason and "lstm on delay_anti" in found.reason
    assert len([line for line in found.measured if "corrected, mean" in line.what]) == 2 * 4


def test_percent_ignores_lost_seeds(judge):
    """The floors of the two metrics differ by 40 points; the metrics of the finished seeds are equal."""
    lost = make_rows("nmrnn", CONTEXT, [None], "paper", first_seed=2)
    found = judge("percent", "paper", percent("nmrnn", [80, 82], [80, 82]), lost)
    assert found.verdict is Verdict.HOLDS
    line = line_of(found, "nmrnn, delay_pro: corrected, mean")
    assert line.value == "81.0" and "3 seeds (1 lost)" in line.note
    nothing = judge("percent", "paper", lost)
    assert nothing.verdict is Verdict.NO_DATA and nothing.reason == "No run of nmrnn on multitask has finished"
    assert answers(nothing)


def retrained(model, new, old=95.0, **more):
    others = {"old_tasks": old, "old_tasks.before_retraining": 99.0, "new_task.before_retraining": 3.0}
    rows = [
        make_rows(model, CONTEXT, [50.0], first_seed=i, others={**others, "new_task": n}, **more) for i, n in enumerate(new)
    ]
    return [row for each in rows for row in each]


RETRAINING = {
    "reaches": ([90.0] * 6, Verdict.HOLDS, "a median of 90.0% on the new task (90.0 .. 90.0) and reaches 90%"),
    "below": ([89.9] * 6, Verdict.FAILS, "a median of 89.9% on the new task (89.9 .. 89.9) and does not reach 90%"),
    "either side": (
        [99.0, 99.0, 99.0, 10.0, 10.0, 10.0],
        Verdict.UNDECIDED,
        "a median of 54.5% on the new task (10.0 .. 99.0) and may or",
    ),
    "five seeds": ([95.0] * 5, Verdict.UNDECIDED, "a median of 95.0% on the new task (range 95.0 .. 95.0) and may or"),
    "one seed": ([99.0], Verdict.UNDECIDED, "a median of 99.0% on the new task (one seed) and may or may not reach 90%"),
}


@pytest.mark.parametrize("label", RETRAINING)
def test_verdicts_of_retraining(judge, label):
    new, verdict, reason = RETRAINING[label]
    found = judge("retraining", "matched", retrained("nmrnn", new))
    assert found.verdict is verdict and reason in found.reason
    assert found.qualifier == "learning rate not tuned for nmrnn" and len(found.commands) == 4
    line = line_of(found, "nmrnn, new task: median")
    assert line.note.startswith("before retraining 3.0 (") and line.value == f"{np.median(new):.1f}"
    assert line_of(found, "nmrnn, old tasks: median").value == "95.0"


def test_rivals_of_retraining_are_shown_but_do_not_affect_the_verdict(judge):
    found = judge("retraining", "matched", retrained("nmrnn", [95.0] * 6), retrained("lstm", [20.0] * 3))
    assert found.verdict is Verdict.HOLDS
    assert line_of(found, "lstm, new task: median").interval == "20.0 .. 20.0 (range)"
    assert line_of(found, "lstm, new task: median").value == "20.0" and len(found.measured) == 4
    assert judge("retraining", "matched", retrained("lstm", [95.0] * 3)).verdict is Verdict.NO_DATA


def test_rivals_do_not_lead_to_a_shorter_training_of_ours(judge):
    rows = [retrained(m, [20.0] * 6, steps=6000) for m in ("nmrnn", "lstm", "rnn")]
    found = judge("retraining", "matched", *rows)
    assert (found.verdict, len(found.measured)) == (Verdict.UNDECIDED, 6)
    assert found.qualifier.startswith("does not hold after 6000 of 60000 steps")
    found = judge("retraining", "matched", *rows, retrained("nmrnn", [95.0] * 6))
    assert (found.verdict, found.qualifier, len(found.measured)) == (Verdict.HOLDS, "learning rate not tuned for nmrnn", 2)


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


def test_rows_without_the_metrics_of_a_claim_are_refused(judge):
    for name in ("percent", "retraining"):
        with pytest.raises(NmbenchError, match="which a claim needs; another version of nmbench made the row"):
            judge(name, "matched", make_rows("nmrnn", CONTEXT, [50.0]))


# Learned parameters of nmrnn, lrrnn, rnn and lstm.
COUNTS = {
    "paper": {TIMING: (1059, 1061, 1086, 1155), CONTEXT: (1806, 1603, 507, 536), TASK: (497, 506, 288, 490)},
    "matched": {TIMING: (1059, 1061, 1086, 1022), CONTEXT: (1794, 1795, 1827, 1751), TASK: (497, 506, 483, 490)},
}


@pytest.mark.parametrize(("protocol", "verdict"), [("paper", Verdict.PARTLY), ("matched", Verdict.HOLDS)])
def test_sizes(judge, protocol, verdict):
    """1155 / 1059 = 1.09 is within 1.05 / 0.95 = 1.105; 1806 / 507 = 3.56 and 506 / 288 = 1.76 are not."""
    found = judge("sizes", protocol)
    assert found.verdict is verdict and found.commands == ()
    assert len(found.measured) == 3
    for line, (task, counts) in zip(found.measured, COUNTS[protocol].items(), strict=True):
        named = ", ".join(f"{m} {n}" for m, n in zip(("nmrnn", "lrrnn", "rnn", "lstm"), counts, strict=True))
        assert line == (f"{task}: largest / smallest", f"{max(counts) / min(counts):.2f}", "", named)
