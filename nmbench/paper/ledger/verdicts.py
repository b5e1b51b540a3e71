"""Findings on claims, and the rules that compute their verdicts from measured values."""

from __future__ import annotations

import dataclasses
import enum
import operator
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nmbench.results import significance
from nmbench.results.significance import SAME_RATIO
from nmbench.results.statistics import Estimate, Sample


class Verdict(enum.Enum):
    """The verdict on a claim."""

    HOLDS = "holds"
    MORE = "more than holds"
    PARTLY = "holds in part"
    UNDECIDED = "cannot tell"
    WORSE = "worse, size open"
    EQUAL = "no difference found"
    FAILS = "does not hold"
    NO_DATA = "no data"
    # No verdict: the entry is about the publication or its code and not about measured values.
    DOCUMENTED = "documented difference"


class MeasuredValue(NamedTuple):
    """One line of a finding, as text.

    what: name of the measured quantity.
    value: the value.
    interval: its 95% interval, or a range followed by "(range)"; "" if there is none.
    note: number of seeds and further information.
    """

    what: str
    value: str
    interval: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Effects:
    """Differences or ratios that decide a claim, for a plot.

    Attributes:
      axis: what the numbers are, e.g. "ratio of errors".
      estimates: label to estimate.
      holds: bounds of the values for which the claim holds; None for no bound.
      also: other values that the rule of the verdict uses.
      logarithmic: whether the axis is logarithmic.
    """

    axis: str
    estimates: Mapping[str, Estimate]
    holds: tuple[float | None, float | None]
    also: tuple[float, ...] = ()
    logarithmic: bool = False


@dataclasses.dataclass(frozen=True)
class ClaimFinding:
    """The result of testing a claim.

    Attributes:
      verdict: the verdict.
      reason: one sentence, without the full stop.
      measured: the values that lead to the verdict.
      qualifier: a limitation, such as a shortened training; "" for none.
      commands: shell commands that produce the data.
      effects: the numbers that the rule of the verdict compares; None if there are none.
    """

    verdict: Verdict
    reason: str
    measured: tuple[MeasuredValue, ...] = ()
    qualifier: str = ""
    commands: tuple[str, ...] = ()
    effects: Effects | None = None


def qualify_length(finding: ClaimFinding, short: bool, trained: str, decides: Iterable[Verdict] = ()) -> ClaimFinding:
    """The finding with a qualifier on the length of training, for networks not trained for the steps of their protocol.

    If training was shorter, the verdict becomes "cannot tell", and the original verdict becomes part of the qualifier.

    Args:
      finding: computed as if the networks were fully trained.
      short: whether the training was shorter than the protocol's.
      trained: text on the number of steps.
      decides: verdicts that stay after a shorter training, because more training could not change them.
    """
    note, verdict = trained, finding.verdict
    if short and verdict not in (Verdict.UNDECIDED, Verdict.NO_DATA, *decides):
        note, verdict = f"{verdict.value} {trained}", Verdict.UNDECIDED
    return dataclasses.replace(finding, verdict=verdict, qualifier="; ".join(filter(None, [finding.qualifier, note])))


