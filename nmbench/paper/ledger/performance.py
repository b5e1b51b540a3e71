"""Claims on the performance of trained networks: errors, percent correct, retraining, numbers of parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup, resolved
from nmbench.paper.ledger.verdicts import ClaimFinding, MeasuredValue, Verdict
from nmbench.paper.runs import Need, Recipe
from nmbench.report.text import interval, number, one_decimal
from nmbench.results import statistics
from nmbench.results.statistics import Estimate, Sample

OURS = "nmrnn"
SEEDS = 10
# Largest difference of two metrics in percentage points, and largest ratio of matched sizes: the ratio of two models whose
# sizes differ from one budget by at most 5%.
POINTS, SIZES = 1.0, 1.05 / 0.95

# Computes a finding from evidence and protocol.
Measure = Callable[[Evidence, str], ClaimFinding]


def below(
    task: str, metric: str, rivals: Sequence[str], ours: Mapping[str, str] | None = None, also: Sequence[str] = ()
) -> Measure:
    """Claim: our error on a metric is significantly below that of each rival.

    ours: from the protocol of the rivals to ours, if that differs. also: further metrics to show; they do not affect the
    verdict.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        return _finding(evidence, _protocols(protocol, rivals, ours), task, judge)

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        samples = {model: group.sample(metric) for model, group in groups.items()}
        found = verdicts.better_than(samples[OURS], {name: samples[name] for name in rivals})
        lines = [_median(model, groups[model], metric) for model in (OURS, *rivals)]
        for name, rival in found.items():
            note = "one seed" if rival.p is None else f"p = {rival.p:.2g} (permutation test, Holm)"
            what = f"{OURS} / {name}, geometric mean"
            lines.append(MeasuredValue(what, number(rival.effect.value), interval(rival.effect), note))
        lines += [_median(model, groups[model], name) for name in also for model in (OURS, *rivals)]
        words = {Verdict.HOLDS: "below", Verdict.FAILS: "above", Verdict.UNDECIDED: "not distinguishable from"}
        reason = f"{OURS} is " + " and ".join(f"{words[rival.verdict]} {name}" for name, rival in found.items())
        verdict = verdicts.combine(rival.verdict for rival in found.values())
        return ClaimFinding(verdict, reason, tuple(lines), _unsolved(task, metric, samples[OURS]))

    return measure


