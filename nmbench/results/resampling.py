"""Bootstrap and permutation tests of many samples at once.

Random draws are made once for each number of seeds and used for every sample of that size. Equal values therefore give
equal results, independent of the other rows of a file, and files of 100,000 rows take seconds. Each p value and each
interval is as valid as with separate draws.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000
ARRANGEMENTS = 9999  # most arrangements of a permutation test; if there are more, this number of random ones is drawn
_AT_ONCE = 4_000_000  # most numbers in memory at once
# Sums of the same terms in a different order agree up to this fraction of the sum of their magnitudes.
_ROUNDING = 1e-12

# Function of sorted values `[..., S]`, along the last axis.
Statistic = Callable[[np.ndarray], np.ndarray]


def mean(x: np.ndarray) -> np.ndarray:
    return np.mean(x, axis=-1)


def median(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1]
    return (x[..., (n - 1) // 2] + x[..., n // 2]) / 2


def trimmed_mean(x: np.ndarray) -> np.ndarray:
    """Mean without the lowest and the highest quarter, each rounded down to whole values."""
    cut = x.shape[-1] // 4
    return np.mean(x[..., cut : x.shape[-1] - cut], axis=-1)


def bootstrap(samples: Sequence[np.ndarray], weights: Sequence[float], statistics: Sequence[Statistic]) -> np.ndarray:
    """Percentile intervals of `sum_i weights[i] * statistic(samples[i])`; samples `[S_i]` are resampled independently.

    Returns:
      `[statistics, 2]`: lower and upper bounds at `LEVEL`.
    """
    drawn = np.zeros((len(statistics), RESAMPLES))
    for stream, (x, weight) in enumerate(zip(samples, weights, strict=True)):
        ordered, done = np.sort(x), 0
        for index in _resamples(len(x), stream):
            resampled = ordered[index]
            for i, statistic in enumerate(statistics):
                drawn[i, done : done + len(index)] += weight * statistic(resampled)
            done += len(index)
    drawn.sort(axis=1)
    at = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]) * (RESAMPLES - 1)
    low = np.floor(at).astype(int)
    return drawn[:, low] + (at - low) * (drawn[:, low + 1] - drawn[:, low])


def _resamples(size: int, stream: int) -> Iterator[np.ndarray]:
    """Sorted indices of all resamples of `size` values, in blocks `[n, size]`. Streams are independent."""
    if RESAMPLES * size <= _AT_ONCE:
        yield _cached_resamples(size, stream)
        return
    random = np.random.default_rng([0, size, stream])
    step = max(1, _AT_ONCE // size)
    for start in range(0, RESAMPLES, step):
        yield np.sort(random.integers(size, size=(min(step, RESAMPLES - start), size)), axis=1)


@functools.lru_cache(maxsize=8)
def _cached_resamples(size: int, stream: int) -> np.ndarray:
    return np.sort(np.random.default_rng([0, size, stream]).integers(size, size=(RESAMPLES, size)), axis=1)


def paired_ps(gaps: Sequence[np.ndarray]) -> list[float]:
    """Two-sided p of the mean of each array of paired differences `[S]`, under sign flips.

    p is exact if 2**S is at most 9999, i.e. for up to 13 pairs, and then at least 2 / 2**S.
    """
    return _by_size(gaps, lambda gap: (len(gap),), _paired)


def unpaired_ps(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Two-sided p of the difference of the means of each pair `a [S]`, `b [R]`, under exchange of seeds.

    p is twice the smaller of the two one-sided p values, at most 1. It is exact if there are at most 9999 ways to divide the
    seeds.
    """
    # Sort each pair by size, then by sum, so that the result does not depend on the order of a and b.
    ordered = [tuple(sorted(pair, key=lambda side: (len(side), np.sum(side)))) for pair in pairs]
    return _by_size(ordered, lambda pair: (len(pair[0]), len(pair[1])), _unpaired)


def least_paired_p(pairs: int) -> float:
    """The smallest p that `paired_ps` can give for this number of pairs."""
    return 2.0 * _unit(2**pairs)


