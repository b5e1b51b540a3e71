"""The rules from measured values to verdicts, on literal values."""

import itertools

import numpy as np
import pytest

from nmbench.paper.ledger.verdicts import Verdict, better_than, combine, on_a_par, reaches, stays_below
from nmbench.results import statistics
from nmbench.results.statistics import Estimate, Sample

HOLDS, MORE, PARTLY, UNDECIDED, FAILS, NO_DATA = (
    Verdict.HOLDS,
    Verdict.MORE,
    Verdict.PARTLY,
    Verdict.UNDECIDED,
    Verdict.FAILS,
    Verdict.NO_DATA,
)


def errors(*values, seeds=None, lost=(), higher_is_better=False):
    """One error per seed; seeds are 0, 1, ... unless given."""
    seeds = range(len(values)) if seeds is None else seeds
    lost = np.array([i in lost for i in range(len(values))])
    return Sample(np.array(seeds), np.array(values, float), lost, higher_is_better)


# The verdict for two different parts.
PAIRS = {
    (HOLDS, MORE): HOLDS,
    (HOLDS, PARTLY): PARTLY,
    (HOLDS, UNDECIDED): PARTLY,
    (HOLDS, FAILS): PARTLY,
    (HOLDS, NO_DATA): NO_DATA,
    (MORE, PARTLY): PARTLY,
    (MORE, UNDECIDED): PARTLY,
    (MORE, FAILS): PARTLY,
    (MORE, NO_DATA): NO_DATA,
    (PARTLY, UNDECIDED): PARTLY,
    (PARTLY, FAILS): PARTLY,
    (PARTLY, NO_DATA): NO_DATA,
    (UNDECIDED, FAILS): FAILS,
    (UNDECIDED, NO_DATA): NO_DATA,
    (FAILS, NO_DATA): NO_DATA,
}


def test_combine_every_pair():
    assert set(PAIRS) == set(itertools.combinations(Verdict, 2))
    for (a, b), expected in PAIRS.items():
        for parts in ([a, b], [b, a], [a, b, a, b]):
            assert combine(parts) is expected, parts
    for verdict in Verdict:
        assert combine([verdict]) is combine([verdict] * 3) is verdict


def test_combine_of_three_and_of_none():
    assert combine([HOLDS, UNDECIDED, FAILS]) is PARTLY
    assert combine([HOLDS, MORE, FAILS]) is PARTLY
    assert combine([HOLDS, MORE, NO_DATA]) is NO_DATA
    assert combine(iter([MORE, UNDECIDED, FAILS])) is PARTLY
    with pytest.raises(ValueError, match="no part"):
        combine([])


OURS = errors(1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15, 0.85)


@pytest.mark.parametrize(
    ("shift", "verdict", "p"),
    [(2.0, HOLDS, 2 / 2**8), (-0.5, FAILS, 2 / 2**8), (0.0, UNDECIDED, 1.0)],
    ids=["above", "below", "equal"],
)
def test_better_than_a_rival_that_is_shifted(shift, verdict, p):
    """If all eight differences have one sign, 2 of the 2^8 assignments of signs are as extreme."""
    rival = better_than(OURS, {"other": errors(*(OURS.values + shift))})["other"]
    assert (rival.verdict, rival.pairing) == (verdict, "paired")
    assert rival.p == pytest.approx(p) and rival.difference.value == pytest.approx(-shift)


def test_better_than_is_corrected_over_the_rivals():
    """Six seeds give p = 2/64 = 0.031 at least: significant for one rival but, doubled, not for two."""
    ours, rival = errors(1, 2, 3, 4, 5, 6), errors(11, 12, 13, 14, 15, 16)
    alone = better_than(ours, {"a": rival})["a"]
    assert (alone.verdict, alone.p) == (HOLDS, pytest.approx(0.03125))
    both = better_than(ours, {"a": rival, "b": rival})
    assert [(r.verdict, r.p) for r in both.values()] == [(UNDECIDED, pytest.approx(0.0625))] * 2


