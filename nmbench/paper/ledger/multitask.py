"""Claims on the multitask: percent correct and where it comes from, and retraining a part of a model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.metrics import Metric
from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup
from nmbench.paper.ledger.performance import OURS, SEEDS, Measure, finding_on_groups, permutation_p
from nmbench.paper.ledger.verdicts import ClaimFinding, Effects, MeasuredValue, Verdict
from nmbench.report.text import interval, one_decimal, percent, seeds
from nmbench.results import power, significance, statistics
from nmbench.results.statistics import Estimate, Sample

# Largest difference of two metrics in percentage points that counts as none.
POINTS = 1.0
ANGLE = np.pi / 10


def percent_published(task: str, corrected: str, published: str, models: Sequence[str]) -> Measure:
    """Claim: the published percent correct of fully trained networks equals the corrected one within one point.

    It is tested for every model, and on every old task with the parameters before retraining (`Metric.earlier`). The new
    task, with the parameters after retraining, is shown as well.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        groups = {model: evidence.longest_trained(ExperimentKey(model, task, protocol))[:1] for model in models}
        full = {model: protocol for model, found in groups.items() if found and found[0].is_full}
        found = finding_on_groups(evidence, full or dict.fromkeys(models, protocol), task, judge, True)
        short = [model for model in models if model not in full] if full else []
        if short:
            qualifier = "; ".join(filter(None, [found.qualifier, f"not trained in full: {', '.join(short)}"]))
            commands = (*found.commands, *(ExperimentKey(model, task, protocol).command(SEEDS) for model in short))
            found = dataclasses.replace(found, qualifier=qualifier, commands=commands)
        return dataclasses.replace(found, measured=(*_answers(task, corrected, published), *found.measured))

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        old, new = _conditions(task, corrected)
        lines, gaps = [], {}
        lost = [model for model, group in groups.items() if all(row["status"] != "ok" for row in group.rows)]
        for model, group in groups.items():
            for condition in (*old, *new):
                right, as_published = (group.sample(name, condition) for name in (corrected, published))
                finished = ~right.lost  # a lost seed has no answers to evaluate
                if not finished.any():
                    continue
                if condition in old:
                    gap = statistics.mean(np.abs(as_published.values - right.values)[finished])
                    gaps[model, condition] = gap.mapped(lambda points: max(points, 0.0))
                value, other = (_mean_percent(one.values[finished]) for one in (right, as_published))
                when = "" if condition in old else ", after retraining, not judged"
                lines.append(
                    MeasuredValue(
                        f"{model}, {condition}{when}: corrected, mean",
                        f"{value.value:.1f}",
                        _range(right.values[finished]),
                        f"by the authors' code {other.value:.1f} ({_points(other) or 'one seed'}); {group.description}",
                    )
                )
        if not gaps:
            return ClaimFinding(Verdict.NO_DATA, f"No run of {', '.join(groups)} on {task} has finished")
        (model, condition), largest = max(gaps.items(), key=lambda item: item[1].value)
        averaged = seeds(sum(row["status"] == "ok" for row in groups[model].rows))
        reason = (
            f"The published metric differs from the corrected one by up to {largest.value:.1f} points "
            f"({_points(largest) or 'no interval'}; {model} on {condition}, before retraining, mean of {averaged})"
        )
        found = [verdicts.stays_below(gap, POINTS) for gap in gaps.values()]
        holds = sum(one is Verdict.HOLDS for one in found)
        reason += f". It differs by at most {POINTS:g} point in {holds} of {len(found)} pairs of model and task"
        drawn = {f"{model}, {condition}": gap for (model, condition), gap in gaps.items()}
        decide = [
            MeasuredValue(f"{name}: absolute difference, mean", f"{gap.value:.2f}", interval(gap, _two_decimals), "points")
            for name, gap in drawn.items()
        ]
        effects = Effects("absolute difference of the two metrics, points", drawn, (None, POINTS))
        qualifier = f"no finished run: {', '.join(lost)}" if lost else ""
        return ClaimFinding(verdicts.combine(found), reason, (*decide, *lines), qualifier, effects=effects)

    return measure


def _two_decimals(value: float) -> str:
    return f"{value:.2f}"


def _mean_percent(values: np.ndarray) -> Estimate:
    """Mean of percentages `[S]`; its interval does not go beyond 0 and 100."""
    return statistics.mean(values).mapped(lambda value: min(max(value, 0.0), 100.0))


def _range(values: np.ndarray) -> str:
    return f"{values.min():.1f} .. {values.max():.1f} (range)" if len(values) > 1 else ""


