"""Claims on errors of trained networks and on numbers of parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.experiments import sizing
from nmbench.experiments.experiment import Experiment
from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup, resolved
from nmbench.paper.ledger.verdicts import ClaimFinding, Effects, MeasuredValue, Verdict
from nmbench.report.text import interval, number
from nmbench.results import statistics
from nmbench.results.significance import SAME_RATIO
from nmbench.results.statistics import Estimate

OURS = "nmrnn"
SEEDS = 10
# Largest ratio of matched sizes: the ratio of two models whose sizes differ from one budget by at most 5%.
SIZES = 1.05 / 0.95

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
        return finding_on_groups(evidence, _protocols(protocol, rivals, ours), task, judge)

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        samples = {model: group.sample(metric) for model, group in groups.items()}
        found = verdicts.better_than(samples[OURS], {name: samples[name] for name in rivals})
        lines = [_median(model, groups[model], metric) for model in (OURS, *rivals)]
        for name, rival in found.items():
            note = permutation_p(rival.p)
            what = f"{OURS} / {name}, geometric mean"
            lines.append(MeasuredValue(what, number(rival.effect.value), interval(rival.effect), note))
        lines += [_median(model, groups[model], name) for name in also for model in (OURS, *rivals)]
        words = {Verdict.HOLDS: "below", Verdict.FAILS: "above", Verdict.UNDECIDED: "not distinguishable from"}
        words[Verdict.EQUAL] = "equal, within a factor of two, to"
        others = [
            f"{words[rival.verdict]} {name} ({groups[name].size}, ratio of errors {number(rival.effect.value)})"
            for name, rival in found.items()
        ]
        reason = f"{OURS} ({groups[OURS].size}) is {' and '.join(others)}"
        unsolved = {model: _unsolved(model, groups[model], task, metric) for model in groups}
        undecided = {
            name: rival.verdict is Verdict.EQUAL and bool(unsolved[OURS] and unsolved[name]) for name, rival in found.items()
        }
        if any(undecided.values()):
            reason += f"; neither {OURS} nor {' nor '.join(n for n in undecided if undecided[n])} solves the task"
        verdict = verdicts.combine(Verdict.UNDECIDED if undecided[n] else rival.verdict for n, rival in found.items())
        ratios = {f"{OURS} / {name}": rival.effect for name, rival in found.items()}
        same = (1 / SAME_RATIO, SAME_RATIO)
        effects = Effects("ratio of errors (geometric means)", ratios, (None, 1.0), same, logarithmic=True)
        return ClaimFinding(verdict, reason, tuple(lines), unsolved[OURS], effects=effects)

    return measure


def par(task: str, metric: str, rival: str, ours: Mapping[str, str] | None = None, also: Sequence[str] = ()) -> Measure:
    """Claim: our error on a metric equals the rival's within a factor of two. For the arguments see `below`.

    If neither model solves the task in most seeds, equal errors are undecided.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        return finding_on_groups(evidence, _protocols(protocol, (rival,), ours), task, judge)

    def judge(groups: Mapping[str, SeedGroup]) -> ClaimFinding:
        a, b = (groups[model].sample(metric) for model in (OURS, rival))
        lines = [_median(model, groups[model], metric) for model in (OURS, rival)]
        verdict, ratio = verdicts.on_a_par(a, b)
        line = MeasuredValue(f"{OURS} / {rival}, geometric mean", number(ratio.value), interval(ratio), "ratio of errors")
        counts = f"{groups[OURS].size} of {OURS} and {groups[rival].size} of {rival}"
        within = f"The 95% interval of the ratio of errors, {interval(ratio)} for {counts}, "
        reason = {
            Verdict.HOLDS: f"{within}lies within 1/2 .. 2",
            Verdict.FAILS: f"{within}lies above 2: {OURS} is worse by more than a factor of two",
            Verdict.WORSE: f"{within}lies above 1 and contains 2: {OURS} is worse, perhaps by less than a factor of two",
            Verdict.MORE: f"{within}lies below 1: {OURS} is better",
            Verdict.UNDECIDED: f"{within}contains 1 and extends beyond 1/2 or 2"
            if interval(ratio)
            else "With so few seeds there is no interval",
        }[verdict]
        unsolved = _unsolved(OURS, groups[OURS], task, metric)
        if verdict is Verdict.HOLDS and unsolved and _unsolved(rival, groups[rival], task, metric):
            verdict, reason = Verdict.UNDECIDED, f"{reason}, but neither model solves the task"
        shown = [_median(model, groups[model], name) for name in also for model in (OURS, rival)]
        par = (1 / SAME_RATIO, SAME_RATIO)
        effects = Effects("ratio of errors (geometric means)", {f"{OURS} / {rival}": ratio}, par, (1.0,), True)
        return ClaimFinding(verdict, reason, (*lines, line, *shown), unsolved, effects=effects)

    return measure


