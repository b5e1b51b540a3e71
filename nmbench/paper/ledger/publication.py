"""The claims of the publication, their sources, and how each is tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from nmbench.paper.ledger import theory
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey
from nmbench.paper.ledger.performance import OURS, Measure, below, par, percent_published, retraining, sizes
from nmbench.paper.ledger.verdicts import ClaimFinding
from nmbench.support import errors

# The two protocols of most claims: as published, and under equal conditions.
PAPER, MATCHED = "paper", "matched"
# On the Element Finder the time constants of the authors' code differ from those of the supplement. Only the NM-RNN has
# this protocol.
CODE = {PAPER: "paper_code"}
TIMING, SELECTION, CONTEXT = "mwg_rank3", "element_finder", "multitask"
RIVALS = ("lrrnn", "rnn", "lstm")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim.

    Attributes:
      name: short name, for the flag `--only`.
      statement: the claim in one sentence.
      source: part of the publication that makes the claim.
      rule: how the verdict follows from the measured values.
      measure: computes a finding from evidence and protocol.
      protocols: protocols under which the claim is tested.
    """

    name: str
    statement: str
    source: str
    rule: str
    measure: Measure
    protocols: tuple[str, ...] = (PAPER, MATCHED)


_BELOW = (
    "the claim holds against a rival if the NM-RNN's error is significantly lower, and does not hold if it is "
    "significantly higher (unpaired permutation test of log errors over seeds, p < 0.05 with Holm's correction for the "
    "claim's rivals); otherwise we cannot tell. It holds in part if it holds against some rivals only."
)
_PAR = (
    "the claim holds if the 95% interval of the ratio of errors, NM-RNN / LSTM (geometric mean over seeds, Welch's interval "
    "of the logarithms), lies within 1/2 .. 2, more than holds if it lies below 1, and does not hold if it lies above 2. If "
    "it lies above 1 and contains 2, the NM-RNN is worse, but the size of the difference is open. We cannot tell if the "
    "interval contains 1 and extends beyond 1/2 or 2, or if the errors are equal but neither model solves the task."
)
CLAIMS = (
    Claim(
        "extrapolation",
        "Measure-Wait-Go: on extrapolated intervals the NM-RNN's error is below those of the low-rank and the vanilla RNN.",
        "main text, Measure-Wait-Go; supplement C.2 and C.3, Fig. 1",
        _BELOW,
        below(TIMING, "mse_extrapolated", ("lrrnn", "rnn"), also=("mse_trained",)),
    ),
    Claim(
        "extrapolation_lstm",
        "Measure-Wait-Go: on extrapolated intervals the NM-RNN is on a par with the LSTM.",
        "main text, Measure-Wait-Go; supplement C.2 and C.3, Fig. 1",
        _PAR,
        par(TIMING, "mse_extrapolated", "lstm", also=("mse_trained",)),
    ),
    Claim(
        "selection",
        "Element Finder: the NM-RNN's error is below those of the low-rank and the vanilla RNN.",
        "Fig. 5B of the main text; supplement C.3",
        f"{_BELOW} As published, the NM-RNN has the time constants of the supplement.",
        below(SELECTION, "mse", ("lrrnn", "rnn")),
    ),
    Claim(
        "selection_lstm",
        "Element Finder: the NM-RNN is on a par with the LSTM.",
        "Figs. 5B and 5C of the main text; supplement C.3",
        f"{_PAR} As published, the NM-RNN has the time constants of the supplement.",
        par(SELECTION, "mse", "lstm"),
    ),
    Claim(
        "selection_code",
        "Element Finder: with the time constants of the authors' code, the NM-RNN's error is below those of the low-rank "
        "and the vanilla RNN.",
        "Fig. 5B of the main text; the authors' code",
        f"{_BELOW} The NM-RNN is trained under protocol paper_code, the rivals under protocol paper.",
        below(SELECTION, "mse", ("lrrnn", "rnn"), CODE),
        (PAPER,),
    ),
    Claim(
        "selection_code_lstm",
        "Element Finder: with the time constants of the authors' code, the NM-RNN is on a par with the LSTM.",
        "Figs. 5B and 5C of the main text; the authors' code",
        f"{_PAR} The NM-RNN is trained under protocol paper_code, the LSTM under protocol paper.",
        par(SELECTION, "mse", "lstm", CODE),
        (PAPER,),
    ),
    Claim(
        "percent",
        "Multitask: percent correct as computed by the authors' code is the percentage of answers within pi/10 of the "
        "target.",
        "supplement C.4; the authors' code",
        "for every model and task, the claim holds if the 95% interval of the absolute difference between the "
        "published and the corrected metric (mean over finished seeds) ends at or below 1 point, and does not hold if it "
        "begins above 1 point. The published metric can be too high or too low: it counts opposite answers as correct, and "
        "treats angles on the two sides of the vertical as far apart.",
        percent_published(CONTEXT, "percent_correct", "percent_correct_published", (OURS, *RIVALS)),
    ),
    Claim(
        "retraining",
        "Multitask: retraining only the neuromodulatory subnetwork suffices for the NM-RNN to learn MemoryAnti.",
        "main text, multitask; supplement C.2 and C.3",
        "the claim holds if the 95% interval of the median percent correct (corrected) on MemoryAnti after "
        "retraining begins at or above 90%, where the task counts as solved, and does not hold if it ends below 90%. We "
        "cannot tell with fewer than six seeds, because no interval covers 95%. Rivals "
        "retrain their input weights instead. They are shown if they were trained equally long, but do not affect the "
        "verdict.",
        retraining(CONTEXT, "new_task", "old_tasks", "before_retraining", RIVALS),
    ),
    Claim(
        "signal",
        "The neuromodulatory signal of a trained rank-1 network follows the theory.",
        "Fig. 3B of the main text; supplement B, Eqs. 12 to 16, in their discrete form",
        f"the claim holds at an interval if the mean error of s predicted from the target's ramp is at most "
        f"{theory.FOLLOWS:g} (median over up to {theory.NETWORKS} networks), at the steps where a sigmoid can produce the "
        "predicted s. It holds in part if it holds at some intervals only.",
        theory.signal,
    ),
    Claim(
        "proposition",
        "Proposition 1: a linearised NM-RNN with tied orthonormal factors is a semilinear LSTM.",
        "supplement A.1, corrected (docs/errata.md compares it with the printed form)",
        f"the claim holds if the largest error of z and y is at most {theory.ROUNDING:g} for {theory.INSTANCES} random "
        "networks, for one random network over 200 steps, and for a trained linearised network of the protocol. It holds in "
        "part if the proposition does not apply to the trained network.",
        theory.proposition,
    ),
    Claim(
        "sizes",
        "The models compared have matching numbers of learned parameters.",
        "supplement C.3",
        "the claim holds on a task if the largest number of learned parameters is at most 1.05 / 0.95 times the smallest, "
        "as for models within 5% of one budget. It holds in part if it holds on some tasks only.",
        sizes((TIMING, CONTEXT, SELECTION), (OURS, *RIVALS)),
    ),
)


def choose(text: str) -> list[Claim]:
    """The claims of a comma-separated list of names, all for ""; raises `NmbenchError` for an unknown name."""
    return errors.choose("claim", text, {claim.name: claim for claim in CLAIMS})


def wanted() -> list[ExperimentKey]:
    """The experiments whose rows test the claims."""
    protocols = (PAPER, MATCHED)
    return [
        *(ExperimentKey(m, task, p) for m in (OURS, *RIVALS) for task in (TIMING, SELECTION, CONTEXT) for p in protocols),
        ExperimentKey(OURS, SELECTION, CODE[PAPER]),
        *(ExperimentKey(theory.LINEAR, theory.RANK1, p, settings) for p in protocols for settings in ((), theory.EQUATIONS)),
    ]


@dataclasses.dataclass(frozen=True)
class LedgerEntry:
    """A claim and its findings by protocol."""

    claim: Claim
    findings: dict[str, ClaimFinding]


def ledger(evidence: Evidence, claims: Iterable[Claim] = CLAIMS) -> list[LedgerEntry]:
    """Test every claim against the evidence."""
    return [LedgerEntry(claim, {p: claim.measure(evidence, p) for p in claim.protocols}) for claim in claims]
