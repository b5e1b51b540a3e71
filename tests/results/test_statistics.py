"""Estimates over seeds: hand-computed cases and properties of intervals."""

import numpy as np
import pytest
import scipy.stats

from nmbench.results import resampling, statistics
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


def test_median_and_interquartile_mean_of_literal_values():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0])
    found = lambda x: tuple(estimate.value for estimate in statistics.median_and_interquartile_mean(x))
    assert found(values) == (4.5, 4.5)  # the interquartile mean is that of 3, 4, 5, 6
    assert found(values[:5])[1] == 3.0  # the mean of 2, 3, 4
    assert found(np.array([1.0, 2.0, 9.0])) == (2.0, 4.0)  # a quarter is less than one seed, so all count


def interquartile_mean(values):
    return statistics.median_and_interquartile_mean(values)[1]


@pytest.mark.parametrize("estimate", [statistics.median, interquartile_mean])
def test_one_seed_has_no_interval_and_equal_seeds_a_collapsed_one(estimate):
    assert estimate(np.array([2.5])) == statistics.Estimate(2.5, None, None)
    assert estimate(np.array([2.5] * 4)) == statistics.Estimate(2.5, 2.5, 2.5)
    tied = estimate(np.array([1.0, 1.0, 1.0, 2.0]))
    assert 1.0 <= tied.low <= tied.value <= tied.high <= 2.0


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [statistics.median, interquartile_mean])
def test_intervals_of_normal_samples_cover_the_truth(estimate):
    random = np.random.RandomState(0)
    intervals = [estimate(random.randn(30)) for _ in range(1000)]
    covered = np.mean([e.low <= 0.0 <= e.high for e in intervals])
    assert 0.92 <= covered <= 0.97


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


def test_large_samples_are_resampled_in_parts(monkeypatch):
    x = np.random.RandomState(0).randn(300)
    whole = statistics.mean(x)
    monkeypatch.setattr(resampling, "_AT_ONCE", 50_000)
    parts = statistics.mean(x)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high))
    resampling._cached_resamples.cache_clear()