def pooled(measure: Measure, task: str, variants: Mapping[str, Sequence[ExperimentKey]]) -> Measure:
    """`measure` on the pooled seeds of several sizes or learning rates of each model.

    variants: from a model to its experiments, all of the claim's only protocol.
    """

    def pooled_measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        everything = [key for each in variants.values() for key in each]
        found = {key: next((g for g in evidence.longest_trained(key) if g.is_full), None) for key in everything}
        missing = [key for key, group in found.items() if group is None]
        if missing:
            number_of = lambda model: sum(key.model == model for key in missing)
            counts = ", ".join(f"{number_of(model)} of {len(each)} of {model}" for model, each in variants.items())
            return ClaimFinding(
                Verdict.NO_DATA,
                f"Experiments without fully trained runs on {task}, protocol {protocol}: {counts}",
                commands=tuple(key.command(SEEDS) for key in missing),
            )
        finding = measure(evidence.pooled(variants), protocol)
        metric = TASKS.get(task).primary.name
        several = [(key, group) for key, group in found.items() if group and len(variants[key.model]) > 1]
        lines = [_median(f"{key.model} {key.given}", group, metric) for key, group in several]
        commands = tuple(key.command(len(group.rows)) for key, group in found.items() if group)
        return dataclasses.replace(finding, measured=(*finding.measured, *lines), commands=commands)

    return pooled_measure


def sizes(tasks: Sequence[str], models: Sequence[str]) -> Measure:
    """Claim: the numbers of learned parameters differ by at most a factor of 1.05 / 0.95. Needs no data."""

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        lines, found, ratios, drawn = [], [], [], {}
        for task in tasks:
            counts = {model: resolved(ExperimentKey(model, task, protocol)).sizing.actual for model in models}
            ratio = max(counts.values()) / min(counts.values())
            found.append(Verdict.HOLDS if ratio <= SIZES else Verdict.FAILS)
            ratios.append(f"{ratio:.2f} on {task}")
            drawn[task] = Estimate(ratio, None, None)
            note = ", ".join(f"{model} {count}" for model, count in counts.items())
            lines.append(MeasuredValue(f"{task}: largest / smallest", f"{ratio:.2f}", "", note))
        reason = f"Largest over smallest number of learned parameters: {', '.join(ratios)}; the limit is {SIZES:.2f}"
        effects = Effects("largest / smallest number of parameters", drawn, (None, SIZES), logarithmic=True)
        return ClaimFinding(verdicts.combine(found), reason, tuple(lines), effects=effects)

    return measure


