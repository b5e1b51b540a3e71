"""Significance over seeds: comparison of two models, corrections for many comparisons, and groups of models.

All tests are unpaired: models share one stream of training data, so nothing pairs seeds of equal number. Errors are compared
by their logarithms, other metrics as they are (`statistics.compares_logarithms`). In a comparison a lost seed counts as the
floor, or as the worst finished seed of both models if that is worse.

A permutation test supposes that equal models also spread equally. With equal numbers of seeds this hardly matters. But if
one model has fewer seeds and spreads more, the test calls equal means different far too often. So for different numbers of
seeds, the larger one of its p and that of Welch's t test counts.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.results import resampling, statistics
from nmbench.results.statistics import Estimate, Sample

ALPHA = 0.05
# For legends, after the name of the test.
UNEQUAL = "for different numbers of seeds, the larger p of this test and Welch's"
# No difference is found between two models if the interval of the ratio of their errors lies within 1/2 .. 2.
SAME_RATIO = 2.0
_LETTERS = string.ascii_letters


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How model B differs from model A.

    Attributes:
      effect: the ratio of the geometric means, B / A, if logarithms are compared; otherwise the difference of the means,
        B - A. With the interval of `statistics.difference_of_means`.
      p: p value of the two-sided test; None if a side has one seed.
      least_p: the smallest p that these numbers of seeds can give; None if a side has one seed.
      improvement: probability that a seed of B is better than a seed of A, over all pairs of seeds; ties count half.
      favours_b: whether the effect favours B; None if there is no difference.
    """

    effect: Estimate
    p: float | None
    least_p: float | None
    improvement: float
    favours_b: bool | None


def compare(a: Sample, b: Sample) -> Comparison:
    """Compare model B with model A."""
    return compare_all([(a, b)])[0]


def compare_all(pairs: Sequence[tuple[Sample, Sample]]) -> list[Comparison]:
    """Compare many pairs, much faster than with one call of `compare` per pair."""
    pairs = [lost_last(a, b) for a, b in pairs]
    return [_comparison(a, b, p) for (a, b), p in zip(pairs, _ps(pairs), strict=True)]


def lost_last(a: Sample, b: Sample) -> tuple[Sample, Sample]:
    """Both samples; if a finished seed is worse than the floor, the lost seeds count as the worst finished seed."""
    finished = np.concatenate([a.values[~a.lost], b.values[~b.lost]])
    if not (a.lost.any() or b.lost.any()) or not len(finished):
        return a, b
    up = a.higher_is_better
    worst = finished.min() if up else finished.max()
    worse = np.minimum if up else np.maximum
    last = lambda s: dataclasses.replace(s, values=np.where(s.lost, worse(s.values, worst), s.values))
    return last(a), last(b)


def _comparison(a: Sample, b: Sample, p: float | None) -> Comparison:
    difference = statistics.difference_of_means(a.compared, b.compared)
    return Comparison(
        effect=statistics.powers_of_ten(difference) if a.logarithmic else difference,
        p=p,
        least_p=least_p(a, b),
        improvement=probability_of_improvement(a.compared, b.compared, a.higher_is_better),
        favours_b=None if difference.value == 0 else (difference.value > 0) == a.higher_is_better,
    )


def least_p(a: Sample, b: Sample) -> float | None:
    """The smallest p that `compare` can give for these numbers of seeds; None if a side has one seed."""
    return None if min(len(a), len(b)) < 2 else resampling.least_p(len(a), len(b))


def _ps(pairs: Sequence[tuple[Sample, Sample]]) -> list[float | None]:
    tested = [i for i, (a, b) in enumerate(pairs) if min(len(a), len(b)) >= 2]
    compared = [(pairs[i][0].compared, pairs[i][1].compared) for i in tested]
    ps: list[float | None] = [None] * len(pairs)
    for i, sides, p in zip(tested, compared, resampling.unpaired_ps(compared), strict=True):
        ps[i] = p if len(sides[0]) == len(sides[1]) else max(p, statistics.welch_p(*sides))
    return ps


