"""Findings on made-up rows: every verdict, what does not count, what is missing, and refused input."""

import csv
import dataclasses
import hashlib
import itertools
import re

import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.metrics import Metric
from nmbench.questions import catalogue, findings, missing, text
from nmbench.questions.catalogue import AskedPair, Catalogue, Question
from nmbench.questions.findings import AnswerKind
from nmbench.report import captions
from nmbench.results import csv_files, experiment_rows, schema, significance
from nmbench.support.errors import NmbenchError
from support.rows import diverged, make_row

NOISE = np.linspace(-1, 1, 10)
NEAR_ONE = list(1 + 0.1 * NOISE)


@pytest.fixture
def rows_of(toy_task):
    """A function that makes rows of a model on the toy task; the value None makes a diverged run."""

    def make(model, values, task=toy_task, **changes):
        primary = task.primary
        same = {"task": task.name, "testset_sha256": task.frozen("test").sha256, "metric": primary.name}
        same |= {"higher_is_better": primary.higher_is_better, "floor": primary.floor, "ceiling": primary.ceiling}
        same |= {"params_target": task.default_budget, "model": model, **changes}
        rows = []
        for seed, value in enumerate(values):
            config = {"model": model, "seed": seed, "size": changes.get("params_actual")}
            more = {"seed": seed, "config_json": schema.canonical_json(config)}
            digest = hashlib.sha256(f"{sorted(changes.items())} {seed}".encode()).hexdigest()[:12]
            more["run_id"] = f"{model}.{task.name}.matched.s{seed}.{digest}"
            rows.append(diverged(**same, **more) if value is None else make_row(value=float(value), **same, **more))
        return rows

    return make


def question(*pairs, needs="all", name="q"):
    return Question(name, "Is it?", "Is it really?", needs, tuple(AskedPair(*pair) for pair in pairs))


def answered(rows, *questions):
    """The findings on the toy task."""
    source = experiment_rows.gather("rows", [row for group in rows for row in group])
    (found,) = [one for one in findings.compute(Catalogue("matched", questions), [source]) if one.task.name == "toy"]
    return found


def kinds(found):
    return [answer.kind for answer in found.answers]


def test_every_verdict(rows_of):
    rows = [
        rows_of("ours", NEAR_ONE),
        rows_of("worse", [30 * v for v in NEAR_ONE]),
        rows_of("better", [v / 30 for v in NEAR_ONE]),
        rows_of("equal", [1.01 * v for v in NEAR_ONE]),
        rows_of("spread", 10 ** (2 * NOISE + 0.5)),
    ]
    asked = question(*(("ours", name) for name in ("worse", "better", "equal", "spread", "absent")))
    found = answered(rows, asked)
    assert kinds(found) == [AnswerKind.AHEAD, AnswerKind.WORSE, AnswerKind.SAME, AnswerKind.OPEN, AnswerKind.OPEN]
    ahead, worse, equal, spread, absent = found.answers
    assert ahead.comparison.effect.value == pytest.approx(1 / 30) and ahead.comparison.improvement == 1.0
    assert worse.comparison.effect.value == pytest.approx(30) and worse.comparison.improvement == 0.0
    assert ahead.solved == (0, 0) and worse.solved == (0, 10) and ahead.seeds == (10, 10)  # the threshold is 0.1
    assert 0.5 < equal.comparison.effect.low < 1 / 1.01 < equal.comparison.effect.high < 2 and equal.needed is None
    assert spread.words == f"open: about {spread.needed} seeds would tell them apart" and 10 < spread.needed < 1000
    assert absent.words == "open: no rows" and absent.missing == ("absent",) and absent.seeds is None
    # Five comparisons are one family, the absent one too: p is not that of four.
    ps = [significance.compare(a.rival.sample, a.model.sample).p for a in (ahead, worse, equal, spread)]
    assert [a.p for a in (ahead, worse, equal, spread)] == significance.holm([*ps, 1.0])[:4]
    assert ahead.p == pytest.approx(5 * ps[0])


def test_seeds_that_would_find_no_difference(rows_of):
    """The means are equal, but the interval of ten seeds is wider than 1/2 .. 2."""
    rows = [rows_of("ours", 10 ** (3 * NOISE)), rows_of("alike", 10 ** (3 * NOISE[::-1] + 0.01))]
    (answer,) = answered(rows, question(("ours", "alike"))).answers
    assert answer.words == f"open: about {answer.needed} seeds would find no difference" and 10 < answer.needed < 1000