def _conditions(task_name: str, metric_name: str) -> tuple[list[str], list[str]]:
    """Labels of the conditions of a metric that are judged at an earlier stage, and of those judged after training."""
    task, metric = TASKS.get(task_name), _metric(task_name, metric_name)
    arrays = task.frozen("test").arrays
    assert metric.conditions is not None
    labels = np.asarray(metric.conditions(arrays)).astype(str)
    early = np.any([chosen(arrays) for chosen in metric.earlier.values()], axis=0)
    return sorted(set(labels[early])), sorted(set(labels[~early]))


def _metric(task: str, name: str) -> Metric:
    (found,) = (metric for metric in TASKS.get(task).metrics if metric.name == name)
    return found


@functools.cache
def _answers(task_name: str, corrected: str, published: str) -> list[MeasuredValue]:
    """Both metrics for the references of a task, which need no training."""
    task = TASKS.get(task_name)
    arrays = task.frozen("test").arrays
    lines = []
    for label, predict in task.references.items():
        values = task.evaluate(predict(arrays), arrays)["values"]
        lines.append(
            MeasuredValue(
                f"({label})", f"{values[corrected]:.1f}", "", f"by the authors' code {values[published]:.1f}; no training"
            )
        )
    return lines


def metric_source(task_name: str, corrected: str, published: str) -> Measure:
    """Claim: the percent correct of the authors' code is that of the code which the supplement cites. Needs no training.

    Both are computed for the references of the task and for perfect answers with a wrong fixation output.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        task = TASKS.get(task_name)
        arrays = task.frozen("test").arrays
        targets = task.unpack(arrays).targets
        answers = {label: np.array(predict(arrays)) for label, predict in task.references.items()}
        for label, fixation in (("perfect, but never fixates", 0.0), ("perfect, but fixates to the end", 0.8)):
            answers[label] = targets.copy()
            answers[label][..., 0] = fixation
        lines, differ = [], []
        for label, outputs in answers.items():
            code, right = (float(_metric(task_name, n).per_trial(outputs, arrays).mean()) for n in (published, corrected))
            cited = float(cited_percent_correct(outputs, targets).mean())
            note = f"the cited code {cited:.1f}; conditions of C.4 {right:.1f}"
            lines.append(MeasuredValue(f"({label}): the authors' code", f"{code:.1f}", "", note))
            if abs(code - cited) > POINTS:
                differ.append(f"{label} {code:.1f} and {cited:.1f}")
        reason = f"The two metrics differ by more than {POINTS:g} point for {len(differ)} of {len(answers)} answers"
        return ClaimFinding(
            Verdict.FAILS if differ else Verdict.HOLDS,
            reason + (f" (percent by the authors' code and by the cited code): {'; '.join(differ)}" if differ else ""),
            tuple(lines),
        )

    return measure


def cited_percent_correct(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Percent correct as in the code of reference [6] of the supplement, `[B]`, from outputs and targets `[T, B, 3]`.

    Only the last step counts: the fixation output must have been released (at most 0.5), and the angle from atan2 must be
    within pi/10 of the target on the circle.
    """
    last, target = (np.asarray(a[-1], np.float64) for a in (predictions, targets))
    turn = np.arctan2(last[:, 1], last[:, 2]) - np.arctan2(target[:, 1], target[:, 2])
    distance = np.abs(np.mod(turn + np.pi, 2 * np.pi) - np.pi)
    return 100.0 * ((last[:, 0] <= 0.5) & (distance < ANGLE))


