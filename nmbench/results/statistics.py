"""Statistics over seeds: estimates with intervals, comparisons of two models, ranks.

A `Sample` holds one number per seed. A seed that diverged, failed or ran out of time has the floor of its metric as its
value and is marked as lost. Intervals are percentile bootstrap intervals over seeds, 95%; a single seed has none. Equal
values give equal answers, whatever else a file holds (see `nmbench.results.resampling`).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nmbench.results import resampling
from nmbench.results.resampling import LEVEL

ALPHA = 0.05
_LETTERS = string.ascii_letters


@dataclasses.dataclass(frozen=True)
class Sample:
    """Primary metric of one model, one number per seed.

    Attributes:
      seeds: `[S]` integers, all different.
      values: `[S]` floats; the metric's floor where `lost`.
      lost: `[S]` booleans: diverged, failed or timed out.
      higher_is_better: direction.
    """

    seeds: np.ndarray
    values: np.ndarray
    lost: np.ndarray
    higher_is_better: bool

    def __len__(self) -> int:
        return len(self.seeds)


def sample(rows: Sequence[Mapping[str, Any]]) -> Sample:
    """`Sample` of the rows of one model and configuration, in order of seed.

    Raises:
      ValueError: no rows, or a seed twice.
    """
    ordered = sorted(rows, key=lambda row: row["seed"])
    seeds = [row["seed"] for row in ordered]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"a sample needs at least one seed, and each once; got {seeds}")
    lost = [row["status"] != "ok" for row in ordered]
    values = [row["floor"] if gone else row["value"] for row, gone in zip(ordered, lost, strict=True)]
    return Sample(np.array(seeds), np.array(values, float), np.array(lost), ordered[0]["higher_is_better"])


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and the bounds of its 95% interval, None where a single seed leaves it open."""

    value: float
    low: float | None
    high: float | None


def median(values: np.ndarray) -> Estimate:
    """Median of `values [S]`."""
    return _estimates((values,), (1.0,), [resampling.median])[0]


def mean(values: np.ndarray) -> Estimate:
    """Mean of `values [S]`."""
    return _estimates((values,), (1.0,), [resampling.mean])[0]


def interquartile_mean(values: np.ndarray) -> Estimate:
    """Mean of `values [S]` without the lowest and the highest quarter, each rounded down to whole seeds."""
    return _estimates((values,), (1.0,), [resampling.trimmed_mean])[0]


def median_and_interquartile_mean(values: np.ndarray) -> tuple[Estimate, Estimate]:
    """Both, from the same resamples, in little more time than one."""
    middle, trimmed = _estimates((values,), (1.0,), [resampling.median, resampling.trimmed_mean])
    return middle, trimmed


def mean_of_means(strata: Sequence[np.ndarray], weights: Sequence[float]) -> Estimate:
    """Weighted mean of the means of `strata`, arrays `[S]` of any lengths; each is resampled by itself.

    A stratum of a single seed leaves the interval open.
    """
    return _estimates(strata, weights, [resampling.mean])[0]


def success_rate(values: np.ndarray, solved: np.ndarray) -> Estimate:
    """Share of seeds that solved the task, `solved [S]` booleans, with its Wilson interval.

    A share has an interval even for one seed. values: `[S]`, only their number counts.
    """
    hits = int(np.count_nonzero(solved))
    return Estimate(hits / len(values), *_wilson(hits, len(values)))


