"""Comparisons of models over seeds: hand-computed cases, SciPy as a second opinion, and properties."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.results import significance, statistics


def sample(values, seeds=None, higher_is_better=False, logarithmic=False):
    values = np.array(values, float)
    seeds = np.arange(len(values)) if seeds is None else np.array(seeds)
    return statistics.Sample(seeds, values, np.zeros(len(values), bool), higher_is_better, logarithmic)


def ranks(samples):
    """Model to rank: 1 + the number of models that are significantly better."""
    better = significance.better(list(samples.values()))
    return dict(zip(samples, (1 + better.sum(axis=0)).tolist(), strict=True))


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


def test_a_comparison_by_hand():
    result = significance.compare(sample([1.0, 2.0]), sample([3.0, 4.0]))
    # Both variances are 1 / 2, so Welch's interval has 2 degrees of freedom, t = 4.30265 and the standard error sqrt(1 / 2).
    assert result.effect.value == 2.0
    assert (result.effect.low, result.effect.high) == pytest.approx((2 - 3.042435, 2 + 3.042435), abs=1e-5)
    # One of 6 divisions is as extreme on this side.
    assert result.p == result.least_p == pytest.approx(2 / 6)
    assert (result.improvement, result.favours_b) == (0.0, False)
    assert significance.compare(sample([1.0, 2.0]), sample([3.0, 4.0], higher_is_better=True)).favours_b is False
    up = [sample(v, higher_is_better=True) for v in ([1.0, 2.0], [3.0, 4.0])]
    assert (significance.compare(*up).improvement, significance.compare(*up).favours_b) == (1.0, True)


def test_seeds_of_equal_number_are_not_paired():
    """Differences over equal seeds would all be 0.1; without pairs, models with such a spread cannot be told apart."""
    a, b = sample([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [1.1, 2.1, 3.1, 4.1, 5.1, 6.1]
    paired = significance.compare(a, sample(b))
    assert paired.p > 0.5
    for values, seeds in ((b[::-1], None), (b, range(100, 106)), (b, [3, 4, 5, 6, 7, 8])):
        other = significance.compare(a, sample(values, seeds))
        assert (other.p, other.improvement) == (paired.p, paired.improvement)
        assert other.effect.low == pytest.approx(paired.effect.low)


def test_errors_are_compared_by_their_logarithms():
    a, b = ([1.0, 10.0, 100.0], [10.0, 100.0, 1000.0])
    result = significance.compare(sample(a, logarithmic=True), sample(b, logarithmic=True))
    # Of the 20 divisions of 0, 1, 1, 2, 2, 3, five have a sum of 3 or less: 0 + 1 + 1 and four times 0 + 1 + 2.
    assert result.p == pytest.approx(10 / 20)
    # The difference of the logarithms is 1, their variances are 1, and t is 2.776445 with 4 degrees of freedom.
    half = 2.776445 * np.sqrt(2 / 3)
    expected = (10.0, 10 ** (1 - half), 10 ** (1 + half))
    assert (result.effect.value, result.effect.low, result.effect.high) == pytest.approx(expected, rel=1e-5)
    assert result.favours_b is False


def test_one_very_bad_seed_does_not_hide_errors_that_are_ten_times_lower():
    rival = [1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15, 0.85]
    ours = [0.11, 0.1, 0.09, 0.12, 0.105, 0.095, 0.115, 9.0]
    assert np.mean(ours) > np.mean(rival)
    result = significance.compare(sample(rival, logarithmic=True), sample(ours, logarithmic=True))
    gap = lambda x, y, axis: np.mean(y, axis=axis) - np.mean(x, axis=axis)
    theirs = scipy.stats.permutation_test((np.log10(rival), np.log10(ours)), gap, n_resamples=np.inf, vectorized=True)
    assert result.p == pytest.approx(theirs.pvalue) and result.p < 0.02
    assert result.favours_b is True and result.effect.high < 1
    assert ranks({"ours": sample(ours, logarithmic=True), "rival": sample(rival, logarithmic=True)}) == {
        "ours": 1,
        "rival": 2,
    }
    # The means would not tell the models apart.
    assert significance.compare(sample(rival), sample(ours)).p == 1.0


def test_extreme_errors_have_finite_ratios():
    result = significance.compare(sample([0.0, 1e150], logarithmic=True), sample([0.0, 1e150], logarithmic=True))
    assert result.effect == statistics.Estimate(1.0, 0.0, 1e300)


def test_one_seed_has_a_difference_but_no_test():
    result = significance.compare(sample([1.0], [0]), sample([3.0, 5.0], [0, 1]))
    assert result.effect == statistics.Estimate(3.0, None, None)
    assert result.p is None and result.least_p is None and (result.improvement, result.favours_b) == (0.0, False)


def test_equal_samples_do_not_differ():
    for logarithmic, effect in ((False, 0.0), (True, 1.0)):
        one = sample([1.0, 2.0, 3.0], logarithmic=logarithmic)
        result = significance.compare(one, one)
        assert result.p == 1.0 and result.favours_b is None and result.improvement == 0.5
        assert result.effect.value == effect and result.effect.low < effect < result.effect.high


def test_few_seeds_that_spread_are_not_ahead_of_many_that_do_not():
    """Equal means, 5 seeds against 30: the exchange of seeds alone would call them different in 39% of experiments."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(100):
        few, many = random.normal(0, 1, 5), random.normal(0, 0.1, 30)
        found = significance.compare(sample(few), sample(many))
        assert found.p >= scipy.stats.ttest_ind(few, many, equal_var=False).pvalue - 1e-12
        wrong += found.p < 0.05
    assert wrong <= 11  # 5 expected


