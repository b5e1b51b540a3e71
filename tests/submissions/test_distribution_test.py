"""The rank test of retrained seeds, against literal values, brute force and SciPy."""

import itertools

import numpy as np
import pytest

from nmbench.submissions import distribution_test


def test_three_worst_of_six():
    """Of the 20 ways to choose 3 of 6 ranks, one has the largest sum."""
    assert distribution_test.p_value([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], False) == pytest.approx(1 / 20)
    assert distribution_test.least_p(3, 3) == pytest.approx(1 / 20)


@pytest.mark.parametrize("k", [3, 10, 30])
def test_an_honest_experiment_fails_less_than_once_in_a_hundred(k):
    """The share of random ranks that fail is the level, and below 0.0075."""
    random, failed = np.random.default_rng(k), 0
    level = distribution_test.level(30, k)
    for _ in range(4000):
        ranks = random.permutation(30 + k).astype(float).tolist()
        failed += distribution_test.p_value(ranks[:30], ranks[30:], False) <= distribution_test.FALSE_ALARM
    assert 0.005 < level <= 0.0075 and abs(failed / 4000 - level) < 4 * (level / 4000) ** 0.5


def test_the_test_is_one_sided():
    assert distribution_test.p_value([4.0, 5.0, 6.0], [1.0, 2.0, 3.0], False) == pytest.approx(1.0)
    assert distribution_test.p_value([4.0, 5.0, 6.0], [1.0, 2.0, 3.0], True) == pytest.approx(1 / 20)


@pytest.mark.parametrize("higher", [False, True])
def test_a_lost_seed_is_the_worst(higher):
    with_lost = distribution_test.p_value([1.0, 2.0, 3.0], [None, 1.5], higher)
    worst = -9.0 if higher else 9.0
    assert with_lost == distribution_test.p_value([1.0, 2.0, 3.0], [worst, 1.5], higher)


def test_equal_values_against_brute_force():
    submitted, retrained = [1.0, 2.0, 2.0, 3.0, None], [2.0, 3.0, None]
    ranks = np.array([1, 3, 3, 5.5, 7.5, 3, 5.5, 7.5])  # 1, 2, 2, 3, lost, 2, 3, lost
    sums = [ranks[list(chosen)].sum() for chosen in itertools.combinations(range(8), 3)]
    expected = np.mean(np.array(sums) >= ranks[5:].sum())
    assert distribution_test.p_value(submitted, retrained, False) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "p"), [(3, 0.8561217008797654), (10, 0.6381569604005437), (30, 5.466900617401747e-05)])
def test_against_scipy(k, p):
    """`scipy.stats.mannwhitneyu(retrained, submitted, alternative="greater", method="exact")`, SciPy 1.16."""
    submitted, retrained = np.arange(30.0), np.arange(k) * 1.3 + 7.55
    assert distribution_test.p_value(submitted.tolist(), retrained.tolist(), False) == pytest.approx(p, rel=1e-9)


def test_values_that_are_no_values():
    with pytest.raises(ValueError, match="not a number"):
        distribution_test.p_value([1.0], [float("nan")], False)
    with pytest.raises(ValueError, match="one value or more"):
        distribution_test.p_value([], [1.0], False)
