"""Claims of the supplement's theory, tested on random and on trained networks."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup, has_folder
from nmbench.paper.ledger.verdicts import ClaimFinding, MeasuredValue, Verdict
from nmbench.paper.runs import Need, Recipe
from nmbench.paper.theory import trained
from nmbench.paper.theory.trained import TrainedNetwork
from nmbench.report.text import number
from nmbench.support.errors import NmbenchError, printable

LINEAR, RANK1 = "nmrnn_linear", "mwg_rank1"
INSTANCES, NETWORKS = 300, 4
# Largest float64 difference that counts as rounding, and largest mean error of a predicted signal in (0, 1).
ROUNDING, FOLLOWS = 1e-12, 0.05
Settings = tuple[tuple[str, str], ...]
# Proposition 1 applies to networks without a leak and with linear z; here with feedback from x to z.
EQUATIONS: Settings = (("tau_x", "1"), ("linear_z", "true"), ("feedback", "true"))


def proposition(evidence: Evidence, protocol: str) -> ClaimFinding:
    """Proposition 1, corrected, on random networks and on a trained linearised network of the protocol."""
    lines, found = [], []
    for what, steps, z, y in _random_networks():
        found.append(Verdict.HOLDS if max(z, y) <= ROUNDING else Verdict.FAILS)
        note = f"z {z:.2g}, y {y:.2g}; {steps} steps, float64"
        lines.append(MeasuredValue(f"{what}: largest error", f"{max(z, y):.2g}", "", note))
    reasons = [
        "The corrected form is exact on random networks"
        if Verdict.FAILS not in found
        else "The corrected form fails on random networks"
    ]
    networks = _networks(evidence, protocol, EQUATIONS)
    if not networks.loaded:
        networks = _networks(evidence, protocol)
    if not networks.loaded:
        found.append(Verdict.UNDECIDED)
        reasons.append(f"no trained network: {networks.missing[:1].lower()}{networks.missing[1:]}")
    for network in networks.loaded[:1]:
        try:
            errors, change = trained.proposition(network)
        except NmbenchError as error:
            found.append(Verdict.FAILS)
            reasons.append(f"it does not apply to the trained network of protocol {protocol}: {error}")
            lines.append(MeasuredValue(network.name, "does not apply"))
            continue
        worst = max(errors.z, errors.y)
        found.append(Verdict.HOLDS if worst <= ROUNDING else Verdict.FAILS)
        reasons.append(
            f"a trained network with its initial x projected onto the span of R is reproduced with an error of {worst:.2g}"
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
    commands = ("python -m nmbench.theory", _train(protocol, EQUATIONS if protocol == "matched" else ()))
    return ClaimFinding(verdicts.combine(found), "; ".join(reasons), tuple(lines), "", commands)


@functools.cache
def _random_networks() -> list[tuple[str, int, float, float]]:
    from nmbench.paper.theory import synthetic

    return synthetic.proposition(INSTANCES, 0)


def signal(evidence: Evidence, protocol: str) -> ClaimFinding:
    """The signal of trained rank-1 networks follows from the target's ramp: errors per tested interval, median network."""
    networks, group, missing = _networks(evidence, protocol)
    steps = None if group is None or group.is_full else group.steps
    commands = (_train(protocol, (), max(1, len(networks)), steps), "python -m nmbench.theory --run=RUN_ID")
    if not networks or group is None:
        return ClaimFinding(Verdict.NO_DATA, missing, commands=commands)
    lines, found, errors_by_label = [], [], []
    for rows in zip(*(trained.predictions(network, trained.traces(network)) for network in networks), strict=True):
        label = f"{networks[0].condition} {rows[0].condition}"
        errors = np.nan_to_num([row.target_s for row in rows], nan=np.inf)
        middle = float(np.median(errors))
        found.append(Verdict.HOLDS if middle <= FOLLOWS else Verdict.FAILS)
        errors_by_label.append(f"{label} {_number(middle)}")
        law = [row.law_s for row in rows if math.isfinite(row.law_s)]
        note = (
            f"by Eq. 16 at the steps {_number(np.median(law)) if law else 'none'}; from the network's own output "
            f"{max(row.own_s for row in rows):.1g}; an s in (0, 1) exists at "
            f"{np.median([row.possible for row in rows]):.0%} of the ramp's steps"
        )
        spread = f"{_number(errors.min())} .. {_number(errors.max())} over networks" if len(rows) > 1 else ""
        lines.append(MeasuredValue(f"{label}: mean error of s", _number(middle), spread, note))
    reason = f"Mean error of s predicted from the target's ramp: {', '.join(errors_by_label)}; the limit is {FOLLOWS:g}"
    count = "one network" if len(networks) == 1 else f"median of {len(networks)} networks"
    lines.append(MeasuredValue("networks", str(len(networks)), "", ", ".join(network.name for network in networks)))
    finding = ClaimFinding(verdicts.combine(found), reason, tuple(lines), count, commands)
    return finding if group.is_full else verdicts.qualify_length(finding, group.is_short, group.trained)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


class GroupNetworks(NamedTuple):
    """At most `NETWORKS` trained networks of one group. missing: why there are none, "" otherwise."""

    loaded: list[TrainedNetwork]
    group: SeedGroup | None = None
    missing: str = ""

    def achieved(self, run_id: str) -> str:
        """Text on the test metric of a network: the theory may hold although the network has not learned its task."""
        rows = [row for row in self.group.rows if row["run_id"] == run_id] if self.group else []
        return ", ".join(f"test {row['metric']} {number(row['value'])}" for row in rows)


def _networks(evidence: Evidence, protocol: str, settings: Settings = ()) -> GroupNetworks:
    """The longest trained linearised networks of a protocol whose parameters are available."""
    missing = f"There are no finished runs of {LINEAR} on {RANK1}, protocol {protocol}"
    for group in evidence.longest_trained(ExperimentKey(LINEAR, RANK1, protocol, settings)):
        runs = [(row, path) for row, path in zip(group.rows, group.sources, strict=True) if row["status"] == "ok"]
        available = [(row["run_id"], path) for row, path in runs if has_folder(path, row)][:NETWORKS]
        if available:
            try:
                return GroupNetworks([trained.load(*run) for run in available], group)
            except NmbenchError as error:
                return GroupNetworks([], missing=printable(str(error)))
        for row, _ in runs[:1]:
            missing = f"The parameters of {row['run_id']} are not here: a CSV does not contain them; give its results folder"
    return GroupNetworks([], missing=missing)


def _train(protocol: str, settings: Settings = (), seeds: int = 1, steps: int | None = None) -> str:
    line = Recipe("results", protocol, steps).command(Need(LINEAR, RANK1, seeds))
    return " ".join([line, *(["--hparams=" + ",".join("=".join(pair) for pair in settings)] if settings else [])])