def probability_of_improvement(a: np.ndarray, b: np.ndarray, higher_is_better: bool) -> float:
    """Share of the pairs (value of `a [S]`, value of `b [R]`) in which the value of b is better; ties count half."""
    ordered = np.sort(a)
    below, upto = np.searchsorted(ordered, b, "left"), np.searchsorted(ordered, b, "right")
    above = float(np.sum(below + upto)) / (2 * len(a) * len(b))
    return above if higher_is_better else 1.0 - above


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of a family of p values; None stays None and does not count as a member.

    The k-th smallest of m values is multiplied by m - k + 1 and limited to 1. If the result is below the previous corrected
    value, it is raised to that value.
    """
    members = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    running = 0.0
    for k, (p, i) in enumerate(members):
        running = max(running, min(1.0, p * (len(members) - k)))
        corrected[i] = running
    return corrected


def shaffer(models: int, ps: Sequence[float | None]) -> list[float | None]:
    """Correct the p values of all pairs of models (Shaffer 1986, procedure 2).

    Holm's correction multiplies the smallest remaining p value by the number of remaining pairs. But after some pairs have
    been told apart, the remaining ones cannot all be equal: if A and B are told apart, C cannot equal both. It suffices to
    multiply by a bound on the number of pairs that can still be equal together. Each model can equal at most w - 1 others,
    where w is the size of the largest group that contains it and of which no two models have been told apart yet; half the
    sum of w - 1 over all models is the bound. A model that has been told apart from all others adds nothing, so it does not
    make it harder to tell the others apart.

    The family-wise error rate is at most the level of the tests, as with Holm's correction.

    Args:
      models: number of models, M.
      ps: p for each pair, in the order of `itertools.combinations(range(M), 2)`; None if the pair is not tested. None stays
        None. A model of which no pair is tested does not count.

    Returns:
      The corrected p values, in the order of `ps`. They decide at level 0.05: where Holm's factor already gives less than
        0.05, it is used, and after the first corrected p of 0.05 or more, no further pair counts as told apart.
    """
    pairs = list(itertools.combinations(range(models), 2))
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    tested = {model for _, i in order for model in pairs[i]}
    everyone = sum(1 << model for model in tested)  # sets of models as bits
    undecided = [everyone & ~(1 << model) for model in range(models)]
    corrected: list[float | None] = [None] * len(ps)
    largest, factor = 0.0, len(order)
    for rank, (p, i) in enumerate(order):
        remaining = len(order) - rank  # Holm's factor
        if largest >= ALPHA:
            factor = min(factor, remaining)
        elif remaining * p < ALPHA:
            factor = remaining
        else:  # The bound takes longer to compute, so only where it decides.
            factor = min(remaining, sum(_largest_group(model, undecided) - 1 for model in tested) // 2)
        largest = max(largest, min(1.0, factor * p))
        corrected[i] = largest
        if largest < ALPHA:
            a, b = pairs[i]
            undecided[a] &= ~(1 << b)
            undecided[b] &= ~(1 << a)
    return corrected


def _largest_group(model: int, undecided: Sequence[int]) -> int:
    """Size of the largest set of models that contains `model` and of which no pair is decided.

    The search visits a limited number of sets; beyond it, the result is an upper bound.
    """
    visits, best = 0, 1

    def grow(candidates: int, size: int) -> None:
        nonlocal visits, best
        best = max(best, size)
        while candidates and size + candidates.bit_count() > best:
            visits += 1
            if visits > _MOST_VISITS:
                best = undecided[model].bit_count() + 1
                return
            lowest = candidates & -candidates
            candidates ^= lowest
            grow(candidates & undecided[lowest.bit_length() - 1], size + 1)

    grow(undecided[model], 1)
    return best


_MOST_VISITS = 2000


def better(samples: Sequence[Sample]) -> np.ndarray:
    """Which of M models are significantly better than which others.

    All pairs of models with two or more seeds are tested and corrected together by `shaffer`.

    Returns:
      `[M, M]` booleans: whether model i is better than model j.
    """
    found = compare_all(list(itertools.combinations(samples, 2)))
    return _better(len(samples), [(one.p, one.favours_b) for one in found])


def better_over_strata(models: Sequence[Sequence[Sample]], weights: Sequence[float]) -> np.ndarray:
    """Like `better`, over several tables: by the weighted mean of the probabilities of improvement.

    Scores of different tasks have no common unit, but the probability that a seed of one model beats a seed of the other
    has one. The test exchanges seeds of the two models within each table. The larger one of its p and that of the test of
    Brunner and Munzel (Biometrical Journal 42, 2000) counts, which does not suppose that equal models spread equally. Its
    variances are added over the tables.

    Args:
      models: `M` lists of one sample per table.
      weights: one per table.
    """
    results: list[tuple[float | None, bool | None]] = []
    pairs = list(itertools.combinations(models, 2))
    for a, b in pairs:
        if min(len(s) for s in (*a, *b)) < 2:
            results.append((None, None))
            continue
        shown = [lost_last(x, y) for x, y in zip(a, b, strict=True)]
        ranked = [_ranks(x, y) for x, y in shown]
        gap = sum(w * float(np.mean(y) - np.mean(x)) for (x, y), w in zip(ranked, weights, strict=True))
        placed = [side for x, y in shown for side in (_placements(x, y), _placements(y, x))]
        p = max(
            resampling.stratified_p(ranked, weights, len(pairs)),
            statistics.t_p(gap, placed, [w for w in weights for _ in "ab"]),
        )
        results.append((p, None if gap == 0 else gap > 0))
    return _better(len(models), results)


def _placements(a: Sample, b: Sample) -> np.ndarray:
    """For each seed of `a`, the share of the seeds of `b` with a smaller value; ties count half."""
    ordered = np.sort(b.compared)
    below, upto = (np.searchsorted(ordered, a.compared, side) for side in ("left", "right"))
    return (below + upto) / (2 * len(ordered))


def _ranks(a: Sample, b: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the seeds of both samples together, worst first, divided by the number of seeds.

    The difference of their means, b - a, equals `probability_of_improvement` - 0.5.
    """
    pooled = np.concatenate([a.compared, b.compared])
    ordered = np.sort(pooled)
    ranks = (np.searchsorted(ordered, pooled, "left") + np.searchsorted(ordered, pooled, "right")) / (2 * len(pooled))
    ranks = ranks if a.higher_is_better else -ranks
    return ranks[: len(a)], ranks[len(a) :]


