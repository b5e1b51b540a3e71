"""Statistics over seeds: hand-computed cases, SciPy as a second opinion, and properties."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.results import resampling, statistics
from support.rows import diverged, make_row


def sample(values, seeds=None, higher_is_better=False):
    values = np.array(values, float)
    seeds = np.arange(len(values)) if seeds is None else np.array(seeds)
    return statistics.Sample(seeds, values, np.zeros(len(values), bool), higher_is_better)


def test_samples_are_in_order_of_seed_and_lost_seeds_count_as_the_floor():
    rows = [make_row("a", 2, 1.5), diverged(model="a", seed=0), make_row("a", 1, 0.5)]
    rows.append(diverged(model="a", seed=5, status="timeout"))
    made = statistics.sample(rows)
    assert made.seeds.tolist() == [0, 1, 2, 5]
    assert made.values.tolist() == [4.0, 0.5, 1.5, 4.0]
    assert made.lost.tolist() == [True, False, False, True]
    assert made.higher_is_better is False
    with pytest.raises(ValueError, match="each once"):
        statistics.sample([make_row(seed=1), make_row(seed=1)])


def test_median_and_interquartile_mean_of_literal_values():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0])
    assert statistics.median(values).value == 4.5
    assert statistics.interquartile_mean(values).value == 4.5  # of 3, 4, 5, 6
    assert statistics.interquartile_mean(values[:5]).value == 3.0  # of 2, 3, 4
    assert statistics.interquartile_mean(np.array([1.0, 2.0, 9.0])).value == 4.0  # less than a seed to cut


@pytest.mark.parametrize("estimate", [statistics.median, statistics.interquartile_mean])
def test_one_seed_has_no_interval_and_equal_seeds_a_collapsed_one(estimate):
    assert estimate(np.array([2.5])) == statistics.Estimate(2.5, None, None)
    assert estimate(np.array([2.5] * 4)) == statistics.Estimate(2.5, 2.5, 2.5)
    tied = estimate(np.array([1.0, 1.0, 1.0, 2.0]))
    assert 1.0 <= tied.low <= tied.value <= tied.high <= 2.0


@pytest.mark.parametrize("statistic", [np.median, np.mean])
def test_intervals_are_those_of_the_enumerated_bootstrap(statistic):
    """Four seeds have 4**4 resamples: the percentiles of all of them, up to what drawing 2000 leaves open."""
    values = np.array([0.0, 1.0, 3.0, 7.0])
    everything = statistic(values[np.indices((4,) * 4).reshape(4, -1)], axis=0)
    gap = statistics.compare(sample(np.zeros(4)), sample(values))
    found = gap.median if statistic is np.median else gap.mean
    low, high = np.quantile(everything, [0.02, 0.03]), np.quantile(everything, [0.97, 0.98])
    assert low[0] <= found.low <= low[1] and high[0] <= found.high <= high[1]


def test_intervals_are_scipys():
    """Up to what drawing resamples leaves open: the spread of SciPy's own bounds over ten generators."""
    x, y = np.random.RandomState(0).randn(2, 12)
    for data, found in [
        ((y - x,), statistics.compare(sample(x), sample(y))),
        ((y, x), statistics.compare(sample(x), sample(y, np.arange(12) + 90))),
    ]:
        for name, statistic in (("mean", np.mean), ("median", np.median)):
            gap = lambda *parts, axis, f=statistic: f(parts[0], axis) - (f(parts[1], axis) if len(parts) > 1 else 0.0)
            bounds = np.array([scipy_bounds(data, gap, seed) for seed in range(10)])
            estimate = getattr(found, name)
            low, high = bounds.min(axis=0) - bounds.std(axis=0), bounds.max(axis=0) + bounds.std(axis=0)
            assert low[0] <= estimate.low <= high[0] and low[1] <= estimate.high <= high[1]


def scipy_bounds(data, statistic, seed):
    name = "rng" if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15) else "random_state"
    random = {name: np.random.default_rng(seed)}
    found = scipy.statistics.bootstrap(data, statistic, n_resamples=2000, method="percentile", vectorized=True, **random)
    return tuple(found.confidence_interval)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "truth"), [("median", 0.0), ("interquartile_mean", 0.0)])
