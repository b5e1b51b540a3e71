"""Estimates over seeds, with intervals.

A `Sample` has one number per seed. A seed that diverged, failed or timed out is lost: it counts as the floor of its metric.
Intervals are 95% percentile bootstrap intervals over seeds, and Wilson intervals for success rates. A single seed has no
bootstrap interval. Equal values give equal intervals, independent of the other rows of a file (see
`nmbench.results.resampling`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from nmbench.results import resampling
from nmbench.results.resampling import LEVEL


@dataclasses.dataclass(frozen=True)
class Sample:
    """Primary metric of one model, one number per seed.

    Attributes:
      seeds: `[S]` integers, all different.
      values: `[S]` floats; the metric's floor for lost seeds.
      lost: `[S]` booleans: whether the seed diverged, failed or timed out.
      higher_is_better: whether a higher value is better.
    """

    seeds: np.ndarray
    values: np.ndarray
    lost: np.ndarray
    higher_is_better: bool

    def __len__(self) -> int:
        return len(self.seeds)


def sample(rows: Sequence[Mapping[str, Any]]) -> Sample:
    """`Sample` of the rows of one experiment, in order of seed.

    Raises:
      ValueError: there are no rows, or two rows have the same seed.
    """
    ordered = sorted(rows, key=lambda row: row["seed"])
    seeds = [row["seed"] for row in ordered]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"a sample needs one or more seeds, all different; got {seeds}")
    lost = [row["status"] != "ok" for row in ordered]
    values = [row["floor"] if gone else row["value"] for row, gone in zip(ordered, lost, strict=True)]
    return Sample(np.array(seeds), np.array(values, float), np.array(lost), ordered[0]["higher_is_better"])


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and the bounds of its 95% interval; the bounds are None if there is no interval."""

    value: float
    low: float | None
    high: float | None


def median(values: np.ndarray) -> Estimate:
    """Median of `values [S]`."""
    return estimates((values,), (1.0,), [resampling.median])[0]


def mean(values: np.ndarray) -> Estimate:
    """Mean of `values [S]`."""
    return estimates((values,), (1.0,), [resampling.mean])[0]


def median_and_interquartile_mean(values: np.ndarray) -> tuple[Estimate, Estimate]:
    """Median of `values [S]`, and mean without the lowest and the highest quarter (each rounded down to whole seeds)."""
    middle, trimmed = estimates((values,), (1.0,), [resampling.median, resampling.trimmed_mean])
    return middle, trimmed


def mean_of_means(strata: Sequence[np.ndarray], weights: Sequence[float]) -> Estimate:
    """Weighted mean of the means of `strata`, arrays `[S]` of any lengths. Strata are resampled independently.

    There is no interval if a stratum has a single seed.
    """
    return estimates(strata, weights, [resampling.mean])[0]


def estimates(
    data: Sequence[np.ndarray], weights: Sequence[float], statistics: Sequence[resampling.Statistic]
) -> list[Estimate]:
    """`sum_i weights[i] * statistic(data[i])` for each statistic, with bootstrap intervals from the same resamples."""
    ordered = [np.sort(x) for x in data]
    values = [float(sum(w * f(x) for x, w in zip(ordered, weights, strict=True))) for f in statistics]
    if min(len(x) for x in data) < 2:
        return [Estimate(value, None, None) for value in values]
    bounds = resampling.bootstrap(data, weights, statistics)
    return [Estimate(value, float(low), float(high)) for value, (low, high) in zip(values, bounds, strict=True)]


def reached(of: Sample, threshold: float) -> np.ndarray:
    """`[S]` booleans: seeds that reach `threshold`. Lost seeds never do."""
    hits = of.values >= threshold if of.higher_is_better else of.values <= threshold
    return hits & ~of.lost


def success_rate(solved: np.ndarray) -> Estimate:
    """Share of seeds that solved the task (`solved [S]`, booleans) with its Wilson interval, also for a single seed."""
    hits = int(np.count_nonzero(solved))
    return Estimate(hits / len(solved), *_wilson(hits, len(solved)))


@functools.lru_cache(maxsize=1024)
def _wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's interval at `LEVEL`. SciPy has it too, but takes more than a second to import."""
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    share = hits / of
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = math.sqrt(z2 * (share * (1 - share) / of + z2 / (4 * of**2))) / (1 + z2 / of)
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == of else centre + half)
