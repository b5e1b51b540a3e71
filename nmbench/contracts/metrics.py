"""Metrics: NumPy functions of predictions and a frozen set, each with its floor and ceiling.

A metric function returns one number per trial. The metric's value is the mean of these numbers over all trials or over a
subset. The numbers per trial are stored with the results.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nmbench.support.errors import NmbenchError

_NAME = re.compile(r"[A-Za-z0-9_\-]+")
# Arguments of NumPy's function that writes the values of trials under the names of their metrics.
_TAKEN = ("file", "allow_pickle")
# Smaller errors count as this one when logarithms are compared, so that an error of 0 has a logarithm.
SMALLEST_ERROR = 1e-12

Arrays = Mapping[str, np.ndarray]
PerTrial = Callable[[np.ndarray, Arrays], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measure of a model's predictions on a frozen set.

    Attributes:
      name: column name in results.
      per_trial: `(predictions [T, B, O], arrays of the set) -> [B]`; the metric's value is its mean over trials. The first
        paragraph of its docstring says what it measures, that of `subset` which trials count; `describe` prints both.
      higher_is_better: whether a higher value is better.
      floor: value of a simple answer without training, such as chance, or the best one that ignores the trial; it scores 0.
      ceiling: value of a perfect answer; this value scores 100.
      conditions: optional `arrays -> [B]` labels; the metric is then also reported per label.
      condition_name: what the labels denote, e.g. "interval".
      subset: optional `arrays -> [B]` booleans that select the trials of the mean and of the conditions.
      threshold: a run that reaches this value has solved the task; None if there is no such value.
      stages: names of earlier stages of training (see `Phase.stage`). The metric is also computed with the parameters of
        these stages and recorded as "NAME.STAGE".
      earlier: name of an earlier stage to a function `arrays -> [B]`, booleans. These trials are judged with the parameters
        of that stage, all other trials with those after training.
      share_of_trials: whether each trial counts 0 or 1, for example 1 if it is wrong. It changes only how an error of 0 is
        compared with others (see `smallest_error`).
    """

    name: str
    per_trial: PerTrial
    higher_is_better: bool
    floor: float
    ceiling: float
    conditions: Callable[[Arrays], np.ndarray] | None = None
    condition_name: str = "condition"
    subset: Callable[[Arrays], np.ndarray] | None = None
    threshold: float | None = None
    stages: tuple[str, ...] = ()
    earlier: Mapping[str, Callable[[Arrays], np.ndarray]] = dataclasses.field(default_factory=dict)
    share_of_trials: bool = False

    def __post_init__(self):
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise NmbenchError(
                f"the name of a metric may contain only letters, digits, '_' and '-', and may not be "
                f"{' or '.join(map(repr, _TAKEN))}; got {self.name!r}"
            )
        for attribute in ("floor", "ceiling", *(() if self.threshold is None else ("threshold",))):
            value = getattr(self, attribute)
            if not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise NmbenchError(f"the {attribute} of metric {self.name!r} must be a finite number, got {value!r}")
        if self.floor == self.ceiling:
            raise NmbenchError(
                f"metric {self.name!r}: floor and ceiling are both {self.floor:g}, but must differ; the floor is the value "
                f"of a simple answer without training, the ceiling that of a perfect one"
            )
        low, high = sorted((self.floor, self.ceiling))
        if self.threshold is not None and not low <= self.threshold <= high:
            raise NmbenchError(
                f"metric {self.name!r}: the threshold {self.threshold:g} must lie between the floor {self.floor:g} and the "
                f"ceiling {self.ceiling:g}"
            )

    @property
    def meaning(self) -> str:
        """First paragraphs of the docstrings of `per_trial` and of `subset`, without shapes; "" without any."""
        return " ".join(filter(None, map(_first_paragraph, (self.per_trial, self.subset))))

    def mean(self, per_trial: np.ndarray, arrays: Arrays) -> float:
        """The metric's value: mean of `per_trial [B]` over the subset, accumulated in float64."""
        self.check(arrays, len(per_trial))
        return float(np.mean(per_trial[self.chosen(arrays, len(per_trial))], dtype=np.float64))

    def check(self, arrays: Arrays, trials: int) -> None:
        """Raise `NmbenchError` if the metric's subset contains none of the set's `trials` trials, or one without a label."""
        chosen = self.chosen(arrays, trials)
        if not chosen.any():
            raise NmbenchError(f"this set has no trial in the subset of metric {self.name!r}")
        labels = np.zeros(trials) if self.conditions is None else np.asarray(self.conditions(arrays))
        for what, found in (("labels", labels), ("entries of its subset", chosen)):
            if found.shape != (trials,):
                raise NmbenchError(
                    f"metric {self.name!r} has {what} of shape {found.shape}, not one for each of {trials} trials"
                )
        if (labels != labels)[chosen].any():  # NaN
            raise NmbenchError(
                f"a condition of metric {self.name!r} is NaN; give each trial a label, or leave the trial out with subset="
            )

    def smallest_error(self, arrays: Arrays, trials: int) -> float:
        """What a smaller error counts as when logarithms are compared, on a set of `trials` trials.

        If none of n trials is wrong, the error may still be close to 1/n. So an error that is a share of the n trials in the
        metric's subset counts at least as 1/(2n), half a trial. Every other error counts at least as `SMALLEST_ERROR`.
        """
        return 0.5 / int(self.chosen(arrays, trials).sum()) if self.share_of_trials else SMALLEST_ERROR

    def by_condition(self, per_trial: np.ndarray, arrays: Arrays) -> dict[str, float]:
        """Mean of `per_trial [B]` for each condition label, within the subset; `{}` without conditions."""
        if self.conditions is None:
            return {}
        labels, chosen = np.asarray(self.conditions(arrays)), self.chosen(arrays, len(per_trial))
        return {
            str(label): float(np.mean(per_trial[chosen & (labels == label)], dtype=np.float64))
            for label in np.unique(labels[chosen])
        }

    def chosen(self, arrays: Arrays, trials: int) -> np.ndarray:
        """Which trials of a set of `trials` the metric counts, booleans `[B]`: those in its subset."""
        return np.ones(trials, bool) if self.subset is None else np.asarray(self.subset(arrays), bool)

    def score(self, value: float) -> float:
        """Scale a value to 0 (floor) .. 100 (ceiling), clipped: a model worse than chance scores 0."""
        return float(scores(np.asarray(value), self.floor, self.ceiling))

    def solved(self, value: float) -> bool:
        """Whether `value` reaches the threshold; False if the metric has no threshold."""
        if self.threshold is None:
            return False
        return value >= self.threshold if self.higher_is_better else value <= self.threshold