def test_intervals_cover_the_truth_of_normals(name, truth):
    random = np.random.RandomState(0)
    intervals = [getattr(statistics, name)(random.randn(30)) for _ in range(1000)]
    covered = np.mean([e.low <= truth <= e.high for e in intervals])
    assert 0.92 <= covered <= 0.97


@pytest.mark.slow
def test_intervals_of_differences_cover_and_p_is_uniform_without_a_difference():
    random = np.random.RandomState(1)
    results = [statistics.compare(sample(random.randn(20)), sample(1 + random.randn(20))) for _ in range(500)]
    assert 0.91 <= np.mean([r.mean.low <= 1.0 <= r.mean.high for r in results]) <= 0.97
    ps = [statistics.paired_p(random.randn(10)) for _ in range(2000)]
    assert scipy.statistics.kstest(ps, "uniform").pvalue > 0.01


def test_success_rate_is_wilsons():
    z = scipy.statistics.norm.ppf(0.975)
    for hits, n in [(0, 1), (1, 1), (3, 10), (10, 10)]:
        share = hits / n
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        found = statistics.success_rate(np.zeros(n), np.arange(n) < hits)
        np.testing.assert_allclose([found.value, found.low, found.high], [share, middle - half, middle + half], atol=1e-12)
    # Ten of ten, by hand: 1 / (1 + z**2 / 10).
    np.testing.assert_allclose(statistics.success_rate(np.zeros(10), np.ones(10)).low, 0.7224672, atol=1e-7)


def test_seeds_reach_a_threshold_in_the_metrics_direction_unless_lost():
    made = statistics.Sample(np.arange(4), np.array([0.5, 1.0, 1.5, 0.1]), np.array([False, False, False, True]), False)
    assert statistics.reached(made, 1.0).tolist() == [True, True, False, False]
    up = statistics.Sample(made.seeds, made.values, made.lost, True)
    assert statistics.reached(up, 1.0).tolist() == [False, True, True, False]


def test_score_profile_counts_scores_at_or_above():
    profile = statistics.score_profile(np.array([50.0, 100.0, 50.0, 0.0]), np.array([0.0, 25.0, 50.0, 50.1, 100.0, 101.0]))
    assert profile.tolist() == [1.0, 0.75, 0.75, 0.25, 0.25, 0.0]


@pytest.mark.parametrize(
    ("gap", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # only +++ and --- reach a sum of 6
        ([1.0, 2.0, -3.0], 1.0),
        ([3.0, 2.0, -1.0], 4 / 8),  # sums 6, 4 and their negatives reach 4
        ([1.0, 2.0, 3.0, 4.0], 2 / 16),
        ([-1.0, 2.0, 3.0, 4.0], 4 / 16),  # 10 and 8
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),  # 4 once, 2 four times, and their negatives
        ([0.1, 0.2, -0.3, 0.0], 1.0),
        ([0.0, 0.0], 1.0),
    ],
)
def test_exact_p_of_pairs_by_hand(gap, p):
    assert statistics.paired_p(np.array(gap)) == p
    assert statistics.paired_p(-np.array(gap)) == p


def test_exact_p_of_groups_by_hand():
    # 1, 2 | 3, 4: 6 divisions, of which this one and its mirror image lie outermost.
    assert statistics.unpaired_p(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == pytest.approx(2 / 6)
    # 0, 0, 0 | 1, 1: 10 divisions, one of them as high; two-sided twice that.
    assert statistics.unpaired_p(np.zeros(3), np.ones(2)) == pytest.approx(2 / 10)
    assert statistics.unpaired_p(np.ones(3), np.ones(2)) == 1.0


@given(st.lists(st.floats(-10, 10, width=16), min_size=2, max_size=7))
@settings(max_examples=50, deadline=None)
def test_exact_p_is_scipys(gap):
    gap = np.array(gap)
    ours = scipy.statistics.permutation_test(
        (gap,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    assert statistics.paired_p(gap) == pytest.approx(ours.pvalue)


def test_p_of_many_pairs_is_drawn_and_close_to_exact():
    gap = np.random.RandomState(0).randn(14) + 0.5
    signs = 1.0 - 2.0 * (np.arange(2**14)[:, None] >> np.arange(14) & 1)
    exact = np.mean(np.abs(signs @ gap) >= abs(gap.sum()) - 1e-9)
    assert statistics.paired_p(gap) == pytest.approx(exact, abs=0.015)
    assert statistics.paired_p(gap) == statistics.paired_p(gap.copy())


def test_probability_of_improvement_by_hand():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0])
    # b = 2: above 1, ties with 2, below 3. b = 4: above all.
    assert statistics.probability_of_improvement(a, b, True) == 4.5 / 6
    assert statistics.probability_of_improvement(a, b, False) == 1.5 / 6


VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=6).map(np.array)


