"""Statistics over seeds: estimates with intervals, comparisons of two models, ranks.

A `Sample` holds one number per seed. A seed that diverged, failed or ran out of time has the floor of its metric as its
value and is marked as lost. Intervals are percentile bootstrap intervals over seeds, 95%; a single seed has none. What is
drawn at random comes from a generator seeded by the values: equal values give equal answers, whatever else a file holds.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LEVEL = 0.95
ALPHA = 0.05
RESAMPLES = 2000
ARRANGEMENTS = 9999  # permutations: all of them up to this many, else this many drawn
_DRAWS_AT_ONCE = 1_000_000


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
    return _estimates((values,), [_median])[0]


def mean(values: np.ndarray) -> Estimate:
    """Mean of `values [S]`."""
    return _estimates((values,), [_mean])[0]


def interquartile_mean(values: np.ndarray) -> Estimate:
    """Mean of `values [S]` without the lowest and the highest quarter, each rounded down to whole seeds."""
    from scipy.stats import trim_mean

    return _estimates((values,), [lambda x, axis: trim_mean(x, 0.25, axis=axis)])[0]


def mean_of_means(strata: Sequence[np.ndarray], weights: Sequence[float]) -> Estimate:
    """Weighted mean of the means of `strata`, arrays `[S]` of any lengths; each is resampled by itself.

    A stratum of a single seed leaves the interval open.
    """
    value = float(sum(w * np.mean(x) for x, w in zip(strata, weights, strict=True)))
    if min(len(x) for x in strata) < 2:
        return Estimate(value, None, None)
    random = generator(*strata)
    drawn = sum(w * x[random.integers(len(x), size=(RESAMPLES, len(x)))].mean(axis=1) for x, w in zip(strata, weights))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def success_rate(values: np.ndarray, solved: np.ndarray) -> Estimate:
    """Share of seeds that solved the task, `solved [S]` booleans, with its Wilson interval.

    A share has an interval even for one seed. values: `[S]`, only their number counts.
    """
    from scipy.stats import binomtest

    hits = int(np.count_nonzero(solved))
    interval = binomtest(hits, len(values)).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / len(values), float(interval.low), float(interval.high))


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
    shared, in_a, in_b = np.intersect1d(a.seeds, b.seeds, assume_unique=True, return_indices=True)
    x, y = a.values, b.values
    p = least_p = None
    if min(len(a), len(b)) < 2:
        pairing = ""
        mean, middle = _estimates((y, x), [_mean_gap, _median_gap])
    elif len(shared) >= 2:
        pairing = "paired"
        gap = y[in_b] - x[in_a]
        mean, middle = _estimates((gap,), [_mean, _median])
        p, least_p = paired_p(gap), 2.0 * _unit(2 ** len(gap))
    else:
        pairing = "unpaired"
        mean, middle = _estimates((y, x), [_mean_gap, _median_gap])
        p, least_p = unpaired_p(y, x), min(1.0, 2.0 * _unit(math.comb(len(x) + len(y), len(x))))
    favours_b = None if mean.value == 0 else (mean.value > 0) == a.higher_is_better
    improvement = probability_of_improvement(x, y, a.higher_is_better)
    return Comparison(pairing, len(shared), mean, middle, p, least_p, improvement, favours_b)


def paired_p(gap: np.ndarray) -> float:
    """Two-sided p of the mean of paired differences `gap [S]`, S >= 2, under flips of their signs.

    Exact while 2**S is at most 9999, i.e. up to 13 pairs; with n pairs it is at least 2 / 2**n.
    """
    if 2 ** len(gap) <= ARRANGEMENTS:
        # The same as SciPy's, many times faster; sums are equal or not up to rounding.
        sums = np.abs(_signs(len(gap)) @ gap)
        return float(np.mean(sums >= abs(gap.sum()) - 1e-12 * np.abs(gap).sum()))
    return _permutation_p((gap,), _mean, "samples", _batch(len(gap)))


def unpaired_p(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p of the difference of the means of `a [S]` and `b [R]`, S, R >= 2, under exchange of seeds.

    Exact while there are at most 9999 ways to divide the seeds.
    """
    return _permutation_p((a, b), _mean_gap, "independent", _batch(len(a) + len(b)))


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
    found = [compare(a, b) for a, b in itertools.combinations(samples, 2)]
    return _better(len(samples), [(result.p, result.favours_b) for result in found])


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
    return _better(len(models), [_over_strata(a, b, weights) for a, b in itertools.combinations(models, 2)])


def _over_strata(a: Sequence[Sample], b: Sequence[Sample], weights: Sequence[float]) -> tuple[float | None, bool | None]:
    gaps = []
    for x, y, weight in zip(a, b, weights, strict=True):
        shared, in_x, in_y = np.intersect1d(x.seeds, y.seeds, assume_unique=True, return_indices=True)
        if len(shared) < 2:
            return None, None
        gaps.append((y.values[in_y] - x.values[in_x]) * (weight / len(shared)))
    gap = np.concatenate(gaps)
    total = float(gap.sum())
    return paired_p(gap), None if total == 0 else (total > 0) == a[0].higher_is_better


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


def generator(*arrays: np.ndarray) -> np.random.Generator:
    """A generator seeded by a hash of the values of `arrays`."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{len(array)};".encode())
        digest.update(np.ascontiguousarray(array, "<f8").tobytes())
    return np.random.default_rng(np.frombuffer(digest.digest(), "<u4"))


def _drawn_from(data: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """The argument that gives SciPy its generator; its name changed in 1.15."""
    import scipy

    name = "rng" if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15) else "random_state"
    return {name: generator(*data)}


def _estimates(data: tuple[np.ndarray, ...], statistics: Sequence[Callable[..., Any]]) -> list[Estimate]:
    """Each `statistic(*data, axis)` with its bootstrap interval, all from the same resamples."""
    values = [float(statistic(*data, axis=-1)) for statistic in statistics]
    if min(len(x) for x in data) < 2:
        return [Estimate(value, None, None) for value in values]
    from scipy.stats import bootstrap

    interval = bootstrap(
        data,
        lambda *resampled, axis: np.stack([statistic(*resampled, axis=axis) for statistic in statistics]),
        n_resamples=RESAMPLES,
        batch=_batch(max(len(x) for x in data)),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        **_drawn_from(data),
    ).confidence_interval
    bounds = zip(values, interval.low, interval.high, strict=True)
    return [Estimate(value, float(low), float(high)) for value, low, high in bounds]


def _permutation_p(data: tuple[np.ndarray, ...], statistic: Callable[..., Any], kind: str, batch: int) -> float:
    from scipy.stats import permutation_test

    result = permutation_test(
        data,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=ARRANGEMENTS,
        batch=batch,
        **_drawn_from(data),
    )
    return float(result.pvalue)


@functools.cache
def _signs(n: int) -> np.ndarray:
    """All `[2**n, n]` choices of signs."""
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def _mean(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.mean(x, axis=axis)


def _median(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.median(x, axis=axis)


def _mean_gap(b: np.ndarray, a: np.ndarray, axis: int = -1) -> np.ndarray:
    return _mean(b, axis) - _mean(a, axis)


def _median_gap(b: np.ndarray, a: np.ndarray, axis: int = -1) -> np.ndarray:
    return _median(b, axis) - _median(a, axis)


def _unit(arrangements: int) -> float:
    """Smallest one-sided p of a permutation test with so many arrangements."""
    return 1.0 / arrangements if arrangements <= ARRANGEMENTS else 1.0 / (ARRANGEMENTS + 1)


def _batch(size: int) -> int:
    return max(1, _DRAWS_AT_ONCE // size)
