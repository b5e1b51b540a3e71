"""Call the functions of a model and of a task before training, so that a mistake in a user's file costs seconds, not hours.

Every mistake becomes an `NmbenchError` of one line. `nmbench check` finds more mistakes, and says how to correct them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from nmbench.contracts import plugin_files
from nmbench.contracts.input_weights import check_shapes
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.parameters import flatten, is_learned, split, unflatten
from nmbench.contracts.protocol import ResolvedPhase
from nmbench.contracts.task import Batch, Task
from nmbench.contracts.unroll import hint_at_dict
from nmbench.results import schema
from nmbench.support.errors import NmbenchError, first_line, place


def check_model(baseline: Baseline, model: Model, task: Task) -> None:
    """Trace a model on a task, without computing anything.

    Raises:
      NmbenchError: outputs are not real numbers `[T, B, O]`, a parameter has a type that cannot be learned or stored,
        declared input weights are missing or have the wrong shape, or the model raises an exception. For a model from a
        user's file also: JAX cannot differentiate it.
    """
    inputs = task.spec.zeros(batch=2)
    with one_line_of(baseline, f"model {baseline.name!r} fails on {task.name}"):
        params = jax.eval_shape(model.init, jax.random.key(0))
        outputs = jax.eval_shape(model.apply, params, inputs)
    expected = (task.spec.steps, 2, task.spec.output_size)
    if not hasattr(outputs, "shape"):
        raise NmbenchError(
            f"model {baseline.name!r} returns a {type(outputs).__name__}; it must return the outputs alone, one array "
            f"[T, B, O]"
        )
    shape = outputs.shape
    if shape != expected:
        raise NmbenchError(
            f"model {baseline.name!r} returns shape {shape} for 2 trials of {task.name}, not [T, B, O] = {expected}"
        )
    if jnp.issubdtype(outputs.dtype, jnp.complexfloating):
        raise NmbenchError(f"model {baseline.name!r} returns complex numbers ({outputs.dtype}); outputs must be real")
    named = flatten(params)
    for name, leaf in named.items():
        if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            raise NmbenchError(
                f"model {baseline.name!r}: parameter {name!r} has dtype {leaf.dtype}, which cannot be stored; store "
                f"jax.random.key_data(key) under a name that starts with fixed_, and use jax.random.wrap_key_data"
            )
        if is_learned(*name.rsplit("|", 1)) and not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise NmbenchError(
                f"model {baseline.name!r}: parameter {name!r} has dtype {leaf.dtype}, but only real floats can be "
                f"learned; remove it from the parameters that init returns (in Equinox with eqx.partition(model, "
                f"eqx.is_inexact_array)) or start its name with fixed_"
            )
    check_shapes(baseline.name, baseline.input_weights, task.spec, {name: leaf.shape for name, leaf in named.items()})
    if plugin_files.flag(baseline.path):
        learned, fixed = split(named, is_learned)
        total = lambda learned, fixed: jnp.sum(model.apply(unflatten(params, {**fixed, **learned}), inputs))
        with one_line_of(baseline, f"JAX cannot differentiate model {baseline.name!r} on {task.name}"):
            jax.eval_shape(jax.grad(total), learned, fixed)


def check_task(task: Task, phases: Sequence[ResolvedPhase]) -> None:
    """Call the functions of a task from a user's file: training data, `unpack`, metrics and references.

    Built-in tasks are skipped.

    Raises:
      NmbenchError: a function raises an exception, returns arrays of another shape than the spec demands or numbers that are
        not finite, a mask selects nothing, or a set has another number of trials than declared.
    """
    if not plugin_files.flag(task.path):
        return
    for phase in phases:
        data = task.training[phase.data]
        with one_line_of(task, f"task {task.name!r}: training data {phase.data!r} cannot be drawn"):
            drawn = jax.eval_shape(lambda arrays, key, d=data, p=phase: d.draw(arrays, key, p.batch_size), *_to_draw(data))
        _check_batch(task, drawn, f"training data {phase.data!r}")
    for name in dict.fromkeys([*(phase.validation for phase in phases), "test"]):
        with one_line_of(task, f"task {task.name!r}: unpack fails on the {name} set"):
            batch = task.unpack(task.frozen(name).arrays)
        _check_batch(task, batch, f"the {name} set")
        _check_numbers(task, batch, name)
    arrays, zeros = task.frozen("test").arrays, np.zeros_like(batch.targets, np.float32)
    zeros.setflags(write=False)  # a metric must not change the predictions, which other metrics use as well
    for metric in task.metrics:
        with one_line_of(task, f"task {task.name!r}: metric {metric.name!r} fails on outputs that are all 0"):
            values = np.shape(metric.per_trial(zeros, arrays))
        if values != zeros.shape[1:2]:
            raise NmbenchError(
                f"task {task.name!r}: metric {metric.name!r} returns shape {values}, not one number for each of the "
                f"{zeros.shape[1]} trials"
            )
    with one_line_of(task, f"task {task.name!r}: the metrics cannot be averaged"):
        judged = task.evaluate(zeros, arrays, {phase.stage: zeros for phase in phases if phase.stage})
    for label in (label for by_condition in judged["conditions"].values() for label in by_condition):
        if schema.CONTROL.search(label):
            raise NmbenchError(f"task {task.name!r}: the condition {label!r} contains an invisible character")
    for label, answer in task.references.items():
        where = f"task {task.name!r}: the reference {label!r} fails"
        with one_line_of(task, where):
            predictions = answer(arrays)
        try:
            task.spec.validate_outputs(predictions, zeros.shape[1])
        except NmbenchError as error:
            raise NmbenchError(f"{where}: {error}") from error


def _check_numbers(task: Task, batch: Batch, name: str) -> None:
    where, trials = f"task {task.name!r}: the {name} set", np.shape(batch.targets)[1]
    if trials != task.set_sizes[name]:
        raise NmbenchError(f"{where} has {trials} trials, but set_sizes declares {task.set_sizes[name]}")
    for what, part in (("inputs", batch.inputs), ("targets", batch.targets)):
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(part)):
            raise NmbenchError(f"{where}: {what} are not finite; write 0 there, and 0 in the mask of such targets")
    if not np.any(np.asarray(batch.mask) > 0):
        raise NmbenchError(f"{where}: the mask selects nothing; it must be 1 where outputs count")


def _to_draw(data: Any) -> tuple[Any, Any]:
    return jax.tree.map(jnp.asarray, data.arrays()), jax.random.key(0)


def _check_batch(task: Task, batch: Any, what: str) -> None:
    try:
        if not isinstance(batch, Batch):
            raise NmbenchError(f"a Batch(inputs, targets, mask) is needed, not {type(batch).__name__}")
        task.spec.validate_inputs(batch.inputs)
        targets, mask = np.shape(batch.targets), np.shape(batch.mask)
        expected = (task.spec.steps, np.shape(jax.tree.leaves(batch.inputs)[0])[1], task.spec.output_size)
        if targets != expected:
            raise NmbenchError(f"targets have shape {targets}, the task needs [T, B, O] = {expected}")
        if len(mask) != 3 or any(m not in (1, t) for m, t in zip(mask, targets, strict=True)):
            raise NmbenchError(f"the mask has shape {mask}, but must broadcast to {targets}, as [T, 1, 1] and [T, B, 1] do")
    except NmbenchError as error:
        raise NmbenchError(f"task {task.name!r}: {what}: {error}") from error


@contextlib.contextmanager
def one_line_of(subject: Baseline | Task, what: str) -> Iterator[None]:
    """Turn an exception of a function of a model or a task into an `NmbenchError` that begins with `what`.

    The message names the line in the subject's file. For frequent mistakes in models, it also says what would be right.
    """
    try:
        yield
    except NmbenchError:
        raise
    except Exception as error:  # a user's function may raise anything
        hint = _hint(error, subject) if isinstance(subject, Baseline) else ""
        if "read-only" in str(error):
            hint = "; other functions use the same array, so copy it before you change it"
        reason = f"{type(error).__name__}{place(error, subject.path)}: {first_line(error)}{hint}"
        raise NmbenchError(f"{what}: {reason}") from error


def _hint(error: Exception, baseline: Baseline) -> str:
    """What would be right, after "; ", if the mistake is a frequent one, otherwise ""."""
    said, kind = str(error), type(error).__name__
    if kind in ADVICE:
        return f"; {ADVICE[kind]}"
    if "non-None PRNGKey" in said:
        return "; apply gets no random key: remove noise and dropout"
    if "transform_with_state" in said:
        return "; there is no Haiku state: keep such values in the state of the network, and remove hk.BatchNorm"
    is_core = isinstance(baseline.factory, type) and issubclass(baseline.factory, hk.RNNCore)
    if is_core and ("carry" in said or "values to unpack" in said):
        return "; __call__ of an hk.RNNCore must return (outputs [B, O], next state), the state as initial_state makes it"
    return hint_at_dict(error)


# By the name of the exception.
ADVICE = {
    "TracerBoolConversionError": "use jnp.where or jax.lax.cond instead of `if` on an array",
    "TracerArrayConversionError": "use jax.numpy instead of NumPy",
    "ConcretizationTypeError": "compute constants with math or NumPy, or do not convert arrays with float() or int()",
}