@given(VALUES, VALUES, st.booleans())
def test_probability_of_improvement_counts_pairs(a, b, up):
    sign = 1 if up else -1
    pairs = [(sign * (y - x) > 0) + 0.5 * (x == y) for x in a for y in b]
    assert statistics.probability_of_improvement(a, b, up) == pytest.approx(np.mean(pairs))
    assert statistics.probability_of_improvement(b, a, up) == pytest.approx(1 - np.mean(pairs))


def test_holm_by_hand():
    # 0.01 x 4; 0.02 x 3; 0.03 x 2 = 0.06, not below the one before it; 0.5 x 1.
    assert statistics.holm([0.03, 0.01, 0.5, 0.02]) == [0.06, 0.04, 0.5, 0.06]
    assert statistics.holm([0.01, None, 0.04, None]) == [0.02, None, 0.04, None]
    assert statistics.holm([0.04, 0.03]) == [0.06, 0.06]
    assert statistics.holm([0.7, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == [] and statistics.holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(ps):
    corrected = np.array(statistics.holm(ps), float)
    assert np.all(corrected >= ps) and np.all(corrected <= np.minimum(1.0, np.array(ps) * len(ps)) + 1e-15)
    order = np.argsort(ps)
    assert np.all(np.diff(corrected[order]) >= 0)


def test_shared_seeds_are_paired_and_the_rest_is_left_out_of_the_test():
    a = sample([1.0, 2.0, 3.0, 50.0], seeds=[0, 1, 2, 3])
    b = sample([3.5, 1.5, 0.5, -50.0], seeds=[2, 0, 1, 9])
    result = statistics.compare(a, b)
    assert (result.pairing, result.shared) == ("paired", 3)
    # Differences over seeds 0, 1, 2: 0.5, -1.5, 0.5. Sums reach 0.5 in size whatever the signs.
    assert result.mean.value == pytest.approx(-1 / 6) and result.median.value == 0.5
    assert result.p == 1.0 and result.least_p == 0.25
    assert result.favours_b is True
    assert result.mean.low <= result.mean.value <= result.mean.high


def test_fewer_than_two_shared_seeds_are_compared_unpaired():
    result = statistics.compare(sample([1.0, 2.0], [0, 1]), sample([3.0, 4.0], [1, 2]))
    assert (result.pairing, result.shared) == ("unpaired", 1)
    assert result.mean.value == 2.0 and result.median.value == 2.0
    assert result.p == pytest.approx(2 / 6) and result.least_p == pytest.approx(2 / 6)
    assert (result.improvement, result.favours_b) == (0.0, False)
    assert statistics.compare(sample([1.0, 2.0]), sample([3.0, 4.0], [2, 3], True)).favours_b is False


def test_one_seed_has_a_difference_but_no_test():
    result = statistics.compare(sample([1.0], [0]), sample([3.0, 5.0], [0, 1]))
    assert result.mean == statistics.Estimate(3.0, None, None) and result.p is None and result.pairing == ""
    assert statistics.holm([result.p]) == [None]


def test_equal_samples_do_not_differ():
    result = statistics.compare(sample([1.0, 2.0, 3.0]), sample([1.0, 2.0, 3.0]))
    assert result.p == 1.0 and result.favours_b is None and result.improvement == 0.5
    assert result.mean == result.median == statistics.Estimate(0.0, 0.0, 0.0)


FLOATS = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=6)


@given(FLOATS, FLOATS, st.integers(0, 8), st.booleans())
@settings(max_examples=40, deadline=None)
def test_comparisons_are_deterministic_and_turn_with_their_sides(x, y, shift, up):
    a, b = sample(x, higher_is_better=up), sample(y, np.arange(len(y)) + shift, up)
    forth, back = statistics.compare(a, b), statistics.compare(b, a)
    assert forth == statistics.compare(a, b)
    assert forth.mean.low <= forth.mean.high and forth.median.low <= forth.median.high
    assert forth.mean.value == pytest.approx(-back.mean.value, abs=1e-9)
    assert forth.improvement == pytest.approx(1 - back.improvement)
    assert forth.p == pytest.approx(back.p)
    assert 0 < forth.least_p <= forth.p + 1e-12 <= 1 + 1e-9
    if forth.favours_b is not None and abs(forth.mean.value) > 1e-6:
        assert forth.favours_b is not back.favours_b


def test_ranks_count_the_models_that_are_significantly_better():
    base = np.arange(8.0)
    noise = np.array([0.4, -0.3, 0.2, -0.2, 0.3, -0.4, 0.1, -0.1])
    models = {"worst": sample(base + 20), "best": sample(base), "second": sample(base + noise), "third": sample(base + 10)}
    assert list(statistics.rank_groups(models).items()) == [("best", 1), ("second", 1), ("third", 3), ("worst", 4)]
    up = {name: sample(m.values, higher_is_better=True) for name, m in models.items()}
    assert statistics.rank_groups(up) == {"worst": 1, "third": 2, "second": 3, "best": 3}


def test_sharing_a_rank_is_not_transitive():
    zeros = np.zeros(8)
    middle = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0])  # 3 of 8 differ from either side
    ranks = statistics.rank_groups({"a": sample(zeros), "b": sample(middle), "c": sample(zeros + 1)})
    # a-c: p = 2 / 256, by Holm times 3 below 0.05. a-b: 2 / 8. b-c: 2 / 32.
    assert ranks == {"a": 1, "b": 1, "c": 2}