def _first_paragraph(function: Callable | None) -> str:
    doc = inspect.getdoc(function) if inspect.isfunction(function) else None
    return (doc or "").partition("\n\n")[0].replace("\n", " ").replace(", `[B]`", "")


def scores(values: np.ndarray, floor: float, ceiling: float) -> np.ndarray:
    """`values [...]` of a metric scaled to 0 (floor) .. 100 (ceiling) and clipped, `[...]`."""
    with np.errstate(over="ignore"):  # an overflow is clipped as well
        return np.clip(100.0 * ((values - floor) / (ceiling - floor)), 0.0, 100.0) + 0.0  # no -0.0


def one_hot(labels: Any, classes: int) -> Any:
    """1.0 at the index of a label and 0.0 elsewhere, `[..., classes]`, from integers `[...]` of NumPy or JAX.

    A label outside 0 .. classes - 1 gives zeros: at this step, there is no right class and no loss.
    """
    index = np.arange(classes).reshape((1,) * labels.ndim + (classes,))
    return (labels[..., None] == index).astype(np.float32)


def accuracy(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Share of the steps of each trial at which the largest output is that of the right class, weighted by a mask.

    Args:
      predictions: logits of the classes, `[T, B, O]`.
      arrays: "targets", integers `[T, B]` (-1 where no class is right) or `[T, B, O]`, 1 for the right class and 0
        elsewhere, and "mask", broadcastable to `[T, B, O]`.

    Returns:
      `[B]`, float64, from 0 to 1.
    """
    right, weights = _right_class(arrays, np.shape(predictions)[2])
    hit = np.argmax(predictions, axis=2) == right
    return (weights * hit).sum(axis=0) / weights.sum(axis=0)


def cross_entropy(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Mean of -log softmax(predictions) of the right class over the steps of each trial, weighted by a mask.

    Args and returned array as for `accuracy`, in nats. Equal logits give log(O).
    """
    right, weights = _right_class(arrays, np.shape(predictions)[2])
    logits = np.asarray(predictions, np.float64)
    logits = logits - logits.max(axis=2, keepdims=True)  # so that no exponential overflows
    chosen = np.take_along_axis(logits, right[..., None], axis=2)[..., 0]
    return (weights * (np.log(np.exp(logits).sum(axis=2)) - chosen)).sum(axis=0) / weights.sum(axis=0)


def _right_class(arrays: Arrays, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the right class and weight of each step, `[T, B]` each; the weight is 0 where no class is right."""
    given = np.asarray(arrays["targets"])
    targets = np.asarray(one_hot(given, classes) if given.ndim == 2 else given, np.float64)
    weights = targets * np.broadcast_to(np.asarray(arrays["mask"], np.float64), targets.shape)
    return np.argmax(targets, axis=2), weights.sum(axis=2)


def squared_error(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Mean squared error of each trial over steps and outputs, weighted by a mask.

    Args:
      predictions: `[T, B, O]`.
      arrays: "targets" `[T, B, O]`, and "mask", broadcastable to `[T, B, O]`: weights of the errors, usually
        1 where the error counts and 0 elsewhere.

    Returns:
      `[B]`, float64.
    """
    targets = np.asarray(arrays["targets"], np.float64)
    mask = np.broadcast_to(np.asarray(arrays["mask"], np.float64), targets.shape)
    error = mask * (np.asarray(predictions, np.float64) - targets) ** 2
    return error.sum(axis=(0, 2)) / mask.sum(axis=(0, 2))
