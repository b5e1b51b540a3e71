"""Metrics of the Pro/Anti tasks (supplement C.4), and their references: predictions that need no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nmbench import Metric, squared_error

from . import _pro_anti_trials as trials

TOLERANCE = np.pi / 10
# Percent correct of an answer that holds fixation and then reports a random angle, uniform on the circle. It is within pi/10
# of the target, on either side, with probability (2 pi/10) / (2 pi).
CHANCE = 10.0
# The same answer in the authors' metric. With arctan, answer and target are uniform on (-pi/2, pi/2). The authors' code
# wraps their difference at 2 pi, which has no effect on differences below pi. Two uniform points of an interval of length pi
# are closer than pi/10 with probability 1 - (1 - 1/10)^2. (Differences wrapped at pi would give 1/5.)
CHANCE_PUBLISHED = 19.0


def fixated(predictions: np.ndarray, arrays) -> np.ndarray:
    """Whether the fixation output, channel 0 of `predictions [T, B, 3]`, is above 0.5 at every step before go, `[B]`."""
    return np.all((predictions[..., 0] > 0.5) | ~trials.before_go(arrays), axis=0)


def percent_correct(predictions: np.ndarray, arrays) -> np.ndarray:
    """100 for a correct trial, 0 for any other, `[B]` (supplement C.4).

    A trial is correct if fixation is held until the fixation input switches off, and if the angle atan2(sine, cosine) of the
    outputs at the last step differs by less than pi/10 from the angle to report, with the difference wrapped to [0, pi]. The
    length of the vector (sine, cosine) does not matter.
    """
    last = np.asarray(predictions[-1], np.float64)
    turn = np.arctan2(last[:, 1], last[:, 2]) - trials.theta_out(arrays)
    distance = np.abs(np.mod(turn + np.pi, 2 * np.pi) - np.pi)
    return 100.0 * (fixated(predictions, arrays) & (distance < TOLERANCE))


def percent_correct_published(predictions: np.ndarray, arrays) -> np.ndarray:
    """Percent correct as in the authors' code, `[B]`. Use it only to compare with the publication, not to rank models.

    The angle is arctan(sine / cosine). It is the same for opposite angles, so an exactly opposite answer counts as correct.
    Differences between angles are not wrapped at pi, so a good answer counts as wrong if answer and target are on different
    sides of pi/2.
    """
    last = np.asarray(predictions[-1], np.float64)
    target = trials.response(arrays, trials.theta_out(arrays))[-1].astype(np.float64)
    distance = np.abs(_arctan(last) - _arctan(target))
    return 100.0 * (fixated(predictions, arrays) & (distance < TOLERANCE))


def _arctan(outputs: np.ndarray) -> np.ndarray:
    # x/0 is infinite and has the arctan +-pi/2; 0/0 is NaN, which counts as wrong.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.arctan(outputs[:, 1] / outputs[:, 2])


def mse(predictions: np.ndarray, arrays) -> np.ndarray:
    """Mean squared error over all steps and outputs, `[B]`."""
    targets = trials.response(arrays, trials.theta_out(arrays))
    return squared_error(predictions, {"targets": targets, "mask": np.ones((1, 1, 1))})


def metrics(test: Mapping[str, np.ndarray], by_task: bool, old_tasks_at: str = "") -> tuple[Metric, ...]:
    """The metrics, percent correct first.

    Args:
      test: arrays of the test set; the floor of `mse` is the error of the best constant answer to them.
      by_task: whether every metric is also reported for each task.
      old_tasks_at: stage whose parameters are judged on all tasks but `memory_anti`; "" for those after training.
    """
    earlier = {old_tasks_at: lambda arrays: ~_new(arrays)} if old_tasks_at else {}
    conditions = task_names if by_task else None
    targets = trials.response(test, trials.theta_out(test)).astype(np.float64)
    # Rounded, because the last bits of a sine depend on the platform.
    best_constant = round(float(np.mean(targets.var(axis=(0, 1)))), 9)
    percent: dict[str, Any] = {
        "higher_is_better": True,
        "ceiling": 100.0,
        "conditions": conditions,
        "condition_name": "task",
        "earlier": earlier,
    }
    return (
        Metric(name="percent_correct", per_trial=percent_correct, floor=CHANCE, threshold=90.0, **percent),
        Metric(name="percent_correct_published", per_trial=percent_correct_published, floor=CHANCE_PUBLISHED, **percent),
        Metric(
            name="mse",
            per_trial=mse,
            higher_is_better=False,
            floor=best_constant,
            ceiling=0.0,
            conditions=conditions,
            condition_name="task",
            earlier=earlier,
        ),
    )


def _new(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Trials of the task that is learned in retraining."""
    return arrays["task"] == trials.MEMORY_ANTI


def old_and_new(before: str) -> tuple[Metric, ...]:
    """Two metrics: percent correct on the first three tasks and on the fourth, after training and at the stage `before`.

    The first metric is the mean over the trials of three tasks, which have equal numbers of trials in the test set.
    """
    percent: dict[str, Any] = {"higher_is_better": True, "floor": CHANCE, "ceiling": 100.0, "stages": (before,)}
    return (
        Metric(
            name="old_tasks",
            per_trial=percent_correct,
            subset=lambda arrays: ~_new(arrays),
            conditions=task_names,
            condition_name="task",
            **percent,
        ),
        Metric(name="new_task", per_trial=percent_correct, subset=_new, **percent),
    )


def task_names(arrays) -> np.ndarray:
    """Name of each trial's task, `[B]`."""
    return np.asarray(trials.NAMES)[arrays["task"]]


def _best_constant(arrays) -> np.ndarray:
    targets = trials.response(arrays, trials.theta_out(arrays))
    return np.broadcast_to(targets.mean(axis=(0, 1), dtype=np.float64), targets.shape)


def _random_angle(arrays) -> np.ndarray:
    angle = 2 * np.pi * np.random.RandomState(0).random_sample(len(arrays["task"]))
    return trials.response(arrays, angle)


def _opposite_angle(arrays) -> np.ndarray:
    perfect = trials.response(arrays, trials.theta_out(arrays))
    return perfect * np.array([1, -1, -1], np.float32)


# All but the first hold fixation at 0.8 until go. The opposite angle has a `percent_correct_published` of 100.
REFERENCES: dict[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = {
    "best constant": _best_constant,
    "random angle": _random_angle,
    "opposite angle": _opposite_angle,
    "perfect": lambda arrays: trials.response(arrays, trials.theta_out(arrays)),
}
