"""The rule that chooses a learning rate from validation losses, the extension of the grid, and the check of records."""

import json

import pytest

from nmbench.contracts import tuning_record
from support.rows import make_tuning_record

GOOD = {0.003: [2.0, 4.0], 0.01: [1.0, 2.0], 0.03: [8.0, None]}


def test_the_lowest_mean_logarithm_wins_also_with_one_catastrophic_seed():
    losses = [[1e-4, 1e-4, 1.0], [1e-2, 1e-2, 1e-2]]  # means 0.33 and 0.01
    assert tuning_record.mean_logs(losses) == pytest.approx([-8 / 3, -2], rel=1e-12)
    assert tuning_record.choose([0.01, 0.1], losses) == 0.01


def test_a_diverged_run_counts_as_the_largest_loss_of_all_runs():
    losses = [[1e-4, None], [1e-2, 1e-2]]
    assert tuning_record.logs(losses) == [pytest.approx([-4, -2]), pytest.approx([-2, -2])]
    assert tuning_record.choose([0.01, 0.1], losses) == 0.01
    worse = [*losses, [100.0, 100.0]]
    assert tuning_record.mean_logs(worse) == pytest.approx([-1, -2, 2])
    assert tuning_record.choose([0.01, 0.1, 1.0], worse) == 0.1


def test_of_equal_learning_rates_the_lowest_wins():
    assert tuning_record.choose([0.01, 0.1], [[1.0], [1.0]]) == 0.01
    # Equal losses in another order are equal to the last bit.
    assert tuning_record.choose([0.01, 0.1], [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]]) == 0.01
    assert tuning_record.choose([0.01, 0.1], [[0.3, 0.1, 0.2], [0.1, 0.2, 0.3]]) == 0.01


def test_a_loss_of_zero_has_a_logarithm():
    assert tuning_record.mean_logs([[0.0], [1.0]]) == [-30.0, 0.0]


@pytest.mark.parametrize("function", [tuning_record.mean_logs, tuning_record.failures])
def test_nothing_can_be_chosen_if_every_run_diverged(function):
    with pytest.raises(ValueError, match="every run diverged"):
        function([[None, None], [None, None]])


@pytest.mark.parametrize(
    ("grid", "rates", "best", "expected"),
    [
        ([1e-3, 1e-2, 1e-1], None, 1e-2, None),
        ([1e-3, 1e-2], None, 1e-3, 3e-4),
        ([1e-3, 1e-2], [3e-4, 1e-3, 1e-2], 3e-4, 1e-4),
        ([1e-3, 1e-2], [3e-4, 1e-3, 1e-2], 1e-3, None),
        ([1e-3, 1e-2], [1e-4, 3e-4, 1e-3, 1e-2], 1e-4, None),
        ([1e-3, 1e-2], None, 1e-2, 3e-2),
        ([1e-3, 1e-2], [1e-3, 1e-2, 3e-2], 3e-2, 1e-1),
        ([1e-3, 1e-2], [1e-3, 1e-2, 3e-2, 1e-1], 1e-1, None),
        # Two below do not count above.
        ([1e-3, 1e-2], [1e-4, 3e-4, 1e-3, 1e-2], 1e-2, 3e-2),
        ([2e-3, 5e-3], None, 2e-3, 1e-3),
        ([2e-3, 5e-3], None, 5e-3, 1e-2),
        ([1e-2], None, 1e-2, 3e-3),
        ([1e-2], [3e-3, 1e-2], 1e-2, 3e-2),
        ([1e-8, 1e-2], None, 1e-8, None),
        ([1e-3, 300.0], None, 300.0, None),
    ],
)
def test_the_grid_is_extended_where_its_end_wins(grid, rates, best, expected):
    rates = grid if rates is None else rates
    losses = [[1.0 if rate == best else 2.0] for rate in rates]
    assert tuning_record.next_rate(grid, rates, losses) == expected


def test_lower_learning_rates_are_tried_if_every_run_diverged():
    assert tuning_record.next_rate([1e-2, 1e-1], [1e-2, 1e-1], [[None], [None]]) == 3e-3
    assert tuning_record.next_rate([1e-2], [1e-3, 3e-3, 1e-2], [[None]] * 3) is None


def test_failed_runs_by_hand():
    """The first learning rate is the best: 1 * 2 * 3 * 40 < 5 ** 4. The lower median of its losses is 2."""
    losses = [[1.0, 2.0, 3.0, 40.0], [None, 1000.0, 21.0, 20.0], [5.0, 5.0, 5.0, 5.0]]
    assert tuning_record.failures(losses) == [1, 3, 0]


def test_a_valid_record_is_returned():
    record = make_tuning_record(GOOD)
    assert record["chosen"] == 0.01
    assert tuning_record.check(record) is record
    assert tuning_record.check({name: value for name, value in record.items() if name != "train_s"})
    assert tuning_record.check(json.loads(json.dumps({**record, "source": "shipped tuning record"})))["grid"] == list(GOOD)


