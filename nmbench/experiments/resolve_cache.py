"""Cache of what resolving a request computes by tracing models. It lasts as long as the process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from nmbench.contracts.input_weights import check_shapes
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.parameters import flatten, is_learned
from nmbench.contracts.specs import SequenceSpec
from nmbench.contracts.task import Task
from nmbench.contracts.unroll import hint_at_dict
from nmbench.experiments import sizing
from nmbench.support.errors import NmbenchError, first_line, place

# Key to (objects, answer). The key contains the ids of the objects; an id stays unique as long as its object exists.
_answers: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}


def parameter_counter(baseline: Baseline, spec: SequenceSpec, hparams: Mapping[str, Any]) -> Callable[[int], int]:
    """A function from the free size to the number of learned parameters; it counts each size once per process."""
    fixed = _without_free_size(baseline, hparams)
    return _once(("count", repr(spec), _text(fixed)), (baseline,), lambda: sizing.counter(baseline, spec, fixed))


def check_outputs(baseline: Baseline, model: Model, task: Task, hparams: Mapping[str, Any]) -> None:
    """Trace a model on a task and check its outputs and parameters. One check serves all sizes of a model.

    Raises:
      NmbenchError: outputs are not `[T, B, O]`, a learned parameter is not a real float, declared input weights are missing
        or have the wrong shape, or the model raises an exception.
    """
    from nmbench.results.provenance import uses_x64

    key = ("outputs", uses_x64(), _text(_without_free_size(baseline, hparams)))
    _once(key, (baseline, task), lambda: _check_outputs(baseline, model, task))


def _once(key: tuple[Hashable, ...], objects: tuple[Any, ...], find: Callable[[], Any]) -> Any:
    full = (*key, *map(id, objects))
    if full not in _answers:
        _answers[full] = objects, find()
    return _answers[full][1]


def _without_free_size(baseline: Baseline, hparams: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hparams.items() if name != baseline.free_size}


def _text(hparams: Mapping[str, Any]) -> str:
    return repr(sorted(hparams.items()))


def _check_outputs(baseline: Baseline, model: Model, task: Task) -> None:
    import jax

    try:
        params = jax.eval_shape(model.init, jax.random.key(0))
        outputs = jax.eval_shape(model.apply, params, task.spec.zeros(batch=2))
    except NmbenchError:
        raise
    except Exception as error:  # a third-party model may raise anything; the user needs one line
        reason = f"{type(error).__name__}{place(error, baseline.path)}: {first_line(error)}{hint_at_dict(error)}"
        raise NmbenchError(f"model {baseline.name!r} fails on {task.name}: {reason}") from error
    shape = getattr(outputs, "shape", None)
    expected = (task.spec.steps, 2, task.spec.output_size)
    if shape != expected:
        raise NmbenchError(f"model {baseline.name!r} returns shape {shape} for 2 trials of {task.name}, not {expected}")
    named = flatten(params)
    for name, leaf in named.items():
        if is_learned(*name.rsplit("|", 1)) and not jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
            raise NmbenchError(
                f"model {baseline.name!r}: parameter {name!r} has dtype {leaf.dtype}, but only real floats can be "
                f"learned; remove it from the parameters that init returns (in Equinox with eqx.partition(model, "
                f"eqx.is_inexact_array)) or start its name with fixed_"
            )
    check_shapes(baseline.name, baseline.input_weights, task.spec, {name: leaf.shape for name, leaf in named.items()})
