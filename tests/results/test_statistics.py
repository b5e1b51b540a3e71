"""Estimates over seeds: hand-computed cases and properties of intervals."""

import numpy as np
import pytest
import scipy.stats

from nmbench.results import experiment_rows, statistics
from support.claimed import make_rows
from support.rows import diverged, make_row


def test_samples_are_in_order_of_seed_and_lost_seeds_count_as_the_floor():
    rows = [make_row("a", 2, 1.5), diverged(model="a", seed=0), make_row("a", 1, 0.5)]
    rows.append(diverged(model="a", seed=5, status="timeout"))
    made = statistics.sample(rows)
    assert made.seeds.tolist() == [0, 1, 2, 5]
    assert made.values.tolist() == [4.0, 0.5, 1.5, 4.0]
    assert made.lost.tolist() == [True, False, False, True]
    assert made.higher_is_better is False
    with pytest.raises(ValueError, match="all different"):
        statistics.sample([make_row(seed=1), make_row(seed=1)])


@pytest.mark.parametrize(
    ("higher_is_better", "ceiling", "expected"),
    [(False, 0.0, True), (True, 0.0, False), (False, -1.0, False), (True, 100.0, False)],
)
def test_logarithms_are_compared_only_of_errors(higher_is_better, ceiling, expected):
    assert statistics.compares_logarithms(higher_is_better, ceiling) is expected
    value = {"value": 0.01, "floor": 4.0, "higher_is_better": higher_is_better, "ceiling": ceiling}
    made = statistics.sample([make_row("a", 0, **value)])
    assert made.logarithmic is expected and made.compared.tolist() == [-2.0 if expected else 0.01]


def test_an_error_of_zero_has_a_logarithm():
    made = statistics.sample([make_row("a", s, v) for s, v in enumerate([1.0, 0.0, 100.0, 1e-13])])
    assert made.compared.tolist() == [0.0, -12.0, 2.0, -12.0] and made.values[1] == 0.0


def test_an_error_that_is_a_share_of_trials_counts_at_least_as_half_a_trial():
    rows = make_rows("gain_rnn", "context_integration", [0.0, 1 / 1440, 0.5])
    (experiment,) = experiment_rows.gather("rows.csv", rows).experiments
    assert experiment.sample.values.tolist() == [0.0, 1 / 1440, 0.5]
    np.testing.assert_allclose(10**experiment.sample.compared, [1 / 2880, 1 / 1440, 0.5], rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "k", "covers"),
    [
        *((n, 1, False) for n in (2, 3, 4, 5)),
        *((n, 1, True) for n in (6, 7, 8)),
        *((n, 2, True) for n in (9, 10, 11)),
        (12, 3, True),
        (30, 10, True),
    ],
)
def test_the_interval_of_a_median_is_from_the_kth_smallest_to_the_kth_largest(n, k, covers):
    values = np.random.RandomState(n).permutation(np.arange(1.0, n + 1))
    assert statistics.median(values) == statistics.Estimate((n + 1) / 2, k, n + 1 - k, covers)


def test_the_interval_of_a_median_is_the_shortest_that_covers():
    """The number of values below the median is binomial."""
    for n in (*range(6, 41), 100, 1001, 2000):
        found = statistics.median(np.arange(1.0, n + 1))
        coverage = 1 - 2 * scipy.stats.binom.cdf([found.low - 1, found.low], n, 0.5)
        assert found.covers and found.low + found.high == n + 1
        assert coverage[0] >= 0.95 > coverage[1], n


def test_one_seed_has_no_interval_and_equal_seeds_a_collapsed_one():
    for estimate in (statistics.median, statistics.mean):
        assert estimate(np.array([2.5])) == statistics.Estimate(2.5, None, None)
        assert estimate(np.array([2.5] * 6)) == statistics.Estimate(2.5, 2.5, 2.5)
    assert statistics.median(np.array([2.5] * 4)) == statistics.Estimate(2.5, 2.5, 2.5, covers=False)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_of_a_mean_matches_scipy(n):
    values = np.random.RandomState(n).lognormal(size=n)
    found = statistics.mean(values)
    theirs = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), theirs.low, theirs.high))


def test_the_interval_of_a_mean_by_hand():
    """The 97.5% quantile of Student's t with two degrees of freedom is 4.30265; the standard error is 1 / sqrt(3)."""
    found = statistics.mean(np.array([1.0, 2.0, 3.0]))
    assert (found.low, found.value, found.high) == pytest.approx((2 - 2.484138, 2.0, 2 + 2.484138), abs=1e-5)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 9), (10, 10)])