LONG = "x" * 200_000
NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chosen": 0.02}, "'chosen' is 0.02, but its losses choose 0.01 (lowest mean log10"),
        ({"chosen": 0.003}, "'chosen' is 0.003, but its losses choose 0.01"),
        ({"chosen": None}, "'chosen' is None"),
        ({"chosen": True}, "'chosen' is True"),
        ({"chosen": NAN}, "'chosen' is nan"),
        ({"chosen": LONG}, "'chosen' is 'xxx"),
        ({"chosen": "0.01\n"}, r"'chosen' is '0.01\n', but"),
        ({"grid": [0.01, 0.003, 0.03]}, "'grid' must ascend"),
        ({"grid": [0.003, 0.003, 0.01]}, "'grid' must ascend"),
        ({"grid": [0.003, 0.01]}, "'validation_losses' needs one list per learning rate of 'grid'"),
        ({"grid": []}, "'grid' is not a list of 1 to 200 numbers"),
        ({"grid": [0.0, 0.01, 0.03]}, "'grid' is not a list"),
        ({"grid": [0.003, 0.01, NAN]}, "'grid' is not a list"),
        ({"grid": [LONG]}, "'grid' is not a list"),
        ({"seeds": [1000, 1000]}, "'seeds' must differ"),
        ({"seeds": [1000]}, "'validation_losses' needs one number per seed"),
        ({"losses_by_phase": 3}, "'losses_by_phase' is not a list of at most 200 tables"),
        ({"losses_by_phase": [[[1.0, 2.0]]]}, "'losses_by_phase' needs one list per learning rate of 'grid'"),
        ({"seeds": [1000, True]}, "'seeds' is not a list"),
        ({"seeds": [1000, 1 << 62]}, "'seeds' is not a list"),
        ({"seeds": list(range(201))}, "'seeds' is not a list"),
        ({"validation_losses": [[2.0, 4.0], [1.0, 2.0], [8.0]]}, "'validation_losses' needs one number per seed, or null"),
        ({"validation_losses": [[2.0, 4.0], [1.0, 2.0], [8.0, NAN]]}, "'validation_losses' needs one number per seed"),
        ({"validation_losses": [[2.0, 4.0], [1.0, 2.0], [8.0, -1.0]]}, "'validation_losses' needs one number per seed"),
        ({"validation_losses": [[2.0, 4.0], [1.0, 2.0], [8.0, "1"]]}, "'validation_losses' needs one number per seed"),
        ({"validation_losses": [[None, None]] * 3}, "'validation_losses': every run diverged"),
        ({"validation_losses": LONG}, "'validation_losses' needs one list"),
        ({"test_values": [[1.0, 1.0]] * 2}, "'test_values' needs one list per learning rate"),
        ({"test_values": [[1.0, 1.0, 1.0]] * 3}, "'test_values' needs one number per seed"),
        ({"test_values": [[1.0, float("inf")]] * 3}, "'test_values' needs one number per seed"),
        ({"failed": [0, 0, 0]}, "'failed' is [0, 0, 0], but its losses give [0, 0, 1]"),
        ({"failed": LONG}, "'failed' is 'xxx"),
        ({"model": LONG}, "'model' is not a text of 1 to 200 characters"),
        ({"task": ""}, "'task' is not a text"),
        ({"protocol": 3}, "'protocol' is not a text"),
        ({"rule": LONG}, "'rule' is not a text"),
        ({"source": LONG}, "'source' is not a text"),
        ({"source": "\x1b[31mred"}, "'source' is not a text"),
        ({"train_s": "1"}, "'train_s' is not"),
        ({"train_s": -1.0}, "'train_s' is not"),
        ({"steps": 0}, "'steps' is not a positive whole number"),
        ({"steps": 1.5}, "'steps' is not a positive"),
        ({"task_version": True}, "'task_version' is not a positive"),
        ({"engine": None}, "'engine' is not a positive"),
        ({"params": -3}, "'params' is not a positive"),
        ({"hparams": {"N": LONG}}, "'hparams' is not a JSON object of plain values"),
        ({"hparams": {"N": [5]}}, "'hparams' is not a JSON object"),
        ({"hparams": {"N": NAN}}, "'hparams' is not a JSON object"),
        ({"hparams": [5]}, "'hparams' is not a JSON object"),
        ({"validation_sha256": {"validation": 3}}, "'validation_sha256' is not a JSON object"),
        ({"validation_sha256": None}, "'validation_sha256' is not a JSON object"),
        ({LONG: 1}, "is not an entry of a tuning record"),
        ({"criterion": "lowest mean"}, "'criterion' is not an entry of a tuning record"),
    ],
)
def test_a_damaged_record_is_refused_in_a_short_line(changes, message):
    with pytest.raises(ValueError) as caught:
        tuning_record.check({**make_tuning_record(GOOD), **changes})
    text = str(caught.value)
    assert message in text and "\n" not in text and len(text) < 300


@pytest.mark.parametrize("name", sorted(make_tuning_record(GOOD).keys() - {"train_s"}))
def test_every_other_entry_is_needed(name):
    record = make_tuning_record(GOOD)
    del record[name]
    with pytest.raises(ValueError, match=f"'{name}'"):
        tuning_record.check(record)


@pytest.mark.parametrize("record", [[], None, "text", 3])
def test_other_json_is_not_a_record(record):
    with pytest.raises(ValueError, match="it is not a JSON object"):
        tuning_record.check(record)
