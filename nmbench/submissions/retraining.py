"""Tier re-trained: train seeds that a hash has drawn, from the configuration alone, and compare.

Two things are compared, for each experiment:

1. the first point of every submitted training curve with that of the same seed here (`training_starts`), for all seeds;
2. the values of k seeds, drawn from a hash of the submission, trained to the end. Where the machine computes as the
   submitter's did, every value must be equal to the bit; elsewhere the k values are tested against the n submitted ones
   (`distribution_test`).

A machine computes as the submitter's did if commit, versions, processor and settings are those of the row
(`reproduction.SURROUNDINGS`), or those of a row whose retrained seed has the same value to the bit. The second does not
happen by chance if the metric is an error that takes any value. Percentages and shares of trials are counts: two of them are
often equal.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.task import Task
from nmbench.experiments import reproduction
from nmbench.experiments.configuration import Configuration
from nmbench.results import statistics
from nmbench.results.verification import SubmittedExperiment
from nmbench.submissions import distribution_test, probe, rescoring, training_starts
from nmbench.submissions.asking import Respondent
from nmbench.submissions.checks import Compared, Rows
from nmbench.submissions.retraining_probe import run_folder
from nmbench.support.errors import NmbenchError

EXACT, DISTRIBUTION = "exact", "distribution"


class Draw(NamedTuple):
    """How seeds are drawn.

    Attributes:
      k: number of seeds; all seeds of an experiment if it has no more.
      salt: any text. A verifier who suspects that a submission was changed until it drew convenient seeds chooses another.
    """

    k: int = distribution_test.SEEDS
    salt: str = ""


DEFAULT_DRAW = Draw()


def draw_seeds(content_sha256: str, experiment: SubmittedExperiment, n: int, draw: Draw = DEFAULT_DRAW) -> list[int]:
    """Some of the seeds 0 to n - 1, sorted: those with the smallest sha256 of content, experiment, salt and seed.

    Args:
      content_sha256: hash of the submission.
      experiment: every experiment of a submission has its own seeds.
      n: number of submitted seeds.
      draw: how many, and the salt.
    """
    prefix = "\n".join([content_sha256, *map(str, experiment), draw.salt])
    order = sorted(range(n), key=lambda seed: hashlib.sha256(f"{prefix}\n{seed}".encode()).digest())
    return sorted(order[: draw.k])


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
    counts: bool = False,
) -> Outcome:
    """Compare retrained values with the submitted ones.

    Args:
      submitted: seed to value, for all submitted seeds; None for a lost seed.
      retrained: seed to value, for the retrained ones; None if it diverged.
      machines: seed to a description of the machine and the versions of its row.
      here: the description of this machine.
      higher_is_better: whether a higher value is better.
      counts: whether values may be equal by chance.
    """
    equal = tuple(seed for seed, value in retrained.items() if value == submitted[seed])
    # That a run diverges again proves nothing about the machine.
    alike = [here, *(machines[seed] for seed in equal if not counts and retrained[seed] is not None)]
    unequal = tuple(seed for seed in retrained if seed not in equal and machines[seed] in alike)
    if unequal or len(equal) == len(retrained):
        return Outcome(not unequal, EXACT, equal, unequal, None)
    p = distribution_test.p_value(list(submitted.values()), list(retrained.values()), higher_is_better)
    return Outcome(p > distribution_test.FALSE_ALARM, DISTRIBUTION, equal, (), p)


def check_starts(rows: Rows, curves: Mapping[int, np.ndarray], model: Respondent) -> Compared:
    """The training curve of each seed begins as this seed begins here; see `training_starts`.

    Args:
      rows: all rows of an experiment, with the seeds 0 to n - 1.
      curves: seed to training curve `[P, 3]` (`nmbench.results.curves`), for the runs that have one.
      model: whom to ask.

    Raises:
      NmbenchError: too many curves begin differently, or the model's process gave no answer.
    """
    seeds = [row["seed"] for row in rows]
    found = _losses(model.ask(_question("starts", rows, seeds=seeds)).get("starts"), len(seeds))
    submitted = np.array([curves[seed][0, 1:] if seed in curves else [math.nan] * 2 for seed in seeds])
    outcome = training_starts.compare(submitted, found[:, 0], found[:, 1])
    strangers = [s for s, steady, own in zip(seeds, outcome.steady, outcome.recognised, strict=True) if steady and not own]
    if not outcome.passed:
        raise NmbenchError(
            f"the training curves of {len(strangers)} of {outcome.judged} seeds do not begin like these seeds (first: "
            f"{', '.join(map(str, strangers[:5]))}); that happens if they were trained with other seeds, "
            "settings, data or code"
        )
    return Compared(
        f"starts of training: {outcome.matches} of {outcome.judged} steady seeds (of {len(seeds)}) recognised; others",
        1 - outcome.matches / outcome.judged if outcome.judged else None,
        round(1 - training_starts.RECOGNISED, 6),
        {"judged": outcome.judged, "recognised": outcome.matches, "not_recognised": strangers},
    )


def check_values(rows: Rows, seeds: Sequence[int], model: Respondent) -> Compared:
    """Seeds that are trained again give the values of their rows, or values as good as those of the rows.

    Args:
      rows: all rows of an experiment, with the seeds 0 to n - 1, which reached tier re-scored.
      seeds: the seeds to train, from `draw_seeds`.
      model: whom to ask.

    Raises:
      NmbenchError: the values are not equal where they must be, or worse than the test allows; or the model's process gave
        no answer.
    """
    task, by_seed = TASKS.get(rows[0]["task"]), {row["seed"]: row for row in rows}
    retrained = _retrained_values(task, rows, seeds, model)
    submitted = {seed: row["value"] if row["status"] == "ok" else None for seed, row in by_seed.items()}
    differs = {seed: reproduction.surroundings(by_seed[seed]) for seed in seeds}
    machines = {seed: tuple((name, then) for name, (then, _) in found.items()) for seed, found in differs.items()}
    primary = task.primary
    counts = primary.share_of_trials or not statistics.compares_logarithms(primary.higher_is_better, primary.ceiling)
    outcome = compare(submitted, retrained, machines, (), primary.higher_is_better, counts)
    shown = lambda seed: f"{reproduction.number(retrained[seed])}, not {reproduction.number(submitted[seed])}"
    if outcome.unequal:
        raise NmbenchError(
            f"{len(outcome.unequal)} of {len(seeds)} retrained seeds have other values than their rows, on a machine that "
            f"computes alike: seed {outcome.unequal[0]} has {shown(outcome.unequal[0])}"
        )
    if not outcome.passed:
        raise NmbenchError(
            f"{len(seeds)} retrained seeds are worse than those of the rows (rank test, p = {outcome.p:.2g}, which fails at "
            f"{distribution_test.FALSE_ALARM:g} or less); seed {seeds[0]} has {shown(seeds[0])}"
        )
    exact = outcome.method == EXACT
    how = "equal to the bit" if exact else f"not significantly worse than the rows (rank test, p = {outcome.p:.2g})"
    pairs = [reproduction.Reproduction(submitted[seed], retrained[seed], 0.0) for seed in seeds]
    return Compared(
        f"values of {len(seeds)} of {len(rows)} seeds, trained again: {how}",
        max(pair.difference for pair in pairs) if exact else None,
        0.0 if exact else None,
        {
            "method": outcome.method,
            "values": {str(seed): [submitted[seed], retrained[seed]] for seed in seeds},
            "equal": list(outcome.equal),
            "p": outcome.p,
            "level": distribution_test.FALSE_ALARM,
            "least_p": distribution_test.least_p(len(rows), len(seeds)),
            "differs": sorted({name for found in differs.values() for name in found}),
            "protection": model.protection,
        },
    )


def _retrained_values(task: Task, rows: Rows, seeds: Sequence[int], model: Respondent) -> dict[int, float | None]:
    """The primary metric of each retrained seed; None if it diverged.

    One process trains. Another, which has the inputs of the test set but not the targets, predicts; this one scores.
    """
    answer = model.ask(_question("retrained", rows, seeds=list(seeds)))
    stages = dict(zip(seeds, _stages(answer.get("runs"), len(seeds), task), strict=True))
    runs = {run_folder(seed): found for seed, found in stages.items() if found}
    if runs:
        probe.write_inputs(model.files, task)
        model.ask(_question("predictions", rows, runs=runs))
    return {seed: _value(task, model.files / run_folder(seed), stages[seed]) for seed in seeds}


def _question(ask: str, rows: Rows, **entries: Any) -> dict[str, Any]:
    return {"ask": ask, "configuration": Configuration.from_json(rows[0]["config_json"]).to_dict(), **entries}


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
