"""Corrections for many comparisons: hand-computed cases, complete enumeration, properties, and simulated error rates."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmbench.results import resampling, significance, statistics


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


@pytest.mark.parametrize(
    ("models", "ps", "corrected"),
    [
        # Pairs AB, AC, BC. After 3 x 0.01 < 0.05, A and B differ, so only one of the other pairs can be equal: factor 1.
        (3, [0.01, 0.03, 0.04], [0.03, 0.03, 0.04]),
        (3, [0.04, 0.01, 0.03], [0.04, 0.03, 0.03]),
        # 2 x 0.02 is below 0.05 with Holm's factor.
        (3, [0.01, 0.02, 0.04], [0.03, 0.04, 0.04]),
        # 3 x 0.02 is not below 0.05, so nothing is told apart, and the factors stay Holm's.
        (3, [0.02, 0.03, 0.9], [0.06, 0.06, 0.9]),
        # Pairs AB, AC, AD, BC, BD, CD. After 6 x 0.001 < 0.05, A and B differ. The largest groups of all four models have
        # 3 members; half of 4 x 2 is 4. Holm's factor would be 5.
        (4, [0.001, 0.9, 0.9, 0.9, 0.9, 0.012], [0.006, 1.0, 1.0, 1.0, 1.0, 0.048]),
        # D differs from A, B and C: factors 6, 5, 4. The rest is as for three models.
        (4, [0.01, 0.03, 0.001, 0.04, 0.002, 0.003], [0.03, 0.03, 0.006, 0.04, 0.01, 0.012]),
        # All differ: Holm's factors are small enough, and 1 at the end.
        (4, [0.008] * 6, [0.048] * 6),
        (2, [0.04], [0.04]),
        (2, [None], [None]),
        (1, [], []),
    ],
)
def test_shaffer_by_hand(models, ps, corrected):
    found = significance.shaffer(models, ps)
    assert [None if p is None else pytest.approx(p) for p in corrected] == found


def test_shaffer_does_not_count_a_model_that_is_not_tested():
    """D has one seed."""
    a_b, a_c, b_c = 0.01, 0.03, 0.04
    found = significance.shaffer(4, [a_b, a_c, None, b_c, None, None])
    assert found[2] is found[4] is found[5] is None
    assert [found[0], found[1], found[3]] == significance.shaffer(3, [a_b, a_c, b_c])


def test_shaffer_counts_models_of_which_some_pairs_are_tested():
    """BC is not tested, but A, B and C can all be equal, so that two tested pairs can be equal together."""
    assert significance.shaffer(3, [0.02, 0.9, None]) == [pytest.approx(0.04), 0.9, None]
    assert significance.shaffer(3, [0.03, 0.9, None]) == [pytest.approx(0.06), 0.9, None]


def test_a_search_that_is_cut_short_gives_no_smaller_factor(monkeypatch):
    """Four models of which no pair has been told apart, so that all six pairs can be equal."""
    monkeypatch.setattr(significance, "_MOST_VISITS", 1)
    assert significance.shaffer(4, [0.02, *[0.9] * 5])[0] == pytest.approx(0.12)


P = st.one_of(st.floats(0, 1), st.floats(0, 0.06), st.floats(0, 0.002))
FAMILIES = st.integers(2, 5).flatmap(
    lambda m: st.tuples(st.just(m), st.lists(P, min_size=m * (m - 1) // 2, max_size=m * (m - 1) // 2))
)


@given(FAMILIES)
@settings(max_examples=100, deadline=None)
def test_shaffer_keeps_the_order_and_is_between_p_and_holm(family):
    models, ps = family
    corrected = np.array(significance.shaffer(models, ps), float)
    assert np.all(corrected >= ps) and np.all(corrected <= np.array(significance.holm(ps), float) + 1e-15)
    assert np.all(np.diff(corrected[np.argsort(ps, kind="stable")]) >= 0)


def partitions(members):
    """All divisions of the members into groups."""
    if not members:
        yield []
        return
    first, *rest = members
    for groups in partitions(rest):
        yield [[first], *groups]
        for i, group in enumerate(groups):
            yield [*groups[:i], [first, *group], *groups[i + 1 :]]


def enumerated_shaffer(models, ps):
    """The pairs that Shaffer's procedure 2 tells apart, with its factors by enumeration of all groups of equal models."""
    pairs = list(itertools.combinations(range(models), 2))
    possible = [
        {pair for group in groups for pair in itertools.combinations(sorted(group), 2)}
        for groups in partitions(list(range(models)))
    ]
    apart = set()
    for i in np.argsort(ps, kind="stable"):
        equal = [pairs_ for pairs_ in possible if not pairs_ & apart]
        if max(map(len, equal)) * ps[i] >= 0.05:
            break
        apart.add(pairs[i])
    return apart


@given(FAMILIES)
@settings(max_examples=80, deadline=None)
def test_shaffer_tells_no_pair_apart_that_enumeration_does_not(family):
    models, ps = family
    pairs = itertools.combinations(range(models), 2)
    ours = {pair for pair, p in zip(pairs, significance.shaffer(models, ps), strict=True) if p < 0.05}
    theirs = enumerated_shaffer(models, ps)
    assert ours <= theirs and (models > 3 or ours == theirs)


def sample(values):
    values = np.array(values, float)
    return statistics.Sample(np.arange(len(values)), values, np.zeros(len(values), bool), False)


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=2, max_size=5), st.integers(0, 5), st.booleans()
)
@settings(max_examples=25, deadline=None)
def test_a_model_that_is_told_apart_from_all_others_changes_no_other_verdict(values, place, lower):
    models = list(map(sample, values))
    far = min(place, len(models))
    more = [*models[:far], sample([(-100 if lower else 100) + i for i in range(6)]), *models[far:]]
    found = significance.better(more)
    # The 15 p values of six models are at least 2 / 924, and those of the new model are equal to that: 15 x 2 / 924 < 0.05.
    assert (found | found.T)[far].sum() == len(models)
    others = [i for i in range(len(more)) if i != far]
    assert np.array_equal(found[np.ix_(others, others)], significance.better(models))


@pytest.mark.parametrize(("groups", "uncorrected"), [([0] * 6, 0.25), ([0, 0, 0, 9, 9, 9], 0.15)])
def test_the_error_rate_of_all_pairs_is_at_most_five_percent(groups, uncorrected):
    """Six models with eight seeds; models of one group are equal. An error tells two equal models apart."""
    repetitions, random = 200, np.random.RandomState(0)
    samples = random.randn(repetitions, 6, 8) + np.array(groups)[:, None]
    pairs = list(itertools.combinations(range(6), 2))
    ps = np.reshape(resampling.unpaired_ps([(x[a], x[b]) for x in samples for a, b in pairs]), (repetitions, len(pairs)))
    equal = np.array([groups[a] == groups[b] for a, b in pairs])
    corrected = np.array([significance.shaffer(6, row.tolist()) for row in ps])
    assert np.mean(ps[:, equal].min(axis=1) < 0.05) > uncorrected
    assert np.mean(corrected[:, equal].min(axis=1) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)
    assert np.all(corrected[:, ~equal] < 0.05)
