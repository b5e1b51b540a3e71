"""How many seeds two models need until the permutation test tells them apart, or their interval finds no difference."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from nmbench.results import resampling
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
    x, y = a.compared, b.compared
    difference = float(np.mean(y) - np.mean(x))
    if difference == 0:
        return None
    level, power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    variance = float(np.var(x, ddof=1) + np.var(y, ddof=1))
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

    Args:
      margin: in the units of `Sample.compared`.

    Returns:
      The number of seeds; None if it is above 1000, or if the difference is not within the margin.
    """
    x, y = a.compared, b.compared
    difference = abs(float(np.mean(y) - np.mean(x)))
    if difference >= margin:
        return None
    normal = NormalDist()
    level = normal.inv_cdf(0.975)
    variance = float(np.var(x, ddof=1) + np.var(y, ddof=1))
    for n in range(2, MOST_SEEDS + 1):
        spread = math.sqrt(variance / n)
        if spread == 0 or (
            normal.cdf((margin - difference) / spread - level) + normal.cdf((margin + difference) / spread - level) - 1
            >= POWER
        ):
            found = math.ceil(n + level**2 / 4)
            return found if found <= MOST_SEEDS else None
    return None
