"""Permutation tests and bootstrap intervals of many samples at once.

Random draws are made once for each number of seeds and used for every sample of that size. Equal values therefore give
equal results, independent of the other rows of a file (but `stratified_p` draws more if there are many comparisons), and
files of 100,000 rows take seconds. Each p value and each interval is as valid as with separate draws.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000
# Most arrangements of a permutation test; if there are more, this number of random ones is drawn. The smallest p is then
# 4e-5, small enough for a table of 50 models (1,225 pairs).
ARRANGEMENTS = 49_999
STRATIFIED = 9_999  # the fewest random arrangements of the test over several tables
_AT_ONCE = 4_000_000  # most numbers in memory at once
_MOST_KEPT = 32_000_000  # most booleans of random divisions that are kept for the next pairs of the same sizes
# Sums of the same terms in a different order agree up to this fraction of the sum of their magnitudes.
_ROUNDING = 1e-12


def median(x: np.ndarray) -> np.ndarray:
    """Median of sorted values `[..., S]` along the last axis."""
    n = x.shape[-1]
    return (x[..., (n - 1) // 2] + x[..., n // 2]) / 2


def bootstrap_medians(
    samples: Sequence[np.ndarray], weights: Sequence[float], least: float, most: float
) -> tuple[float, float]:
    """Percentile interval of `sum_i weights[i] * median(samples[i])`; samples `[S_i]` are resampled independently.

    Medians are limited to `least` .. `most`.
    """
    drawn = np.zeros(RESAMPLES)
    for stream, (x, weight) in enumerate(zip(samples, weights, strict=True)):
        index = np.random.default_rng([0, len(x), stream]).integers(len(x), size=(RESAMPLES, len(x)))
        drawn += weight * np.clip(median(np.sort(x[index], axis=1)), least, most)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def unpaired_ps(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Two-sided p of the difference of the means of each pair `a [S]`, `b [R]`, under exchange of seeds.

    p is twice the smaller of the two one-sided p values, at most 1. It is exact if there are at most `ARRANGEMENTS` ways to
    divide the seeds.
    """
    # Sort each pair by size, then by sum, so that the result does not depend on the order of a and b.
    ordered = [tuple(sorted(pair, key=lambda side: (len(side), np.sum(side)))) for pair in pairs]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (a, b) in enumerate(ordered):
        groups[len(a), len(b)].append(i)
    ps = [math.nan] * len(pairs)
    for (first, second), members in groups.items():
        step = max(1, _AT_ONCE // ARRANGEMENTS)
        for start in range(0, len(members), step):
            chunk = members[start : start + step]
            values = np.stack([np.concatenate(ordered[i]) for i in chunk], axis=1)
            # The sum of one side gives the same test as the difference of means; centred values keep the sums small.
            values = values - values.mean(axis=0)
            exact = math.comb(first + second, first) <= ARRANGEMENTS
            sums = (rows @ np.sort(values, axis=0) for rows in _divisions(first, second))
            slack = _ROUNDING * np.abs(values).sum(axis=0)
            for i, p in zip(chunk, _tails(sums, values[:first].sum(axis=0), slack, exact), strict=True):
                ps[i] = float(p)
    return ps


def stratified_p(strata: Sequence[tuple[np.ndarray, np.ndarray]], weights: Sequence[float], comparisons: int = 1) -> float:
    """Two-sided p of `sum_i weights[i] * (mean(b_i) - mean(a_i))`, under exchange of seeds within each stratum.

    Args:
      strata: pairs `a [S_i]`, `b [R_i]`; at least one value each.
      weights: one per stratum.
      comparisons: number of p values that are corrected together. The more there are, the more arrangements are drawn, so
        that the smallest p times their number stays below 0.05; at most `ARRANGEMENTS`, enough for 50 models.
    """
    count = min(max(STRATIFIED, 50 * comparisons), ARRANGEMENTS)
    total, observed, slack = np.zeros(count), 0.0, 0.0
    for stream, ((a, b), weight) in enumerate(zip(strata, weights, strict=True)):
        values = np.concatenate([a, b])
        values = np.sort(values - values.mean())
        # With centred values, mean(b) - mean(a) is the sum over a times a constant.
        factor = -weight * (1 / len(a) + 1 / len(b))
        # Another order of the divisions in every stratum, so that the strata are exchanged independently.
        order = np.random.default_rng([5, stream]).permutation(count)
        total += factor * (_stratified_divisions(count, len(a), len(b)) @ values)[order]
        observed += weight * float(np.mean(b) - np.mean(a))
        slack += _ROUNDING * abs(factor) * float(np.abs(values).sum())
    return float(_tails([total[:, None]], np.array([observed]), np.array([slack]), False)[0])


def least_p(a: int, b: int) -> float:
    """The smallest p that `unpaired_ps` can give for samples of these sizes."""
    arrangements = math.comb(a + b, a)
    return min(1.0, 2.0 / (arrangements if arrangements <= ARRANGEMENTS else ARRANGEMENTS + 1))


def _tails(sums, observed: np.ndarray, slack: np.ndarray, exact: bool) -> np.ndarray:
    """Two-sided p `[P]` of the `observed [P]` sums among those of all arrangements, given as blocks `[n, P]`."""
    total, below, above = 0, np.zeros(len(observed), int), np.zeros(len(observed), int)
    for block in sums:
        below += np.count_nonzero(block <= observed + slack, axis=0)
        above += np.count_nonzero(block >= observed - slack, axis=0)
        total += len(block)
    more = 0 if exact else 1
    return np.minimum(1.0, 2.0 * (np.minimum(below, above) + more) / (total + more))


def _divisions(a: int, b: int) -> Iterator[np.ndarray]:
    """Rows `[., a + b]` with 1 for the `a` values of one side and 0 for the others: all divisions, or random ones."""
    if math.comb(a + b, a) <= ARRANGEMENTS:
        yield _all_divisions(a, b)
    else:
        yield from _random_divisions(a, b)


@functools.lru_cache(maxsize=4)
def _stratified_divisions(count: int, a: int, b: int) -> np.ndarray:
    return _draw(np.random.default_rng([4, a, b]), count, a, b).astype(float)


@functools.lru_cache(maxsize=4)
def _all_divisions(a: int, b: int) -> np.ndarray:
    chosen = np.array(list(itertools.combinations(range(a + b), a)))
    rows = np.zeros((len(chosen), a + b))
    np.put_along_axis(rows, chosen, 1.0, axis=1)
    return rows


def _random_divisions(a: int, b: int) -> Iterator[np.ndarray]:
    """`ARRANGEMENTS` random divisions, in blocks that fit into memory."""
    step = max(1, _AT_ONCE // (a + b))
    if ARRANGEMENTS * (a + b) <= _MOST_KEPT:
        rows = _kept_divisions(a, b)
        yield from (rows[start : start + step].astype(float) for start in range(0, ARRANGEMENTS, step))
        return
    random = np.random.default_rng([2, a, b, 0])
    for start in range(0, ARRANGEMENTS, step):
        yield _draw(random, min(step, ARRANGEMENTS - start), a, b).astype(float)


@functools.lru_cache(maxsize=4)
def _kept_divisions(a: int, b: int) -> np.ndarray:
    return _draw(np.random.default_rng([2, a, b, 0]), ARRANGEMENTS, a, b)


def _draw(random: np.random.Generator, count: int, a: int, b: int) -> np.ndarray:
    rows = np.zeros((count, a + b), bool)
    rows[:, :a] = True
    return random.permuted(rows, axis=1)
