"""Comparisons of models over seeds: hand-computed cases, SciPy as a second opinion, and properties."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.results import resampling, significance, statistics


def sample(values, seeds=None, higher_is_better=False):
    values = np.array(values, float)
    seeds = np.arange(len(values)) if seeds is None else np.array(seeds)
    return statistics.Sample(seeds, values, np.zeros(len(values), bool), higher_is_better)


def paired_p(gap):
    return resampling.paired_ps([gap])[0]


def unpaired_p(a, b):
    return resampling.unpaired_ps([(a, b)])[0]


def ranks(samples):
    """Model to rank: 1 + the number of models that are significantly better."""
    better = significance.better(list(samples.values()))
    return dict(zip(samples, (1 + better.sum(axis=0)).tolist(), strict=True))


@pytest.mark.parametrize("statistic", [np.median, np.mean])
def test_intervals_match_the_enumerated_bootstrap(statistic):
    """Four seeds have 4**4 resamples; limits from 2000 drawn ones lie within the exact percentiles 2 .. 3 and 97 .. 98."""
    values = np.array([0.0, 1.0, 3.0, 7.0])
    everything = statistic(values[np.indices((4,) * 4).reshape(4, -1)], axis=0)
    gap = significance.compare(sample(np.zeros(4)), sample(values))
    found = gap.median if statistic is np.median else gap.mean
    low, high = np.quantile(everything, [0.02, 0.03]), np.quantile(everything, [0.97, 0.98])
    assert low[0] <= found.low <= low[1] and high[0] <= found.high <= high[1]


def test_intervals_match_scipy():
    """Limits lie within the range of SciPy's limits over ten random generators, plus one standard deviation."""
    x, y = np.random.RandomState(0).randn(2, 12)
    for data, found in [
        ((y - x,), significance.compare(sample(x), sample(y))),
        ((y, x), significance.compare(sample(x), sample(y, np.arange(12) + 90))),
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
    found = scipy.stats.bootstrap(data, statistic, n_resamples=2000, method="percentile", vectorized=True, **random)
    return tuple(found.confidence_interval)


@pytest.mark.slow
def test_intervals_of_differences_cover_and_p_is_uniform_without_a_difference():
    random = np.random.RandomState(1)
    results = [significance.compare(sample(random.randn(20)), sample(1 + random.randn(20))) for _ in range(500)]
    assert 0.91 <= np.mean([r.mean.low <= 1.0 <= r.mean.high for r in results]) <= 0.97
    ps = [paired_p(random.randn(10)) for _ in range(2000)]
    assert scipy.stats.kstest(ps, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("gap", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # only +++ and --- reach a sum of 6
        ([1.0, 2.0, -3.0], 1.0),
        ([3.0, 2.0, -1.0], 4 / 8),  # sums 6, 4 and their negatives reach 4
        ([1.0, 2.0, 3.0, 4.0], 2 / 16),
        ([-1.0, 2.0, 3.0, 4.0], 4 / 16),  # sums 10, 8 and their negatives reach 8
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),  # sums 4 (once), 2 (four times) and their negatives reach 2
        ([0.1, 0.2, -0.3, 0.0], 1.0),
        ([0.0, 0.0], 1.0),
    ],
)
def test_exact_p_of_pairs_by_hand(gap, p):
    assert paired_p(np.array(gap)) == p
    assert paired_p(-np.array(gap)) == p