def retraining(task: str, new: str, old: str, stage: str, rivals: Sequence[str]) -> Measure:
    """Claim: retraining a part of our model suffices: most seeds reach the threshold of the task on the new task.

    new, old: metrics on the new task and on the old ones. stage: suffix of the metrics measured before retraining. Rivals
    trained equally long are shown as well.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        # Of our model the longest training is used; rivals are shown only if they were trained equally long.
        everyone, alone = dict.fromkeys((OURS, *rivals), protocol), {OURS: protocol}
        ours = evidence.equally_trained(alone, task).get(OURS)
        equal = ours is not None and evidence.equally_trained(everyone, task).get(OURS) is ours
        return finding_on_groups(evidence, everyone if equal else alone, task, judge, True, (Verdict.HOLDS,))

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        threshold = _threshold(task)
        after = statistics.median(groups[OURS].sample(new).values)
        # Its interval is above the threshold exactly if significantly more than half of the seeds are.
        verdict = verdicts.reaches(after, threshold)
        lines, drawn = [], {}
        for model, group in groups.items():
            lines.append(_solved(model, group, new, threshold))
            drawn[model if model == OURS else f"{model} (not judged)"] = statistics.median(group.sample(new).values)
            for name, what in ((new, "new task"), (old, "old tasks")):
                value = statistics.median(group.sample(name).values)
                before = statistics.median(group.sample(f"{name}.{stage}").values)
                note = f"before retraining {before.value:.1f} ({_points(before) or 'one seed'}); {group.description}"
                lines.append(
                    MeasuredValue(f"{model}, {what}: median", f"{value.value:.1f}", interval(value, one_decimal), note)
                )
        words = {Verdict.HOLDS: "most seeds do", Verdict.FAILS: "most seeds do not"}
        count = f"{lines[0].value} seed{'s' * (len(groups[OURS].rows) > 1)}"
        reason = (
            f"{OURS} with only its neuromodulatory subnetwork retrained reaches {threshold:g}% on the new task in {count}; "
            f"the median is {after.value:.1f}% ({_points(after) or 'one seed'}): "
            f"{words.get(verdict, 'whether most seeds do is open')}"
        )
        if verdict is Verdict.UNDECIDED and groups[OURS].is_full:
            reached = statistics.reached(groups[OURS].sample(new), threshold)
            reason += f"; {_about(power.seeds_for_majority(float(np.mean(reached))))} are needed to decide it"
        effects = Effects("median percent correct on the new task", drawn, (threshold, None))
        return ClaimFinding(verdict, reason, tuple(lines), effects=effects)

    return measure


def retraining_rivals(task: str, new: str, rivals: Sequence[str]) -> Measure:
    """Claim: after retraining a part of our model, significantly more seeds solve the new task than of each rival."""

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        return finding_on_groups(evidence, dict.fromkeys((OURS, *rivals), protocol), task, judge)

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        threshold = _threshold(task)
        samples = {model: group.sample(new) for model, group in groups.items()}
        reached = {model: statistics.reached(sample, threshold) for model, sample in samples.items()}
        solved = {model: _as_solved(samples[model], reached[model]) for model in groups}
        found = verdicts.better_than(solved[OURS], {name: solved[name] for name in rivals})
        effects = {name: statistics.difference_of_shares(reached[name], reached[OURS]) for name in found}
        lines = [_solved(model, group, new, threshold) for model, group in groups.items()]
        counts = dict(zip(groups, (line.value for line in lines), strict=True))
        for name, rival in found.items():
            shown = interval(effects[name], lambda share: f"{share:+.0%}")
            value = f"{effects[name].value:+.0%}"
            lines.append(MeasuredValue(f"{OURS} - {name}, share of seeds", value, shown, permutation_p(rival.p)))
        words = {Verdict.HOLDS: "more than", Verdict.FAILS: "fewer than", Verdict.UNDECIDED: "not distinguishable from"}
        needed = {}
        if all(group.is_full for group in groups.values()):
            alpha = significance.ALPHA / len(found)
            open_ones = [name for name, rival in found.items() if rival.verdict is Verdict.UNDECIDED and rival.p is not None]
            for name in open_ones:
                theirs, ours = (float(reached[model].mean()) for model in (name, OURS))
                needed[name] = (
                    f"; {_about(power.seeds_to_tell_shares_apart(theirs, ours, alpha))} of each are needed"
                    if theirs != ours
                    else "; no number of seeds would tell such equal shares apart"
                )
        others = " and ".join(
            f"{words[rival.verdict]} {name} ({counts[name]}{needed.get(name, '')})" for name, rival in found.items()
        )
        reason = f"{OURS} reaches {threshold:g}% on the new task in {counts[OURS]} seeds: {others}"
        verdict = verdicts.combine(rival.verdict for rival in found.values())
        drawn = {f"{OURS} - {name}": effect.mapped(lambda share: 100 * share) for name, effect in effects.items()}
        plot = Effects("difference in percent of seeds that solve the new task", drawn, (0.0, None))
        return ClaimFinding(verdict, reason, tuple(lines), effects=plot)

    return measure


def _threshold(task: str) -> float:
    threshold = TASKS.get(task).primary.threshold
    assert threshold is not None
    return threshold


def _as_solved(sample: Sample, reached: np.ndarray) -> Sample:
    """1 for seeds that reach the threshold, 0 for others, so that shares of seeds are compared."""
    return dataclasses.replace(sample, values=reached.astype(float), higher_is_better=True, logarithmic=False)


def _solved(model: str, group: SeedGroup, metric: str, threshold: float) -> MeasuredValue:
    reached = statistics.reached(group.sample(metric), threshold)
    share = interval(statistics.success_rate(reached), percent)
    count = f"{np.count_nonzero(reached)} of {len(reached)}"
    return MeasuredValue(f"{model}, new task: seeds at {threshold:g}% or more", count, share, group.description)


def _about(seeds: int | None) -> str:
    return f"more than {power.MOST_SEEDS} seeds" if seeds is None else f"about {seeds} seeds"


def _points(estimate: Estimate) -> str:
    """The interval or range in percentage points, for text in brackets; "" if there is none."""
    text = interval(dataclasses.replace(estimate, covers=True), one_decimal)
    return text if estimate.covers else f"range {text}"
