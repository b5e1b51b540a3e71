"""Claims of the supplement's theory, tested on random and on trained networks."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import loading
from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup
from nmbench.paper.ledger.verdicts import ClaimFinding, Effects, MeasuredValue, Verdict
from nmbench.paper.theory import trained
from nmbench.paper.theory.semilinear import ConversionErrors
from nmbench.paper.theory.trained import TrainedNetwork
from nmbench.report.text import interval, number
from nmbench.results import statistics
from nmbench.support.errors import NmbenchError, printable

LINEAR, RANK1 = "nmrnn_linear", "mwg_rank1"
# Random networks for the corrected and for the printed construction, and trained networks.
INSTANCES, PRINTED, NETWORKS = 300, 10, 20
# Largest float64 difference that counts as rounding, of states and of a quotient, and largest mean error of a predicted
# signal in (0, 1).
ROUNDING, LINEAR_TO, FOLLOWS = 1e-12, 1e-9, 0.05
Settings = tuple[tuple[str, str], ...]
# Proposition 1 applies to networks without a leak and with linear z; here with feedback from x to z.
EQUATIONS: Settings = (("tau_x", "1"), ("linear_z", "true"), ("feedback", "true"))


def proposition(evidence: Evidence, protocol: str) -> ClaimFinding:
    """Proposition 1, corrected, on random networks, and on a trained network of the protocol to which it applies.

    A trained network counts only if it fulfils the hypotheses: the publication claims nothing about leaky networks.
    """
    lines, found = [], []
    for what, steps, z, y in _random_networks():
        found.append(Verdict.HOLDS if max(z, y) <= ROUNDING else Verdict.FAILS)
        note = f"z {z:.2g}, y {y:.2g}; {steps} steps, float64"
        lines.append(MeasuredValue(f"{what}: largest error", f"{max(z, y):.2g}", "", note))
    holds = Verdict.FAILS not in found
    largest = max(max(z, y) for _, _, z, y in _random_networks())
    reason = f"The corrected form {'is exact' if holds else 'fails'} on random networks (largest error {largest:.2g})"
    networks = _networks(evidence, protocol, EQUATIONS, most=1)
    for network in networks.loaded:
        try:
            errors, change = trained.proposition(network)
        except NmbenchError as error:
            lines.append(MeasuredValue(network.name, "not counted", "", str(error)))
            continue
        worst = max(errors.z, errors.y)
        found.append(Verdict.HOLDS if worst <= ROUNDING else Verdict.FAILS)
        reason += (
            f"; a trained network with its initial x projected onto the span of R is reproduced with an error of {worst:.2g}"
        )
        lines.append(
            MeasuredValue(
                f"{network.name}: largest error",
                f"{worst:.2g}",
                "",
                f"z {errors.z:.2g}, y {errors.y:.2g}; H = {errors.hidden}; projecting the initial x onto the span of R "
                f"changes y by {change:.2g}; {networks.achieved(network.name)}",
            )
        )
    commands = ["python -m nmbench.theory"]
    if protocol == "matched":
        commands.append(ExperimentKey(LINEAR, RANK1, protocol, EQUATIONS).command(1))
    return ClaimFinding(verdicts.combine(found), reason, tuple(lines), "", tuple(commands))


@functools.cache
def _random_networks() -> list[tuple[str, int, float, float]]:
    from nmbench.paper.theory import synthetic

    return synthetic.proposition(INSTANCES, 0)


def proposition_as_printed(evidence: Evidence, protocol: str) -> ClaimFinding:
    """Proposition 1 with the construction that the supplement prints, on random networks. Needs no data."""
    lines, found, reasons = [], [], []
    for what, errors in zip("zy", np.array([(e.z, e.y) for e in _printed()]).T, strict=True):
        found += [Verdict.HOLDS if error <= ROUNDING else Verdict.FAILS for error in errors]
        spread = f"{errors.min():.2g} .. {errors.max():.2g} (range)"
        lines.append(MeasuredValue(f"largest error in {what}", f"{np.median(errors):.2g}", spread, "median of networks"))
        reasons.append(f"{np.median(errors):.2g} in {what} ({errors.min():.2g} to {errors.max():.2g})")
    reason = f"Largest error of the printed construction, median of {len(_printed())} random networks: {', '.join(reasons)}"
    return ClaimFinding(verdicts.combine(found), reason, tuple(lines))


@functools.cache
def _printed() -> list[ConversionErrors]:
    from nmbench.paper.theory import synthetic

    return synthetic.proposition_as_printed(PRINTED)


def signal_as_printed(evidence: Evidence, protocol: str) -> ClaimFinding:
    """The output of a discrete network under Eq. 16 evaluated at the steps, for ramps. Needs no data."""
    from nmbench.paper.theory import synthetic

    lines, found, reasons = [], [], []
    for ramp in map(synthetic.ramp, synthetic.RAMPS):
        printed, exact = (np.abs(y - ramp.f).max() for y in (ramp.output_continuous, ramp.output_exact))
        found.append(Verdict.HOLDS if printed <= ROUNDING else Verdict.FAILS)
        reasons.append(f"{printed:.3f} for {ramp.interval} steps")
        what = f"interval {ramp.interval}: largest error of the output"
        lines.append(MeasuredValue(what, f"{printed:.3g}", "", f"under the discrete form {exact:.1g}"))
    reason = f"Largest error of the output, by the number of steps of a ramp from -1/2 to 1/2: {', '.join(reasons)}"
    return ClaimFinding(verdicts.combine(found), reason, tuple(lines), "", ("python -m nmbench.theory",))


def signal_corrected(evidence: Evidence, protocol: str) -> ClaimFinding:
    """Signal and state of random rank-1 networks, computed from their output. Needs no data."""
    from nmbench.paper.theory import synthetic

    lines, found, largest = [], [], 0.0
    for phi, driven, s, x, share in synthetic.signals(INSTANCES, 0):
        found.append(Verdict.HOLDS if max(s, x) <= ROUNDING else Verdict.FAILS)
        largest = max(largest, s, x)
        what = f"{phi}, {'with' if driven == 'yes' else 'without'} inputs: largest error"
        lines.append(MeasuredValue(what, f"{max(s, x):.2g}", "", f"s {s:.2g}, x {x:.2g}; s at {share:.1%} of the steps"))
    reason = f"The largest error of s and x of {INSTANCES} random networks of each kind is {largest:.2g}"
    return ClaimFinding(verdicts.combine(found), reason, tuple(lines), "", ("python -m nmbench.theory",))


def power_law(evidence: Evidence, protocol: str) -> ClaimFinding:
    """Whether s of Eq. 16 is a power law of time during a linear ramp, and whether its distance from its limit is one.

    q = a |t - t0|^b is equivalent to q / q' = (t - t0) / b, which is linear in t. Needs no data.
    """
    from nmbench.paper.theory import rank1, synthetic

    lines, found = [], {"s": [], "s - 1/(R^T L)": []}
    for steps in synthetic.RAMPS:
        t = np.linspace(0, steps, 101)
        f, slope = t / steps - 0.5, np.full(len(t), 1 / steps)
        s = rank1.power_law(f, slope, synthetic.RAMP_TAU, synthetic.RAMP_D)
        derivative = -synthetic.RAMP_TAU * (slope / (f - synthetic.RAMP_D)) ** 2
        for name, q in zip(found, (s, s - 1), strict=True):
            line = np.polyfit(t, q / derivative, 1)
            away = np.abs(q / derivative - np.polyval(line, t)).max() / np.ptp(q / derivative)
            found[name].append(Verdict.HOLDS if away <= LINEAR_TO else Verdict.FAILS)
            note = f"exponent {1 / line[0]:.3f}" if away <= LINEAR_TO else "no power law"
            what = f"interval {steps}, {name}: largest deviation of q/q' from a line"
            lines.append(MeasuredValue(what, f"{away:.2g}", "", f"relative to its range; {note}"))
    parts = {name: verdicts.combine(each) for name, each in found.items()}
    words = " and ".join(f"{name} is {'a' if part is Verdict.HOLDS else 'no'} power law" for name, part in parts.items())
    reason = f"During a ramp of {', '.join(map(str, synthetic.RAMPS))} steps, {words} of time"
    return ClaimFinding(verdicts.combine(parts.values()), reason, tuple(lines))


def signal(evidence: Evidence, protocol: str) -> ClaimFinding:
    """The signal of trained rank-1 networks follows from the target's ramp: errors per tested interval, median network.

    Networks that have not learned the task do not count: their output is not the ramp from which s is predicted.
    """
    networks, group, missing, left_out = _networks(evidence, protocol, only_learned=True)
    steps = None if group is None or group.is_full else group.steps
    seeds = 1 if group is None else len(group.rows)
    commands = (ExperimentKey(LINEAR, RANK1, protocol).command(seeds, steps), "python -m nmbench.theory --run=RUN_ID")
    if group is None:
        return ClaimFinding(Verdict.NO_DATA, missing, commands=commands)
    lines, found, errors_by_label, drawn = [], [], [], {}
    for rows in zip(*(trained.predictions(network, trained.traces(network)) for network in networks), strict=True):
        label = f"{networks[0].condition} {rows[0].condition}"
        errors = np.nan_to_num([row.target_s for row in rows], nan=np.inf)
        error = statistics.median(errors)
        found.append(verdicts.stays_below(error, FOLLOWS))
        between = interval(error, _number).replace(" (range)", ", range") or "one network"
        errors_by_label.append(f"{label} {_number(error.value)} ({between})")
        if np.isfinite(errors).all():
            drawn[label] = error
        law = [row.law_s for row in rows if math.isfinite(row.law_s)]
        note = (
            f"by Eq. 16 at the steps {_number(np.median(law)) if law else 'none'}; from the network's own output "
            f"{max(row.own_s for row in rows):.1g}; an s in (0, 1) exists at "
            f"{np.median([row.possible for row in rows]):.0%} of the ramp's steps; relative error of the state "
            f"{np.median([row.target_w for row in rows]):.3f}"
        )
        lines.append(MeasuredValue(f"{label}: mean error of s", _number(error.value), interval(error, _number), note))
    qualifiers = [f"median of {len(networks)} networks" if len(networks) > 1 else "one network"] if networks else []
    if networks:
        reason = f"Mean error of s predicted from the target's ramp: {', '.join(errors_by_label)}; the limit is {FOLLOWS:g}"
        lines.append(MeasuredValue("networks", str(len(networks)), "", ", ".join(network.name for network in networks)))
    else:
        found = [Verdict.UNDECIDED]
        reason = "No network has learned the task, so there is none whose signal could follow the theory; train more seeds"
    primary = TASKS.get(RANK1).primary
    if left_out:
        what = f"not learned ({primary.name} above {number(primary.threshold or 0)}), not counted"
        lines.append(MeasuredValue(what, f"{left_out} of {len(group.rows)} seeds"))
        do_not = "has not learned the task and does" if left_out == 1 else "have not learned the task and do"
        qualifiers.append(f"{left_out} of {len(group.rows)} seeds {do_not} not count")
    effects = Effects("mean error of the predicted s, median of networks", drawn, (None, FOLLOWS)) if drawn else None
    finding = ClaimFinding(verdicts.combine(found), reason, tuple(lines), "; ".join(qualifiers), commands, effects)
    if not group.is_full:
        finding = verdicts.qualify_length(finding, group.is_short, group.trained)
    return finding if protocol != "matched" or group.is_tuned else verdicts.qualify_tuning(finding, [LINEAR])


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


class GroupNetworks(NamedTuple):
    """Trained networks of one group.

    group: None if there are no networks; missing then says why. left_out: number of seeds that have not learned the task.
    """

    loaded: list[TrainedNetwork]
    group: SeedGroup | None = None
    missing: str = ""
    left_out: int = 0

    def achieved(self, run_id: str) -> str:
        """Text on the test metric of a network: the theory may hold although the network has not learned its task."""
        rows = [row for row in self.group.rows if row["run_id"] == run_id] if self.group else []
        return ", ".join(f"test {row['metric']} {number(row['value'])}" for row in rows)


def _networks(
    evidence: Evidence, protocol: str, settings: Settings = (), only_learned: bool = False, most: int | None = None
) -> GroupNetworks:
    """The longest trained linearised networks of a protocol whose parameters are available, at most `NETWORKS` or `most`.

    only_learned: leave out networks that do not reach the threshold of the task's primary metric.
    """
    missing = f"There are no finished runs of {LINEAR} on {RANK1}, protocol {protocol}"
    primary = TASKS.get(RANK1).primary
    for group in evidence.longest_trained(ExperimentKey(LINEAR, RANK1, protocol, settings)):
        runs = [(row, path) for row, path in zip(group.rows, group.sources, strict=True) if row["status"] == "ok"]
        available = [(row, path) for row, path in runs if loading.has_run_folder(row["run_id"], path)]
        learned, there = (
            [run for run in some if not only_learned or primary.solved(run[0]["value"])] for some in (runs, available)
        )
        if there or (available and not learned):
            left_out = sum(row["status"] != "ok" or not primary.solved(row["value"]) for row in group.rows)
            try:
                loaded = [trained.load(row["run_id"], path) for row, path in there[: most or NETWORKS]]
            except NmbenchError as error:
                return GroupNetworks([], missing=printable(str(error)))
            return GroupNetworks(loaded, group, "", left_out if only_learned else 0)
        for row, _ in (learned or runs)[:1]:
            missing = f"The parameters of {row['run_id']} are not here: rows do not contain them; give its results folder"
    return GroupNetworks([], missing=missing)