def more_parameters(task: str, rival: str, channels: str) -> Measure:
    """Claim: a rival has more learned parameters than our model, with and without the last input channel. Needs no data.

    The output network of our model alone is shown, too. channels: name of the input whose last channel is new in the last
    phase.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        spec = TASKS.get(task).spec
        size = spec.inputs[channels].channels
        lines, found, reasons = [], [], []
        for count in (size - 1, size):
            fewer = dataclasses.replace(spec, inputs={**spec.inputs, channels: ArraySpec(count)})
            keys = {model: ExperimentKey(model, task, protocol) for model in (OURS, rival)}
            numbers = {m: _count(resolved(key), fewer) for m, key in keys.items()}
            found.append(Verdict.HOLDS if numbers[rival] > numbers[OURS] else Verdict.FAILS)
            shown = ", ".join(f"{model} {number}" for model, number in numbers.items())
            reasons.append(f"{shown} with {count} {channels} channels")
            note = f"output network of {OURS} alone, not judged: {_outside(resolved(keys[OURS]), fewer)} of {numbers[OURS]}"
            lines.append(
                MeasuredValue(
                    f"{count} {channels} channels: {rival} - {OURS}", str(numbers[rival] - numbers[OURS]), "", note
                )
            )
        reason = f"Numbers of learned parameters: {'; '.join(reasons)}"
        return ClaimFinding(verdicts.combine(found), reason, tuple(lines))

    return measure


def fewer_parameters(tasks: Sequence[str], models: Sequence[str], rivals: Sequence[str]) -> Measure:
    """Claim: models of published sizes have fewer parameters than rivals with as many units N. Needs no data."""

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        lines, found, reasons = [], [], []
        for task in tasks:
            for model in models:
                ours = resolved(ExperimentKey(model, task, protocol))
                units, spec = ours.sizing.hparams["N"], TASKS.get(task).spec
                counts = {
                    rival: _count(resolved(ExperimentKey(rival, task, protocol, (("N", str(units)),))), spec)
                    for rival in rivals
                }
                fewer = [ours.sizing.actual < count for count in counts.values()]
                found += [Verdict.HOLDS if yes else Verdict.FAILS for yes in fewer]
                shown = ", ".join(f"{rival} {count}" for rival, count in counts.items())
                lines.append(MeasuredValue(f"{task}, N = {units}: {model}", str(ours.sizing.actual), "", shown))
                more = [rival for rival, yes in zip(rivals, fewer, strict=True) if not yes]
                reasons += [f"{model} on {task} does not have fewer than {' and '.join(more)}"] if more else []
        reason = f"Learned parameters at equal N: {'; '.join(reasons) or 'every model has fewer than every rival'}"
        return ClaimFinding(verdicts.combine(found), reason, tuple(lines))

    return measure


def _count(experiment: Experiment, spec: SequenceSpec) -> int:
    return sizing.given_sizes(experiment.baseline, spec, experiment.sizing.hparams, None).actual


def _outside(experiment: Experiment, spec: SequenceSpec) -> int:
    """Number of learned parameters outside the neuromodulatory subnetwork."""
    shapes = sizing.shapes(experiment.baseline, spec, experiment.sizing.hparams)
    inside = experiment.baseline.partition("neuromodulatory_subnetwork")
    return sizing.count({name: shape for name, shape in shapes.items() if not inside(*name.rsplit("|", 1))})


def _protocols(protocol: str, rivals: Sequence[str], ours: Mapping[str, str] | None) -> dict[str, str]:
    return {OURS: (ours or {}).get(protocol, protocol), **dict.fromkeys(rivals, protocol)}


def finding_on_groups(
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
        fully = "fully trained " if groups and not short else ""
        where = f"{task}, protocol {' or '.join(sorted({protocols[model] for model in missing}))}"
        reason = f"There are no {fully}runs of {', '.join(missing)} on {where}{like_others}"
        return ClaimFinding(Verdict.NO_DATA, reason, commands=commands)
    found = judge(groups)
    if short is not None:
        found = verdicts.qualify_length(found, short.is_short, short.trained, decides)
    untuned = [name for name, group in groups.items() if protocols[name] == "matched" and not group.is_tuned]
    return dataclasses.replace(verdicts.qualify_tuning(found, untuned), commands=commands)


def _command(model: str, task: str, protocol: str, group: SeedGroup | None, short: SeedGroup | None) -> str:
    """The command that trains a group. A missing group is trained for as many steps as `short`."""
    like = group or short
    steps = like.steps if like and not like.is_full else None
    return ExperimentKey(model, task, protocol).command(len(group.rows) if group else SEEDS, steps)


def _unsolved(model: str, group: SeedGroup, task: str, metric: str) -> str:
    """A qualifier if most seeds of a model do not solve the task, "" otherwise."""
    (found,) = (m for m in TASKS.get(task).metrics if m.name == metric)
    if found.threshold is None:
        return ""
    solved = int(np.count_nonzero(statistics.reached(group.sample(metric), found.threshold)))
    return f"{model} solves the task in only {solved} of {group.size}" if 2 * solved < len(group.rows) else ""


def permutation_p(p: float | None) -> str:
    """A p value of `verdicts.better_than` with its test; "one seed" for None."""
    # Random arrangements give no p below 4e-5 before the correction, so small values are upper bounds.
    shown = "one seed" if p is None else "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return shown if p is None else f"{shown} (permutation test, corrected by Holm)"


def _median(model: str, group: SeedGroup, metric: str) -> MeasuredValue:
    middle = statistics.median(group.sample(metric).values)
    return MeasuredValue(f"{model}: median {metric}", number(middle.value), interval(middle), group.description)
