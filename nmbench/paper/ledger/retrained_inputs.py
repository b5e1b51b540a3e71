"""What retraining does to the weights of the inputs sine and cosine, in models that retrain their input weights.

A trial of MemoryAnti whose inputs have the opposite sign is a trial of MemoryPro: the stimulus appears at the opposite
angle, and its angle is the one to report. A network that has learned MemoryPro can therefore learn MemoryAnti by reversing
two columns of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.input_weights import is_named
from nmbench.contracts.model import Baseline
from nmbench.contracts.parameters import flatten
from nmbench.contracts.specs import SequenceSpec
from nmbench.experiments import loading
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup
from nmbench.paper.ledger.performance import SEEDS, Measure
from nmbench.paper.ledger.verdicts import ClaimFinding, MeasuredValue, Verdict
from nmbench.report.text import number
from nmbench.support.errors import NmbenchError

ANGLE_CHANNELS = ("sensory/1", "sensory/2")


def reversed_inputs(task: str, new: str, stage: str, rivals: Sequence[str]) -> Measure:
    """Count the networks whose weights of sine and cosine retraining has reversed, and those that learned the new task.

    Args:
      task: name of the multitask.
      new: metric on the new task; it counts as learned from the threshold of the task on.
      stage: name of the stage before retraining.
      rivals: models that retrain their input weights.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        lines, reasons = [], []
        threshold = TASKS.get(task).primary.threshold
        assert threshold is not None
        for model in rivals:
            for group in evidence.longest_trained(ExperimentKey(model, task, protocol))[:1]:
                found = _cosines(group, stage)
                if not found:
                    continue
                learned = {row["run_id"] for row in group.rows if _value(row, new) >= threshold}
                turned = {run for run, one in found.items() if one.value < one.limit}
                kinds = {"with reversed weights": turned, "with other weights": found.keys() - turned}
                counts = [f"{len(runs & learned)} of the {len(runs)} {kind}" for kind, runs in kinds.items() if runs]
                reasons.append(f"{model} {' and '.join(counts)}")
                cosines = np.array([one.value for one in found.values()])
                lines.append(
                    MeasuredValue(
                        f"{model}: cosine of weights before and after, median",
                        number(float(np.median(cosines))),
                        f"{number(cosines.min())} .. {number(cosines.max())} (range)",
                        f"{len(turned)} of {len(found)} reversed; {group.description}",
                    )
                )
        missing = f"No parameters of networks on {task}, protocol {protocol}, are here, so nothing is measured"
        commands = tuple(ExperimentKey(model, task, protocol).command(SEEDS) for model in rivals)
        reason = f"Networks that reach {threshold:g}% on the new task: {'; '.join(reasons)}" if reasons else missing
        return ClaimFinding(Verdict.DOCUMENTED, reason, tuple(lines), "", commands)

    return measure


def _value(row: Mapping[str, Any], metric: str) -> float:
    value = row.get(f"metrics.{metric}")
    return -np.inf if value is None else value


class Cosine(NamedTuple):
    """Cosine of the angle between the weights before and after retraining, and the limit below which they are reversed."""

    value: float
    limit: float


def _cosines(group: SeedGroup, stage: str) -> dict[str, Cosine]:
    """From the run id of each network whose parameters are here to the cosine between its weights before and after."""
    found = {}
    for row, path in zip(group.rows, group.sources, strict=True):
        try:
            run = loading.load_row(row, loading.run_folder(row["run_id"], [path]))
            before, after = run.params(stage), run.params()
        except (NmbenchError, OSError):  # lost seeds, and missing or damaged files
            continue
        baseline, spec = run.experiment.baseline, run.experiment.task.spec
        found[row["run_id"]] = cosine(*(angle_weights(one, baseline, spec) for one in (before, after)))
    return found


def angle_weights(params: Any, baseline: Baseline, spec: SequenceSpec) -> np.ndarray:
    """All weights of a model that multiply the inputs sine and cosine, as one vector in float64."""
    parts = []
    for flat, array in sorted(flatten(params).items()):
        for name, where in baseline.input_weights.items():
            if is_named(flat, name):
                channels = where.channels(spec)
                chosen = [channels.index(channel) for channel in ANGLE_CHANNELS if channel in channels]
                parts.append(np.take(np.asarray(array, np.float64), np.array(chosen, int), axis=where.axis).ravel())
    return np.concatenate(parts)


def cosine(before: np.ndarray, after: np.ndarray) -> Cosine:
    """Cosine of the angle between two vectors: 1 if only the length differs, -1 if also the sign does.

    The limit is two standard deviations below the mean, 0, of the cosine with a random vector: -2 / sqrt(n) for n weights.
    """
    value = float(before @ after / (np.linalg.norm(before) * np.linalg.norm(after)))
    return Cosine(value, -2 / math.sqrt(len(before)))
