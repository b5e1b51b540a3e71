"""The rules from measured values to verdicts, on literal values."""

import itertools

import numpy as np
import pytest
import scipy.stats

from nmbench.paper.ledger.verdicts import Verdict, better_than, combine, on_a_par, reaches, stays_below
from nmbench.results import statistics
from nmbench.results.statistics import Estimate, Sample

HOLDS, MORE, PARTLY, UNDECIDED, WORSE, EQUAL, FAILS, NO_DATA = (
    Verdict.HOLDS,
    Verdict.MORE,
    Verdict.PARTLY,
    Verdict.UNDECIDED,
    Verdict.WORSE,
    Verdict.EQUAL,
    Verdict.FAILS,
    Verdict.NO_DATA,
)


def errors(*values, seeds=None, lost=(), higher_is_better=False):
    """One error per seed; seeds are 0, 1, ... unless given. A metric of which more is better is no error."""
    seeds = range(len(values)) if seeds is None else seeds
    lost = np.array([i in lost for i in range(len(values))])
    return Sample(np.array(seeds), np.array(values, float), lost, higher_is_better, logarithmic=not higher_is_better)


# The verdict for two different parts.
PAIRS = {
    (HOLDS, MORE): HOLDS,
    (HOLDS, PARTLY): PARTLY,
    (HOLDS, UNDECIDED): PARTLY,
    (HOLDS, WORSE): PARTLY,
    (HOLDS, EQUAL): PARTLY,
    (HOLDS, FAILS): PARTLY,
    (HOLDS, NO_DATA): NO_DATA,
    (MORE, PARTLY): PARTLY,
    (MORE, UNDECIDED): PARTLY,
    (MORE, WORSE): PARTLY,
    (MORE, EQUAL): PARTLY,
    (MORE, FAILS): PARTLY,
    (MORE, NO_DATA): NO_DATA,
    (PARTLY, UNDECIDED): PARTLY,
    (PARTLY, WORSE): PARTLY,
    (PARTLY, EQUAL): PARTLY,
    (PARTLY, FAILS): PARTLY,
    (PARTLY, NO_DATA): NO_DATA,
    (UNDECIDED, WORSE): UNDECIDED,
    (UNDECIDED, EQUAL): UNDECIDED,
    (UNDECIDED, FAILS): FAILS,
    (UNDECIDED, NO_DATA): NO_DATA,
    (WORSE, EQUAL): UNDECIDED,
    (WORSE, FAILS): FAILS,
    (WORSE, NO_DATA): NO_DATA,
    (EQUAL, FAILS): FAILS,
    (EQUAL, NO_DATA): NO_DATA,
    (FAILS, NO_DATA): NO_DATA,
}


def test_combine_every_pair():
    assert set(PAIRS) == set(itertools.combinations([v for v in Verdict if v is not Verdict.DOCUMENTED], 2))
    for (a, b), expected in PAIRS.items():
        for parts in ([a, b], [b, a], [a, b, a, b]):
            assert combine(parts) is expected, parts
    for verdict in {part for pair in PAIRS for part in pair}:
        assert combine([verdict]) is combine([verdict] * 3) is verdict


def test_combine_of_three_and_of_none():
    assert combine([HOLDS, UNDECIDED, FAILS]) is PARTLY
    assert combine([HOLDS, MORE, FAILS]) is PARTLY
    assert combine([HOLDS, MORE, NO_DATA]) is NO_DATA
    assert combine(iter([MORE, UNDECIDED, FAILS])) is PARTLY
    for parts in ([], [HOLDS, Verdict.DOCUMENTED]):
        with pytest.raises(ValueError, match="no part"):
            combine(parts)


OURS = errors(1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15, 0.85)


@pytest.mark.parametrize(
    ("factor", "verdict", "p"),
    [(3.0, HOLDS, 2 / 12870), (0.5, FAILS, 2 / 12870), (1.0, EQUAL, 1.0)],
    ids=["above", "below", "equal"],
)
def test_better_than_a_rival_that_is_scaled(factor, verdict, p):
    """If all eight errors are above those of the other, one of C(16, 8) = 12870 divisions is as extreme."""
    rival = better_than(OURS, {"other": errors(*(OURS.values * factor))})["other"]
    assert (rival.verdict, rival.p) == (verdict, pytest.approx(p))
    assert rival.effect.value == pytest.approx(1 / factor)
    assert rival.effect.low < 1 / factor < rival.effect.high


