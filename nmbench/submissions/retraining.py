"""Tier re-trained: train seeds that the submitter could not choose from the configuration alone, and compare.

Two things are compared, for each experiment:

1. the first point of every submitted training curve with that of the same seed here (`training_starts`), for all seeds;
2. the values of k seeds, drawn from a hash of the submission, trained to the end. Where the machine computes as the
   submitter's did, every value must be equal to the bit; elsewhere the k values are tested against the n submitted ones
   (`distribution_test`).

A machine computes as the submitter's did if commit, versions, processor and settings are those of the row
(`reproduction.SURROUNDINGS`), or if any retrained seed has the value of its row to the bit, which does not happen by chance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.task import Task
from nmbench.experiments import reproduction
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.reproduction import Reproduction
from nmbench.results.verification import RE_TRAINED, SubmittedExperiment, VerificationStep
from nmbench.submissions import distribution_test, rescoring, training_starts
from nmbench.submissions.probe import Ask
from nmbench.submissions.retraining_probe import run_folder
from nmbench.support.errors import NmbenchError

EXACT, DISTRIBUTION = "exact", "distribution"


def draw_seeds(content_sha256: str, experiment: SubmittedExperiment, n: int, k: int, salt: str = "") -> list[int]:
    """`k` of the seeds 0 to n - 1, sorted: those with the smallest sha256 of content, experiment, salt and seed.

    Args:
      content_sha256: hash of the submission.
      experiment: every experiment of a submission has its own seeds.
      n: number of submitted seeds.
      k: number of seeds to draw; all seeds if it is `n` or more.
      salt: any text. A verifier who suspects that a submission was changed until it drew convenient seeds chooses another.
    """
    prefix = "\n".join([content_sha256, *map(str, experiment[:4]), salt])
    order = sorted(range(n), key=lambda seed: hashlib.sha256(f"{prefix}\n{seed}".encode()).digest())
    return sorted(order[:k])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How the retrained values compare with the submitted ones.

    Attributes:
      passed: whether the experiment passes.
      method: `EXACT` if every value is equal, or had to be; otherwise `DISTRIBUTION`.
      equal: seeds whose values are equal to the bit.
      unequal: seeds whose values had to be equal and are not.
      p: p value of the test; None if it was not needed.
    """

    passed: bool
    method: str
    equal: tuple[int, ...]
    unequal: tuple[int, ...]
    p: float | None


def compare(
    submitted: Mapping[int, float | None],
    retrained: Mapping[int, float | None],
    machines: Mapping[int, Any],
    here: Any,
    higher_is_better: bool,
) -> Outcome:
    """Compare retrained values with the submitted ones.

    Args:
      submitted: seed to value, for all submitted seeds; None for a lost seed.
      retrained: seed to value, for the retrained ones; None if it diverged.
      machines: seed to a description of the machine and the versions of its row.
      here: the description of this machine.
      higher_is_better: whether a higher value is better.
    """
    equal = tuple(seed for seed, value in retrained.items() if value == submitted[seed])
    # That a run diverges again proves nothing about the machine.
    alike = [here, *(machines[seed] for seed in equal if retrained[seed] is not None)]
    unequal = tuple(seed for seed in retrained if seed not in equal and machines[seed] in alike)
    if unequal or len(equal) == len(retrained):
        return Outcome(not unequal, EXACT, equal, unequal, None)
    p = distribution_test.p_value(list(submitted.values()), list(retrained.values()), higher_is_better)
    return Outcome(p > distribution_test.FALSE_ALARM, DISTRIBUTION, equal, (), p)


def retrain(
    experiment: SubmittedExperiment,
    rows: Sequence[Mapping[str, Any]],
    curves: Mapping[int, np.ndarray],
    ask: Ask,
    content_sha256: str,
    *,
    k: int = distribution_test.SEEDS,
    salt: str = "",
) -> Iterator[VerificationStep]:
    """Retrain an experiment whose rows reached tier re-scored; yields the steps for its record.

    Args:
      experiment: the experiment.
      rows: all its rows, with the seeds 0 to n - 1 in this order.
      curves: seed to training curve `[P, 3]` (`nmbench.results.curves`), for the runs that have one.
      ask: how to ask the model (`isolation.isolated`).
      content_sha256: hash of the submission.
      k: number of seeds to retrain.
      salt: see `draw_seeds`.

    Raises:
      NmbenchError: the model's process failed or broke a limit, or its files are not what they should be.
    """
    task = TASKS.get(experiment.task)
    if curves:
        yield _check_starts(experiment, rows, curves, ask)
    seeds = draw_seeds(content_sha256, experiment, len(rows), k, salt)
    yield _check_values(experiment, task, rows, seeds, ask, salt)


