"""Significance over seeds: comparison of two models, Holm's correction, and groups of models that cannot be told apart."""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Sequence

import numpy as np

from nmbench.results import resampling
from nmbench.results.statistics import Estimate, Sample, estimates

ALPHA = 0.05
_LETTERS = string.ascii_letters


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How model B differs from model A, the baseline. Differences are B - A.

    Attributes:
      pairing: "paired" over shared seeds; "unpaired" with fewer than two shared seeds; "" if a side has one seed.
      shared: number of shared seeds.
      mean, median: mean and median of the differences over shared seeds ("paired"), or difference of the means and of the
        medians (otherwise). There is no interval if a side has one seed.
      p: p value of a two-sided permutation test of the mean difference; None if a side has one seed.
      least_p: the smallest p that these numbers of seeds can give; None if a side has one seed.
      improvement: probability that a seed of B is better than a seed of A, over all pairs of seeds; ties count half.
      favours_b: whether the mean difference favours B; None if it is zero.
    """

    pairing: str
    shared: int
    mean: Estimate
    median: Estimate
    p: float | None
    least_p: float | None
    improvement: float
    favours_b: bool | None


def compare(a: Sample, b: Sample) -> Comparison:
    """Compare B with the baseline A. If two or more seeds are shared, the differences and the test use only these."""
    return compare_all([(a, b)])[0]


def compare_all(pairs: Sequence[tuple[Sample, Sample]]) -> list[Comparison]:
    """Compare many pairs (baseline, other), much faster than with one call of `compare` per pair."""
    return [_comparison(a, b, gap, p) for (a, b), (gap, p) in zip(pairs, _tests(pairs), strict=True)]


def _comparison(a: Sample, b: Sample, gap: np.ndarray | None, p: float | None) -> Comparison:
    x, y = a.values, b.values
    pairing = "paired" if gap is not None else "" if p is None else "unpaired"
    data, weights = ((y, x), (1.0, -1.0)) if gap is None else ((gap,), (1.0,))
    mean, middle = estimates(data, weights, [resampling.mean, resampling.median])
    return Comparison(
        pairing=pairing,
        shared=len(gap) if gap is not None else len(np.intersect1d(a.seeds, b.seeds, assume_unique=True)),
        mean=mean,
        median=middle,
        p=p,
        least_p=least_p(a, b),
        improvement=probability_of_improvement(x, y, a.higher_is_better),
        favours_b=_favours_b(a, b, gap),
    )


def least_p(a: Sample, b: Sample) -> float | None:
    """The smallest p that `compare` can give for these numbers of seeds; None if a side has one seed."""
    if min(len(a), len(b)) < 2:
        return None
    shared = len(a) if np.array_equal(a.seeds, b.seeds) else len(np.intersect1d(a.seeds, b.seeds, assume_unique=True))
    return resampling.least_paired_p(shared) if shared >= 2 else resampling.least_unpaired_p(len(a), len(b))


def _tests(pairs: Sequence[tuple[Sample, Sample]]) -> list[tuple[np.ndarray | None, float | None]]:
    """Differences B - A over shared seeds (None with fewer than two of them) and p (None if a side has one seed)."""
    gaps = [_gap(a, b) for a, b in pairs]
    paired = [i for i, gap in enumerate(gaps) if gap is not None]
    unpaired = [i for i, (a, b) in enumerate(pairs) if gaps[i] is None and min(len(a), len(b)) >= 2]
    ps: list[float | None] = [None] * len(pairs)
    for i, p in zip(paired, resampling.paired_ps([g for g in gaps if g is not None]), strict=True):
        ps[i] = p
    values = [(pairs[i][0].values, pairs[i][1].values) for i in unpaired]
    for i, p in zip(unpaired, resampling.unpaired_ps(values), strict=True):
        ps[i] = p
    return list(zip(gaps, ps, strict=True))


def _gap(a: Sample, b: Sample) -> np.ndarray | None:
    if np.array_equal(a.seeds, b.seeds):
        return b.values - a.values if len(a) >= 2 else None
    shared, in_a, in_b = np.intersect1d(a.seeds, b.seeds, assume_unique=True, return_indices=True)
    return b.values[in_b] - a.values[in_a] if len(shared) >= 2 else None


def _favours_b(a: Sample, b: Sample, gap: np.ndarray | None) -> bool | None:
    """`Comparison.favours_b`. gap: differences over shared seeds; None if all seeds count."""
    difference = np.mean(b.values) - np.mean(a.values) if gap is None else np.mean(gap)
    return None if difference == 0 else bool(difference > 0) == a.higher_is_better


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


def better(samples: Sequence[Sample]) -> np.ndarray:
    """`[M, M]` booleans for `M` samples of one metric: whether the model of the row is better than that of the column.

    Every pair of models is compared (`compare`), and the p values are corrected by Holm over all pairs. One model is
    significantly better than another if the corrected p is below 0.05 and the mean difference favours it.

    A model's rank is 1 + the number of models that are significantly better. Models that cannot be told apart may have
    different ranks: if A is better than C, and B cannot be told apart from either, A and B have rank 1 and C has rank 2.
    """
    pairs = list(itertools.combinations(samples, 2))
    found = [(p, _favours_b(a, b, gap)) for (a, b), (gap, p) in zip(pairs, _tests(pairs), strict=True)]
    return _better(len(samples), found)


def better_over_strata(models: Sequence[Sequence[Sample]], weights: Sequence[float]) -> np.ndarray:
    """Like `better`, for the weighted mean of means of models that were measured in several strata, such as tasks.

    The test of two models uses their shared seeds and flips the sign of each difference independently. Models that share
    fewer than two seeds in any stratum cannot be told apart.

    Args:
      models: one sample per stratum for each of `M` models, in units that can be averaged.
      weights: one per stratum.

    Returns:
      `[M, M]` booleans.
    """
    weighted = [_over_strata(a, b, weights) for a, b in itertools.combinations(models, 2)]
    ps = iter(resampling.paired_ps([gap for gap in weighted if gap is not None]))
    results = [(None, None) if gap is None else (next(ps), _positive(gap, models[0][0])) for gap in weighted]
    return _better(len(models), results)


def _over_strata(a: Sequence[Sample], b: Sequence[Sample], weights: Sequence[float]) -> np.ndarray | None:
    """Differences over the shared seeds of all strata, weighted so that their sum is the weighted mean of means."""
    gaps = [_gap(x, y) for x, y in zip(a, b, strict=True)]
    weighted = [gap * (w / len(gap)) for gap, w in zip(gaps, weights, strict=True) if gap is not None]
    return np.concatenate(weighted) if len(weighted) == len(gaps) else None


def _positive(gap: np.ndarray, of: Sample) -> bool | None:
    total = float(gap.sum())
    return None if total == 0 else (total > 0) == of.higher_is_better


def _better(models: int, results: Sequence[tuple[float | None, bool | None]]) -> np.ndarray:
    """The booleans of `better`. results: p, and whether the second model is favoured, for every pair of models in order."""
    found = np.zeros((models, models), bool)
    pairs = itertools.combinations(range(models), 2)
    for (a, b), (_, favours_b), p in zip(pairs, results, holm([p for p, _ in results]), strict=True):
        if p is not None and p < ALPHA and favours_b is not None:
            found[(b, a) if favours_b else (a, b)] = True
    return found


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
