"""The claims of the publication, their sources, and how each is tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from nmbench.paper.ledger import documented, multitask, retrained_inputs, theory
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey
from nmbench.paper.ledger.performance import OURS, Measure, below, fewer_parameters, more_parameters, par, pooled, sizes
from nmbench.paper.ledger.verdicts import ClaimFinding
from nmbench.results import significance
from nmbench.support import errors

# The two protocols of most claims: as published, and under equal conditions.
PAPER, MATCHED = "paper", "matched"
# On the Element Finder the time constants of the authors' code differ from those of the supplement. Only the NM-RNN has
# this protocol.
CODE = {PAPER: "paper_code"}
TIMING, SELECTION, CONTEXT = "mwg_rank3", "element_finder", "multitask"
RIVALS = ("lrrnn", "rnn", "lstm")
# Sources that are not the supplement.
NOTES = "known to us from notes on the main text, not from the supplement"
NEEDED = (
    "For an open result, the text says how many seeds would decide it with a power of 80%, if the measured shares are the "
    "true ones."
)
AUTHORS_CODE = "the authors' public code (lindermanlab/nm-rnn), not the supplement"
# The experiments that Fig. 5B pools, by supplement C.3: (M, N, K), (N, K), learning rates.
_OURS = [dict(zip("MNK", shape.split())) for shape in ("5 18 8", "5 13 12", "10 14 5", "10 12 7", "15 6 5")]
_LOW_RANK = [dict(zip("NK", shape.split())) for shape in ("23 10", "31 7", "50 4", "83 2")]
SHAPES = {
    OURS: [ExperimentKey(OURS, SELECTION, PAPER, tuple(shape.items())) for shape in _OURS],
    "lrrnn": [ExperimentKey("lrrnn", SELECTION, PAPER, tuple(shape.items())) for shape in _LOW_RANK],
    "rnn": [ExperimentKey("rnn", SELECTION, PAPER, (), rate) for rate in (1e-3, 1e-2, 1e-1)],
    "lstm": [ExperimentKey("lstm", SELECTION, PAPER)],
}
# On Measure-Wait-Go, rivals whose recurrence is not divided by N, so that it is as strong at the start as the NM-RNN's.
SCALED = {
    OURS: [ExperimentKey(OURS, TIMING, PAPER)],
    **{rival: [ExperimentKey(rival, TIMING, PAPER, (("parametrisation", "matched"),))] for rival in ("lrrnn", "rnn")},
}
# Minutes of training one network by supplement C.3, by task and model; the multitask includes retraining.
MINUTES = {
    (theory.RANK1, theory.LINEAR): 20.0,
    **{(TIMING, model): minutes for model, minutes in zip((OURS, *RIVALS), (15.0, 9.0, 2.0, 4.0))},
    **{(CONTEXT, model): minutes for model, minutes in zip((OURS, *RIVALS), (120.0, 150.0, 7.0, 15.0))},
    **{(SELECTION, model): 5.0 for model in (OURS, *RIVALS)},
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, or a documented difference.

    Attributes:
      name: short name, for the flag `--only`.
      statement: the claim in one sentence.
      source: part of the publication that makes the claim.
      rule: how the verdict follows from the measured values.
      measure: computes a finding from evidence and protocol.
      protocols: protocols under which the claim is tested.
      figures: names of the figures that show what the claim is about.
    """

    name: str
    statement: str
    source: str
    rule: str
    measure: Measure
    protocols: tuple[str, ...] = (PAPER, MATCHED)
    figures: tuple[str, ...] = ()