def qualify_tuning(finding: ClaimFinding, untuned: Iterable[str]) -> ClaimFinding:
    """The finding with a qualifier that names the models whose learning rate was not tuned."""
    named = ", ".join(untuned)
    parts = [finding.qualifier, f"learning rate not tuned for {named}" if named else ""]
    return dataclasses.replace(finding, qualifier="; ".join(filter(None, parts)))


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim with several parts.

    Equal verdicts: that verdict. Different ones, where "more than holds" counts as "holds" and "worse, size open" as "cannot
    tell": "holds" if all parts hold; "no data" if a part has no data; "holds in part" if some parts hold, or a part holds in
    part; "does not hold" if a part does not hold; otherwise "cannot tell". Beside other verdicts, "no difference found"
    counts as "cannot tell".

    Raises:
      ValueError: there are no parts, or a part has no verdict ("documented difference").
    """
    distinct = set(verdicts)
    if not distinct or Verdict.DOCUMENTED in distinct:
        raise ValueError("there is no part to combine, or one without a verdict")
    if len(distinct) == 1:
        return distinct.pop()
    counts_as = {Verdict.MORE: Verdict.HOLDS, Verdict.WORSE: Verdict.UNDECIDED, Verdict.EQUAL: Verdict.UNDECIDED}
    parts = {counts_as.get(verdict, verdict) for verdict in distinct}
    for verdict in (Verdict.NO_DATA, Verdict.PARTLY):
        if verdict in parts:
            return verdict
    if Verdict.HOLDS in parts:
        return Verdict.HOLDS if len(parts) == 1 else Verdict.PARTLY
    return Verdict.FAILS if Verdict.FAILS in parts else Verdict.UNDECIDED


class RivalComparison(NamedTuple):
    """A comparison of our model with a rival.

    effect: see `significance.Comparison`; A is the rival, B is ours. p: corrected by Holm, None for one seed.
    """

    verdict: Verdict
    effect: Estimate
    p: float | None


def better_than(ours: Sample, rivals: Mapping[str, Sample]) -> dict[str, RivalComparison]:
    """Whether our model is significantly better than each rival: decided if p < 0.05, corrected by Holm over the rivals.

    Otherwise no difference is found if the 95% interval of the ratio of their errors lies within 1/2 .. 2, unless a model
    has lost most of its seeds.
    """
    found = [significance.compare(rival, ours) for rival in rivals.values()]
    verdicts = {}
    for name, comparison, p in zip(rivals, found, significance.holm([c.p for c in found]), strict=True):
        verdict = Verdict.UNDECIDED
        if p is not None and p < significance.ALPHA and comparison.favours_b is not None:
            verdict = Verdict.HOLDS if comparison.favours_b else Verdict.FAILS
        elif ours.logarithmic and comparison.effect.within(1 / SAME_RATIO, SAME_RATIO):
            verdict = Verdict.UNDECIDED if ours.mostly_lost or rivals[name].mostly_lost else Verdict.EQUAL
        verdicts[name] = RivalComparison(verdict, comparison.effect, p)
    return verdicts


def on_a_par(ours: Sample, theirs: Sample) -> tuple[Verdict, Estimate]:
    """Whether our error is on a par with a rival's, and the ratio of the geometric means of the errors, ours / theirs.

    Holds if the 95% interval of the ratio lies within 1/2 .. 2. Otherwise: more than holds if it lies below 1, fails if it
    lies above 2, "worse, size open" if it lies above 1 and contains 2, and undecided if it contains 1.

    Raises:
      ValueError: the metric is not an error.
    """
    if not (ours.logarithmic and theirs.logarithmic):
        raise ValueError("ratios need errors")
    ratio = significance.compare(theirs, ours).effect
    if ratio.low is None or ratio.high is None:
        return Verdict.UNDECIDED, ratio
    if ratio.within(1 / SAME_RATIO, SAME_RATIO):
        return Verdict.HOLDS, ratio
    if ratio.low > SAME_RATIO:
        return Verdict.FAILS, ratio
    if ratio.low > 1:
        return Verdict.WORSE, ratio
    return (Verdict.MORE if ratio.high < 1 else Verdict.UNDECIDED), ratio


def reaches(estimate: Estimate, threshold: float) -> Verdict:
    """Whether a quantity reaches a threshold (higher is better).

    Undecided if its interval contains the threshold, is a range, or is missing.
    """
    if estimate.low is None or estimate.high is None or not estimate.covers:
        return Verdict.UNDECIDED
    if estimate.low >= threshold:
        return Verdict.HOLDS
    return Verdict.FAILS if estimate.high < threshold else Verdict.UNDECIDED


def stays_below(estimate: Estimate, limit: float) -> Verdict:
    """Whether a quantity is at or below a limit (lower is better).

    Undecided if its interval contains the limit, is a range, or is missing.
    """
    return reaches(estimate.mapped(operator.neg), -limit)