def par(task: str, metric: str, rival: str, ours: Mapping[str, str] | None = None, also: Sequence[str] = ()) -> Measure:
    """Claim: our error on a metric equals the rival's within a factor of two. For the arguments see `below`.

    If neither model solves the task in most seeds, equal errors are undecided.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        return _finding(evidence, _protocols(protocol, (rival,), ours), task, judge)

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        a, b = (groups[model].sample(metric) for model in (OURS, rival))
        lines = [_median(model, groups[model], metric) for model in (OURS, rival)]
        if min(a.values.min(), b.values.min()) <= 0:
            return ClaimFinding(Verdict.UNDECIDED, "An error of 0 has no ratio", tuple(lines))
        verdict, ratio = verdicts.on_a_par(a, b)
        line = MeasuredValue(f"{OURS} / {rival}, geometric mean", number(ratio.value), interval(ratio), "ratio of errors")
        within = f"The 95% interval of the ratio of errors, {interval(ratio)}, "
        reason = {
            Verdict.HOLDS: f"{within}lies within 1/2 .. 2",
            Verdict.FAILS: f"{within}lies above 2: {OURS} is worse by more than a factor of two",
            Verdict.WORSE: f"{within}lies above 1 and contains 2: {OURS} is worse, perhaps by less than a factor of two",
            Verdict.MORE: f"{within}lies below 1 and extends below 1/2: {OURS} is better",
            Verdict.UNDECIDED: f"{within}contains 1 and extends beyond 1/2 or 2"
            if interval(ratio)
            else "A single seed has no interval",
        }[verdict]
        unsolved = _unsolved(task, metric, a)
        if verdict is Verdict.HOLDS and unsolved and _unsolved(task, metric, b):
            verdict, reason = Verdict.UNDECIDED, f"{reason}, but neither model solves the task"
        shown = [_median(model, groups[model], name) for name in also for model in (OURS, rival)]
        return ClaimFinding(verdict, reason, (*lines, line, *shown), unsolved)

    return measure


def percent_published(task: str, corrected: str, published: str, models: Sequence[str]) -> Measure:
    """Claim: the published percent correct equals the corrected one within one point, for every model and condition."""

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        found = _finding(evidence, dict.fromkeys(models, protocol), task, judge, True, (Verdict.FAILS, Verdict.PARTLY))
        return dataclasses.replace(found, measured=(*_answers(task, corrected, published), *found.measured))

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        (metric,) = (m for m in TASKS.get(task).metrics if m.name == corrected)
        assert metric.conditions is not None
        conditions = sorted(map(str, np.unique(metric.conditions(TASKS.get(task).frozen("test").arrays))))
        lines, gaps = [], {}
        for model in groups:
            for condition in conditions:
                right, as_published = (groups[model].sample(name, condition) for name in (corrected, published))
                finished = ~right.lost  # a lost seed has no answers to evaluate
                if not finished.any():
                    continue
                gaps[model, condition] = statistics.mean(np.abs(as_published.values - right.values)[finished])
                value, other = statistics.mean(right.values[finished]), statistics.mean(as_published.values[finished])
                lines.append(
                    MeasuredValue(
                        f"{model}, {condition}: corrected, mean",
                        f"{value.value:.1f}",
                        interval(value, one_decimal),
                        f"as published {other.value:.1f} ({_points(other) or 'one seed'}); {groups[model].description}",
                    )
                )
        if not gaps:
            return ClaimFinding(Verdict.NO_DATA, f"No run of {', '.join(groups)} on {task} has finished")
        found = {key: verdicts.stays_below(gap, POINTS) for key, gap in gaps.items()}
        (model, condition), largest = max(gaps.items(), key=lambda item: item[1].value)
        reason = (
            f"The published metric differs from the corrected one by up to {largest.value:.1f} points "
            f"({_points(largest) or 'one seed'}; {model} on {condition})"
        )
        return ClaimFinding(verdicts.combine(found.values()), reason, tuple(lines))

    return measure


@functools.cache
def _answers(task_name: str, corrected: str, published: str) -> list[MeasuredValue]:
    """Both metrics for the references of a task, which need no training."""
    task = TASKS.get(task_name)
    arrays = task.frozen("test").arrays
    lines = []
    for label, predict in task.references.items():
        values = task.evaluate(predict(arrays), arrays)["values"]
        lines.append(
            MeasuredValue(f"({label})", f"{values[corrected]:.1f}", "", f"as published {values[published]:.1f}; no training")
        )
    return lines


def retraining(task: str, new: str, old: str, stage: str, rivals: Sequence[str]) -> Measure:
    """Claim: retraining a part of our model suffices: the median on the new task reaches the threshold of the task.

    new, old: metrics on the new task and on the old ones. stage: suffix of the metrics measured before retraining. Rivals
    trained equally long are shown as well.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        # Of our model the longest training is used; rivals are shown only if they were trained equally long.
        everyone, alone = dict.fromkeys((OURS, *rivals), protocol), {OURS: protocol}
        ours = evidence.equally_trained(alone, task).get(OURS)
        equal = ours is not None and evidence.equally_trained(everyone, task).get(OURS) is ours
        return _finding(evidence, everyone if equal else alone, task, judge, True, (Verdict.HOLDS,))

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        threshold = TASKS.get(task).metrics[0].threshold
        assert threshold is not None
        after = statistics.median(groups[OURS].sample(new).values)
        verdict = verdicts.reaches(after, threshold)
        lines = []
        for model, group in groups.items():
            for name, what in ((new, "new task"), (old, "old tasks")):
                value = statistics.median(group.sample(name).values)
                before = statistics.median(group.sample(f"{name}.{stage}").values)
                note = f"before retraining {before.value:.1f} ({_points(before) or 'one seed'}); {group.description}"
                lines.append(
                    MeasuredValue(f"{model}, {what}: median", f"{value.value:.1f}", interval(value, one_decimal), note)
                )
        words = {Verdict.HOLDS: "reaches", Verdict.FAILS: "does not reach", Verdict.UNDECIDED: "may or may not reach"}
        reason = (
            f"{OURS} with only its neuromodulatory subnetwork retrained has a median of {after.value:.1f}% on the new task "
            f"({_points(after) or 'one seed'}) and {words[verdict]} {threshold:g}%"
        )
        return ClaimFinding(verdict, reason, tuple(lines))

    return measure