def least_unpaired_p(a: int, b: int) -> float:
    """The smallest p that `unpaired_ps` can give for samples of these sizes."""
    return min(1.0, 2.0 * _unit(math.comb(a + b, a)))


def _unit(arrangements: int) -> float:
    """Smallest one-sided p of a permutation test with this number of arrangements."""
    return 1.0 / arrangements if arrangements <= ARRANGEMENTS else 1.0 / (ARRANGEMENTS + 1)


def _by_size(items: Sequence, size: Callable, test: Callable[[Sequence], np.ndarray]) -> list[float]:
    """Apply `test` to the items of each size; the results are in the order of `items`."""
    groups: dict[tuple, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        groups[size(item)].append(i)
    results = [math.nan] * len(items)
    for members in groups.values():
        step = _AT_ONCE // ARRANGEMENTS
        for start in range(0, len(members), step):
            chunk = members[start : start + step]
            for i, p in zip(chunk, test([items[i] for i in chunk]), strict=True):
                results[i] = float(p)
    return results


def _paired(gaps: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.stack(gaps, axis=1)
    return _tail(gap, _signs(len(gap)), gap.sum(axis=0), 2 ** len(gap) <= ARRANGEMENTS)


def _unpaired(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    values = np.stack([np.concatenate(pair) for pair in pairs], axis=1)
    first, second = len(pairs[0][0]), len(pairs[0][1])
    # The sum of one side gives the same test as the difference of means; centred values keep the sums small.
    values = values - values.mean(axis=0)
    exact = math.comb(first + second, first) <= ARRANGEMENTS
    return _tail(np.sort(values, axis=0), _divisions(first, second), values[:first].sum(axis=0), exact)


def _tail(values: np.ndarray, arrangements: Iterator[np.ndarray], observed: np.ndarray, exact: bool) -> np.ndarray:
    """Two-sided p of each column of `values [n, P]`, from the position of `observed [P]` in `arrangements @ values`."""
    slack = _ROUNDING * np.abs(values).sum(axis=0)
    total, below, above = 0, np.zeros(len(observed), int), np.zeros(len(observed), int)
    for rows in arrangements:
        # BLAS threads slow small products down.
        small = rows.size * values.shape[1] <= _AT_ONCE
        sums = np.einsum("ij,jk->ik", rows, values) if small else rows @ values
        below += np.count_nonzero(sums <= observed + slack, axis=0)
        above += np.count_nonzero(sums >= observed - slack, axis=0)
        total += len(rows)
    more = 0 if exact else 1
    return np.minimum(1.0, 2.0 * (np.minimum(below, above) + more) / (total + more))


def _signs(n: int) -> Iterator[np.ndarray]:
    """Rows of signs `[., n]`: all combinations, or `ARRANGEMENTS` random ones."""
    if 2**n <= ARRANGEMENTS:
        yield _all_signs(n)
        return
    random = np.random.default_rng([1, n])
    for count in _chunks(n):
        yield 1.0 - 2.0 * random.integers(2, size=(count, n), dtype=np.int8)


@functools.cache
def _all_signs(n: int) -> np.ndarray:
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def _divisions(a: int, b: int) -> Iterator[np.ndarray]:
    """Rows `[., a + b]` with 1 for the `a` values of one side and 0 for the others: all divisions, or random ones."""
    if math.comb(a + b, a) <= ARRANGEMENTS:
        yield _all_divisions(a, b)
        return
    random = np.random.default_rng([2, a, b])
    for count in _chunks(a + b):
        rows = np.zeros((count, a + b))
        rows[:, :a] = 1.0
        yield random.permuted(rows, axis=1)


@functools.lru_cache(maxsize=32)
def _all_divisions(a: int, b: int) -> np.ndarray:
    chosen = np.array(list(itertools.combinations(range(a + b), a)))
    rows = np.zeros((len(chosen), a + b))
    np.put_along_axis(rows, chosen, 1.0, axis=1)
    return rows


def _chunks(n: int) -> Iterator[int]:
    """Sizes of blocks of rows of length n that fit into memory, `ARRANGEMENTS` rows in total."""
    step = max(1, _AT_ONCE // n)
    for start in range(0, ARRANGEMENTS, step):
        yield min(step, ARRANGEMENTS - start)
