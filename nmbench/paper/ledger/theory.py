"""Claims of the supplement's theory, on networks made for the purpose and on trained ones."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nmbench.paper.ledger import verdicts
from nmbench.paper.ledger.evidence import Evidence, Group, Key, has_folder
from nmbench.paper.ledger.verdicts import Finding, Measured, Verdict
from nmbench.paper.runs import Need, Recipe
from nmbench.paper.theory import trained
from nmbench.paper.theory.trained import TrainedNetwork
from nmbench.report.text import number
from nmbench.support.errors import NmbenchError, printable

LINEAR, RANK1 = "nmrnn_linear", "mwg_rank1"
INSTANCES, NETWORKS = 300, 4
# Largest difference in float64 that is rounding, and mean difference of a signal in (0, 1) that counts as following.
ROUNDING, FOLLOWS = 1e-12, 0.05
Settings = tuple[tuple[str, str], ...]
# The proposition is about networks without leak whose z is linear, with feedback from x to z.
EQUATIONS: Settings = (("tau_x", "1"), ("linear_z", "true"), ("feedback", "true"))


def proposition(evidence: Evidence, protocol: str) -> Finding:
    """Proposition 1, corrected: on made networks, and on the trained linearised networks of a protocol."""
    lines, found = [], []
    for what, steps, z, y in _made():
        found.append(Verdict.HOLDS if max(z, y) <= ROUNDING else Verdict.FAILS)
        told = f"z {z:.2g}, y {y:.2g}; {steps} steps, float64"
        lines.append(Measured(f"{what}: largest error", f"{max(z, y):.2g}", "", told))
    said = ["As corrected it is exact on made networks" if Verdict.FAILS not in found else "It fails on made networks"]
    networks = _networks(evidence, protocol, EQUATIONS)
    if not networks.loaded:
        networks = _networks(evidence, protocol)
    if not networks.loaded:
        found.append(Verdict.UNDECIDED)
        said.append(f"no trained network: {networks.absent[:1].lower()}{networks.absent[1:]}")
    for network in networks.loaded[:1]:
        try:
            errors, moved = trained.proposition(network)
        except NmbenchError as error:
            found.append(Verdict.FAILS)
            said.append(f"the trained network of protocol {protocol} is outside of it: {error}")
            lines.append(Measured(network.name, "does not apply"))
            continue
        worst = max(errors.z, errors.y)
        found.append(Verdict.HOLDS if worst <= ROUNDING else Verdict.FAILS)
        said.append(f"a trained network, started in the span of R, is reproduced to {worst:.2g}")
        lines.append(
            Measured(
                f"{network.name}: largest error",
                f"{worst:.2g}",
                "",
                f"z {errors.z:.2g}, y {errors.y:.2g}; H = {errors.hidden}; start moved into the span of R, y by "
                f"{moved:.2g}; {networks.achieved(network.name)}",
            )
        )
    commands = ("python -m nmbench.theory", _train(protocol, EQUATIONS if protocol == "matched" else ()))
    return Finding(verdicts.combine(found), "; ".join(said), tuple(lines), "", commands)


@functools.cache
def _made() -> list[tuple[str, int, float, float]]:
    from nmbench.paper.theory import synthetic

    return synthetic.proposition(INSTANCES, 0)


def signal(evidence: Evidence, protocol: str) -> Finding:
    """The signal of trained rank-1 networks is what the target's ramp implies, at every tested interval, at the median."""
    networks, group, absent = _networks(evidence, protocol)
    steps = None if group is None or group.is_whole else group.steps
    commands = (_train(protocol, (), max(1, len(networks)), steps), "python -m nmbench.theory --run=RUN_ID")
    if not networks or group is None:
        return Finding(Verdict.NO_DATA, absent, commands=commands)
    lines, found, said = [], [], []
    for rows in zip(*(trained.predictions(network, trained.traces(network)) for network in networks), strict=True):
        label = f"{networks[0].condition} {rows[0].condition}"
        errors = np.nan_to_num([row.target_s for row in rows], nan=np.inf)
        middle = float(np.median(errors))
        found.append(Verdict.HOLDS if middle <= FOLLOWS else Verdict.FAILS)
        said.append(f"{label} {_number(middle)}")
        law = [row.law_s for row in rows if math.isfinite(row.law_s)]
        told = (
            f"read off Eq. 16 {_number(np.median(law)) if law else 'none'}; from the network's own output "
            f"{max(row.own_s for row in rows):.1g}; an s in (0, 1) exists at "
            f"{np.median([row.possible for row in rows]):.0%} of the ramp's steps"
        )
        spread = f"{_number(errors.min())} .. {_number(errors.max())} over networks" if len(rows) > 1 else ""
        lines.append(Measured(f"{label}: mean error of s", _number(middle), spread, told))
    because = f"Mean error of s, predicted from the target's ramp: {', '.join(said)}; following is {FOLLOWS:g} or less"
    count = "one network" if len(networks) == 1 else f"median of {len(networks)} networks"
    lines.append(Measured("networks", str(len(networks)), "", ", ".join(network.name for network in networks)))
    finding = Finding(verdicts.combine(found), because, tuple(lines), count, commands)
    return finding if group.is_whole else verdicts.held_back(finding, group.is_short, group.trained)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


class Networks(NamedTuple):
    """Trained networks of one group, four at most. absent: why there are none, "" if there are."""

    loaded: list[TrainedNetwork]
    group: Group | None = None
    absent: str = ""

    def achieved(self, run_id: str) -> str:
        """What one of them has on the test set: the theory may hold for a network that has not learned its task."""
        rows = [row for row in self.group.rows if row["run_id"] == run_id] if self.group else []
        return ", ".join(f"test {row['metric']} {number(row['value'])}" for row in rows)


def _networks(evidence: Evidence, protocol: str, settings: Settings = ()) -> Networks:
    """The linearised networks of a protocol that were trained longest, of those whose parameters are here."""
    absent = f"There are no finished runs of {LINEAR} on {RANK1}, protocol {protocol}"
    for group in evidence.longest(Key(LINEAR, RANK1, protocol, settings)):
        runs = [(row, path) for row, path in zip(group.rows, group.sources, strict=True) if row["status"] == "ok"]
        here = [(row["run_id"], path) for row, path in runs if has_folder(path, row)][:NETWORKS]
        if here:
            try:
                return Networks([trained.load(*run) for run in here], group)
            except NmbenchError as error:
                return Networks([], absent=printable(str(error)))
        for row, _ in runs[:1]:
            absent = f"The parameters of {row['run_id']} are not in a CSV; name the results folder that holds its run"
    return Networks([], absent=absent)


def _train(protocol: str, settings: Settings = (), seeds: int = 1, steps: int | None = None) -> str:
    line = Recipe("results", protocol, steps).command(Need(LINEAR, RANK1, seeds))
    return " ".join([line, *(["--hparams=" + ",".join("=".join(pair) for pair in settings)] if settings else [])])