@pytest.mark.parametrize(
    "needs, names, expected",
    [
        ("all", ("worse", "worse2"), "yes"),
        ("all", ("worse", "absent"), "open"),
        ("all", ("better", "absent"), "no"),
        ("all", ("equal", "worse"), "no"),
        ("any", ("better", "worse"), "yes"),
        ("any", ("worse", "absent"), "yes"),
        ("any", ("better", "absent"), "open"),
        ("any", ("better", "equal"), "no"),
    ],
)
def test_a_finding_follows_from_its_comparisons(needs, names, expected):
    kind = {"worse": AnswerKind.AHEAD, "better": AnswerKind.WORSE, "equal": AnswerKind.SAME, "absent": AnswerKind.OPEN}
    pairs = [AskedPair("ours", name) for name in names]
    answers = tuple(findings.Answer(pair, kind[pair.rival.rstrip("2")], ()) for pair in pairs)
    assert findings.Finding(Question("q", "", "", needs, tuple(pairs)), answers).says == expected


def test_models_that_lost_most_seeds_are_not_called_equal(rows_of):
    """The floor is 1.0: all values are about equal."""
    made = {"none": [None] * 10, "few": [None] * 6 + NEAR_ONE[:4], "most": [None] * 4 + NEAR_ONE[:6], "all": NEAR_ONE}
    rows = [rows_of(name, values) for name, values in made.items()]
    found = answered(rows, question(("none", "few"), ("few", "all"), ("most", "all")))
    assert kinds(found) == [AnswerKind.OPEN, AnswerKind.OPEN, AnswerKind.SAME]
    assert not any(answer.towards_equal for answer in found.answers)


def test_more_seeds_than_there_are_decide_what_is_open(rows_of):
    """By the formula, three seeds of such a spread would do; but three were trained, and their interval says otherwise."""
    found = answered([rows_of("lstm", [10**-0.125, 1.0, 10**0.125]), rows_of("rnn", [1.0] * 3)], question(("lstm", "rnn")))
    (answer,) = found.answers
    assert (answer.kind, answer.needed, answer.towards_equal) == (AnswerKind.OPEN, 4, True)


def test_equal_is_enough_only_where_the_question_says_so():
    says = lambda pair, kind: findings.Answer(pair, kind, ()).says
    enough = AskedPair("a", "b", True)
    assert says(enough, AnswerKind.SAME) == "yes" and says(AskedPair("a", "b"), AnswerKind.SAME) == "no"
    assert says(enough, AnswerKind.WORSE) == "no" and says(enough, AnswerKind.OPEN) == "open"


def test_rows_that_do_not_rank_together_do_not_count(rows_of):
    rows = [
        rows_of("ours", NEAR_ONE, departures="learning rate not tuned"),
        rows_of("small", NEAR_ONE, params_target=50),
        rows_of("rival", NEAR_ONE),
        rows_of("rival", [9.0] * 4, departures="steps 20, not 40"),  # it has other rows, so nothing is said
    ]
    found = answered(rows, question(("ours", "rival"), ("small", "rival")))
    assert [answer.missing for answer in found.answers] == [("ours",), ("small",)] and [*found.trained] == ["rival"]
    assert sorted(found.notes) == [
        "rows of ours do not count: learning rate not tuned",
        "rows of small do not count: the budget is 50; it must be 100",
    ]
    assert len(found.trained["rival"].sample) == 10
    other = rows_of("ours", NEAR_ONE, testset_sha256="b" * 64)
    assert "not that of the registered task" in answered([other], question(("ours", "rival"))).notes[0]


def test_of_several_configurations_that_with_most_seeds_counts(rows_of):
    rows = [rows_of("ours", NEAR_ONE[:4]), rows_of("ours", NEAR_ONE, params_actual=7), rows_of("rival", NEAR_ONE)]
    found = answered(rows, question(("ours", "rival")))
    assert found.answers[0].seeds == (10, 10) and found.notes == (
        "of 2 configurations of ours, ours [size=7] counts, with most seeds (10)",
    )
    (note,) = answered([rows_of("ours", NEAR_ONE, params_actual=n) for n in (7, 5)], question(("ours", "rival"))).notes
    assert note == "of 2 configurations of ours, ours [size=5] counts, the first of those with most seeds"


def test_the_configuration_with_the_model_s_own_hyperparameters_counts(rows_of):
    """Although another one has more seeds."""
    own = BASELINES.get("rnn").defaults("toy", "matched")
    assert own
    config = lambda hparams, seed: schema.canonical_json({"model": "rnn", "hparams": hparams, "seed": seed})
    rows = [
        [{**row, "config_json": config(hparams, row["seed"])} for row in rows_of("rnn", NEAR_ONE[:n], params_actual=n)]
        for n, hparams in ((4, own), (10, dict.fromkeys(own, "other")))
    ]
    found = answered([*rows, rows_of("rival", NEAR_ONE)], question(("rnn", "rival")))
    assert found.answers[0].seeds == (4, 10) and found.notes[0].endswith("counts, with the model's default hyperparameters")