def test_better_than_is_corrected_over_the_rivals():
    """Four seeds give p = 2 / 70 = 0.029 at least: significant for one rival but, doubled, not for two."""
    ours, rival = errors(1, 2, 3, 4), errors(11, 12, 13, 14)
    alone = better_than(ours, {"a": rival})["a"]
    assert (alone.verdict, alone.p) == (HOLDS, pytest.approx(2 / 70))
    both = better_than(ours, {"a": rival, "b": rival})
    assert [(r.verdict, r.p) for r in both.values()] == [(UNDECIDED, pytest.approx(4 / 70))] * 2


def test_better_than_follows_the_direction_of_the_metric():
    percent, above = (errors(*(OURS.values + shift), higher_is_better=True) for shift in (0, 2))
    assert better_than(percent, {"other": above})["other"].verdict is FAILS
    found = better_than(above, {"other": percent})["other"]
    assert found.verdict is HOLDS and found.effect.value == pytest.approx(2.0)  # a difference


def test_one_lost_seed_does_not_decide_alone():
    """Ours is better in seven seeds, and the eighth has the floor, 36. The p values were computed by SciPy."""
    lost = errors(*OURS.values[:7], 36.0, lost=[7])
    five, three = errors(*(OURS.values * 5)), errors(*(OURS.values + 2))
    rival = better_than(lost, {"other": five})["other"]
    assert lost.values.mean() > five.values.mean()
    assert rival.verdict is HOLDS and rival.p == pytest.approx(404 / 12870)
    # If the other seeds are only three times better, it does.
    rival = better_than(lost, {"other": three})["other"]
    assert rival.verdict is UNDECIDED and rival.p == pytest.approx(2760 / 12870)
    assert rival.effect.value == pytest.approx(np.prod(lost.values / three.values) ** (1 / 8))


def test_lost_seeds_are_never_better_than_finished_ones_beyond_the_floor():
    """The floor is 1; the seeds of the rival finish at 3. Both rules count the lost seeds as the worst finished one."""
    lost = errors(*[1.0] * 8, lost=range(8))
    worse = errors(*(2.5 + 0.1 * np.arange(8)))
    assert on_a_par(lost, worse)[1].value == better_than(lost, {"other": worse})["other"].effect.value > 1
    assert on_a_par(worse, lost)[1].value < 1


def test_better_than_with_one_seed_is_undecided():
    for ours, theirs in ((errors(1.0), errors(9.0)), (errors(1.0), errors(8.0, 9.0, 10.0)), (OURS, errors(9.0))):
        rival = better_than(ours, {"other": theirs})["other"]
        assert rival.verdict is UNDECIDED and rival.p is None
        assert (rival.effect.low, rival.effect.high) == (None, None)


def test_a_wide_interval_is_not_equality():
    spread = errors(9.0, 1.0, 9.0, 1.0)
    assert better_than(spread, {"other": spread})["other"].verdict is UNDECIDED
    percent = errors(*OURS.values, higher_is_better=True)
    assert better_than(percent, {"other": percent})["other"].verdict is UNDECIDED  # there are no bounds for differences


def test_models_that_have_lost_most_seeds_are_never_called_equal():
    """Lost seeds all count the same, so 5 of 8 make two models look equal, whatever they would have learned."""
    for lost, verdict in ((range(4), EQUAL), (range(5), UNDECIDED)):
        few, floor = errors(*[36.0] * 6, 35.5, 35.0, lost=lost), errors(*[36.0] * 8)
        for ours, theirs in ((few, floor), (floor, few), (few, few)):
            assert better_than(ours, {"other": theirs})["other"].verdict is verdict


def test_better_than_does_not_depend_on_the_numbers_of_the_seeds():
    theirs = OURS.values[::-1] * 1.2
    found = [better_than(OURS, {"other": errors(*theirs, seeds=s)})["other"] for s in (None, range(20, 28), range(4, 12))]
    assert found[0] == found[1] == found[2] and found[0].p < 0.2


