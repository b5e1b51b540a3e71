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
    """Seeds with which a test finds in 80% of experiments whether more than half of all seeds succeed.

    It assumes that a seed succeeds with probability p = `share`:

      n = (z(0.975) / 2 + z(0.8) sqrt(p (1 - p)))^2 / (p - 1/2)^2

    Returns:
      The number of seeds, at least `statistics.FEWEST`; None if it is above 1000.
    """
    normal = NormalDist()
    spread = normal.inv_cdf(0.975) / 2 + normal.inv_cdf(POWER) * math.sqrt(share * (1 - share))
    if spread > abs(share - 0.5) * math.sqrt(MOST_SEEDS):
        return None
    return max(math.ceil((spread / (share - 0.5)) ** 2), statistics.FEWEST)


def _seen(a: Sample, b: Sample) -> tuple[float, float]:
    """The difference of the means, b - a, and the sum of the variances."""
    # Rounding gives the mean of equal values an error, and these values a variance.
    constant = [not np.ptp(side.compared) for side in (a, b)]
    means = [float(s.compared[0] if same else np.mean(s.compared)) for s, same in zip((a, b), constant, strict=True)]
    variances = [0.0 if same else float(np.var(s.compared, ddof=1)) for s, same in zip((a, b), constant, strict=True)]
    return means[1] - means[0], sum(variances)
