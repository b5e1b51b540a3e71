"""Permutation tests and bootstrap intervals: hand-computed cases, complete enumeration, and SciPy as a second opinion."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.results import resampling


def unpaired_p(a, b):
    return resampling.unpaired_ps([(np.array(a, float), np.array(b, float))])[0]


def divisions(values, size):
    """Difference of the means, rest - chosen, for every choice of `size` of the values."""
    chosen = np.array(list(itertools.combinations(range(len(values)), size)))
    sums = np.asarray(values)[chosen].sum(axis=1)
    return (np.sum(values) - sums) / (len(values) - size) - sums / size


def two_sided(differences, observed):
    """Twice the smaller share of differences on one side of the observed one, at most 1."""
    return min(1.0, 2 * min(np.mean(differences <= observed + 1e-12), np.mean(differences >= observed - 1e-12)))


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ([1, 2], [3, 4], 2 / 6),  # one of 6 divisions has so low a sum
        ([0, 0, 0], [1, 1], 2 / 10),  # one of 10 divisions
        ([1, 1, 1], [1, 1], 1.0),
        ([1, 2, 4], [3, 5, 6], 4 / 20),  # sums up to 7: 1 + 2 + 3 and 1 + 2 + 4
        ([1, 6], [2, 5], 1.0),
        ([0] * 8, [1] * 8, 2 / 12870),
    ],
)
def test_exact_p_by_hand(a, b, p):
    assert unpaired_p(a, b) == pytest.approx(p) and unpaired_p(b, a) == pytest.approx(p)


VALUES = st.lists(st.integers(-20, 20).map(lambda i: i / 4), min_size=2, max_size=5)


@given(VALUES, VALUES)
@settings(max_examples=25, deadline=None)
def test_exact_p_matches_scipy(a, b):
    gap = lambda x, y, axis: np.mean(y, axis=axis) - np.mean(x, axis=axis)
    theirs = scipy.stats.permutation_test((a, b), gap, permutation_type="independent", vectorized=True, n_resamples=np.inf)
    assert unpaired_p(a, b) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("shift", [0.2, 1.2])
def test_sampled_p_is_close_to_exact(shift):
    """There are 92,378 divisions of 9 and 10 seeds, more than are drawn."""
    a, b = np.random.RandomState(1).randn(9), shift + np.random.RandomState(2).randn(10)
    exact = two_sided(divisions(np.concatenate([a, b]), 9), np.mean(b) - np.mean(a))
    assert 0.001 < exact < 1.0 and unpaired_p(a, b) == pytest.approx(exact, rel=0.1, abs=0.002)


def test_p_of_large_samples_is_close_to_that_of_a_t_test():
    """The divisions of 100 seeds are drawn in blocks."""
    a, b = np.random.RandomState(3).randn(2, 50)
    assert unpaired_p(a, b + 0.4) == pytest.approx(scipy.stats.ttest_ind(a, b + 0.4).pvalue, abs=0.005)


@pytest.mark.parametrize("sizes", [(3, 4), (5, 5), (10, 10), (12, 9)])
def test_p_does_not_depend_on_the_order_of_the_samples(sizes):
    a, b = (np.random.RandomState(n).randn(n) + i for i, n in enumerate(sizes))
    assert unpaired_p(a, b) == unpaired_p(b, a) == unpaired_p(b[::-1], a[::-1]) < 1.0


def test_many_tests_at_once_equal_single_tests():
    """A hundred pairs of one size are more than are computed at once."""
    random = np.random.RandomState(0)
    pairs = [(random.randn(a), random.randn(b)) for a, b in ((4, 5), (12, 9), (9, 12), *[(5, 4)] * 100)]
    found = resampling.unpaired_ps(pairs)
    assert found == [unpaired_p(a, b) for a, b in pairs] and len(set(found)) > 20


def test_arrangements_drawn_in_blocks_give_the_same_p(monkeypatch):
    a, b = np.random.RandomState(6).randn(2, 10)
    whole = unpaired_p(a, b + 1), resampling.stratified_p([(a, b + 1), (b, a + 0.5)], [0.5, 0.5])
    monkeypatch.setattr(resampling, "_AT_ONCE", 200_000)
    assert (unpaired_p(a, b + 1), resampling.stratified_p([(a, b + 1), (b, a + 0.5)], [0.5, 0.5])) == whole


@pytest.mark.parametrize(("a", "b", "p"), [(1, 1, 1.0), (2, 2, 2 / 6), (3, 2, 2 / 10), (5, 6, 2 / 462), (9, 9, 2 / 48620)])
def test_least_p_is_that_of_separate_samples(a, b, p):
    assert resampling.least_p(a, b) == pytest.approx(p)
    assert unpaired_p(range(a), range(100, 100 + b)) == pytest.approx(p)


def test_least_p_of_many_seeds_is_that_of_50000_divisions():
    assert resampling.least_p(10, 10) == pytest.approx(4e-5) == pytest.approx(resampling.least_p(500, 400))
    assert 4e-5 * (1 - 1e-9) <= unpaired_p(range(20), range(100, 120)) < 1e-4


def test_stratified_p_of_one_stratum_is_close_to_exact():
    a, b = np.random.RandomState(5).randn(2, 8)
    exact = unpaired_p(a, b + 2)
    assert 0.01 < exact < 0.5
    assert resampling.stratified_p([(a, b + 2)], [0.5]) == pytest.approx(exact, abs=0.006)


@pytest.mark.parametrize("weights", [(0.25, 0.75), (0.9, 0.1), (0.5, 0.5)])
def test_stratified_p_of_two_strata_is_close_to_enumeration(weights):
    """The two strata have 20 and 10 divisions, so there are 200 combinations."""
    strata = [
        (np.array([0.0, 1.0, 3.0]), np.array([4.0, 7.0, 2.5])),
        (np.array([5.0, 2.0]), np.array([1.0, 4.0, 0.5])),
    ]
    parts = [w * divisions(np.concatenate(pair), len(pair[0])) for pair, w in zip(strata, weights, strict=True)]
    observed = sum(w * (np.mean(b) - np.mean(a)) for (a, b), w in zip(strata, weights, strict=True))
    exact = two_sided(np.add.outer(*parts).ravel(), observed)
    assert resampling.stratified_p(strata, weights) == pytest.approx(exact, abs=0.01)


def test_bootstrap_intervals_match_enumerated_resamples():
    """The 27 x 256 resamples of both samples; limits of 2000 drawn ones lie within three standard errors."""
    samples, weights = [np.array([0.0, 2.0, 7.0]), np.array([1.0, 3.0, 4.5, 10.0])], [0.75, 0.25]
    parts = []
    for x, weight in zip(samples, weights, strict=True):
        n = len(x)
        parts.append(weight * np.median(x[np.indices((n,) * n).reshape(n, -1)], axis=0))
    everything = np.add.outer(*parts).ravel()
    low, high = resampling.bootstrap_medians(samples, weights, -np.inf, np.inf)
    for found, share in ((low, 0.025), (high, 0.975)):
        lower, upper = np.quantile(everything, [share - 0.0105, share + 0.0105])
        assert lower <= found <= upper
    assert 0.0 < low < high < 7.75
    assert resampling.bootstrap_medians(samples, weights, 3.0, 4.0) == (3.0, 4.0)


def test_the_smallest_p_over_tables_suffices_for_many_models():
    """With 23 models, 253 p values are corrected together."""
    strata = [(np.zeros(30), np.ones(30))] * 2
    assert resampling.stratified_p(strata, [0.5, 0.5]) == 2 / 10_000
    assert 253 * resampling.stratified_p(strata, [0.5, 0.5], 253) < 0.05
    assert resampling.stratified_p(strata, [0.5, 0.5], 10**6) == 2 / 50_000