def test_a_lost_seed_is_not_better_than_a_finished_one():
    floor, n = 0.1, 10
    lost = statistics.Sample(np.arange(n), np.full(n, floor), np.ones(n, bool), False, True)
    worse = sample(np.linspace(0.11, 0.12, n), logarithmic=True)
    found = significance.compare(worse, lost)
    assert found.favours_b is False and found.improvement == pytest.approx(0.05) and found.effect.value > 1
    assert not significance.better([worse, lost])[1, 0]
    assert not significance.better_over_strata([[worse] * 2, [lost] * 2], [0.5, 0.5])[1, 0]
    # Where no finished seed is worse than the floor, lost seeds keep it.
    fine = sample(np.linspace(0.01, 0.02, n), logarithmic=True)
    assert (significance.lost_last(fine, lost)[1].values == floor).all()


def test_errors_below_the_smallest_that_counts_are_equal():
    tiny, tinier = (sample(np.full(6, value), logarithmic=True) for value in (1e-13, 1e-14))
    assert significance.compare(tiny, tinier).improvement == 0.5
    assert not significance.better_over_strata([[tiny], [tinier]], [1.0]).any()


FLOATS = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=6)


@given(FLOATS, FLOATS, st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_comparisons_are_deterministic_and_antisymmetric(x, y, up, logarithmic):
    a, b = sample(x, None, up, logarithmic), sample(y, None, up, logarithmic)
    forth, back = significance.compare(a, b), significance.compare(b, a)
    assert forth == significance.compare(a, b)
    if forth.effect.low is None:
        assert np.ptp(a.compared) == np.ptp(b.compared) == 0 and min(len(x), len(y)) < 6
    else:
        assert forth.effect.low <= forth.effect.value <= forth.effect.high
    if logarithmic:
        assert forth.effect.value == pytest.approx(1 / back.effect.value)
    else:
        assert forth.effect.value == -back.effect.value
    assert forth.improvement == pytest.approx(1 - back.improvement)
    assert forth.p == pytest.approx(back.p) and forth.least_p == back.least_p
    assert 0 < forth.least_p <= forth.p + 1e-12 <= 1 + 1e-9
    assert back.favours_b is (None if forth.favours_b is None else not forth.favours_b)


def test_ranks_count_the_models_that_are_significantly_better():
    base = np.arange(8.0)
    noise = np.array([0.4, -0.3, 0.2, -0.2, 0.3, -0.4, 0.1, -0.1])
    models = {"worst": sample(base + 20), "best": sample(base), "second": sample(base + noise), "third": sample(base + 10)}
    assert ranks(models) == {"best": 1, "second": 1, "third": 3, "worst": 4}
    up = {name: sample(m.values, higher_is_better=True) for name, m in models.items()}
    assert ranks(up) == {"worst": 1, "third": 2, "second": 3, "best": 3}


def test_sharing_a_rank_is_not_transitive():
    middle = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    found = ranks({"a": sample(np.zeros(8)), "b": sample(middle), "c": sample(np.ones(8))})
    # a-c: p = 2 / 12870. a-b: all four ones lie in b in C(12, 4) = 495 of 12870 divisions, so p = 0.077; b-c is the same.
    assert found == {"a": 1, "b": 1, "c": 2}


def test_few_or_single_seeds_share_the_first_rank():
    assert ranks({"a": sample([1.0]), "b": sample([9.0])}) == {"a": 1, "b": 1}
    assert ranks({"a": sample([9.0, 8.0, 9.0]), "b": sample([1.0, 2.0, 1.5])}) == {"b": 1, "a": 1}
    assert ranks({"a": sample([1.0])}) == {"a": 1}


def strata_ranks(models, weights):
    better = significance.better_over_strata(list(models.values()), weights)
    return dict(zip(models, (1 + better.sum(axis=0)).tolist(), strict=True))


LOW, HIGH = sample([1.0, 2.0, 3.0]), sample([11.0, 12.0, 13.0])


def test_several_tables_can_tell_models_apart_that_one_cannot():
    """Three seeds give p = 2 / 20 in one table and 2 / 400 in two."""
    assert strata_ranks({"a": [LOW], "b": [HIGH]}, [1.0]) == {"a": 1, "b": 1}
    assert strata_ranks({"a": [LOW] * 2, "b": [HIGH] * 2}, [0.5, 0.5]) == {"a": 1, "b": 2}


def test_few_seeds_that_spread_are_not_ahead_over_tables():
    """Equal on average, 10 seeds against 30: the exchange of seeds alone would call them different in 17% of experiments."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(100):
        few, many = ([sample(random.normal(0, sd, n)) for _ in range(2)] for sd, n in ((2, 10), (0.1, 30)))
        wrong += significance.better_over_strata([few, many], [0.5, 0.5]).any()
    assert wrong <= 11  # 5 expected


def test_placements_give_the_test_of_brunner_and_munzel():
    random = np.random.default_rng(1)
    a, b = sample(random.integers(0, 9, 12).astype(float)), sample(random.integers(2, 12, 7).astype(float))
    placed = significance._placements(a, b), significance._placements(b, a)
    expected = scipy.stats.brunnermunzel(a.values, b.values)
    assert statistics.t_p(placed[1].mean() - 0.5, placed) == pytest.approx(expected.pvalue, rel=1e-9)


def test_only_the_order_of_seeds_counts_over_several_tables():
    far = sample([1e6, 2e6, 3e6])
    assert strata_ranks({"a": [LOW, LOW], "b": [far, HIGH]}, [0.5, 0.5]) == {"a": 1, "b": 2}
    assert strata_ranks({"a": [LOW, HIGH], "b": [far, LOW]}, [0.5, 0.5]) == {"a": 1, "b": 1}


def test_each_table_has_its_direction_and_its_weight():
    low, high = (sample(s.values.tolist() * 2) for s in (LOW, HIGH))
    up = lambda of: sample(of.values, higher_is_better=True)
    assert strata_ranks({"a": [low, up(high)], "b": [high, up(low)]}, [0.5, 0.5]) == {"a": 1, "b": 2}
    assert strata_ranks({"a": [low, high], "b": [high, low]}, [0.9, 0.1]) == {"a": 1, "b": 2}
    assert strata_ranks({"a": [low, high], "b": [high, low]}, [0.1, 0.9]) == {"a": 2, "b": 1}


def test_a_model_with_one_seed_in_a_table_is_not_told_apart_over_tables():
    one = sample([100.0])
    found = strata_ranks({"a": [LOW] * 2, "b": [HIGH] * 2, "c": [HIGH, one]}, [0.5, 0.5])
    assert found == {"a": 1, "b": 2, "c": 1}


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