def _better(models: int, results: Sequence[tuple[float | None, bool | None]]) -> np.ndarray:
    """The booleans of `better`. results: p, and whether the second model is favoured, for every pair of models in order."""
    found = np.zeros((models, models), bool)
    pairs = itertools.combinations(range(models), 2)
    corrected = shaffer(models, [p for p, _ in results])
    for (a, b), (_, favours_b), p in zip(pairs, results, corrected, strict=True):
        if p is not None and p < ALPHA and favours_b is not None:
            found[(b, a) if favours_b else (a, b)] = True
    return found


class RankedModel(NamedTuple):
    """The place of a model among others, named by their indices, which `tied` and `ahead_of` list in order of rank."""

    index: int
    rank: int
    group: str
    tied: tuple[int, ...]
    ahead_of: tuple[int, ...]


def rank_models(better: np.ndarray, then_by: Callable[[int], Any]) -> list[RankedModel]:
    """Models in order of rank, which is 1 + the number of models that are better.

    Args:
      better: `[M, M]` booleans, as from the function `better`.
      then_by: sorting key of models of equal rank, from their index.
    """
    ranks, apart = 1 + better.sum(axis=0), better | better.T
    order = sorted(range(len(better)), key=lambda i: (ranks[i], then_by(i)))
    group = dict(zip(order, letters(apart[np.ix_(order, order)]), strict=True))
    those = lambda chosen: tuple(j for j in order if chosen[j])
    return [
        RankedModel(i, int(ranks[i]), group[i], those(~apart[i] & (np.arange(len(better)) != i)), those(better[i]))
        for i in order
    ]


def letters(apart: np.ndarray) -> list[str]:
    """Compact letter display: two models share a letter exactly if they cannot be told apart.

    Args:
      apart: `[M, M]` symmetric booleans: whether two models can be told apart.

    Returns:
      One string per model; the letter "a" is for the group of the first. All strings are empty if more than 52 letters would
      be needed.
    """
    # Sets of models as bits. Each pair that can be told apart splits the sets that contain both models.
    groups = [(1 << len(apart)) - 1]
    for i, j in np.argwhere(np.triu(apart)).tolist():
        split = [part for g in groups for part in ((g & ~(1 << i), g & ~(1 << j)) if g >> i & g >> j & 1 else (g,))]
        groups = []
        for g in sorted(set(split), key=lambda g: (-g.bit_count(), g)):
            if not any(g & kept == g for kept in groups):
                groups.append(g)
        if len(groups) > len(_LETTERS):
            return [""] * len(apart)
    members = sorted([i for i in range(len(apart)) if g >> i & 1] for g in groups)
    return ["".join(letter for letter, group in zip(_LETTERS, members) if i in group) for i in range(len(apart))]
