"""Where a model's input channels meet its parameters, as far as protocols need to know.

A protocol may have an input channel carry something for the first time late in training (a new task's context), and say at
which value the weights that read it then start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tree

from nmbench.contracts.parameters import Flat
from nmbench.contracts.specs import SequenceSpec
from nmbench.support.errors import NmbenchError


@dataclasses.dataclass(frozen=True)
class InputWeights:
    """One parameter that multiplies input channels, and nothing else.

    Attributes:
      inputs: top-level inputs of the task that it takes; () for all, and all for a task that has none of them. Their
        channels follow one another in dm-tree's order, as in `Core.concat`.
      axis: its axis that runs over channels: the last for `W @ u` with columns, the first for `u @ W` with rows.
    """

    inputs: tuple[str, ...] = ()
    axis: int = -1

    def channels(self, spec: SequenceSpec) -> list[str]:
        """Names "input/channel" of the channels along the axis, in order, e.g. `["context/0", ..., "sensory/2"]`."""
        names = channel_names(spec)
        return [name for name in names if name.split("/")[0] in self.inputs] or names


def channel_names(spec: SequenceSpec) -> list[str]:
    """Names "input/channel" of all input channels of a spec in the order in which they are concatenated."""
    leaves = tree.flatten_with_path(spec.inputs)
    return ["/".join(map(str, (*path, i))) for path, leaf in leaves for i in range(leaf.channels)]


def check_new_inputs(model: str, weights: Mapping[str, InputWeights], spec: SequenceSpec, new: Mapping[str, float]) -> None:
    """Raise `NmbenchError` if the task lacks a channel named by `new`, or the model does not say what reads it."""
    for name in new:
        if name not in channel_names(spec):
            raise NmbenchError(f"there is no input channel {name!r}; channels: {', '.join(channel_names(spec))}")
    if new and not weights:
        raise NmbenchError(
            f"the protocol sets the weights of input {', '.join(new)}, but model {model!r} does not say which they are: "
            f'give register_baseline input_weights={{"PARAMETER": InputWeights()}}'
        )


def check_shapes(model: str, weights: Mapping[str, InputWeights], spec: SequenceSpec, shapes: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` unless every declared parameter exists and has one entry per channel along its axis."""
    for name, where in weights.items():
        found = {flat: shape for flat, shape in shapes.items() if _named(flat, name)}
        if not found:
            raise NmbenchError(
                f"model {model!r} declares input weights {name!r} but has no such parameter: {', '.join(shapes)}"
            )
        wanted = len(where.channels(spec))
        for flat, shape in found.items():
            if not -len(shape) <= where.axis < len(shape) or shape[where.axis] != wanted:
                raise NmbenchError(
                    f"model {model!r}: input weights {flat!r} have shape {shape}; axis {where.axis} should run over the "
                    f"{wanted} channels {', '.join(where.channels(spec))}"
                )


def start_new_inputs(flat: Flat, weights: Mapping[str, InputWeights], spec: SequenceSpec, new: Mapping[str, float]) -> Flat:
    """Parameters of several runs, arrays `[lanes, ...]` by name, with the weights of new channels set to their values."""
    result = dict(flat)
    for name, where in weights.items():
        channels = where.channels(spec)
        for channel in set(new) & set(channels):
            for parameter in (p for p in flat if _named(p, name)):
                array = result[parameter]
                axis = where.axis if where.axis < 0 else where.axis + 1
                index = [slice(None)] * array.ndim
                index[axis] = channels.index(channel)
                result[parameter] = array.at[tuple(index)].set(new[channel])
    return result


def _named(flat_name: str, name: str) -> bool:
    """Whether a declared name, "parameter" or "module|parameter", means this flat name."""
    return flat_name == name or flat_name.rsplit("|", 1)[-1] == name
