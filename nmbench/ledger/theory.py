"""Claims of the supplement's theory, on networks made for the purpose and on trained ones."""

from __future__ import annotations

import functools
import math
import os

import numpy as np

from nmbench.errors import NmbenchError
from nmbench.ledger import verdicts
from nmbench.ledger.evidence import Evidence, Key
from nmbench.ledger.verdicts import Finding, Measured, Verdict
from nmbench.report.paper.runs import Need, Recipe
from nmbench.theory import trained
from nmbench.theory.trained import Trained

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
    networks, absent = _networks(evidence, protocol, EQUATIONS)
    if not networks:
        networks, absent = _networks(evidence, protocol)
    if not networks:
        said.append(f"no trained network: {absent[:1].lower()}{absent[1:]}")
    for network in networks[:1]:
        try:
            errors, moved = trained.proposition(network)
        except NmbenchError as error:
            found.append(Verdict.FAILS)
            said.append(f"the trained network of protocol {protocol} is outside of it: {error}")
            lines.append(Measured(network.name, "does not apply"))
            continue
        worst = max(errors.z, errors.y)
        found.append(Verdict.HOLDS if worst <= ROUNDING else Verdict.FAILS)
        said.append(f"a trained network is reproduced to {worst:.2g}")
        lines.append(
            Measured(
                f"{network.name}: largest error",
                f"{worst:.2g}",
                "",
                f"z {errors.z:.2g}, y {errors.y:.2g}; H = {errors.hidden}, start moved into the span of R: y by {moved:.2g}",
            )
        )
    commands = ("python -m nmbench.theory", _train(protocol, EQUATIONS if protocol == "matched" else ()))
    return Finding(verdicts.combine(found), "; ".join(said), tuple(lines), "", commands)


@functools.cache
def _made() -> list[tuple[str, int, float, float]]:
    from nmbench.theory import synthetic

    return synthetic.proposition(INSTANCES, 0)


def signal(evidence: Evidence, protocol: str) -> Finding:
    """The signal of trained rank-1 networks is what the target's ramp implies, at every tested interval, at the median."""
    networks, absent = _networks(evidence, protocol)
    commands = (_train(protocol, (), max(1, len(networks))), "python -m nmbench.theory --run=RUN_ID")
    if not networks:
        return Finding(Verdict.NO_DATA, absent, commands=commands)
    lines, found, said = [], [], []
    for rows in zip(*(trained.predictions(network, trained.traces(network)) for network in networks), strict=True):
        label = f"{networks[0].condition} {rows[0].condition}"
        errors = np.nan_to_num([row.target_s for row in rows], nan=np.inf)
        middle = float(np.median(errors))
        found.append(Verdict.HOLDS if middle <= FOLLOWS else Verdict.FAILS)
        said.append(f"{label} {_number(middle)}")
        told = (
            f"read off Eq. 16 {_number(np.median([row.law_s for row in rows]))}; from the network's own output "
            f"{max(row.own_s for row in rows):.1g}; an s in (0, 1) exists at "
            f"{np.median([row.possible for row in rows]):.0%} of the ramp's steps"
        )
        spread = f"{_number(errors.min())} .. {_number(errors.max())} over networks" if len(rows) > 1 else ""
        lines.append(Measured(f"{label}: mean error of s", _number(middle), spread, told))
    because = f"Mean error of s, predicted from the target's ramp: {', '.join(said)}; following is {FOLLOWS:g} or less"
    count = "one network" if len(networks) == 1 else f"median of {len(networks)} networks"
    lines.append(Measured("networks", str(len(networks)), "", ", ".join(network.name for network in networks)))
    return Finding(verdicts.combine(found), because, tuple(lines), count, commands)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


def _networks(evidence: Evidence, protocol: str, settings: Settings = ()) -> tuple[list[Trained], str]:
    """The trained linearised networks of a protocol, four at most, and why there is none."""
    finished = evidence.finished(Key(LINEAR, RANK1, protocol, settings))
    if not finished:
        return [], f"There are no runs of {LINEAR} on {RANK1}, protocol {protocol}"
    here = [(row, source) for row, source in finished if os.path.isdir(os.path.expanduser(source))][:NETWORKS]
    try:
        loaded = [trained.load(row["run_id"], source) for row, source in here]
    except NmbenchError as error:
        return [], str(error)
    name = finished[0][0]["run_id"]
    return loaded, "" if here else f"The parameters of {name} are not in a CSV; name the results folder that holds its run"


def _train(protocol: str, settings: Settings = (), seeds: int = 1) -> str:
    line = Recipe("results", protocol).command(Need(LINEAR, RANK1, seeds))
    return " ".join([line, *(["--hparams=" + ",".join("=".join(pair) for pair in settings)] if settings else [])])
