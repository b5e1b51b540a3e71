"""Declaration of the parameters that multiply a model's input channels.

In the multitask, one input channel (the context of the new task) is zero in the first phase of training and used from the
second phase on. A protocol can set the weights of such a channel at the start of a phase (`Phase.new_inputs`).
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
    """A parameter that multiplies input channels and nothing else.

    Attributes:
      inputs: the task's top-level inputs that the parameter multiplies. It multiplies all inputs if this is (), or if the
        task has none of the named ones. Channels are in dm-tree's order, as in `nmbench.concat_inputs`.
      axis: the parameter's axis of channels: the last (-1) for `W @ u`, the first (0) for `u @ W`.
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
    """Raise `NmbenchError` if the task lacks a channel of `new`, or if `new` has channels and the model no input weights."""
    for name in new:
        if name not in channel_names(spec):
            raise NmbenchError(f"there is no input channel {name!r}; channels: {', '.join(channel_names(spec))}")
    if new and not weights:
        raise NmbenchError(
            f"the protocol sets the weights of input {', '.join(new)}, but model {model!r} declares no input weights: "
            f'give register_baseline the argument input_weights={{"PARAMETER": InputWeights()}}'
        )


def check_shapes(model: str, weights: Mapping[str, InputWeights], spec: SequenceSpec, shapes: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` unless every declared parameter exists and has one entry per channel along its axis."""
    for name, where in weights.items():
        found = {flat: shape for flat, shape in shapes.items() if is_named(flat, name)}
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
    """Set the weights of new input channels to their initial values.

    Args:
      flat: parameters of several runs: name to array `[runs, ...]`.
      weights: declared input weights of the model.
      spec: inputs of the task.
      new: name "input/channel" of a new channel to the initial value of the weights that multiply it.

    Returns:
      All parameters: name to array `[runs, ...]`.
    """
    result = dict(flat)
    for name, where in weights.items():
        channels = where.channels(spec)
        for channel in set(new) & set(channels):
            for parameter in (p for p in flat if is_named(p, name)):
                array = result[parameter]
                axis = where.axis if where.axis < 0 else where.axis + 1
                index = [slice(None)] * array.ndim
                index[axis] = channels.index(channel)
                result[parameter] = array.at[tuple(index)].set(new[channel])
    return result


def is_named(flat_name: str, name: str) -> bool:
    """Whether the declared name, "parameter" or "module|parameter", matches the flat name "module|parameter"."""
    return flat_name == name or flat_name.rsplit("|", 1)[-1] == name
