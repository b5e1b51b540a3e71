"""Sentences about results: literal sentences for made-up rows."""

import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.report import sentences
from nmbench.results import experiment_rows
from support.claimed import make_rows
from support.rows import make_row, tables_of

TASK, TIMING, CONTEXT = "element_finder", "mwg_rank3", "multitask"
SPREAD = [1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15, 0.85]


def table(**errors):
    """The table of models with these errors, one row for each."""
    (found,) = tables_of([row for model, values in errors.items() for row in make_rows(model, TASK, values)])
    return found


def test_names_are_enumerated():
    assert [sentences.enumerated("abc"[:n]) for n in (1, 2, 3)] == ["`a`", "`a` and `b`", "`a`, `b` and `c`"]


def test_what_solves_the_task_and_its_references():
    found = table(nmrnn=[0.5, 0.5, 2.0])
    assert sentences.solved(found) == "Solved: `mse` at most 1."
    assert sentences.scale(found) == "Score: 0 at 36.67, 100 at 0."
    assert sentences.references(found) == "References: perfect 0, chance (always 0) 36.63."
    percent = tables_of(make_rows("gru", CONTEXT, [95.0, 40.0]))[0]
    assert sentences.solved(percent) == "Solved: `percent_correct` at least 90."
    without = tables_of([make_row(), make_row(seed=1)])[0]  # a task that is not registered
    assert sentences.solved(without) == sentences.references(without) == ""


def test_models_trained_on_different_data_are_named():
    assert sentences.other_data(table(nmrnn=SPREAD, rnn=SPREAD)) == ""
    away = make_rows("lstm", TASK, SPREAD, config={"training_sha256": {"train": "c" * 64}})
    (found,) = tables_of([*make_rows("nmrnn", TASK, SPREAD), *make_rows("rnn", TASK, SPREAD), *away])
    expected = "Warning: training data, or the code that draws them, differ between models (train: nmrnn, rnn | lstm). "
    assert sentences.other_data(found).startswith(expected)


def test_one_model_with_two_seeds():
    assert sentences.order(table(gru=SPREAD)) == "Only `gru` has rows."
    assert sentences.order(table(gru=SPREAD, rnn=[1.0])) == "Only `gru` has two seeds or more, so nothing is tested."
    assert sentences.few_seeds(table(gru=SPREAD, rnn=[1.0])) == ["No rank with one seed, which cannot be tested: rnn."]


def scaled(factor):
    return [factor * value for value in SPREAD]


def test_lost_seeds_do_not_turn_the_order_round():
    """All seeds of rnn are lost and count as the floor, 36.67; gru is finished beyond it, so it is ahead."""
    found = table(rnn=[None] * 8, gru=[50.0 + i for i in range(8)])
    assert [(entry.label, entry.rank) for entry in found.entries if not entry.reference] == [("gru", 1), ("rnn", 2)]
    assert sentences.order(found) == "With 8 seeds of each model, `gru` is ahead of all others."


ORDERS = {
    "all apart": (
        {"gru": 0.01, "nmrnn": 0.1, "rnn": 10.0},
        "With 8 seeds of each model, `gru` is ahead of all others. `nmrnn` is ahead of `rnn`.",
    ),
    "two pairs": (
        {"gru": 0.1, "lstm": 0.1, "rnn": 10.0, "lrrnn": 10.0},
        "With 8 seeds of each model, `gru` and `lstm` are ahead of all others. `gru` and `lstm` cannot be told apart. "
        "`lrrnn` and `rnn` cannot be told apart.",
    ),
    "none apart": (
        {"gru": 1.0, "lstm": 1.0, "rnn": 1.0},
        "With 8 seeds of each model, `gru`, `lstm` and `rnn` cannot be told apart.",
    ),
    "many": (
        {"gru": 0.01, "lstm": 0.1, "nmrnn": 1.0, "rnn": 1.0, "lrrnn": 10.0},
        "With 8 seeds of each model, every model is ahead of all models below it that share no letter of "
        "`group` with it. Models that share a letter cannot be told apart.",
    ),
    "many, without ties": (
        {"gru": 1e-4, "lstm": 1e-3, "nmrnn": 0.01, "rnn": 0.1, "lrrnn": 1.0},
        "With 8 seeds of each model, each is ahead of all below it in the table.",
    ),
    # The neighbours cannot be told apart, but the first and the last can.
    "a chain": (
        {"gru": 1.0, "lstm": 1.11, "rnn": 1.24},
        "With 8 seeds of each model, `gru` is ahead of `rnn`. `gru` and `lstm` cannot be told apart. "
        "`lstm` and `rnn` cannot be told apart.",
    ),
}


