"""Are retrained seeds worse than the submitted ones? A rank test for machines on which values are not equal to the bit.

On another kind of processor, training rounds differently, and the difference grows until it decides the result. So the test
does not assume that values of the same seed are related: it compares the values of the k retrained seeds with those of all n
submitted seeds. Only retrained values that are worse than the submitted ones speak against a submission, so the test is
one-sided.

The test is the exact rank-sum test (Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945): all
n + k values are ranked, the best first, and p is the probability that k values drawn at random from them would have a rank
sum at least as large. It needs no assumption about the spread of the seeds, which is large and skewed, and no logarithms,
and a seed without a value simply has the last rank. Equal values share their mean rank. `benchmarks/verification_rates.py`
simulates how often honest submissions fail and others are caught.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

# An honest experiment fails with at most this probability: below 0.01, which leaves room for the other check of the tier.
FALSE_ALARM = 0.0075
# Retrained seeds per experiment, unless the verifier asks for another number.
SEEDS = 10


def p_value(submitted: Sequence[float | None], retrained: Sequence[float | None], higher_is_better: bool) -> float:
    """The probability that honest retrained values rank as badly among the submitted values as these, or worse.

    Args:
      submitted: `n` values; None for a seed that diverged.
      retrained: `k` values; None for a seed that diverged.
      higher_is_better: whether a higher value is better.

    Raises:
      ValueError: a side has no values, or a value is not a number.
    """
    if not submitted or not retrained:
        raise ValueError("both sides need one value or more")
    doubled = _doubled_ranks([*submitted, *retrained], higher_is_better)
    tails = _tails(tuple(sorted(doubled.tolist())), len(retrained))
    return float(tails[int(doubled[len(submitted) :].sum())])


def level(n: int, k: int) -> float:
    """The probability that k honest seeds of n submitted ones fail: the largest p that counts as a failure."""
    tails = _tails(tuple(range(2, 2 * (n + k) + 1, 2)), k)
    return float(tails[tails <= FALSE_ALARM].max())


def least_p(n: int, k: int) -> float:
    """The smallest p of k retrained and n submitted seeds: that of k values which are all worse than all n."""
    return 1 / math.comb(n + k, k)


def _doubled_ranks(values: Sequence[float | None], higher_is_better: bool) -> np.ndarray:
    """Twice the rank of each value, the best first; equal values share their mean rank, so twice a rank is an integer."""
    sign = -1.0 if higher_is_better else 1.0
    badness = np.array([math.inf if value is None else sign * float(value) for value in values])
    if np.isnan(badness).any():
        raise ValueError("a value is not a number")
    ordered = np.sort(badness)
    return np.searchsorted(ordered, badness, "left") + np.searchsorted(ordered, badness, "right") + 1


@functools.lru_cache(maxsize=16)
def _tails(doubled: tuple[int, ...], k: int) -> np.ndarray:
    """`[sum + 1]`: the share of all subsets of `k` of these ranks whose sum is s or more, for every s."""
    total = sum(doubled)
    # ways[size, s]: number of subsets of this size with sum s among the ranks seen so far. Floats hold the largest numbers
    # of subsets (1e17 for 30 of 60) with a relative error of about 1e-15.
    ways = np.zeros((k + 1, total + 1))
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : total + 1 - rank].copy()
    tails = np.cumsum(ways[k][::-1])[::-1]
    return np.minimum(tails / tails[0], 1.0)