@functools.lru_cache(maxsize=1024)
def _wilson(hits: int, of: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(hits, of).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def reached(of: Sample, threshold: float) -> np.ndarray:
    """`[S]` booleans: seeds that reach `threshold`. Lost seeds never do."""
    hits = of.values >= threshold if of.higher_is_better else of.values <= threshold
    return hits & ~of.lost


def score_profile(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """`[T]`: share of `scores [S]` that are at least t, for each t of `grid [T]`."""
    below = np.searchsorted(np.sort(scores), grid, side="left")
    return 1.0 - below / len(scores)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How model B differs from model A, the baseline. Differences are B - A.

    Attributes:
      pairing: "paired" over shared seeds; "unpaired" with fewer than two shared seeds; "" where a side has one seed.
      shared: number of shared seeds.
      mean, median: difference of means and of medians ("unpaired"), or mean and median of the differences over shared seeds
        ("paired"). With one seed on a side, differences of means and medians without interval.
      p: two-sided permutation test of the mean difference; None with one seed on a side.
      least_p: the smallest p that so few seeds can give.
      improvement: probability that a seed of B is better than a seed of A, over all pairs of seeds; ties count half.
      favours_b: whether the mean difference is in favour of B; None when it is zero.
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
    """Compare B with the baseline A. Where two seeds or more are shared, only these enter differences and test."""
    return compare_all([(a, b)])[0]


def compare_all(pairs: Sequence[tuple[Sample, Sample]]) -> list[Comparison]:
    """`compare` of many pairs (baseline, other), in much less time than one after the other."""
    return [_comparison(a, b, gap, p) for (a, b), (gap, p) in zip(pairs, _tests(pairs), strict=True)]


def _comparison(a: Sample, b: Sample, gap: np.ndarray | None, p: float | None) -> Comparison:
    x, y = a.values, b.values
    pairing = "paired" if gap is not None else "" if p is None else "unpaired"
    data, weights = ((y, x), (1.0, -1.0)) if gap is None else ((gap,), (1.0,))
    mean, middle = _estimates(data, weights, [resampling.mean, resampling.median])
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
    """The smallest p that `compare` can give for so many seeds, None where one of them has a single seed."""
    if min(len(a), len(b)) < 2:
        return None
    shared = len(a) if np.array_equal(a.seeds, b.seeds) else len(np.intersect1d(a.seeds, b.seeds, assume_unique=True))
    return resampling.least_paired_p(shared) if shared >= 2 else resampling.least_unpaired_p(len(a), len(b))


def _tests(pairs: Sequence[tuple[Sample, Sample]]) -> list[tuple[np.ndarray | None, float | None]]:
    """Differences B - A over shared seeds, None with fewer than two of them, and p, None with one seed on a side."""
    gaps = [_gap(a, b) for a, b in pairs]
    paired = [i for i, gap in enumerate(gaps) if gap is not None]
    apart = [i for i, (a, b) in enumerate(pairs) if gaps[i] is None and min(len(a), len(b)) >= 2]
    ps: list[float | None] = [None] * len(pairs)
    for i, p in zip(paired, resampling.paired_ps([g for g in gaps if g is not None]), strict=True):
        ps[i] = p
    for i, p in zip(apart, resampling.unpaired_ps([(pairs[i][0].values, pairs[i][1].values) for i in apart]), strict=True):
        ps[i] = p
    return list(zip(gaps, ps, strict=True))


def _gap(a: Sample, b: Sample) -> np.ndarray | None:
    if np.array_equal(a.seeds, b.seeds):
        return b.values - a.values if len(a) >= 2 else None
    shared, in_a, in_b = np.intersect1d(a.seeds, b.seeds, assume_unique=True, return_indices=True)
    return b.values[in_b] - a.values[in_a] if len(shared) >= 2 else None


def _favours_b(a: Sample, b: Sample, gap: np.ndarray | None) -> bool | None:
    """As `Comparison.favours_b`. gap: differences over shared seeds, None where all seeds count."""
    difference = np.mean(b.values) - np.mean(a.values) if gap is None else np.mean(gap)
    return None if difference == 0 else bool(difference > 0) == a.higher_is_better


def paired_p(gap: np.ndarray) -> float:
    """`resampling.paired_ps` of one `gap [S]`, S >= 2."""
    return resampling.paired_ps([gap])[0]


def unpaired_p(a: np.ndarray, b: np.ndarray) -> float:
    """`resampling.unpaired_ps` of one pair `a [S]` and `b [R]`, S, R >= 2."""
    return resampling.unpaired_ps([(a, b)])[0]


def probability_of_improvement(a: np.ndarray, b: np.ndarray, higher_is_better: bool) -> float:
    """Share of pairs (value of `a [S]`, value of `b [R]`) in which b is better; ties count half."""
    ordered = np.sort(a)
    below, upto = np.searchsorted(ordered, b, "left"), np.searchsorted(ordered, b, "right")
    above = float(np.sum(below + upto)) / (2 * len(a) * len(b))
    return above if higher_is_better else 1.0 - above


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of a family of p values; None stays None and is no member.

    The k-th smallest of m is multiplied by m - k + 1, then raised to the one before it, and cut at 1.
    """
    members = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    running = 0.0
    for k, (p, i) in enumerate(members):
        running = max(running, min(1.0, p * (len(members) - k)))
        corrected[i] = running
    return corrected


def better(samples: Sequence[Sample]) -> np.ndarray:
    """`[M, M]` booleans of `M` samples of one metric: the model of the row is significantly better than that of the column.

    Every pair of models is compared (`compare`), and the p values are corrected by Holm over all pairs. One model is
    significantly better than another when the corrected p is below 0.05 and the mean difference favours it.
    """
    pairs = list(itertools.combinations(samples, 2))
    found = [(p, _favours_b(a, b, gap)) for (a, b), (gap, p) in zip(pairs, _tests(pairs), strict=True)]
    return _better(len(samples), found)


def letters(apart: np.ndarray) -> list[str]:
    """Compact letter display: two models share a letter exactly where they cannot be told apart.

    apart: `[M, M]` symmetric booleans. Returns one string per model, "a" the group of the first; all empty where more than
    52 letters would be needed.
    """
    groups = [(1 << len(apart)) - 1]  # sets of models as bits; each pair that is told apart splits those that hold both
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


def better_over_strata(models: Sequence[Sequence[Sample]], weights: Sequence[float]) -> np.ndarray:
    """As `better`, of models that were measured in several strata, such as tasks, by their weighted mean of means.

    Only seeds that two models share enter their test, which flips the sign of each difference by itself. Models that share
    fewer than two seeds in a stratum are not told apart.

    Args:
      models: one sample per stratum for each of `M` models, in units that may be averaged.
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
    """results: p and whether the second is favoured, of every pair of models in order."""
    found = np.zeros((models, models), bool)
    pairs = itertools.combinations(range(models), 2)
    for (a, b), (_, favours_b), p in zip(pairs, results, holm([p for p, _ in results]), strict=True):
        if p is not None and p < ALPHA and favours_b is not None:
            found[(b, a) if favours_b else (a, b)] = True
    return found


def rank_groups(samples: Mapping[str, Sample]) -> dict[str, int]:
    """Ranks in which models that cannot be told apart are not told apart.

    A model's rank is 1 + the number of models significantly better than it (`better`). So the models with rank 1 are those
    that no model beats, and sharing a rank is not transitive: where A beats C and B is told apart from neither, A and B have
    rank 1 and C has rank 2.

    samples: model to sample, of one metric. Returns model to rank, in order of rank, then median (better first), then name.
    """
    ranks = dict(zip(samples, (1 + better(list(samples.values())).sum(axis=0)).tolist(), strict=True))

    def order(name: str) -> tuple[int, float, str]:
        middle = float(np.median(samples[name].values))
        return ranks[name], -middle if samples[name].higher_is_better else middle, name

    return {name: ranks[name] for name in sorted(samples, key=order)}


def _estimates(
    data: Sequence[np.ndarray], weights: Sequence[float], statistics: Sequence[resampling.Statistic]
) -> list[Estimate]:
    """Each `sum_i weights[i] * statistic(data[i])` with its bootstrap interval, all from the same resamples."""
    ordered = [np.sort(x) for x in data]
    values = [float(sum(w * f(x) for x, w in zip(ordered, weights, strict=True))) for f in statistics]
    if min(len(x) for x in data) < 2:
        return [Estimate(value, None, None) for value in values]
    bounds = resampling.bootstrap(data, weights, statistics)
    return [Estimate(value, float(low), float(high)) for value, (low, high) in zip(values, bounds, strict=True)]
