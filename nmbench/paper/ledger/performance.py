"""Claims on what trained networks achieve: errors, percent correct, retraining, and their numbers of parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, Group, Key, resolved
from nmbench.paper.ledger.verdicts import Finding, Measured, Verdict
from nmbench.paper.runs import Need, Recipe
from nmbench.report.text import interval, number
from nmbench.results import statistics
from nmbench.results.statistics import Estimate, Sample

OURS = "nmrnn"
SEEDS = 10
# Percentage points by which two metrics of one answer may differ, and the ratio of sizes that counts as matched: that of
# two models which are each at most 5% off one budget.
POINTS, SIZES = 1.0, 1.05 / 0.95

# From evidence and protocol to a finding.
Measure = Callable[[Evidence, str], Finding]


def below(
    task: str, metric: str, rivals: Sequence[str], ours: Mapping[str, str] | None = None, beside: Sequence[str] = ()
) -> Measure:
    """Our error on a metric is significantly below that of each rival.

    ours: protocol of the rivals to that of ours, where that is another. beside: metrics that are shown and do not enter.
    """

    def measure(evidence: Evidence, protocol: str) -> Finding:
        return _judged(evidence, _protocols(protocol, rivals, ours), task, judge)

    def judge(groups: Mapping[str, Group]) -> Finding:
        samples = {model: group.sample(metric) for model, group in groups.items()}
        found = verdicts.better_than(samples[OURS], {name: samples[name] for name in rivals})
        lines = [_median(model, groups[model], metric) for model in (OURS, *rivals)]
        for name, rival in found.items():
            p = "one seed" if rival.p is None else f"p = {rival.p:.2g} (permutation test, Holm)"
            told = f"{rival.pairing}, {p}".removeprefix(", ")
            lines.append(
                Measured(f"{OURS} - {name}, mean", number(rival.difference.value), interval(rival.difference), told)
            )
        lines += [_median(model, groups[model], name) for name in beside for model in (OURS, *rivals)]
        words = {Verdict.HOLDS: "below", Verdict.FAILS: "above", Verdict.UNDECIDED: "not told apart from"}
        because = f"{OURS} is " + ", ".join(f"{words[rival.verdict]} {name}" for name, rival in found.items())
        verdict = verdicts.combine(rival.verdict for rival in found.values())
        return Finding(verdict, because, tuple(lines), _unsolved(task, metric, samples[OURS]))

    return measure


def par(task: str, metric: str, rival: str, ours: Mapping[str, str] | None = None, beside: Sequence[str] = ()) -> Measure:
    """Our error on a metric is that of the rival, within a factor of two; arguments as of `below`.

    Where neither solves the task in most seeds, equal errors say nothing.
    """

    def measure(evidence: Evidence, protocol: str) -> Finding:
        return _judged(evidence, _protocols(protocol, (rival,), ours), task, judge)

    def judge(groups: Mapping[str, Group]) -> Finding:
        a, b = (groups[model].sample(metric) for model in (OURS, rival))
        lines = [_median(model, groups[model], metric) for model in (OURS, rival)]
        if min(a.values.min(), b.values.min()) <= 0:
            return Finding(Verdict.UNDECIDED, "An error of 0 has no ratio to another", tuple(lines))
        verdict, ratio = verdicts.on_a_par(a, b)
        line = Measured(f"{OURS} / {rival}, geometric mean", number(ratio.value), interval(ratio), "ratio of errors")
        within = f"The 95% interval of the ratio of errors, {interval(ratio)}, "
        because = {
            Verdict.HOLDS: f"{within}lies within 1/2 .. 2",
            Verdict.FAILS: f"{within}lies above 1 and reaches beyond 2: {OURS} is worse",
            Verdict.MORE: f"{within}lies below 1 and reaches beyond 1/2: {OURS} is better",
            Verdict.UNDECIDED: f"{within}holds 1 and reaches beyond 1/2 or 2"
            if interval(ratio)
            else "A single seed has no interval",
        }[verdict]
        unsolved = _unsolved(task, metric, a)
        if verdict is Verdict.HOLDS and unsolved and _unsolved(task, metric, b):
            verdict, because = Verdict.UNDECIDED, f"{because}, but neither model solves the task"
        shown = [_median(model, groups[model], name) for name in beside for model in (OURS, rival)]
        return Finding(verdict, because, (*lines, line, *shown), unsolved)

    return measure


def percent_published(task: str, corrected: str, published: str, models: Sequence[str]) -> Measure:
    """The published percent correct says what the corrected one does, within a point, for every model and condition."""

    def measure(evidence: Evidence, protocol: str) -> Finding:
        found = _judged(evidence, dict.fromkeys(models, protocol), task, judge, True, (Verdict.FAILS, Verdict.PARTLY))
        return dataclasses.replace(found, measured=(*_answers(task, corrected, published), *found.measured))

    def judge(groups: Mapping[str, Group]) -> Finding:
        (metric,) = (m for m in TASKS.get(task).metrics if m.name == corrected)
        assert metric.conditions is not None
        conditions = sorted(map(str, np.unique(metric.conditions(TASKS.get(task).frozen("test").arrays))))
        lines, gaps = [], {}
        for model in groups:
            for condition in conditions:
                right, said = (groups[model].sample(name, condition) for name in (corrected, published))
                finished = ~right.lost  # a lost seed gave no answer that the two could differ about
                if not finished.any():
                    continue
                gaps[model, condition] = statistics.mean(np.abs(said.values - right.values)[finished])
                value, told = statistics.mean(right.values[finished]), statistics.mean(said.values[finished])
                lines.append(
                    Measured(
                        f"{model}, {condition}: corrected, mean",
                        f"{value.value:.1f}",
                        _points(value),
                        f"as published {told.value:.1f} ({_points(told) or 'one seed'}); {groups[model].told}",
                    )
                )
        if not gaps:
            return Finding(Verdict.NO_DATA, f"No run of {', '.join(groups)} on {task} has finished")
        found = {key: verdicts.stays_below(gap, POINTS) for key, gap in gaps.items()}
        (model, condition), largest = max(gaps.items(), key=lambda item: item[1].value)
        because = (
            f"The published metric differs from the corrected one by up to {largest.value:.1f} points "
            f"({_points(largest) or 'one seed'}; {model} on {condition})"
        )
        return Finding(verdicts.combine(found.values()), because, tuple(lines))

    return measure


@functools.cache
def _answers(task_name: str, corrected: str, published: str) -> list[Measured]:
    """What answers that need no training get under both metrics."""
    task = TASKS.get(task_name)
    arrays = task.frozen("test").arrays
    lines = []
    for label, predict in task.references.items():
        values = task.evaluate(predict(arrays), arrays)["values"]
        lines.append(
            Measured(f"({label})", f"{values[corrected]:.1f}", "", f"as published {values[published]:.1f}; no training")
        )
    return lines


def retraining(task: str, new: str, old: str, stage: str, rivals: Sequence[str]) -> Measure:
    """Retraining a part of ours suffices: its median on the new task reaches the threshold of the task.

    new, old: metrics on the new task and on those before it. stage: the one before retraining. Rivals are shown beside it.
    """

    def measure(evidence: Evidence, protocol: str) -> Finding:
        # Rivals stand beside it if they were trained as long; ours is the longest trained there is.
        everyone, alone = dict.fromkeys((OURS, *rivals), protocol), {OURS: protocol}
        ours = evidence.alike(alone, task).get(OURS)
        beside = ours is not None and evidence.alike(everyone, task).get(OURS) is ours
        return _judged(evidence, everyone if beside else alone, task, judge, True, (Verdict.HOLDS,))

    def judge(groups: Mapping[str, Group]) -> Finding:
        threshold = TASKS.get(task).metrics[0].threshold
        assert threshold is not None
        after = statistics.median(groups[OURS].sample(new).values)
        verdict = verdicts.reaches(after, threshold)
        lines = []
        for model, group in groups.items():
            for name, what in ((new, "new task"), (old, "old tasks")):
                value = statistics.median(group.sample(name).values)
                before = statistics.median(group.sample(f"{name}.{stage}").values)
                told = f"before retraining {before.value:.1f} ({_points(before) or 'one seed'}); {group.told}"
                lines.append(Measured(f"{model}, {what}: median", f"{value.value:.1f}", _points(value), told))
        words = {Verdict.HOLDS: "reaches", Verdict.FAILS: "stays below", Verdict.UNDECIDED: "may or may not reach"}
        because = (
            f"{OURS} with only its neuromodulatory subnetwork retrained has {after.value:.1f}% on the new task, median "
            f"({_points(after) or 'one seed'}), and {words[verdict]} {threshold:g}%"
        )
        return Finding(verdict, because, tuple(lines))

    return measure


def sizes(tasks: Sequence[str], models: Sequence[str]) -> Measure:
    """The models' numbers of learned parameters differ by at most a factor 1.05 / 0.95; needs no data."""

    def measure(evidence: Evidence, protocol: str) -> Finding:
        lines, found, ratios = [], [], []
        for task in tasks:
            counts = {model: resolved(Key(model, task, protocol)).sizing.actual for model in models}
            ratio = max(counts.values()) / min(counts.values())
            found.append(Verdict.HOLDS if ratio <= SIZES else Verdict.FAILS)
            ratios.append(f"{ratio:.2f} on {task}")
            told = ", ".join(f"{model} {count}" for model, count in counts.items())
            lines.append(Measured(f"{task}: largest / smallest", f"{ratio:.2f}", "", told))
        because = f"Largest over smallest number of learned parameters: {', '.join(ratios)}; matched is {SIZES:.2f} or less"
        return Finding(verdicts.combine(found), because, tuple(lines))

    return measure


