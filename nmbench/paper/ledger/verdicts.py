"""Verdicts on claims, computed from measured values: what a finding is, and the rules that lead to its verdict."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from nmbench.results import statistics
from nmbench.results.statistics import Estimate, Sample

# On a par: the interval of the ratio of two errors lies between one half and two.
FACTOR = 2.0


class Verdict(enum.Enum):
    """What the measured values say about a claim."""

    HOLDS = "holds"
    MORE = "more than holds"
    PARTLY = "holds in part"
    UNDECIDED = "cannot tell"
    FAILS = "does not hold"
    NO_DATA = "no data"


class Measured(NamedTuple):
    """A line of a finding.

    what: what was measured. value, interval: text, with the 95% interval if there is one. told: of how many seeds, and what
    else belongs to it.
    """

    what: str
    value: str
    interval: str = ""
    told: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A claim held against data.

    Attributes:
      verdict: see `Verdict`.
      because: the reason, in a sentence.
      measured: the values behind it.
      qualifier: what limits it, such as a shortened training; "" for nothing.
      commands: lines for a shell that make the data, or the missing part of it.
    """

    verdict: Verdict
    because: str
    measured: tuple[Measured, ...] = ()
    qualifier: str = ""
    commands: tuple[str, ...] = ()


def held_back(finding: Finding, short: bool, trained: str, decides: Iterable[Verdict] = ()) -> Finding:
    """A finding on networks that were not trained for the steps that their protocol asks for, which the qualifier says.

    A shortened training leads to no verdict, but to those of `decides`: what it seems to say becomes part of the qualifier.

    short: for fewer steps. trained: for how many.
    """
    said, verdict = trained, finding.verdict
    if short and verdict not in (Verdict.UNDECIDED, Verdict.NO_DATA, *decides):
        said, verdict = f"{verdict.value} {trained}", Verdict.UNDECIDED
    return dataclasses.replace(finding, verdict=verdict, qualifier="; ".join(filter(None, [finding.qualifier, said])))


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim that has several parts: what all share, else that it holds in part, does not, or is open.

    A part that fails outweighs those that are open, and a part that holds beside one that does not makes it hold in part.
    """
    given = set(verdicts)
    if not given:
        raise ValueError("there is no part to combine")
    if len(given) == 1:
        return given.pop()
    parts = {Verdict.HOLDS if verdict is Verdict.MORE else verdict for verdict in given}
    for verdict in (Verdict.NO_DATA, Verdict.PARTLY):
        if verdict in parts:
            return verdict
    if Verdict.HOLDS in parts:
        return Verdict.HOLDS if len(parts) == 1 else Verdict.PARTLY
    return Verdict.FAILS


class Rival(NamedTuple):
    """A comparison with a rival.

    difference: mean over seeds, ours - the rival's. p: corrected by Holm, None for one seed.
    """

    verdict: Verdict
    difference: Estimate
    p: float | None
    pairing: str


def better_than(ours: Sample, rivals: Mapping[str, Sample]) -> dict[str, Rival]:
    """Whether we are significantly better than each rival: it holds or fails where p < 0.05, corrected over the rivals."""
    found = [statistics.compare(rival, ours) for rival in rivals.values()]
    verdicts = {}
    for name, comparison, p in zip(rivals, found, statistics.holm([c.p for c in found]), strict=True):
        verdict = Verdict.UNDECIDED
        if p is not None and p < statistics.ALPHA and comparison.favours_b is not None:
            verdict = Verdict.HOLDS if comparison.favours_b else Verdict.FAILS
        verdicts[name] = Rival(verdict, comparison.mean, p, comparison.pairing)
    return verdicts


def on_a_par(ours: Sample, theirs: Sample) -> tuple[Verdict, Estimate]:
    """Whether our error is that of a rival, and the geometric mean of the ratio of errors, ours / theirs, over seeds.

    It holds where the ratio's 95% interval lies within 1/2 .. 2. Otherwise, where the interval is all above 1, it fails, and
    where it is all below 1 we are better than claimed; else the data cannot tell. Ratios are paired over shared seeds if
    there are two or more.

    Raises:
      ValueError: an error is not positive, or the metric is no error.
    """
    if ours.higher_is_better or min(ours.values.min(), theirs.values.min()) <= 0:
        raise ValueError("ratios are for errors above 0")
    shared, i, j = np.intersect1d(ours.seeds, theirs.seeds, assume_unique=True, return_indices=True)
    a, b = np.log(ours.values), np.log(theirs.values)
    log = statistics.mean(a[i] - b[j]) if len(shared) >= 2 else statistics.mean_of_means((a, b), (1.0, -1.0))
    power = lambda x: None if x is None else float(np.exp(x))
    ratio = Estimate(float(np.exp(log.value)), power(log.low), power(log.high))
    if ratio.low is None or ratio.high is None:
        return Verdict.UNDECIDED, ratio
    if ratio.low >= 1 / FACTOR and ratio.high <= FACTOR:
        return Verdict.HOLDS, ratio
    if ratio.low > 1:
        return Verdict.FAILS, ratio
    return (Verdict.MORE if ratio.high < 1 else Verdict.UNDECIDED), ratio


def reaches(estimate: Estimate, threshold: float) -> Verdict:
    """Whether a quantity, higher being better, reaches a threshold: by its 95% interval, open where that holds it."""
    if estimate.low is None or estimate.high is None:
        return Verdict.UNDECIDED
    if estimate.low >= threshold:
        return Verdict.HOLDS
    return Verdict.FAILS if estimate.high < threshold else Verdict.UNDECIDED


def stays_below(estimate: Estimate, limit: float) -> Verdict:
    """Whether a quantity, lower being better, stays at or below a limit: by its 95% interval, as `reaches`."""
    if estimate.low is None or estimate.high is None:
        return Verdict.UNDECIDED
    if estimate.high <= limit:
        return Verdict.HOLDS
    return Verdict.FAILS if estimate.low > limit else Verdict.UNDECIDED