def test_few_or_single_seeds_share_the_first_rank():
    assert statistics.rank_groups({"a": sample([1.0]), "b": sample([9.0])}) == {"a": 1, "b": 1}
    assert statistics.rank_groups({"a": sample([9.0, 8.0, 9.0]), "b": sample([1.0, 2.0, 1.5])}) == {"b": 1, "a": 1}
    assert statistics.rank_groups({"a": sample([1.0])}) == {"a": 1}


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [
        ([], ["a", "a", "a"]),
        ([(0, 2)], ["a", "ab", "b"]),
        ([(0, 1), (0, 2)], ["a", "b", "b"]),
        ([(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
    ],
)
def test_letters_by_hand(pairs, groups):
    apart = np.zeros((3, 3), bool)
    for i, j in pairs:
        apart[i, j] = apart[j, i] = True
    assert statistics.letters(apart) == groups


@given(st.integers(1, 7), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_models_share_a_letter_exactly_where_they_cannot_be_told_apart(n, drawn):
    upper = np.triu(np.array([[drawn.random() < 0.4 for _ in range(n)] for _ in range(n)]), 1)
    apart = upper | upper.T
    groups = [set(g) for g in statistics.letters(apart)]
    assert all(groups)
    for i in range(n):
        for j in range(n):
            assert bool(groups[i] & groups[j]) == (not apart[i, j])


def test_more_groups_than_letters_are_left_blank():
    assert statistics.letters(~np.eye(53, dtype=bool)) == [""] * 53
    assert statistics.letters(~np.eye(52, dtype=bool))[51] == "Z"


def test_large_samples_are_resampled_in_parts(monkeypatch):
    x = np.random.RandomState(0).randn(300)
    whole = statistics.mean(x)
    monkeypatch.setattr(resampling, "_AT_ONCE", 50_000)
    parts = statistics.mean(x)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high))
    resampling._kept_resamples.cache_clear()


def test_many_tests_at_once_are_those_one_by_one():
    random = np.random.RandomState(0)
    gaps = [random.randn(n) for n in (5, 20, 5, 14, 20)]
    assert resampling.paired_ps(gaps) == [statistics.paired_p(gap) for gap in gaps]
    pairs = [(random.randn(a), random.randn(b)) for a, b in ((3, 4), (12, 9), (3, 4), (9, 12))]
    assert resampling.unpaired_ps(pairs) == [statistics.unpaired_p(a, b) for a, b in pairs]
    assert statistics.unpaired_p(*pairs[1]) == statistics.unpaired_p(*pairs[1][::-1])


def test_drawn_p_of_groups_is_close_to_scipys():
    x, y = np.random.RandomState(1).randn(2, 12)
    gap = lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis)
    theirs = scipy.statistics.permutation_test(
        (x, y + 0.7), gap, permutation_type="independent", vectorized=True, n_resamples=9999
    )
    assert statistics.unpaired_p(x, y + 0.7) == pytest.approx(theirs.pvalue, abs=0.02)