def test_exact_p_of_groups_by_hand():
    # 1, 2 | 3, 4 is one of 6 divisions; it and its mirror image are the most extreme.
    assert unpaired_p(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == pytest.approx(2 / 6)
    # 0, 0, 0 | 1, 1 is the only one of 10 divisions with so high a difference; the two-sided p is twice 1 / 10.
    assert unpaired_p(np.zeros(3), np.ones(2)) == pytest.approx(2 / 10)
    assert unpaired_p(np.ones(3), np.ones(2)) == 1.0


@given(st.lists(st.floats(-10, 10, width=16), min_size=2, max_size=7))
@settings(max_examples=50, deadline=None)
def test_exact_p_matches_scipy(gap):
    gap = np.array(gap)
    ours = scipy.stats.permutation_test((gap,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf)
    assert paired_p(gap) == pytest.approx(ours.pvalue)


def test_sampled_p_of_many_pairs_is_close_to_exact():
    gap = np.random.RandomState(0).randn(14) + 0.5
    signs = 1.0 - 2.0 * (np.arange(2**14)[:, None] >> np.arange(14) & 1)
    exact = np.mean(np.abs(signs @ gap) >= abs(gap.sum()) - 1e-9)
    assert paired_p(gap) == pytest.approx(exact, abs=0.015)
    assert paired_p(gap) == paired_p(gap.copy())


def test_probability_of_improvement_by_hand():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0])
    # b = 2: above 1, ties with 2, below 3. b = 4: above all.
    assert significance.probability_of_improvement(a, b, True) == 4.5 / 6
    assert significance.probability_of_improvement(a, b, False) == 1.5 / 6


VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=6).map(np.array)


@given(VALUES, VALUES, st.booleans())
def test_probability_of_improvement_counts_pairs(a, b, up):
    sign = 1 if up else -1
    pairs = [(sign * (y - x) > 0) + 0.5 * (x == y) for x in a for y in b]
    assert significance.probability_of_improvement(a, b, up) == pytest.approx(np.mean(pairs))
    assert significance.probability_of_improvement(b, a, up) == pytest.approx(1 - np.mean(pairs))


def test_holm_by_hand():
    # 0.01 x 4; 0.02 x 3; 0.03 x 2 = 0.06, not below the one before it; 0.5 x 1.
    assert significance.holm([0.03, 0.01, 0.5, 0.02]) == [0.06, 0.04, 0.5, 0.06]
    assert significance.holm([0.01, None, 0.04, None]) == [0.02, None, 0.04, None]
    assert significance.holm([0.04, 0.03]) == [0.06, 0.06]
    assert significance.holm([0.7, 0.9]) == [1.0, 1.0]
    assert significance.holm([]) == [] and significance.holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_is_between_p_and_bonferroni(ps):
    corrected = np.array(significance.holm(ps), float)
    assert np.all(corrected >= ps) and np.all(corrected <= np.minimum(1.0, np.array(ps) * len(ps)) + 1e-15)
    order = np.argsort(ps)
    assert np.all(np.diff(corrected[order]) >= 0)


def test_only_shared_seeds_are_compared_if_there_are_two_or_more():
    a = sample([1.0, 2.0, 3.0, 50.0], seeds=[0, 1, 2, 3])
    b = sample([3.5, 1.5, 0.5, -50.0], seeds=[2, 0, 1, 9])
    result = significance.compare(a, b)
    assert (result.pairing, result.shared) == ("paired", 3)
    # Differences over seeds 0, 1, 2: 0.5, -1.5, 0.5. The magnitude of the sum is at least 0.5 for all signs.
    assert result.mean.value == pytest.approx(-1 / 6) and result.median.value == 0.5
    assert result.p == 1.0 and result.least_p == 0.25
    assert result.favours_b is True
    assert result.mean.low <= result.mean.value <= result.mean.high


def test_fewer_than_two_shared_seeds_are_compared_unpaired():
    result = significance.compare(sample([1.0, 2.0], [0, 1]), sample([3.0, 4.0], [1, 2]))
    assert (result.pairing, result.shared) == ("unpaired", 1)
    assert result.mean.value == 2.0 and result.median.value == 2.0
    assert result.p == pytest.approx(2 / 6) and result.least_p == pytest.approx(2 / 6)
    assert (result.improvement, result.favours_b) == (0.0, False)
    assert significance.compare(sample([1.0, 2.0]), sample([3.0, 4.0], [2, 3], True)).favours_b is False