PAR = {
    "equal": (OURS.values, OURS.values, HOLDS, 1.0),
    "above, all within twice": ((1.5, 1.6, 1.4, 1.5), (1.0,) * 4, HOLDS, (1.5 * 1.6 * 1.4 * 1.5) ** (1 / 4)),
    "exactly twice": ((2.0,) * 6, (1.0,) * 6, HOLDS, 2.0),
    "exactly half": ((1.0,) * 6, (2.0,) * 6, HOLDS, 0.5),
    "just above twice": ((2.01,) * 6, (1.0,) * 6, FAILS, 2.01),
    "just below half": ((1.0,) * 6, (2.01,) * 6, MORE, 1 / 2.01),
    "five seeds without spread": ((9.0,) * 5, (1.0,) * 6, UNDECIDED, 9.0),
    # The intervals are 1.71 .. 2.54 and 0.39 .. 0.58.
    "above, some within twice": ((1.8, 2.0, 2.2, 2.4), (1.0,) * 4, WORSE, (1.8 * 2.0 * 2.2 * 2.4) ** (1 / 4)),
    "below, some within half": ((1.0,) * 4, (1.8, 2.0, 2.2, 2.4), MORE, (1.8 * 2.0 * 2.2 * 2.4) ** (-1 / 4)),
    "far above": ((3.0, 3.1, 2.9), (1.0, 1.1, 0.9), FAILS, (3.0 * 3.1 * 2.9 / 1.0 / 1.1 / 0.9) ** (1 / 3)),
    # The interval is 0.2 .. 35.6, because one of three seeds is far from the others.
    "above, with one bad seed": ((1.5, 1.5, 9.0), (1.0, 1.0, 1.0), UNDECIDED, (1.5 * 1.5 * 9) ** (1 / 3)),
    "both sides": ((9.0, 1.0, 9.0, 1.0), (1.0, 9.0, 1.0, 9.0), UNDECIDED, 1.0),
    "one seed": ((9.0,), (1.0,), UNDECIDED, 9.0),
}


@pytest.mark.parametrize("label", PAR)
def test_on_a_par(label):
    ours, theirs, verdict, ratio = PAR[label]
    found, estimate = on_a_par(errors(*ours), errors(*theirs))
    assert found is verdict and estimate.value == pytest.approx(ratio)
    assert (estimate.low is None) == (estimate.high is None) == (label in ("one seed", "five seeds without spread"))


@pytest.mark.parametrize(
    ("n", "m", "scale", "verdict"), [(10, 12, 2.2, WORSE), (9, 7, 1.0, UNDECIDED), (10, 12, 9.0, FAILS)]
)
def test_the_ratio_of_errors_matches_scipy(n, m, scale, verdict):
    a = scale * np.exp(0.5 * np.random.RandomState(1).randn(n))
    b = np.exp(0.7 * np.random.RandomState(2).randn(m))
    found, ratio = on_a_par(errors(*a, seeds=range(5, 5 + n)), errors(*b))
    assert ratio.value == pytest.approx(np.prod(a) ** (1 / n) / np.prod(b) ** (1 / m))
    theirs = scipy.stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval()
    assert (ratio.low, ratio.high) == pytest.approx((np.exp(theirs.low), np.exp(theirs.high)))
    assert found is verdict


def test_a_lost_seed_enters_the_ratio_as_its_floor():
    assert on_a_par(errors(1, 1, 36, 1, lost=[2]), errors(1, 1, 1, 1))[1].value == pytest.approx(36 ** (1 / 4))


def test_a_ratio_needs_errors():
    percent = errors(1.0, 1.0, higher_is_better=True)
    with pytest.raises(ValueError, match="ratios need errors"):
        on_a_par(percent, percent)
    assert on_a_par(errors(0.0, 1.0), errors(1.0, 1.0))[1].value == pytest.approx(1e-6)  # an error of 0 counts as 1e-12


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
    assert reaches(Estimate(90.0, low, high, covers=False), 90.0) is UNDECIDED


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
    assert stays_below(Estimate(0.0, low, high, covers=False), 1.0) is UNDECIDED


def test_intervals_of_samples_lead_to_verdicts():
    """The interval of the median of ten seeds leaves out the smallest and the largest."""
    assert reaches(statistics.median(np.array([91.0] * 9 + [5.0])), 90.0) is HOLDS
    assert reaches(statistics.median(np.array([91.0] * 8 + [5.0] * 2)), 90.0) is UNDECIDED
    assert reaches(statistics.median(np.array([91.0] + [5.0] * 9)), 90.0) is FAILS
    assert stays_below(statistics.mean(np.array([0.9, 0.91, 0.9])), 1.0) is HOLDS
    assert stays_below(statistics.mean(np.array([0.5, 0.9, 1.0])), 1.0) is UNDECIDED


def test_fewer_than_six_seeds_decide_nothing_on_a_median():
    assert reaches(statistics.median(np.array([91.0] * 5)), 90.0) is UNDECIDED
    assert reaches(statistics.median(np.array([91.0] * 6)), 90.0) is HOLDS
