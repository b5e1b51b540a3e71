"""Intervals of medians that include the choice of the learning rate."""

import json

import numpy as np
import pytest

from nmbench.contracts import tuning_record
from nmbench.results import statistics, tuned_intervals
from support.rows import make_row, make_tuning_record, tables_of, tuned

VALUES = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
CERTAIN = {0.003: [5.0, 6.0, 7.0], 0.01: [1.0, 2.0, 3.0]}
# At each learning rate, half of the losses are 1 and half are 100, so resamples choose either.
AMBIGUOUS = {0.003: [1.0, 100.0] * 3, 0.01: [0.9, 100.0] * 3}


def draws(losses, **changes):
    return tuned_intervals.draws(json.dumps(make_tuning_record(losses, **changes)))


def test_a_certain_choice_does_not_widen_the_interval():
    found = draws(CERTAIN)
    assert found.stability == 1.0 and found.rates == (0.003, 0.01) and found.actual == 1
    expected = statistics.Estimate(1.35, 1.0, 1.7)
    assert tuned_intervals.median(VALUES, found, 4.0) == statistics.median(VALUES) == expected
    assert tuned_intervals.median(VALUES, None, 4.0) == expected


@pytest.mark.parametrize("bad", [900.0, 0.001])
def test_an_ambiguous_choice_widens_the_interval_to_the_results_of_the_other_learning_rate(bad):
    found = draws(AMBIGUOUS, test_values=[[bad] * 6, [2.0] * 6])
    assert found.actual == 1 and 0.05 < 1 - found.stability < 0.95
    estimate = tuned_intervals.median(VALUES, found, 4.0)
    assert estimate == statistics.Estimate(1.35, min(1.0, bad), max(1.7, bad))


def test_a_tuning_run_without_a_value_counts_as_the_floor():
    found = draws(AMBIGUOUS, test_values=[[None] * 6, [2.0] * 6])
    assert tuned_intervals.median(VALUES, found, 4.0).high == 4.0


def test_few_seeds_keep_their_range():
    found = draws(AMBIGUOUS, test_values=[[900.0] * 6, [2.0] * 6])
    assert tuned_intervals.median(VALUES[:5], found, 4.0) == statistics.Estimate(1.2, 1.0, 1.4, covers=False)
    assert tuned_intervals.median(VALUES[:1], found, 4.0) == statistics.Estimate(1.0, None, None)


def test_how_often_the_same_learning_rate_is_chosen_again():
    """Compared with a loop over 4000 resamples that applies the rule itself: three standard errors are below 0.03."""
    losses = {0.003: [3.0, 1.0, 8.0, 2.0], 0.01: [2.0, 1.5, 3.0, 1.0], 0.03: [1.0, None, 2.0, 6.0]}
    rows, random, hits = list(losses.values()), np.random.RandomState(7), 0
    chosen = tuning_record.choose(list(losses), rows)
    full = [[8.0 if loss is None else loss for loss in row] for row in rows]
    for _ in range(4000):
        drawn = [[row[random.randint(4)] for _ in range(4)] for row in full]
        hits += tuning_record.choose(list(losses), drawn) == chosen
    assert 0.3 < hits / 4000 < 0.95
    assert draws(losses).stability == pytest.approx(hits / 4000, abs=0.03)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"source":"given"}', "[" * 100_000])
def test_damaged_json_has_no_draws(text):
    assert tuned_intervals.draws(text) is None


def test_the_largest_record_needs_little_memory():
    many = {0.01 * (i + 1): [1.0 + i] * 200 for i in range(200)}
    assert draws(many).chosen.shape == (2000,) and draws(many).stability == 1.0


def test_a_table_has_the_wider_interval_and_the_share():
    changes = {"test_values": [[3.9] * 6, [2.0] * 6]}
    rows = [make_row("nmrnn", s, float(v), **tuned(AMBIGUOUS, **changes)) for s, v in enumerate(VALUES)]
    rows += [make_row("lstm", s, float(v)) for s, v in enumerate(VALUES)]
    (table,) = tables_of(rows)
    by = {entry.label: entry for entry in table.entries}
    assert by["nmrnn"].median == statistics.Estimate(1.35, 1.0, 3.9) and by["lstm"].median.high == 1.7
    assert by["nmrnn"].score.low == pytest.approx(2.5)  # 100 (1 - 3.9 / 4)
    assert by["nmrnn"].tuning.stability == draws(AMBIGUOUS).stability and by["lstm"].tuning is None
    assert (by["nmrnn"].tuning_trials, by["lstm"].tuning_trials) == (12, 0)
