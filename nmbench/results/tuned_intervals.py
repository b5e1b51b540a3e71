"""Intervals of a median that include the choice of the learning rate.

Results with a tuned learning rate vary for two reasons: other seeds, and another choice by other tuning seeds. The tuning
record of a row holds the validation losses and the test values of all tuning runs, so both stages can be resampled: the
tuning seeds of every learning rate, from which the rule chooses again, then seeds at the chosen learning rate. Seeds at the
learning rate of the results come from the results; seeds at any other come from its tuning runs.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

import numpy as np

from nmbench.contracts import tuning_record
from nmbench.results import resampling, statistics
from nmbench.results.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class TuningDraws:
    """Choices by resampled tuning seeds.

    Attributes:
      rates: learning rates, `[R]`.
      losses: validation losses `[R][S]`, None for a run that diverged.
      means: mean log10 loss of each learning rate, `[R]`.
      chosen: index of the learning rate that each resample chooses, `[resamples]`.
      actual: index of the learning rate of the results.
      test_values: `[R, S]`, NaN for a run without a value.
    """

    rates: tuple[float, ...]
    losses: Sequence[Sequence[float | None]]
    means: Sequence[float]
    chosen: np.ndarray
    actual: int
    test_values: np.ndarray

    @property
    def stability(self) -> float:
        """Share of the resamples that choose the learning rate of the results."""
        return float(np.mean(self.chosen == self.actual))


@functools.lru_cache(maxsize=256)
def draws(tuning_json: str) -> TuningDraws | None:
    """Resampled choices of a tuning record; None if the text is not a tuning record."""
    try:
        record = tuning_record.check(json.loads(tuning_json))
    except (ValueError, RecursionError):
        return None
    losses = record["validation_losses"]
    logs = np.array(tuning_record.logs(losses))
    rates, seeds = logs.shape
    random = np.random.default_rng([3, rates, seeds])
    # One learning rate at a time, so that a record with many does not need much memory.
    means = [row[random.integers(seeds, size=(resampling.RESAMPLES, seeds))].mean(axis=1) for row in logs]
    values = np.array([[np.nan if v is None else v for v in row] for row in record["test_values"]], float)
    actual = record["grid"].index(record["chosen"])
    return TuningDraws(
        rates=tuple(record["grid"]),
        losses=losses,
        means=tuning_record.mean_logs(losses),
        chosen=np.argmin(means, axis=0),
        actual=actual,
        test_values=values,
    )


def median(values: np.ndarray, found: TuningDraws | None, floor: float) -> Estimate:
    """Median of `values [S]` with an interval that includes the choice of the learning rate.

    The interval is the smallest that contains that of `statistics.median` and the percentiles of the resampled medians. With
    fewer than six seeds, there is only the range of `statistics.median`.

    Args:
      values: results at the chosen learning rate.
      found: resampled choices; None for results without tuning.
      floor: value of a run without one.
    """
    single = statistics.median(values)
    if found is None or single.low is None or single.high is None or not single.covers or found.stability == 1:
        return single
    random, n = np.random.default_rng([4, len(values)]), len(values)
    medians = np.empty(len(found.chosen))
    for rate in np.unique(found.chosen):
        pool = np.sort(values if rate == found.actual else np.nan_to_num(found.test_values[rate], nan=floor))
        where = np.flatnonzero(found.chosen == rate)
        medians[where] = resampling.median(pool[np.sort(random.integers(len(pool), size=(len(where), n)), axis=1)])
    low, high = np.quantile(medians, [(1 - resampling.LEVEL) / 2, (1 + resampling.LEVEL) / 2])
    return dataclasses.replace(single, low=min(single.low, float(low)), high=max(single.high, float(high)))