def _check_starts(
    experiment: SubmittedExperiment, rows: Sequence[Mapping[str, Any]], curves: Mapping[int, np.ndarray], ask: Ask
) -> VerificationStep:
    began, seeds = time.perf_counter(), [row["seed"] for row in rows]
    with tempfile.TemporaryDirectory(prefix="nmbench-") as folder:
        answer = ask(_question("starts", rows, seeds=seeds), pathlib.Path(folder))
    found = _losses(answer.get("starts"), len(seeds))
    submitted = np.array([curves[seed][0, 1:] if seed in curves else [math.nan] * 2 for seed in seeds])
    outcome = training_starts.compare(submitted, found[:, 0], found[:, 1])
    strangers = [s for s, steady, own in zip(seeds, outcome.steady, outcome.recognised, strict=True) if steady and not own]
    return VerificationStep(
        experiment=experiment,
        tier=RE_TRAINED,
        compared=f"{outcome.judged} of {len(seeds)} seeds: start of the submitted training curve and of the same seed here",
        passed=outcome.passed,
        difference=1 - outcome.matches / outcome.judged if outcome.judged else None,
        tolerance=round(1 - training_starts.RECOGNISED, 6),
        details={"judged": outcome.judged, "recognised": outcome.matches, "not_recognised": strangers},
        duration_s=round(time.perf_counter() - began, 1),
    )


def _check_values(
    experiment: SubmittedExperiment,
    task: Task,
    rows: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    ask: Ask,
    salt: str,
) -> VerificationStep:
    began, by_seed = time.perf_counter(), {row["seed"]: row for row in rows}
    retrained = _retrained_values(task, rows, seeds, ask)
    submitted = {seed: row["value"] if row["status"] == "ok" else None for seed, row in by_seed.items()}
    differs = {seed: reproduction.surroundings(by_seed[seed]) for seed in seeds}
    machines = {seed: tuple((name, then) for name, (then, _) in found.items()) for seed, found in differs.items()}
    outcome = compare(submitted, retrained, machines, (), task.primary.higher_is_better)
    pairs = [Reproduction(submitted[seed], retrained[seed], 0.0) for seed in seeds]
    return VerificationStep(
        experiment=experiment,
        tier=RE_TRAINED,
        compared=_sentence(outcome, len(seeds), len(rows)),
        passed=outcome.passed,
        difference=max(pair.difference for pair in pairs) if outcome.method == EXACT else None,
        tolerance=0.0 if outcome.method == EXACT else None,
        details={
            "method": outcome.method,
            "values": {str(seed): [submitted[seed], retrained[seed]] for seed in seeds},
            "equal": list(outcome.equal),
            "unequal": list(outcome.unequal),
            "p": outcome.p,
            "level": distribution_test.FALSE_ALARM,
            "least_p": distribution_test.least_p(len(rows), len(seeds)),
            "differs": sorted({name for found in differs.values() for name in found}),
            "salt": salt,
            "namespaces": getattr(ask, "namespaces", None),
        },
        duration_s=round(time.perf_counter() - began, 1),
    )


def _retrained_values(
    task: Task, rows: Sequence[Mapping[str, Any]], seeds: Sequence[int], ask: Ask
) -> dict[int, float | None]:
    """The primary metric of each retrained seed; None if it diverged.

    One process trains. Another, which has the inputs of the test set but not the targets, predicts; this one scores.
    """
    with tempfile.TemporaryDirectory(prefix="nmbench-") as text:
        folder = pathlib.Path(text)
        answer = ask(_question("retrained", rows, seeds=list(seeds)), folder)
        stages = dict(zip(seeds, _stages(answer.get("runs"), len(seeds), task), strict=True))
        runs = {run_folder(seed): found for seed, found in stages.items() if found}
        if runs:
            ask(_question("predictions", rows, runs=runs), folder)
        return {seed: _value(task, folder / run_folder(seed), stages[seed]) for seed in seeds}


def _question(ask: str, rows: Sequence[Mapping[str, Any]], **entries: Any) -> dict[str, Any]:
    return {"ask": ask, "configuration": Configuration.from_json(rows[0]["config_json"]).to_dict(), **entries}


def _sentence(outcome: Outcome, k: int, n: int) -> str:
    if outcome.method == EXACT:
        return f"{k} of {n} seeds, trained again: their values and those of the rows, to the bit"
    return f"{k} of {n} seeds, trained again: their values and those of all rows, by a rank test (p {outcome.p:.3g})"


def _value(task: Task, folder: pathlib.Path, stages: Sequence[str]) -> float | None:
    if not stages:
        return None
    predictions = rescoring.read_predictions(folder, task, list(stages))
    earlier = {stage: one for stage, one in predictions.items() if stage}
    value = float(task.evaluate(predictions[""], task.frozen("test").arrays, earlier)["values"][task.primary.name])
    return value if math.isfinite(value) else None


def _losses(answer: Any, n: int) -> np.ndarray:
    """`[n, 2, 2]` losses from the process; raises `NmbenchError` if they are something else."""
    try:
        found = np.array(answer, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        found = np.zeros(())
    if found.shape != (n, 2, 2):
        raise NmbenchError("the model's process returned no training losses")
    return found


def _stages(answer: Any, n: int, task: Task) -> list[list[str]]:
    """The stages of each run from the process, [] for a run that diverged; raises `NmbenchError` if it is something else."""
    known = {phase.stage for protocol in task.protocols for phase in protocol.phases} | {""}
    found = [one.get("stages") if isinstance(one, dict) else None for one in answer] if isinstance(answer, list) else []
    valid = [isinstance(one, list) and all(stage in known for stage in one) and (not one or "" in one) for one in found]
    if len(found) != n or not all(valid):
        raise NmbenchError("the model's process returned no runs")
    return found  # pyright: ignore[reportReturnType]