def test_one_seed_decides_nothing(rows_of):
    (answer,) = answered([rows_of("a", [1.0]), rows_of("b", NEAR_ONE)], question(("a", "b"))).answers
    assert answer.words == "open: one seed" and answer.p is None and answer.needed is None


@pytest.fixture
def bounded(toy_task):
    """The toy task with a metric in percent, of which 50 is chance."""
    percent = Metric("percent", toy_task.primary.per_trial, higher_is_better=True, floor=50.0, ceiling=100.0, threshold=90.0)
    task = dataclasses.replace(toy_task, metrics=(percent,))
    with TASKS.restored():
        TASKS.forget("toy")
        TASKS.register("toy", task, origin="tests/questions/test_findings.py:1")
        yield task


def test_a_bounded_metric_is_compared_by_differences(rows_of, bounded):
    rows = [rows_of(name, mean + NOISE, bounded) for name, mean in (("good", 95), ("equal", 95.3), ("bad", 60))]
    rows.append(rows_of("lost", [None] * 4, bounded))
    found = answered(rows, question(("good", "bad"), ("bad", "good"), ("good", "equal"), ("good", "lost")))
    assert not found.logarithmic
    assert kinds(found) == [AnswerKind.AHEAD, AnswerKind.WORSE, AnswerKind.SAME, AnswerKind.AHEAD]
    assert [a.comparison.effect.value for a in found.answers] == pytest.approx([35, -35, -0.3, 45])
    assert found.answers[0].solved == (10, 0) and found.answers[3].solved == (10, 0)
    # As good as none: 5% of the way from 50 to 100.
    assert findings.same_bounds(False, bounded) == (-2.5, 2.5)


def test_one_command_trains_all_that_a_task_lacks(rows_of, toy_task):
    few = rows_of("few", NEAR_ONE[:3])
    asked = question(("ours", "few"), ("ours", "absent"))
    found = answered([rows_of("ours", NEAR_ONE), few], asked)
    line = "python -m nmbench.sweep --models={} --tasks=toy --tune --plugin=FILE.py --seeds={}"
    assert missing.commands(found, ["ours", "few", "absent"], 10) == [line.format("few,absent", 10)]
    assert missing.commands(found, ["ours"], 10) == []
    given = ["--plugin=my model.py"]
    assert missing.commands(found, ["ours"], 12, given) == [f"{line.format('ours', 12)} '--plugin=my model.py'"]
    untuned = dataclasses.replace(found, protocol="untuned")
    expected = "python -m nmbench.sweep --models=ours --tasks=toy --protocols=untuned --plugin=FILE.py --seeds=11"
    assert missing.commands(untuned, ["ours"], 11) == [expected]


def test_a_shipped_learning_rate_is_not_tuned_again():
    (one,) = (found for found in findings.compute(catalogue.read(), []) if found.task.name == "element_finder")
    line = "python -m nmbench.sweep --models={} --tasks=element_finder{} --seeds=3"
    assert missing.commands(one, ["nmrnn", "semilinear_lstm", "rnn"], 3) == [
        line.format("nmrnn,rnn", ""),
        line.format("semilinear_lstm", " --tune"),
    ]


def test_more_seeds_begin_after_those_that_both_models_have(rows_of):
    rows = [rows_of("ours", NEAR_ONE), rows_of("spread", [*(10 ** (2 * NOISE + 0.5)), 3.0])]
    found = answered(rows, question(("ours", "spread")))
    needed = found.answers[0].needed
    flags = f"--tune --plugin=FILE.py --first_seed=10 --seeds={needed - 10}"
    assert missing.more_seeds(found) == [f"python -m nmbench.sweep --models=ours,spread --tasks=toy {flags}"]
    assert missing.more_seeds(answered([rows[0]], question(("ours", "spread")))) == []


def test_the_shipped_questions_name_models_that_exist():
    shipped = catalogue.read()
    known = {entry.name for entry in BASELINES.entries()}
    assert set(shipped.models) <= known and {"nmrnn", "lrrnn", "relu_rnn"} <= set(shipped.models) & known
    names = "place hypernetwork second_network one_network unit_gains leak plasticity"
    assert [one.name for one in shipped.questions] == names.split()


