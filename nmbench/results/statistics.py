"""Estimates over seeds, with intervals.

A `Sample` has one number per seed. A seed that diverged, failed or timed out is lost: it counts as the floor of its metric.

| estimate | interval | simulated coverage |
|---|---|---|
| median of S seeds | the k-th smallest to the k-th largest seed (order statistics) | 95% or more, for any distribution |
| mean, difference of means | Student's t; Welch's t | about 95%, 88% to 95% for skewed values |
| weighted sum of medians | percentile bootstrap | see docs/statistics.md |
| share of seeds; difference of shares | Wilson's interval; Newcombe's | about 95% |

With fewer than six seeds no interval of the median covers 95%: the smallest and the largest seed are then shown as a range
(`Estimate.covers` is False). `docs/statistics.md` has the simulations and the command that makes them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from nmbench.contracts.metrics import SMALLEST_ERROR
from nmbench.results import resampling
from nmbench.results.resampling import LEVEL

# The fewest seeds with which the smallest and the largest seed enclose the median in 95% of samples.
FEWEST = 6


@dataclasses.dataclass(frozen=True)
class Sample:
    """Primary metric of one model, one number per seed.

    Attributes:
      seeds: `[S]` integers, all different.
      values: `[S]` floats; the metric's floor for lost seeds.
      lost: `[S]` booleans: whether the seed diverged, failed or timed out.
      higher_is_better: whether a higher value is better.
      logarithmic: whether logarithms of the values are compared (`compares_logarithms`).
      smallest: what smaller values count as when logarithms are compared (`Metric.smallest_error`).
    """

    seeds: np.ndarray
    values: np.ndarray
    lost: np.ndarray
    higher_is_better: bool
    logarithmic: bool = False
    smallest: float = SMALLEST_ERROR

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def mostly_lost(self) -> bool:
        """Whether most seeds are lost. Then equal values say nothing about the models."""
        return 2 * int(self.lost.sum()) > len(self)

    @property
    def compared(self) -> np.ndarray:
        """`[S]`, what tests compare: log10 of errors, or the values themselves."""
        return np.log10(np.maximum(self.values, self.smallest)) if self.logarithmic else self.values


def compares_logarithms(higher_is_better: bool, ceiling: float) -> bool:
    """Whether models are compared by the logarithms of a metric.

    This holds for errors, metrics of which a lower value is better and the perfect one is 0: they spread over orders of
    magnitude, and a test of their means would be decided by the worst seed. Other metrics, such as percentages, are compared
    as they are.
    """
    return not higher_is_better and ceiling == 0


def sample(rows: Sequence[Mapping[str, Any]], smallest: float = SMALLEST_ERROR) -> Sample:
    """`Sample` of the rows of one experiment, in order of seed. `smallest` as in `Sample`.

    Raises:
      ValueError: there are no rows, or two rows have the same seed.
    """
    ordered = sorted(rows, key=lambda row: row["seed"])
    seeds = [row["seed"] for row in ordered]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"a sample needs one or more seeds, all different; got {seeds}")
    lost = [row["status"] != "ok" for row in ordered]
    values = [row["floor"] if gone else row["value"] for row, gone in zip(ordered, lost, strict=True)]
    first = ordered[0]
    logarithmic = compares_logarithms(first["higher_is_better"], first["ceiling"])
    arrays = np.array(seeds), np.array(values, float), np.array(lost)
    return Sample(*arrays, first["higher_is_better"], logarithmic, smallest)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and the bounds of its interval.

    Attributes:
      value: the estimate.
      low, high: bounds, None if there is no interval.
      covers: True for a 95% interval; False for a range, the smallest and the largest of a few seeds.
    """

    value: float
    low: float | None
    high: float | None
    covers: bool = True

    def within(self, low: float, high: float) -> bool:
        """Whether there is an interval and it lies within `low` .. `high`."""
        return self.low is not None and self.high is not None and low <= self.low and self.high <= high

    def mapped(self, function: Callable[[float], float]) -> Estimate:
        """The estimate of an increasing or decreasing function of the same quantity."""
        if self.low is None or self.high is None:
            return dataclasses.replace(self, value=function(self.value))
        low, high = sorted((function(self.low), function(self.high)))
        return Estimate(function(self.value), low, high, self.covers)


def powers_of_ten(logs: Estimate) -> Estimate:
    """The estimate of 10 to the power of a quantity, limited to 1e300 because floats are limited."""
    return logs.mapped(lambda log: 10.0 ** min(log, 300.0))


def median(values: np.ndarray) -> Estimate:
    """Median of `values [S]` and its interval from order statistics; a range for two to five values, none for one."""
    ordered = np.sort(values)
    value = float(resampling.median(ordered))
    if len(ordered) < 2:
        return Estimate(value, None, None)
    k = _order_statistic(len(ordered))
    return Estimate(value, float(ordered[max(k, 1) - 1]), float(ordered[len(ordered) - max(k, 1)]), k > 0)