def test_one_seed_has_a_difference_but_no_test():
    result = significance.compare(sample([1.0], [0]), sample([3.0, 5.0], [0, 1]))
    assert result.mean == statistics.Estimate(3.0, None, None) and result.p is None and result.pairing == ""
    assert significance.holm([result.p]) == [None]


def test_equal_samples_do_not_differ():
    result = significance.compare(sample([1.0, 2.0, 3.0]), sample([1.0, 2.0, 3.0]))
    assert result.p == 1.0 and result.favours_b is None and result.improvement == 0.5
    assert result.mean == result.median == statistics.Estimate(0.0, 0.0, 0.0)


FLOATS = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=6)


@given(FLOATS, FLOATS, st.integers(0, 8), st.booleans())
@settings(max_examples=40, deadline=None)
def test_comparisons_are_deterministic_and_antisymmetric(x, y, shift, up):
    a, b = sample(x, higher_is_better=up), sample(y, np.arange(len(y)) + shift, up)
    forth, back = significance.compare(a, b), significance.compare(b, a)
    assert forth == significance.compare(a, b)
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
    assert ranks(models) == {"best": 1, "second": 1, "third": 3, "worst": 4}
    up = {name: sample(m.values, higher_is_better=True) for name, m in models.items()}
    assert ranks(up) == {"worst": 1, "third": 2, "second": 3, "best": 3}


def test_sharing_a_rank_is_not_transitive():
    zeros = np.zeros(8)
    middle = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0])  # differs from zeros in 3 of 8 seeds, from ones in 5
    found = ranks({"a": sample(zeros), "b": sample(middle), "c": sample(zeros + 1)})
    # a-c: p = 2 / 256, below 0.05 also after Holm's factor of 3. a-b: p = 2 / 8. b-c: p = 2 / 32.
    assert found == {"a": 1, "b": 1, "c": 2}


def test_few_or_single_seeds_share_the_first_rank():
    assert ranks({"a": sample([1.0]), "b": sample([9.0])}) == {"a": 1, "b": 1}
    assert ranks({"a": sample([9.0, 8.0, 9.0]), "b": sample([1.0, 2.0, 1.5])}) == {"b": 1, "a": 1}
    assert ranks({"a": sample([1.0])}) == {"a": 1}


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
    assert significance.letters(apart) == groups


@given(st.integers(1, 7), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_models_share_a_letter_exactly_if_they_cannot_be_told_apart(n, drawn):
    upper = np.triu(np.array([[drawn.random() < 0.4 for _ in range(n)] for _ in range(n)]), 1)
    apart = upper | upper.T
    groups = [set(g) for g in significance.letters(apart)]
    assert all(groups)
    for i in range(n):
        for j in range(n):
            assert bool(groups[i] & groups[j]) == (not apart[i, j])


def test_letters_are_empty_if_more_than_52_are_needed():
    assert significance.letters(~np.eye(53, dtype=bool)) == [""] * 53
    assert significance.letters(~np.eye(52, dtype=bool))[51] == "Z"


def test_many_tests_at_once_equal_single_tests():
    random = np.random.RandomState(0)
    gaps = [random.randn(n) for n in (5, 20, 5, 14, 20)]
    assert resampling.paired_ps(gaps) == [paired_p(gap) for gap in gaps]
    pairs = [(random.randn(a), random.randn(b)) for a, b in ((3, 4), (12, 9), (3, 4), (9, 12))]
    assert resampling.unpaired_ps(pairs) == [unpaired_p(a, b) for a, b in pairs]
    assert unpaired_p(*pairs[1]) == unpaired_p(*pairs[1][::-1])


def test_sampled_p_of_groups_is_close_to_scipys():
    x, y = np.random.RandomState(1).randn(2, 12)
    gap = lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis)
    theirs = scipy.stats.permutation_test(
        (x, y + 0.7), gap, permutation_type="independent", vectorized=True, n_resamples=9999
    )
    assert unpaired_p(x, y + 0.7) == pytest.approx(theirs.pvalue, abs=0.02)