@pytest.mark.parametrize("label", ORDERS)
def test_which_models_are_ahead(label):
    factors, text = ORDERS[label]
    assert sentences.order(table(**{model: scaled(factor) for model, factor in factors.items()})) == text


def test_which_models_are_ahead_with_different_numbers_of_seeds():
    found = sentences.order(table(gru=scaled(0.01), rnn=[9.0, 9.5]))
    assert found.startswith("With 2 to 8 seeds of each model, ")
    assert sentences.order(table(gru=[1.0, 2.0])) == "Only `gru` has rows."


def test_more_is_better_for_percentages():
    rows = [make_rows(m, CONTEXT, [f + 5 * v for v in SPREAD]) for m, f in (("gru", 80.0), ("rnn", 20.0))]
    (found,) = tables_of([row for each in rows for row in each])
    assert sentences.order(found) == "With 8 seeds of each model, `gru` is ahead of all others."


def test_how_many_seeds_have_less_than_half_the_error_of_a_reference():
    """The fixed ramp has an error of 9.45e-4 on the trained intervals; the floor of a lost seed does not count."""
    rows = []
    for model, errors in {"nmrnn": [1e-5, 2e-5, 3e-5], "lstm": [1e-5, 8.9e-4, 1e-3], "rnn": [1e-5, 1e-3, 1e-3]}.items():
        for seed, error in enumerate(errors):
            rows += make_rows(model, TIMING, [0.001], first_seed=seed, others={"mse_trained": error})
    rows += make_rows("rnn", TIMING, [None], first_seed=3)
    source = experiment_rows.gather("rows.csv", rows)
    task = TASKS.get(TIMING)
    found = sentences.below_half_of_reference(source.experiments, task, "mse_trained", "fixed ramp of 15 steps")
    assert found == (
        "`mse_trained` is below half of that of the reference (fixed ramp of 15 steps), 9.451e-04, for `nmrnn` in 3 of 3 "
        "seeds, `lstm` in 1 of 3, `rnn` in 1 of 4."
    )
    primary = sentences.below_half_of_reference(source.experiments, task, "mse_extrapolated", "fixed ramp of 15 steps")
    assert primary.endswith("for `lstm` and `nmrnn` in 3 of 3 seeds, `rnn` in 3 of 4.")


def test_medians_before_and_after():
    rows = []
    for model, after in {"nmrnn": [20.0, 25.0, 30.0], "lstm": [60.0, 60.0, 60.0]}.items():
        for seed, value in enumerate(after):
            others = {"old_tasks": value, "old_tasks.before_retraining": 98.0}
            rows += make_rows(model, CONTEXT, [90.0 if model == "nmrnn" else 80.0], first_seed=seed, others=others)
    (found,) = tables_of(rows)
    assert sentences.medians(found, "old_tasks.before_retraining", "old_tasks") == (
        "From `old_tasks.before_retraining` to `old_tasks`, the median over seeds changes from 98 to 25 for `nmrnn`, "
        "from 98 to 60 for `lstm`."
    )
    assert sentences.medians(found, "old_tasks.before_retraining", "none") == ""
