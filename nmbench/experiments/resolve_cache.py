"""Cache of what resolving a request computes by calling models and tasks. It lasts as long as the process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.protocol import ResolvedPhase
from nmbench.contracts.specs import SequenceSpec
from nmbench.contracts.task import Task
from nmbench.experiments import contract_checks, sizing

# Key to (objects, answer). The key contains the ids of the objects; an id stays unique as long as its object exists.
_answers: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}


def parameter_counter(baseline: Baseline, spec: SequenceSpec, hparams: Mapping[str, Any]) -> Callable[[int], int]:
    """A function from the free size to the number of learned parameters; it counts each size once per process."""
    fixed = _without_free_size(baseline, hparams)
    return _once(("count", repr(spec), _text(fixed)), (baseline,), lambda: sizing.counter(baseline, spec, fixed))


def check_model(baseline: Baseline, model: Model, task: Task, hparams: Mapping[str, Any]) -> None:
    """`contract_checks.check_model`. One check serves all sizes of a model."""
    from nmbench.results.provenance import uses_x64

    key = ("model", uses_x64(), _text(_without_free_size(baseline, hparams)))
    _once(key, (baseline, task), lambda: contract_checks.check_model(baseline, model, task))


def check_task(task: Task, phases: Sequence[ResolvedPhase]) -> None:
    """`contract_checks.check_task`."""
    _once(("task", repr(phases)), (task,), lambda: contract_checks.check_task(task, phases))


def _once(key: tuple[Hashable, ...], objects: tuple[Any, ...], find: Callable[[], Any]) -> Any:
    full = (*key, *map(id, objects))
    if full not in _answers:
        _answers[full] = objects, find()
    return _answers[full][1]


def _without_free_size(baseline: Baseline, hparams: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hparams.items() if name != baseline.free_size}


def _text(hparams: Mapping[str, Any]) -> str:
    return repr(sorted(hparams.items()))