def sizes(tasks: Sequence[str], models: Sequence[str]) -> Measure:
    """Claim: the numbers of learned parameters differ by at most a factor of 1.05 / 0.95. Needs no data."""

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        lines, found, ratios = [], [], []
        for task in tasks:
            counts = {model: resolved(ExperimentKey(model, task, protocol)).sizing.actual for model in models}
            ratio = max(counts.values()) / min(counts.values())
            found.append(Verdict.HOLDS if ratio <= SIZES else Verdict.FAILS)
            ratios.append(f"{ratio:.2f} on {task}")
            note = ", ".join(f"{model} {count}" for model, count in counts.items())
            lines.append(MeasuredValue(f"{task}: largest / smallest", f"{ratio:.2f}", "", note))
        reason = f"Largest over smallest number of learned parameters: {', '.join(ratios)}; the limit is {SIZES:.2f}"
        return ClaimFinding(verdicts.combine(found), reason, tuple(lines))

    return measure


def _protocols(protocol: str, rivals: Sequence[str], ours: Mapping[str, str] | None) -> dict[str, str]:
    return {OURS: (ours or {}).get(protocol, protocol), **dict.fromkeys(rivals, protocol)}


def _finding(
    evidence: Evidence,
    protocols: Mapping[str, str],
    task: str,
    judge: Callable[[Mapping[str, SeedGroup]], ClaimFinding],
    some: bool = False,
    decides: Sequence[Verdict] = (),
) -> ClaimFinding:
    """The finding of `judge` on equally trained groups.

    Args:
      evidence: all rows.
      protocols: from model to protocol.
      task: name of the task.
      judge: computes the finding from the groups.
      some: whether some of the models are enough for a finding; otherwise all are needed.
      decides: verdicts that a shortened training can lead to.
    """
    groups = evidence.equally_trained(protocols, task)
    missing = [model for model in protocols if model not in groups]
    short = next((group for group in groups.values() if not group.is_full), None)
    commands = tuple(_command(model, task, protocol, groups.get(model), short) for model, protocol in protocols.items())
    if missing and not (some and groups):
        like_others = f", trained for {short.steps} steps like the others" if short else ""
        where = f"{task}, protocol {' or '.join(sorted({protocols[model] for model in missing}))}"
        reason = f"There are no runs of {', '.join(missing)} on {where}{like_others}"
        return ClaimFinding(Verdict.NO_DATA, reason, commands=commands)
    found = judge(groups)
    if short is not None:
        found = verdicts.qualify_length(found, short.is_short, short.trained, decides)
    qualifier = [found.qualifier] if found.qualifier else []
    untuned = [name for name, group in groups.items() if protocols[name] == "matched" and not group.priority[1]]
    if untuned:
        qualifier.append(f"learning rate not tuned for {', '.join(untuned)}")
    return ClaimFinding(found.verdict, found.reason, found.measured, "; ".join(qualifier), commands)


def _command(model: str, task: str, protocol: str, group: SeedGroup | None, short: SeedGroup | None) -> str:
    """The command that trains a group. A missing group is trained for as many steps as `short`."""
    like = group or short
    steps = like.steps if like and not like.is_full else None
    return Recipe("results", protocol, steps).command(Need(model, task, len(group.rows) if group else SEEDS))


def _unsolved(task: str, metric: str, ours: Sample) -> str:
    """A qualifier if most of our seeds do not solve the task, "" otherwise."""
    (found,) = (m for m in TASKS.get(task).metrics if m.name == metric)
    if found.threshold is None:
        return ""
    solved = int(np.count_nonzero(statistics.reached(ours, found.threshold)))
    return f"{OURS} solves the task in {solved} of {len(ours)} seeds" if 2 * solved < len(ours) else ""


def _median(model: str, group: SeedGroup, metric: str) -> MeasuredValue:
    middle = statistics.median(group.sample(metric).values)
    return MeasuredValue(f"{model}: median {metric}", number(middle.value), interval(middle), group.description)


def _points(estimate: Estimate) -> str:
    """The interval or range in percentage points, for text in brackets; "" if there is none."""
    text = interval(dataclasses.replace(estimate, covers=True), one_decimal)
    return text if estimate.covers else f"range {text}"