GOOD = """
protocol = "matched"
[[questions]]
name = "q"
title = "Is it?"
asks = "Is A ahead of <b>?"
needs = "any"
comparisons = [{ model = "rnn", rival = "lstm" }, { model = "rnn", rival = "gru", equal_is_enough = true }]
"""


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('"matched"', '"matched', "cannot read questions"),
        ('protocol = "matched"', "", "the file lacks protocol"),
        ('needs = "any"', 'needs = "some"', "write 'all' or 'any'"),
        ('needs = "any"', 'neds = "any"', "question 1 lacks needs"),
        ('name = "q"', 'name = "../q"', "needs a name of a letter"),
        ('title = "Is it?"', "title = 3", "title = 3, which must be text in quotes"),
        ("= true", '= "yes"', "which must be true or false"),
        ('rival = "gru"', 'rivel = "gru"', "lacks rival"),
        ('rival = "gru",', 'rival = "gru", x = 1,', "has an unknown entry 'x'"),
        ('rival = "gru"', 'rival = "rnn"', "compares 'rnn' with itself"),
        ('rival = "gru"', 'rival = "lstm"', "one comparison or more, all different"),
        ('{ model = "rnn", rival = "lstm" }', "3", "must be a table with model, rival"),
        ("[[questions]]", "[questions]", "which must be a list"),
    ],
)
def test_a_bad_file_of_questions_is_refused(tmp_path, old, new, message):
    assert old in GOOD
    path = tmp_path / "q.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(NmbenchError, match=re.escape(message)):
        catalogue.read(str(path))


@pytest.fixture
def files(rows_of, tmp_path):
    """A CSV of rows of the toy task, and a file of questions."""
    rows = [rows_of("rnn", NEAR_ONE), rows_of("lstm", [20 * v for v in NEAR_ONE] + [None]), rows_of("gru", [0.9, 2.0])]
    (tmp_path / "rows.csv").write_text(csv_files.to_csv(list(itertools.chain(*rows))))
    (tmp_path / "q.toml").write_text(GOOD)
    return tmp_path


def test_the_command_prints_tables_and_what_is_missing(nmbench, files):
    argv = [str(files / "rows.csv"), f"--questions={files}/q.toml"]
    code, out, err = nmbench("findings", *argv)
    assert code == 0 and not err
    assert "toy: mse (lower is better), budget 100." in out and "q (yes):" in out
    assert re.search(r"rnn / lstm +ahead +0\.0", out) and re.search(r"rnn / gru +open: about [0-9]+ seeds", out)
    code, out, _ = nmbench("findings", *argv, "--missing")
    lines = out.splitlines()
    assert code == 0 and all(line.startswith("python -m nmbench.sweep --models=") for line in lines)
    assert "python -m nmbench.sweep --models=rnn,lstm,gru --tasks=toy --tune --seeds=20" in lines
    assert len(lines) > 5
    # Beside a results folder, training goes on in it.
    (files / "more" / "runs").mkdir(parents=True)
    (files / "more" / "results.csv").write_text((files / "rows.csv").read_text())
    code, out, _ = nmbench("findings", str(files / "more"), argv[1], "--missing")
    assert code == 0 and out.splitlines() == [f"{line} --results_dir={files}/more" for line in lines]


def test_the_page_escapes_names_its_rows_and_loses_old_pictures(nmbench, files):
    argv = [str(files / "rows.csv"), f"--questions={files}/q.toml", f"--out={files}/page"]
    assert nmbench("findings", *argv)[0] == 0
    page = (files / "page" / "findings.md").read_text()
    assert (
        "Is A ahead of &#60;b&#62;?" in page
        and "![effects of q](finding_q.png)" in page
        and re.search(r"\| question +\| toy", page)
    )
    rows = csv_files.read_csv(files / "rows.csv")
    shown = captions.check(files / "page", rows)
    assert set(shown["finding_q"].caption.rows) == {row["run_id"] for row in rows if row["status"] == "ok"}
    with open(files / "page" / "findings.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["task"] == "toy"]
    assert tuple(lines[0]) == text.COLUMNS and [line["verdict"] for line in lines] == ["ahead", "open"]
    (files / "rows.csv").write_text(csv_files.to_csv(rows[:10]))
    assert nmbench("findings", *argv)[0] == 0 and not list((files / "page").glob("*.png"))


@pytest.mark.parametrize(
    "argv, message",
    [
        (["nothing.csv"], "nothing.csv"),
        (["{}/rows.csv", "--questions=nothing.toml"], "cannot read questions from nothing.toml"),
        (["{}/rows.csv", "--missing", "--out={}/page"], "leave out --out"),
        (["{}/rows.csv", "--out={}/rows.csv"], "is not a folder"),
        (["{}/rows.csv", "--out=/proc/x"], "cannot be written"),
        (["{}/rows.csv", "--questions={}/typo.toml"], "unknown model 'lstn'; did you mean 'lstm'?"),
        (["{}/rows.csv", "--questions={}/protocol.toml"], "no task has the protocol 'macthed'"),
    ],
)
def test_bad_input_is_one_line(nmbench, files, argv, message):
    (files / "typo.toml").write_text(GOOD.replace("lstm", "lstn"))
    (files / "protocol.toml").write_text(GOOD.replace('"matched"', '"macthed"'))
    code, out, err = nmbench("findings", *(part.format(files) for part in argv))
    assert code == 2 and not out and err.count("\n") == 1 and message in err
    assert not (files / "page").exists()
