"""What resolving a request finds out about its task and its model, kept: the cells of a sweep have most of it in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from nmbench.contracts import fingerprints
from nmbench.contracts.input_weights import check_shapes
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.parameters import flatten, is_learned
from nmbench.contracts.task import FixedData, Task
from nmbench.experiments import extrapolation, sizing
from nmbench.support.errors import NmbenchError


class ResolveCache:
    """Answers each question once.

    Args:
      many: trace a model once per task, not for every size.
      quick: also extrapolate parameter counts (see `nmbench.experiments.extrapolation`), and trace no model that comes with nmbench: its
        tests do.
    """

    def __init__(self, many: bool = False, quick: bool = False):
        self._many, self._quick = many or quick, quick
        self._proven: set[str] = set()
        self._answers: dict[tuple, Any] = {}

    def test_set(self, task: Task) -> tuple[str, int]:
        """Hash and number of trials of a task's test set, checked with the metrics' own checks."""

        def find() -> tuple[str, int]:
            frozen = task.frozen("test")
            for metric in task.metrics:
                metric.check(frozen.arrays, frozen.n)
            return frozen.sha256, frozen.n

        return self._once(("test_set", task.name), find)

    def set_sha256(self, task: Task, name: str) -> str:
        """Hash of a frozen set."""
        return self._once(("set", task.name, name), lambda: task.frozen(name).sha256)

    def training_sha256(self, task: Task, name: str) -> str:
        """Fingerprint of training data."""
        return self._once(("training", task.name, name), lambda: task.training[name].fingerprint())

    def training_trials(self, task: Task, name: str) -> int:
        """Number of trials of fixed training data; 0 where trials are drawn afresh."""
        data = task.training[name]
        trials = lambda: data.make().targets.shape[1] if isinstance(data, FixedData) else 0
        return self._once(("trials", task.name, name), trials)

    def source_sha256(self, baseline: Baseline) -> str:
        """Fingerprint of a model's source."""
        return self._once(("source", baseline.name), lambda: fingerprints.of_module(baseline.path))

    def counter(self, baseline: Baseline, task: Task, hparams: Mapping[str, Any]) -> Callable[[int], int]:
        """Free size to number of learned parameters, shared by tasks whose inputs and outputs are alike."""
        fixed = {name: value for name, value in hparams.items() if name != baseline.free_size}
        key = ("count", baseline.name, repr(task.spec), repr(sorted(fixed.items())))
        if self._quick:
            return self._once(key, lambda: extrapolation.counter(baseline, task.spec, fixed, self._proven))
        return self._once(key, lambda: sizing.counter(baseline, task.spec, fixed))

    def check_outputs(self, baseline: Baseline, model: Model, task: Task) -> None:
        """Trace a model: outputs must be `[T, B, O]`, and declared input weights must be there; raises `NmbenchError`."""
        check = functools.partial(_check_outputs, baseline, model, task)
        if not self._many:
            check()
        elif not (self._quick and baseline.origin.startswith("baselines/")):
            self._once(("outputs", baseline.name, task.name), check)

    def _once(self, key: tuple, find: Callable[[], Any]) -> Any:
        if key not in self._answers:
            self._answers[key] = find()
        return self._answers[key]


def _check_outputs(baseline: Baseline, model: Model, task: Task) -> None:
    import jax

    try:
        params = jax.eval_shape(model.init, jax.random.key(0))
        outputs = jax.eval_shape(model.apply, params, task.spec.zeros(batch=2))
    except NmbenchError:
        raise
    except Exception as error:  # a third-party model may raise anything; the user needs one line
        reason = str(error).split("\n")[0]
        raise NmbenchError(f"model {baseline.name!r} fails on {task.name}: {type(error).__name__}: {reason}") from error
    shape = getattr(outputs, "shape", None)
    expected = (task.spec.steps, 2, task.spec.output_size)
    if shape != expected:
        raise NmbenchError(f"model {baseline.name!r} returns shape {shape} for 2 trials of {task.name}, not {expected}")
    named = flatten(params)
    for name, leaf in named.items():
        if is_learned(*name.rsplit("|", 1)) and not jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
            raise NmbenchError(
                f"model {baseline.name!r}: parameter {name!r} is of {leaf.dtype}, and only real floats are learned; keep it "
                f"out of what init returns (Equinox: eqx.partition(model, eqx.is_inexact_array)), or call it fixed_..."
            )
    check_shapes(baseline.name, baseline.input_weights, task.spec, {name: leaf.shape for name, leaf in named.items()})
