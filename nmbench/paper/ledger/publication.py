"""The claims of the publication, where each is made, and how it is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from nmbench.paper.ledger import theory
from nmbench.paper.ledger.evidence import Evidence, Key
from nmbench.paper.ledger.performance import OURS, Measure, below, par, percent_published, retraining, sizes
from nmbench.paper.ledger.verdicts import Finding
from nmbench.support import errors

# As published, and under equal conditions.
PAPER, MATCHED = "paper", "matched"
# The authors' code has other time constants on the Element Finder than their supplement: a protocol of the NM-RNN alone.
CODE = {PAPER: "paper_code"}
TIMING, SELECTION, CONTEXT = "mwg_rank3", "element_finder", "multitask"
RIVALS = ("lrrnn", "rnn", "lstm")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim.

    Attributes:
      name: short, of the flag `--only`.
      statement: the claim.
      source: where it is made.
      rule: how the verdict follows from the measured values.
      measure: from evidence and protocol to a finding.
      protocols: those under which it is a claim.
    """

    name: str
    statement: str
    source: str
    rule: str
    measure: Measure
    protocols: tuple[str, ...] = (PAPER, MATCHED)


_BELOW = (
    "each rival by a permutation test of the mean over seeds, paired over shared seeds, corrected by Holm over the "
    "claim's rivals, p < 0.05; it holds in part where it does for some."
)
_PAR = (
    "geometric mean over seeds of the ratio of errors with its 95% bootstrap interval: it holds within 1/2 .. 2; else it "
    "does not above 1, more than holds below 1, and is open where 1 lies inside, or where neither solves the task. The "
    "leaderboard's test is of the mean, in which large errors count most, and may not tell models apart that this does."
)
CLAIMS = (
    Claim(
        "extrapolation",
        "Measure-Wait-Go: on extrapolated intervals the NM-RNN's error is below that of the low-rank and the vanilla RNN.",
        "main text, Measure-Wait-Go; supplement C.2 and C.3, Fig. 1",
        _BELOW,
        below(TIMING, "mse_extrapolated", ("lrrnn", "rnn"), beside=("mse_trained",)),
    ),
    Claim(
        "extrapolation_lstm",
        "Measure-Wait-Go: on extrapolated intervals the NM-RNN is on a par with the LSTM.",
        "main text, Measure-Wait-Go; supplement C.2 and C.3, Fig. 1",
        _PAR,
        par(TIMING, "mse_extrapolated", "lstm", beside=("mse_trained",)),
    ),
    Claim(
        "selection",
        "Element Finder: the NM-RNN's error is below that of the low-rank and the vanilla RNN.",
        "Fig. 5B of the main text; supplement C.3",
        f"{_BELOW} As published: with the time constants of the supplement.",
        below(SELECTION, "mse", ("lrrnn", "rnn")),
    ),
    Claim(
        "selection_lstm",
        "Element Finder: the NM-RNN is on a par with the LSTM.",
        "Figs. 5B and 5C of the main text; supplement C.3",
        f"{_PAR} As published: with the time constants of the supplement.",
        par(SELECTION, "mse", "lstm"),
    ),
    Claim(
        "selection_code",
        "Element Finder, the NM-RNN with the time constants of the authors' code: its error is below that of low-rank and "
        "vanilla RNN.",
        "Fig. 5B of the main text; the authors' code",
        f"{_BELOW} The NM-RNN of protocol paper_code, rivals of protocol paper.",
        below(SELECTION, "mse", ("lrrnn", "rnn"), CODE),
        (PAPER,),
    ),
    Claim(
        "selection_code_lstm",
        "Element Finder, the NM-RNN with the time constants of the authors' code: it is on a par with the LSTM.",
        "Figs. 5B and 5C of the main text; the authors' code",
        f"{_PAR} The NM-RNN of protocol paper_code, the LSTM of protocol paper.",
        par(SELECTION, "mse", "lstm", CODE),
        (PAPER,),
    ),
    Claim(
        "percent",
        "Multitask: percent correct, as the authors' code has it, is the percentage of answers within pi/10 of the target.",
        "supplement C.4; the authors' code",
        "how far the published metric is from the corrected one, mean over finished seeds with its 95% bootstrap interval, "
        "for every model and task: it holds for those whose interval ends at 1 point or below, and not where it begins "
        "above. It may be off either way: opposite answers count, and angles on both sides of the vertical are taken to be "
        "far apart.",
        percent_published(CONTEXT, "percent_correct", "percent_correct_published", (OURS, *RIVALS)),
    ),
    Claim(
        "retraining",
        "Multitask: retraining only the neuromodulatory subnetwork suffices for the NM-RNN to learn MemoryAnti.",
        "main text, multitask; supplement C.2 and C.3",
        "median percent correct (corrected) on MemoryAnti after retraining with its 95% bootstrap interval, against the 90% "
        "at which the task counts as solved. Rivals, with their input weights retrained, are shown where they were trained "
        "as long, and do not enter.",
        retraining(CONTEXT, "new_task", "old_tasks", "before_retraining", RIVALS),
    ),
    Claim(
        "signal",
        "The neuromodulatory signal of a trained rank-1 network follows the theory.",
        "Fig. 3B of the main text; supplement B, Eqs. 12 to 16, in their discrete form",
        f"mean error of s, predicted from the target's ramp at steps where a sigmoid can follow it, {theory.FOLLOWS:g} or "
        f"less at every tested interval, median over up to {theory.NETWORKS} networks; it holds in part where it "
        "does at some.",
        theory.signal,
    ),
    Claim(
        "proposition",
        "Proposition 1: a linearised NM-RNN with tied orthonormal factors is a semilinear LSTM.",
        "supplement A.1, as corrected (docs/errata.md has what is printed, and by how much it fails)",
        f"largest error of z and y at most {theory.ROUNDING:g}, on {theory.INSTANCES} random networks, on one over 200 "
        "steps and on a trained linearised network of the protocol; it holds in part where the proposition "
        "is not about the last.",
        theory.proposition,
    ),
    Claim(
        "sizes",
        "The models compared have matching numbers of learned parameters.",
        "supplement C.3",
        "largest over smallest number of learned parameters at most 1.05 / 0.95 on a task, that of models within 5% of one "
        "budget; it holds in part where it does on some tasks.",
        sizes((TIMING, CONTEXT, SELECTION), (OURS, *RIVALS)),
    ),
)


def choose(text: str) -> list[Claim]:
    """The claims of a list "selection,sizes", all for ""; raises `NmbenchError` for an unknown one."""
    return errors.choose("claim", text, {claim.name: claim for claim in CLAIMS})


def wanted() -> list[Key]:
    """What rows the claims are held against."""
    protocols = (PAPER, MATCHED)
    return [
        *(Key(m, task, p) for m in (OURS, *RIVALS) for task in (TIMING, SELECTION, CONTEXT) for p in protocols),
        Key(OURS, SELECTION, CODE[PAPER]),
        *(Key(theory.LINEAR, theory.RANK1, p, settings) for p in protocols for settings in ((), theory.EQUATIONS)),
    ]


@dataclasses.dataclass(frozen=True)
class LedgerEntry:
    """A claim and what was found, by protocol."""

    claim: Claim
    findings: dict[str, Finding]


def ledger(evidence: Evidence, claims: Iterable[Claim] = CLAIMS) -> list[LedgerEntry]:
    """Every claim held against the evidence."""
    return [LedgerEntry(claim, {p: claim.measure(evidence, p) for p in claim.protocols}) for claim in claims]
