"""Integer targets of tasks with the loss "cross_entropy", converted to 1 for the right class and 0 elsewhere.

`register_task` converts what a task's functions return, so that all other code finds targets of one form.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nmbench.contracts.metrics import one_hot
from nmbench.contracts.task import CROSS_ENTROPY, Batch, FixedData, Sampler, Task
from nmbench.support.errors import NmbenchError


def converted(task: Task) -> Task:
    """The task, whose targets are `[T, B, O]` if its loss is "cross_entropy"; other tasks are returned as they are."""
    if task.loss != CROSS_ENTROPY:
        return task

    def wrapped(function: Callable[..., Batch]) -> Callable[..., Batch]:
        @functools.wraps(function)
        def returns_targets(*args: Any) -> Batch:
            batch = function(*args)
            return batch._replace(targets=targets(batch.targets, task.spec.output_size, task.name))

        return returns_targets

    training = {
        name: Sampler(wrapped(data.sample)) if isinstance(data, Sampler) else FixedData(wrapped(data.make))
        for name, data in task.training.items()
    }
    return dataclasses.replace(task, unpack=wrapped(task.unpack), training=training)


def targets(given: Any, classes: int, task: str) -> Any:
    """1 for the right class and 0 elsewhere, `[T, B, classes]`.

    Args:
      given: these targets, which are returned as they are, or integers `[T, B]` from 0 to classes - 1, and -1 where no class
        is right; of NumPy or JAX, also in a compiled function.
      classes: number of outputs of the task.
      task: its name, for messages.

    Raises:
      NmbenchError: `given` is neither, or an integer of NumPy is out of range.
    """
    shape, kind = np.shape(given), np.dtype(getattr(given, "dtype", type(given)))
    if len(shape) == 3 and shape[2] == classes:
        return given
    if len(shape) != 2 or kind.kind not in "iu":
        raise NmbenchError(
            f"the targets of task {task!r} are {kind} {list(shape)}; the loss cross_entropy takes classes, integers [T, B], "
            f"or 1 for the right class and 0 elsewhere, [T, B, {classes}]"
        )
    if isinstance(given, np.ndarray):
        wrong = given[(given >= classes) | (given < -1)]
        if wrong.size:
            raise NmbenchError(
                f"a target of task {task!r} is class {wrong[0]}; its {classes} outputs are the classes 0 to {classes - 1}, "
                "and -1 means that no class is right"
            )
    return one_hot(given, classes)