def test_the_interval_of_a_difference_of_means_matches_scipy(n, m):
    a, b = np.random.RandomState(n).randn(n), 3 + 5 * np.random.RandomState(m + 1).randn(m)
    theirs = scipy.stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    for scale in (1.0, 1e-100, 1e100):  # squares of variances would underflow or overflow
        found = statistics.difference_of_means(scale * a, scale * b)
        expected = scale * (np.mean(b) - np.mean(a)), scale * theirs.low, scale * theirs.high
        assert (found.value, found.low, found.high) == pytest.approx(expected)
        p = scipy.stats.ttest_ind(a, b, equal_var=False).pvalue
        assert statistics.welch_p(scale * a, scale * b) == pytest.approx(p)


def test_differences_of_means_without_spread():
    one, two, spread = np.array([1.0]), np.array([4.0, 4.0]), np.array([1.0, 2.0, 3.0])
    assert statistics.difference_of_means(one, two) == statistics.Estimate(3.0, None, None)
    assert statistics.difference_of_means(two, one) == statistics.Estimate(-3.0, None, None)
    assert statistics.difference_of_means(two, two + 1) == statistics.Estimate(1.0, None, None)
    six = np.full(6, 4.0)
    assert statistics.difference_of_means(six, six + 1) == statistics.Estimate(1.0, 1.0, 1.0)
    assert (statistics.welch_p(two, two), statistics.welch_p(two, two + 1)) == (1.0, 0.0)
    # The mean of three times 0.1 is rounded, which is no variance.
    third = np.full(3, 0.1)
    assert np.var(third) > 0 and statistics.difference_of_means(third, third) == statistics.Estimate(0.0, None, None)
    # Only one side has a variance, so the interval is that of its mean.
    found, mean = statistics.difference_of_means(two, spread), statistics.mean(spread)
    assert (found.low, found.high) == pytest.approx((mean.low - 4, mean.high - 4))


def test_an_estimate_of_a_function():
    of = statistics.Estimate(2.0, 1.0, 4.0, covers=False)
    assert of.mapped(lambda x: 10 * x) == statistics.Estimate(20.0, 10.0, 40.0, covers=False)
    assert of.mapped(lambda x: 1 / x) == statistics.Estimate(0.5, 0.25, 1.0, covers=False)
    assert statistics.Estimate(2.0, None, None).mapped(lambda x: -x) == statistics.Estimate(-2.0, None, None)


def test_powers_of_ten_are_limited():
    found = statistics.powers_of_ten(statistics.Estimate(2.0, -400.0, 400.0))
    assert found == statistics.Estimate(100.0, 0.0, 1e300)


def test_a_sum_of_medians_by_hand():
    a, b = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 60.0]), np.array([10.0] * 7)
    free = (-np.inf, np.inf)
    found = statistics.sum_of_medians([a, b], [0.5, 0.25], *free)
    assert found.value == 0.5 * 3.5 + 0.25 * 10 and found.covers
    # b does not vary. Of the medians of all resamples of a, 1.5 and 2 are the percentiles 1.4 and 3.6; 32 and 32.5 are the
    # percentiles 96.4 and 98.6.
    assert 0.5 * 1.5 + 2.5 <= found.low <= 0.5 * 2 + 2.5
    assert 0.5 * 32 + 2.5 <= found.high <= 0.5 * 32.5 + 2.5
    assert statistics.sum_of_medians([a[:5], b], [0.5, 0.25], *free) == statistics.Estimate(0.5 * 3.0 + 2.5, None, None)
    # The medians 3.5 and 10 are limited, not the values.
    assert statistics.sum_of_medians([a[:5], b], [0.5, 0.25], 0.0, 8.0).value == 0.5 * 3.0 + 0.25 * 8


def test_intervals_cover_the_truth_of_skewed_samples():
    random = np.random.RandomState(0)
    samples = random.lognormal(size=(2000, 10))
    medians, logs = map(statistics.median, samples), map(statistics.mean, np.log(samples))
    assert np.mean([e.low <= 1.0 <= e.high for e in medians]) >= 0.965  # 0.979 exactly
    assert 0.935 <= np.mean([e.low <= 0.0 <= e.high for e in logs]) <= 0.965


def test_success_rate_has_wilson_intervals():
    z = scipy.stats.norm.ppf(0.975)
    for hits, n in [(0, 1), (1, 1), (3, 10), (10, 10)]:
        share = hits / n
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        found = statistics.success_rate(np.arange(n) < hits)
        np.testing.assert_allclose([found.value, found.low, found.high], [share, middle - half, middle + half], atol=1e-12)
    # The lower limit for ten of ten, by hand: 1 / (1 + z**2 / 10).
    np.testing.assert_allclose(statistics.success_rate(np.ones(10)).low, 0.7224672, atol=1e-7)


def test_seeds_reach_a_threshold_in_the_metrics_direction_unless_lost():
    made = statistics.Sample(np.arange(4), np.array([0.5, 1.0, 1.5, 0.1]), np.array([False, False, False, True]), False)
    assert statistics.reached(made, 1.0).tolist() == [True, True, False, False]
    up = statistics.Sample(made.seeds, made.values, made.lost, True)
    assert statistics.reached(up, 1.0).tolist() == [False, True, True, False]