@functools.cache
def _order_statistic(n: int) -> int:
    """The largest k for which the k-th smallest and the k-th largest of n values enclose the median in 95% of samples."""
    # Of 2**n equally likely patterns (each value above or below the median), `ways` have k values below it.
    below, ways, k = 0, 1, 0
    while k < n // 2:
        below += ways
        if 2 * below / 2**n > 1 - LEVEL:
            break
        ways = ways * (n - k) // (k + 1)
        k += 1
    return k


def mean(values: np.ndarray) -> Estimate:
    """Mean of `values [S]` with Student's t interval; none for a single value."""
    value, n = float(np.mean(values)), len(values)
    if n < 2:
        return Estimate(value, None, None)
    half = _quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n) if np.ptp(values) else 0.0
    return Estimate(value, value - half, value + half)


def difference_of_means(a: np.ndarray, b: np.ndarray) -> Estimate:
    """`mean(b [R]) - mean(a [S])` with Welch's interval.

    There is none if a side has a single value, or if neither side varies and one has fewer than six values.
    """
    value = float(np.mean(b) - np.mean(a))
    if min(len(a), len(b)) < 2:
        return Estimate(value, None, None)
    error, freedom = _welch((a, b))
    if error == 0:
        return Estimate(value, *(None, None) if min(len(a), len(b)) < FEWEST else (value, value))
    half = _quantile(freedom) * error
    return Estimate(value, value - half, value + half)


def welch_p(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p of Welch's t test of `a [S]` and `b [R]`, two or more values each; 0 if both are constant and differ."""
    return t_p(float(np.mean(b) - np.mean(a)), (a, b))


def t_p(difference: float, samples: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> float:
    """Two-sided p of a t test of a difference whose variance is `sum_i weights[i]^2 var(mean(samples[i]))`.

    The degrees of freedom are those of Welch and Satterthwaite. If no sample varies, p is 0, or 1 for a difference of 0.

    Args:
      samples: independent arrays `[S_i]` of two or more values each.
      weights: one per sample, by default 1.
    """
    from scipy import special

    error, freedom = _welch(samples, weights)
    if error == 0:
        return float(difference == 0)
    return float(2 * special.stdtr(freedom, -abs(difference) / error))


def _welch(samples: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> tuple[float, float]:
    """Standard error and degrees of freedom as in `t_p`; (0, 0) if no sample varies."""
    weights = [1.0] * len(samples) if weights is None else weights
    # Rounding of the mean gives equal values a variance.
    parts = [w**2 * float(np.var(x, ddof=1)) / len(x) if np.ptp(x) else 0.0 for x, w in zip(samples, weights, strict=True)]
    variance = sum(parts)
    if variance == 0:
        return 0.0, 0.0
    # Divided first, so that small variances do not underflow.
    shares = [(part / variance) ** 2 / (len(x) - 1) for part, x in zip(parts, samples, strict=True)]
    return math.sqrt(variance), 1 / sum(shares)


def _quantile(freedom: float) -> float:
    from scipy import special

    return float(special.stdtrit(freedom, (1 + LEVEL) / 2))


def sum_of_medians(strata: Sequence[np.ndarray], weights: Sequence[float], low: float, high: float) -> Estimate:
    """Weighted sum of the medians of `strata`, arrays `[S]` of any lengths, with its bootstrap interval.

    Medians are limited to `low` .. `high`. There is no interval if a stratum has fewer than six seeds.
    """
    medians = [min(max(float(resampling.median(np.sort(x))), low), high) for x in strata]
    value = sum(w * x for x, w in zip(medians, weights, strict=True))
    if min(len(x) for x in strata) < FEWEST:
        return Estimate(value, None, None)
    return Estimate(value, *resampling.bootstrap_medians(strata, weights, low, high))


def reached(of: Sample, threshold: float) -> np.ndarray:
    """`[S]` booleans: seeds that reach `threshold`. Lost seeds never do."""
    hits = of.values >= threshold if of.higher_is_better else of.values <= threshold
    return hits & ~of.lost


def success_rate(solved: np.ndarray) -> Estimate:
    """Share of seeds that solved the task (`solved [S]`, booleans) with its Wilson interval, also for a single seed."""
    hits = int(np.count_nonzero(solved))
    return Estimate(hits / len(solved), *_wilson(hits, len(solved)))


def difference_of_shares(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Share of `b [R]` minus share of `a [S]`, booleans, with Newcombe's interval.

    It is method 10 of Newcombe (Statistics in Medicine 17, 1998), which combines Wilson's intervals of both shares. So it
    has a length also if all seeds of a side agree.
    """
    one, other = success_rate(a), success_rate(b)
    assert one.low is not None and one.high is not None and other.low is not None and other.high is not None
    value = other.value - one.value
    below = math.hypot(one.high - one.value, other.value - other.low)
    above = math.hypot(one.value - one.low, other.high - other.value)
    return Estimate(value, value - below, value + above)


@functools.lru_cache(maxsize=1024)
def _wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's interval at `LEVEL`. SciPy has it too, but takes more than a second to import."""
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    share = hits / of
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = math.sqrt(z2 * (share * (1 - share) / of + z2 / (4 * of**2))) / (1 + z2 / of)
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == of else centre + half)
