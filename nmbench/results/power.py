"""How many seeds would decide: until models are told apart, or found equal, or a majority of seeds is found to succeed."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from nmbench.results import resampling, statistics
from nmbench.results.statistics import Sample

POWER = 0.8
MOST_SEEDS = 1000


def seeds_to_tell_apart(a: Sample, b: Sample, alpha: float) -> int | None:
    """Seeds of each model with which `significance.compare` gives p < alpha in 80% of experiments.

    It assumes the difference of the means and the spreads seen in `a` and `b`, both of two seeds or more, and means that are
    nearly normal:

      n = (z(1 - alpha / 2) + z(0.8))^2 (var(a) + var(b)) / (mean(b) - mean(a))^2 + z(1 - alpha / 2)^2 / 4

    The last term makes up for spreads that are estimated from the seeds themselves (Guenther, The American Statistician 35,
    1981). n is at least the number with which the test can give such a p at all.

    Returns:
      The number of seeds; None if it is above 1000, if there is no difference, or if no number of seeds gives such a p.
    """
    difference, variance = _seen(a, b)
    if difference == 0:
        return None
    level, power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    needed = (level + power) ** 2 * variance / difference / difference + level**2 / 4
    if needed > MOST_SEEDS:
        return None
    least = next((n for n in range(2, MOST_SEEDS) if resampling.least_p(n, n) < alpha), None)
    return None if least is None else max(math.ceil(needed), least)


def seeds_to_find_equal(a: Sample, b: Sample, margin: float) -> int | None:
    """Seeds of each model with which the 95% interval of the difference lies within -margin .. margin in 80% of experiments.

    It assumes the difference of the means and the spreads seen in `a` and `b`, both of two seeds or more. With
    s^2 = (var(a) + var(b)) / n, it finds the least n - z(0.975)^2 / 4 with

      Phi((margin - difference) / s - z(0.975)) + Phi((margin + difference) / s - z(0.975)) - 1 >= 0.8

    Without any spread it is the least number with which samples without spread have an interval.

    Args:
      margin: in the units of `Sample.compared`.

    Returns:
      The number of seeds; None if it is above 1000, or if the difference is not within the margin.
    """
    difference, variance = _seen(a, b)
    if abs(difference) >= margin:
        return None
    if variance == 0:
        return statistics.FEWEST
    normal = NormalDist()
    level = normal.inv_cdf(0.975)
    for n in range(2, MOST_SEEDS + 1):
        spread = math.sqrt(variance / n)
        low, high = (normal.cdf((margin + sign * difference) / spread - level) for sign in (-1, 1))
        if low + high - 1 >= POWER:
            found = math.ceil(n + level**2 / 4)
            return found if found <= MOST_SEEDS else None
    return None


def seeds_for_majority(share: float) -> int | None:
    """Seeds with which a sign test finds in 80% of experiments whether more than half of all seeds succeed.

    It assumes that a seed succeeds with probability `share`, and computes the power of the two-sided test at 5% exactly.

    Returns:
      The number of seeds; None if it is above 1000.
    """
    from scipy import special

    larger = max(share, 1 - share)
    for n in range(statistics.FEWEST, MOST_SEEDS + 1):
        failures = np.arange(n // 2)
        # The most failures with which the majority is found: their probability at 1/2, or that of fewer, is at most 2.5%.
        most = np.flatnonzero(special.bdtr(failures, n, 0.5) <= 0.025)
        if len(most) and special.bdtr(most[-1], n, 1 - larger) >= POWER:
            return n
    return None


def seeds_to_tell_shares_apart(a: float, b: float, alpha: float) -> int | None:
    """Seeds of each model with which shares of seeds that succeed are told apart in 80% of experiments.

    It assumes that seeds of the models succeed with probabilities `a` and `b`, and computes the power of the permutation
    test of `significance.compare`, which for shares is Fisher's exact test with twice the smaller tail.

    Returns:
      The number of seeds; None if it is above 1000, or if the shares are equal.
    """
    low, high = 1, MOST_SEEDS + 1
    while high - low > 1:  # power grows with n, apart from small steps
        n = (low + high) // 2
        low, high = (low, n) if _power_of_shares(n, a, b, alpha) >= POWER else (n, high)
    return high if high <= MOST_SEEDS else None


def _power_of_shares(n: int, a: float, b: float, alpha: float) -> float:
    """Probability that Fisher's exact test of n seeds of each model gives p < alpha."""
    from scipy import special

    hits = np.arange(n + 1)
    ways = special.gammaln(n + 1) - special.gammaln(hits + 1) - special.gammaln(n - hits + 1)
    of_a, of_b = (np.exp(ways + special.xlogy(hits, share) + special.xlog1py(n - hits, -share)) for share in (a, b))
    found = 0.0
    for total in range(2 * n + 1):  # hits of both models together
        first = hits[max(0, total - n) : min(n, total) + 1]
        logs = ways[first] + ways[total - first]
        chance = np.exp(logs - logs.max())
        chance /= chance.sum()
        tails = np.minimum(np.cumsum(chance), np.cumsum(chance[::-1])[::-1])
        found += float((of_a[first] * of_b[total - first])[2 * tails < alpha].sum())
    return found


def _seen(a: Sample, b: Sample) -> tuple[float, float]:
    """The difference of the means, b - a, and the sum of the variances."""
    # Rounding gives the mean of equal values an error, and these values a variance.
    constant = [not np.ptp(side.compared) for side in (a, b)]
    means = [float(s.compared[0] if same else np.mean(s.compared)) for s, same in zip((a, b), constant, strict=True)]
    variances = [0.0 if same else float(np.var(s.compared, ddof=1)) for s, same in zip((a, b), constant, strict=True)]
    return means[1] - means[0], sum(variances)
