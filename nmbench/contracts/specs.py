"""Shapes of a task's inputs and outputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tree

from nmbench.support.errors import NmbenchError


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """Shape and dtype of one array, for one trial and one time step.

    Attributes:
      channels: number of channels, the last axis of a time-major array `[T, B, channels]`.
      dtype: NumPy dtype name.
      names: names of the channels, for tables and figures; () if they have none.
    """

    channels: int
    dtype: str = "float32"
    names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.channels < 1:
            raise NmbenchError(f"ArraySpec needs at least 1 channel, got {self.channels}")
        if self.names and len(self.names) != self.channels:
            raise NmbenchError(
                f"ArraySpec has {self.channels} channels but {len(self.names)} names: {', '.join(self.names)}"
            )


@dataclasses.dataclass(frozen=True)
class SequenceSpec:
    """Inputs and outputs of a task. All trials have the same number of time steps.

    Attributes:
      steps: T, the number of time steps of a trial.
      inputs: dict of `ArraySpec` (nesting allowed), e.g. `{"sensory": ArraySpec(3), "context": ArraySpec(4)}`. A model
        receives a dict of arrays with the same names, also if there is only one; `nmbench.concat_inputs` joins them.
      outputs: one `ArraySpec`; models return `[T, B, outputs.channels]`.
    """

    steps: int
    inputs: dict[str, Any]
    outputs: ArraySpec

    @property
    def input_size(self) -> int:
        """Number of input channels over all leaves: the channels of `nmbench.concat_inputs(inputs)`."""
        return sum(leaf.channels for leaf in tree.flatten(self.inputs))

    @property
    def output_size(self) -> int:
        """Number of output channels."""
        return self.outputs.channels

    def size_of(self, *names: str) -> int:
        """Number of channels of the named top-level inputs together; a name that the spec lacks counts 0."""
        return sum(leaf.channels for name in names if name in self.inputs for leaf in tree.flatten(self.inputs[name]))

    def zeros(self, batch: int, steps: int | None = None):
        """Zero inputs of this spec, time-major `[steps or T, batch, channels]`."""
        steps = self.steps if steps is None else steps
        return tree.map_structure(lambda s: np.zeros((steps, batch, s.channels), s.dtype), self.inputs)

    def validate_inputs(self, inputs, any_steps: bool = False) -> None:
        """Raise `NmbenchError` unless `inputs` has the spec's structure and leaves `[T, B, channels]` of the same B.

        any_steps: whether T may be any number of steps, the same in all leaves, instead of `steps`.
        """
        steps = self.steps
        if any_steps:
            steps = next((np.shape(leaf)[0] for leaf in tree.flatten(inputs) if np.ndim(leaf) == 3), steps)
        self._validate(self.inputs, inputs, steps)

    def validate_outputs(self, outputs, batch: int) -> None:
        """Raise `NmbenchError` unless `outputs` has the shape `[T, batch, output channels]`."""
        expected = (self.steps, batch, self.output_size)
        if tuple(np.shape(outputs)) != expected:
            raise NmbenchError(f"outputs have shape {tuple(np.shape(outputs))}, the task needs [T, B, O] = {expected}")

    @staticmethod
    def _validate(spec, value, steps: int) -> None:
        wanted, given = ([path for path, _ in tree.flatten_with_path(one)] for one in (spec, value))
        if given != wanted:
            names = ", ".join(repr("/".join(map(str, path))) for path in wanted)
            raise NmbenchError(f"inputs must be a dict of arrays as in the task's spec, with the names {names}")
        batches = set()
        for (path, leaf), array in zip(tree.flatten_with_path(spec), tree.flatten(value), strict=True):
            shape = tuple(np.shape(array))
            if len(shape) != 3 or shape[0] != steps or shape[2] != leaf.channels:
                name = "/".join(map(str, path))
                raise NmbenchError(f"inputs {name!r} have shape {shape}, the task needs [{steps}, B, {leaf.channels}]")
            batches.add(shape[1])
        if len(batches) != 1:
            raise NmbenchError(f"inputs disagree on the number of trials: {sorted(batches)}")