def test_better_than_follows_the_direction_of_the_metric():
    percent = Sample(OURS.seeds, OURS.values, OURS.lost, True)
    above = Sample(OURS.seeds, OURS.values + 2, OURS.lost, True)
    assert better_than(percent, {"other": above})["other"].verdict is FAILS
    assert better_than(above, {"other": percent})["other"].verdict is HOLDS


def test_better_than_uses_the_given_value_of_a_lost_seed():
    """Ours is better in seven seeds; the floor of the eighth, 36, dominates the mean: 36 - 3 against 7 x 2."""
    lost = errors(*OURS.values[:7], 36.0, lost=[7])
    rival = better_than(lost, {"other": errors(*(OURS.values + 2))})["other"]
    assert rival.verdict is UNDECIDED and rival.difference.value == pytest.approx((36 - 2.85 - 14) / 8)
    assert rival.p is not None and rival.p > 0.3


def test_better_than_with_one_seed_is_undecided():
    for ours, theirs in ((errors(1.0), errors(9.0)), (errors(1.0), errors(8.0, 9.0, 10.0)), (OURS, errors(9.0))):
        rival = better_than(ours, {"other": theirs})["other"]
        assert rival.verdict is UNDECIDED and rival.p is None and rival.pairing == ""
        assert (rival.difference.low, rival.difference.high) == (None, None)


def test_better_than_on_other_seeds_is_not_paired():
    rival = better_than(OURS, {"other": errors(*(OURS.values + 2), seeds=range(20, 28))})["other"]
    assert (rival.verdict, rival.pairing) == (HOLDS, "unpaired")
    assert rival.p == pytest.approx(2 / 9999, rel=0.6)  # 2 of C(16, 8) = 12870 divisions, of which 9999 are drawn


PAR = {
    "equal": ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), HOLDS, 1.0),
    "exactly twice": ((2.0, 2.0, 2.0), (1.0, 1.0, 1.0), HOLDS, 2.0),
    "exactly half": ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), HOLDS, 0.5),
    "just above twice": ((2.01, 2.01, 2.01), (1.0, 1.0, 1.0), FAILS, 2.01),
    "just below half": ((1.0, 1.0, 1.0), (2.01, 2.01, 2.01), MORE, 1 / 2.01),
    "above, some within twice": ((1.5, 1.5, 9.0), (1.0, 1.0, 1.0), FAILS, (1.5 * 1.5 * 9) ** (1 / 3)),
    "below, some within half": ((1.0, 1.0, 1.0), (1.5, 1.5, 9.0), MORE, (1.5 * 1.5 * 9) ** (-1 / 3)),
    "both sides": ((9.0, 1.0, 9.0, 1.0), (1.0, 9.0, 1.0, 9.0), UNDECIDED, 1.0),
    "one seed": ((9.0,), (1.0,), UNDECIDED, 9.0),
}


@pytest.mark.parametrize("label", PAR)
def test_on_a_par(label):
    ours, theirs, verdict, ratio = PAR[label]
    found, estimate = on_a_par(errors(*ours), errors(*theirs))
    assert found is verdict and estimate.value == pytest.approx(ratio)
    assert (estimate.low is None) == (estimate.high is None) == (len(ours) == 1)


def random_errors(seed, scale, n):
    return scale * np.exp(0.6 * np.random.RandomState(seed).randn(n))


def resampled(values, draws=20000):
    """Means `[draws]` of resamples of `values [S]`, drawn by NumPy."""
    random = np.random.RandomState(99)
    return values[random.randint(len(values), size=(draws, len(values)))].mean(axis=1)