_BELOW = (
    "the claim holds against a rival if the NM-RNN's error is significantly lower, and does not hold if it is "
    "significantly higher (unpaired permutation test of log errors over seeds; "
    f"{significance.UNEQUAL}; p < 0.05 with Holm's correction for the claim's rivals). Otherwise no difference "
    "is found if the 95% interval of the ratio of errors lies within 1/2 .. 2; if it does not, or if neither model solves "
    "the task in most seeds, we cannot tell. The claim holds in part if it holds against some rivals only."
)
_PAR = (
    "the claim holds if the 95% interval of the ratio of errors, NM-RNN / LSTM (geometric mean over seeds, Welch's interval "
    "of the logarithms), lies within 1/2 .. 2, else more than holds if it lies below 1, and does not hold if it lies above "
    "2. If it lies above 1 and contains 2, the NM-RNN is worse, but the size of the difference is open. We cannot tell if "
    "the interval contains 1 and extends beyond 1/2 or 2, or if the errors are equal but neither model solves the task."
)
_POOLED = (
    "As in Fig. 5B, all sizes and learning rates of supplement C.3 are pooled, ten seeds of each: five sizes of the NM-RNN"
)
_NO_VERDICT = "none. It is documented; what can be computed or measured about it is listed."
CLAIMS = (
    Claim(
        "extrapolation",
        "Measure-Wait-Go: on extrapolated intervals the NM-RNN's error is below those of the low-rank and the vanilla RNN.",
        f"main text, Measure-Wait-Go ({NOTES}); supplement C.2 and C.3, Fig. 1",
        _BELOW,
        below(TIMING, "mse_extrapolated", ("lrrnn", "rnn"), also=("mse_trained",)),
        figures=("intervals", "S1", "S2", "ablation"),
    ),
    Claim(
        "extrapolation_lstm",
        "Measure-Wait-Go: on extrapolated intervals the NM-RNN is on a par with the LSTM.",
        f"main text, Measure-Wait-Go ({NOTES}); supplement C.2 and C.3, Fig. 1",
        _PAR,
        par(TIMING, "mse_extrapolated", "lstm", also=("mse_trained",)),
        figures=("intervals", "S1"),
    ),
    Claim(
        "extrapolation_scaled",
        "Measure-Wait-Go, as published but with recurrent weights of the rivals that are not divided by N: on extrapolated "
        "intervals the NM-RNN's error is below those of the low-rank and the vanilla RNN.",
        f"a control of the claim before; {AUTHORS_CODE}, divides the recurrence of the rivals by N, not that of the NM-RNN",
        f"{_BELOW} The rivals have parametrisation=matched, with which their recurrence is not divided by N.",
        pooled(below(TIMING, "mse_extrapolated", ("lrrnn", "rnn"), also=("mse_trained",)), TIMING, SCALED),
        (PAPER,),
    ),
    Claim(
        "selection",
        "Element Finder: the NM-RNN's error is below those of the low-rank and the vanilla RNN.",
        f"Fig. 5B of the main text ({NOTES}); supplement C.3",
        f"{_BELOW} As published, the NM-RNN has the time constants of the supplement.",
        below(SELECTION, "mse", ("lrrnn", "rnn")),
        figures=("5B", "5C", "S5", "S6"),
    ),
    Claim(
        "selection_lstm",
        "Element Finder: the NM-RNN is on a par with the LSTM.",
        f"Figs. 5B and 5C of the main text ({NOTES}); supplement C.3",
        f"{_PAR} As published, the NM-RNN has the time constants of the supplement.",
        par(SELECTION, "mse", "lstm"),
        figures=("5B", "5C"),
    ),
    Claim(
        "selection_pooled",
        "Element Finder, all published sizes and learning rates: the NM-RNN's error is below those of the low-rank and the "
        "vanilla RNN.",
        f"Fig. 5B of the main text ({NOTES}); supplement C.3 lists what it pools",
        f"{_BELOW} {_POOLED}, four of the low-rank RNN, three learning rates of the vanilla RNN.",
        pooled(
            below(SELECTION, "mse", ("lrrnn", "rnn")), SELECTION, {model: SHAPES[model] for model in (OURS, "lrrnn", "rnn")}
        ),
        (PAPER,),
    ),
    Claim(
        "selection_pooled_lstm",
        "Element Finder, all published sizes: the NM-RNN is on a par with the LSTM.",
        f"Fig. 5B of the main text ({NOTES}); supplement C.3 lists what it pools",
        f"{_PAR} {_POOLED}, one of the LSTM.",
        pooled(par(SELECTION, "mse", "lstm"), SELECTION, {model: SHAPES[model] for model in (OURS, "lstm")}),
        (PAPER,),
    ),
    Claim(
        "selection_code",
        "Element Finder: with the time constants of the authors' code, the NM-RNN's error is below those of the low-rank "
        "and the vanilla RNN.",
        f"Fig. 5B of the main text ({NOTES}); {AUTHORS_CODE}",
        f"{_BELOW} The NM-RNN is trained under protocol paper_code, the rivals under protocol paper.",
        below(SELECTION, "mse", ("lrrnn", "rnn"), CODE),
        (PAPER,),
    ),
    Claim(
        "selection_code_lstm",
        "Element Finder: with the time constants of the authors' code, the NM-RNN is on a par with the LSTM.",
        f"Figs. 5B and 5C of the main text ({NOTES}); {AUTHORS_CODE}",
        f"{_PAR} The NM-RNN is trained under protocol paper_code, the LSTM under protocol paper.",
        par(SELECTION, "mse", "lstm", CODE),
        (PAPER,),
    ),
    Claim(
        "percent",
        "Multitask: for fully trained networks, percent correct as computed by the authors' code is the percentage of "
        "trials that hold fixation and end within pi/10 of the target.",
        f"supplement C.4; the formula: {AUTHORS_CODE}",
        "it is tested for every model on the three old tasks, before retraining. The claim holds if the 95% interval of the "
        "absolute difference between the published and the corrected metric (mean over finished seeds) ends at or below 1 "
        "point, and does not hold if it begins above 1 point. It holds in part if it holds for some models and tasks only; "
        "the intervals are not corrected for their number. Tasks that a network has not learned count "
        "as well. Without full training we cannot tell. The published metric "
        "can be too high or too low: it counts opposite answers as correct, and treats angles on the two sides of the "
        "vertical as far apart.",
        multitask.percent_published(CONTEXT, "percent_correct", "percent_correct_published", (OURS, *RIVALS)),
        figures=("percent",),
    ),
    Claim(
        "metric_source",
        "Multitask: percent correct is the metric of the work that the supplement cites for it, Driscoll et al. (2024).",
        f"supplement C.4 and its reference [6], with its public code (flexible_multitask, network.py); {AUTHORS_CODE}",
        "both metrics are computed for answers to the test set that need no training. The claim does not hold if they "
        f"differ by more than {multitask.POINTS:g} point for an answer. In the cited code only the last step counts, and "
        "fixation must be released there; C.4 demands fixation before go instead; the authors' code loses the quadrant of "
        "the angle.",
        multitask.metric_source(CONTEXT, "percent_correct", "percent_correct_published"),
        (PAPER,),
    ),
    Claim(
        "retraining",
        "Multitask: retraining only the neuromodulatory subnetwork suffices for the NM-RNN to learn MemoryAnti.",
        f"main text, multitask ({NOTES}); supplement C.2 and C.3",
        "the claim holds if significantly more than half of the seeds reach 90% correct (corrected) on MemoryAnti after "
        "retraining, where the task counts as solved, and does not hold if significantly fewer do: the 95% interval of the "
        "median then begins at or above 90%, or ends below it. We cannot tell with fewer than six seeds, because no "
        "interval covers 95%. Rivals retrain their input weights instead. They are shown if they were trained equally long, "
        f"but do not affect the verdict. {NEEDED}",
        multitask.retraining(CONTEXT, "new_task", "old_tasks", "before_retraining", RIVALS),
        figures=("S3", "S4"),
    ),
    Claim(
        "retraining_rivals",
        "Multitask: by retraining the neuromodulatory subnetwork, more NM-RNNs learn MemoryAnti than rivals do by "
        "retraining their input weights.",
        f"main text, multitask ({NOTES}); supplement C.2 and C.3",
        "the claim holds against a rival if the share of seeds that reach 90% correct (corrected) is significantly higher "
        "for the NM-RNN, and does not hold if it is significantly lower (permutation test over seeds, p < 0.05 with Holm's "
        "correction for the rivals); otherwise we cannot tell. It holds in part if it holds against some rivals only. "
        "Intervals are not corrected for the number of rivals, p values are. "
        f"{NEEDED}",
        multitask.retraining_rivals(CONTEXT, "new_task", RIVALS),
        figures=("percent",),
    ),
    Claim(
        "reversed_inputs",
        "Multitask: a rival, which retrains its input weights, can learn MemoryAnti by reversing those of the inputs sine "
        "and cosine, because MemoryAnti with inputs of the opposite sign is MemoryPro. The NM-RNN cannot: its weights of "
        "these inputs are frozen.",
        "supplement C.2 and C.3",
        f"{_NO_VERDICT} Measured is the cosine of the angle between the weights of sine and cosine before retraining and "
        "after it, all of a network as one vector: 1 if only their length changed, -1 if they were reversed. They count as "
        "reversed if it is below -2 / sqrt(n) for n weights, which is so for 2.3% of random vectors. Only a network that "
        "has learned MemoryPro can profit.",
        retrained_inputs.reversed_inputs(CONTEXT, "new_task", "before_retraining", RIVALS),
    ),
    Claim(
        "signal",
        "The neuromodulatory signal of a trained rank-1 network follows the theory.",
        f"Fig. 3B of the main text ({NOTES}); supplement B, Eqs. 12 to 16, in their discrete form",
        "from the target's ramp we compute which s the theory needs, and compare it with the network's s; steps at which "
        "the needed s is not between 0 and 1 are left out. At each tested interval, the claim holds if the 95% interval of "
        f"the median error (over up to {theory.NETWORKS} networks) ends at or below {theory.FOLLOWS:g}, and does not hold "
        "if it begins above; else we cannot tell. It holds in part if it holds at some intervals only. Networks that have "
        "not learned the task do not count: those whose error on the extrapolated intervals is above that of the interval "
        "clamped to [12, 18].",
        theory.signal,
        figures=("3B",),
    ),
    Claim(
        "signal_printed",
        "Eq. 16, evaluated at the steps of a discrete network, gives the signal with which it outputs a linear ramp.",
        "supplement B, Eqs. 15 and 16 (docs/errata.md has the discrete form)",
        f"the claim holds if the output under this signal differs from the ramp by at most {theory.ROUNDING:g}, for ramps "
        "as in Fig. 3B. tau = 2 as in C.3; R^T L = 1 and d = 0.8 are our choice.",
        theory.signal_as_printed,
        (PAPER,),
    ),
    Claim(
        "signal_corrected",
        "Eqs. 12 to 16, corrected, in discrete form: signal and state of a rank-1 network can be computed from its output.",
        "supplement B, corrected (docs/errata.md compares it with the printed form)",
        f"the claim holds if the largest errors of s and x are at most {theory.ROUNDING:g} for {theory.INSTANCES} random "
        "networks each, linear and tanh, with and without inputs, at the steps where s can be computed.",
        theory.signal_corrected,
        (PAPER,),
    ),
    Claim(
        "power_law",
        "During a linear ramp, the signal s of Eq. 16 follows a power law.",
        "supplement B, after Eq. 16",
        "a power law a |t - t0|^b, here called q, has a quotient q/q' that is linear in t. The claim holds if this quotient "
        f"deviates from a line by at most {theory.LINEAR_TO:g} of its range for s and for s - 1/(R^T L), and in part if it "
        "does so for one of them. tau = 2 as in C.3; R^T L = 1 and d = 0.8 are our choice.",
        theory.power_law,
        (PAPER,),
    ),
    Claim(
        "proposition_printed",
        "Proposition 1, as printed: the semilinear LSTM constructed in the proof reproduces z and y of a linearised NM-RNN.",
        "supplement A.1 (docs/errata.md lists its mistakes)",
        f"the claim holds if the largest error of z and y is at most {theory.ROUNDING:g} for all of {theory.PRINTED} random "
        "networks over 200 steps, and in part if it is for some. Shapes and the initial state are corrected.",
        theory.proposition_as_printed,
        (PAPER,),
    ),
    Claim(
        "proposition",
        "Proposition 1, corrected: a linearised NM-RNN with tied orthonormal factors is a semilinear LSTM.",
        "supplement A.1, corrected (docs/errata.md compares it with the printed form)",
        f"the claim holds if the largest error of z and y is at most {theory.ROUNDING:g} for {theory.INSTANCES} random "
        "networks, for one random network over 200 steps, and for a trained network of the protocol, if there is one to "
        "which the proposition applies. It does not apply to leaky networks, which therefore do not count.",
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
    Claim(
        "more_parameters",
        "Multitask: the low-rank RNN has more parameters than the NM-RNN, because it receives the context as well.",
        "supplement C.3",
        "the claim holds if the low-rank RNN of the published size has more learned parameters, with the three context "
        "channels of the first phase and with the four of retraining. The whole NM-RNN counts; C.3 also names its output "
        "network alone, which is shown.",
        more_parameters(CONTEXT, "lrrnn", "context"),
        (PAPER,),
    ),
    Claim(
        "fewer_parameters",
        "Low-rank RNNs and NM-RNNs have fewer parameters than vanilla RNNs and LSTMs with as many units.",
        "supplement C.3",
        "the claim holds if, for the published sizes of the NM-RNN and the low-rank RNN, a vanilla RNN and an LSTM with the "
        "same N have more learned parameters, and in part if this is so for some tasks and models only.",
        fewer_parameters((TIMING, CONTEXT, SELECTION), (OURS, "lrrnn"), ("rnn", "lstm")),
        (PAPER,),
    ),
    Claim(
        "training_loss",
        "The authors' code selects parameters by the training loss, compared every 1000 steps. On the Element Finder, it "
        "compares the loss at every step, on one minibatch of 128 new trials, and reports the lowest one as the result of a "
        "run. nmbench selects on a validation set and reports the error on a test set.",
        f"{AUTHORS_CODE}: nmrnn/fitting.py, nmlrrnn_vs_lstm/",
        f"{_NO_VERDICT} Measured are two ratios: the validation error where the mean training loss between two validations "
        "is lowest, divided by the lowest validation error; and the error of the lowest of many minibatches of test trials, "
        "divided by that of all test trials.",
        documented.training_loss(SELECTION, (OURS, *RIVALS)),
        (PAPER,),
    ),
    Claim(
        "rivals_data",
        "Multitask: the scripts of the rivals use other training data than that of the NM-RNN.",
        f"supplement C.2 (3000 trials for all); {AUTHORS_CODE}: train_*_multitask_plus_retrain.py",
        _NO_VERDICT,
        documented.difference(
            "In the versions that we have seen, the scripts of the low-rank RNN, the vanilla RNN and the LSTM by default "
            "draw 500 training trials instead of 3000, and those of the vanilla RNN and the LSTM add noise with a standard "
            "deviation of 0.1 to all inputs. Defaults can be overridden, so what was published is not known. nmbench "
            "trains all models on the same 3000 trials without noise"
        ),
        (PAPER,),
    ),
    Claim(
        "test_trials",
        "Multitask: the authors' scripts test on 25 trials of each task, not on 1000.",
        f"supplement C.2 (1000 trials); {AUTHORS_CODE}: train_*_multitask_plus_retrain.py",
        _NO_VERDICT,
        documented.few_trials(25, CONTEXT, (0.5, 0.9)),
        (PAPER,),
    ),
    Claim(
        "training_times",
        "Times of training: from 2 minutes (vanilla RNN, Measure-Wait-Go) to 2.5 hours (low-rank RNN, multitask), on at "
        "least 32 processors.",
        "supplement C.3",
        f"{_NO_VERDICT} Published times are those of one network. Ours are times of several seeds trained together, divided "
        "by their number, on the processor that the rows name.",
        documented.training_times(MINUTES),
        (PAPER,),
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
        *(key for shapes in (SHAPES, SCALED) for keys in shapes.values() for key in keys if key.given),
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