def _protocols(protocol: str, rivals: Sequence[str], ours: Mapping[str, str] | None) -> dict[str, str]:
    return {OURS: (ours or {}).get(protocol, protocol), **dict.fromkeys(rivals, protocol)}


def _judged(
    evidence: Evidence,
    protocols: Mapping[str, str],
    task: str,
    judge: Callable[[Mapping[str, Group]], Finding],
    some: bool = False,
    decides: Sequence[Verdict] = (),
) -> Finding:
    """Finding of `judge` on groups that were trained alike; without data where one is missing, or all with `some`.

    protocols: model to protocol. decides: verdicts that a shortened training can lead to.
    """
    groups = evidence.alike(protocols, task)
    missing = [model for model in protocols if model not in groups]
    short = next((group for group in groups.values() if not group.is_whole), None)
    commands = tuple(_command(model, task, protocol, groups.get(model), short) for model, protocol in protocols.items())
    if missing and not (some and groups):
        wanted = f", trained for {short.steps} steps as the others" if short else ""
        asked = f"{task}, protocol {' or '.join(sorted({protocols[model] for model in missing}))}"
        reason = f"There are no runs of {', '.join(missing)} on {asked}{wanted}"
        return Finding(Verdict.NO_DATA, reason, commands=commands)
    found = judge(groups)
    if short is not None:
        found = verdicts.held_back(found, short.is_short, short.trained, decides)
    qualifier = [found.qualifier] if found.qualifier else []
    untuned = [name for name, group in groups.items() if protocols[name] == "matched" and not group.weight[1]]
    if untuned:
        qualifier.append(f"rate not tuned for {', '.join(untuned)}")
    return Finding(found.verdict, found.because, found.measured, "; ".join(qualifier), commands)


def _command(model: str, task: str, protocol: str, group: Group | None, short: Group | None) -> str:
    """The line that trains a group, or one like `short` where there is none."""
    like = group or short
    steps = like.steps if like and not like.is_whole else None
    return Recipe("results", protocol, steps).command(Need(model, task, len(group.rows) if group else SEEDS))


def _unsolved(task: str, metric: str, ours: Sample) -> str:
    """A word of warning where most of our seeds do not solve the task: being less wrong than others is not much then."""
    (found,) = (m for m in TASKS.get(task).metrics if m.name == metric)
    if found.threshold is None:
        return ""
    solved = int(np.count_nonzero(statistics.reached(ours, found.threshold)))
    return f"{OURS} solves the task in {solved} of {len(ours)} seeds" if 2 * solved < len(ours) else ""


def _median(model: str, group: Group, metric: str) -> Measured:
    middle = statistics.median(group.sample(metric).values)
    return Measured(f"{model}: median {metric}", number(middle.value), interval(middle), group.told)


def _points(estimate: Estimate) -> str:
    """Interval in percentage points, "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.1f} .. {estimate.high:.1f}"