def test_the_ratio_over_shared_seeds_against_numpy():
    a, b = random_errors(1, 3.0, 10), random_errors(2, 1.0, 12)
    # Ours has seeds 2 .. 11, theirs 0 .. 11 in another order: ten are shared.
    order = np.random.RandomState(0).permutation(12)
    verdict, ratio = on_a_par(errors(*a, seeds=range(2, 12)), errors(*b[order], seeds=order))
    logs = np.log(a) - np.log(b[2:])
    assert ratio.value == pytest.approx(np.exp(logs.mean()))
    assert ratio.value == pytest.approx(np.prod(a / b[2:]) ** 0.1)
    low, high = np.exp(np.percentile(resampled(logs), [2.5, 97.5]))
    assert (ratio.low, ratio.high) == (pytest.approx(low, rel=0.06), pytest.approx(high, rel=0.06))
    assert low > 1 and high > 2 and verdict is FAILS


def test_the_ratio_without_shared_seeds_against_numpy():
    a, b = random_errors(3, 1.0, 9), random_errors(4, 1.2, 7)
    for seeds in (range(20, 27), range(8, 15)):  # no shared seed, then one, too few for pairing
        _, ratio = on_a_par(errors(*a), errors(*b, seeds=seeds))
        assert ratio.value == pytest.approx(np.prod(a) ** (1 / 9) / np.prod(b) ** (1 / 7))
        random = np.random.RandomState(5)
        means = [x[random.randint(len(x), size=(20000, len(x)))].mean(axis=1) for x in (np.log(a), np.log(b))]
        low, high = np.exp(np.percentile(means[0] - means[1], [2.5, 97.5]))
        assert (ratio.low, ratio.high) == (pytest.approx(low, rel=0.06), pytest.approx(high, rel=0.06))


def test_a_lost_seed_enters_the_ratio_as_its_floor():
    assert on_a_par(errors(1, 1, 36, 1, lost=[2]), errors(1, 1, 1, 1))[1].value == pytest.approx(36 ** (1 / 4))


def test_a_ratio_needs_positive_errors():
    for ours, theirs in (
        (errors(0.0, 1.0), errors(1.0, 1.0)),
        (errors(1.0, 1.0), errors(1.0, -1.0)),
        (errors(1.0, 1.0, higher_is_better=True), errors(1.0, 1.0, higher_is_better=True)),
    ):
        with pytest.raises(ValueError, match="ratios need positive errors"):
            on_a_par(ours, theirs)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (90.0, 95.0, HOLDS),  # the threshold itself counts as reached
        (89.999, 95.0, UNDECIDED),
        (70.0, 90.0, UNDECIDED),
        (70.0, 89.999, FAILS),
        (90.0, 90.0, HOLDS),
        (None, None, UNDECIDED),
    ],
)
def test_reaches(low, high, verdict):
    assert reaches(Estimate(90.0, low, high), 90.0) is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-2.0, 1.0, HOLDS),  # the limit itself is allowed
        (-2.0, 1.001, UNDECIDED),
        (1.0, 3.0, UNDECIDED),
        (1.001, 3.0, FAILS),
        (1.0, 1.0, HOLDS),
        (None, None, UNDECIDED),
    ],
)
def test_stays_below(low, high, verdict):
    assert stays_below(Estimate(0.0, low, high), 1.0) is verdict


def test_intervals_of_samples_lead_to_verdicts():
    """If nine of ten seeds are equal, one outlier does not move the interval of the median."""
    assert reaches(statistics.median(np.array([91.0] * 9 + [5.0])), 90.0) is HOLDS
    assert reaches(statistics.median(np.array([91.0] * 5 + [5.0] * 5)), 90.0) is UNDECIDED
    assert reaches(statistics.median(np.array([91.0] + [5.0] * 9)), 90.0) is FAILS
    assert stays_below(statistics.mean(np.array([0.5, 0.9, 1.0])), 1.0) is HOLDS
    assert stays_below(statistics.mean(np.array([0.5, 0.9, 9.0])), 1.0) is UNDECIDED
