"""A trained network: a model with its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.contracts.model import Baseline, Core
from nmbench.contracts.specs import SequenceSpec
from nmbench.contracts.task import Task
from nmbench.support.errors import NmbenchError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A model with its hyperparameters and parameters.

    Attributes:
      baseline: the registered model.
      spec: shapes of its inputs and outputs.
      hparams: all hyperparameters, including the free size.
      params: parameter tree of the model `baseline.build(spec, hparams)`.
      task: the task that it was trained on, None if unknown.
      row: its result row, None if there is none.
    """

    baseline: Baseline
    spec: SequenceSpec
    hparams: Mapping[str, Any]
    params: Any
    task: Task | None = None
    row: Mapping[str, Any] | None = None
    _compiled: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_core(self) -> bool:
        """Whether the model is a `Core`, whose internal states can be observed."""
        return isinstance(self.baseline.factory, type) and issubclass(self.baseline.factory, Core)

    @property
    def is_rnn_core(self) -> bool:
        """Whether the model is an `hk.RNNCore`."""
        return isinstance(self.baseline.factory, type) and issubclass(self.baseline.factory, hk.RNNCore)

    def apply(self, inputs: Any) -> np.ndarray:
        """Outputs `[T, B, O]` on inputs of the spec, leaves `[T, B, channels]`."""
        return np.asarray(self.compiled(_answer)(self.params, floats(inputs)))

    def with_params(self, params: Any) -> Network:
        """The same model with other parameters and without a row; the two share compiled functions."""
        other = dataclasses.replace(self, params=params, row=None)
        object.__setattr__(other, "_compiled", self._compiled)
        return other

    def compiled(self, make: Callable[[Network], Callable[..., Any]]) -> Callable[..., Any]:
        """The function `make(self)`, which takes parameters first, compiled once for all networks that share this model."""
        if make not in self._compiled:
            self._compiled[make] = jax.jit(make(self))
        return self._compiled[make]

    def with_module(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A pure function `(params, *args) -> function(module, *args)`, where `module` is the model's Haiku module."""
        module = lambda *args: function(self.baseline.factory(self.spec, **self.hparams), *args)
        return hk.without_apply_rng(hk.transform(module)).apply


def _answer(network: Network) -> Callable[[Any, Any], Any]:
    return network.baseline.build(network.spec, network.hparams).apply


def finite(values: Any, what: str) -> np.ndarray:
    """Values as a float64 array; raises `NmbenchError` if they are not numbers or not finite. what: what they are."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):  # nested lists of unequal lengths, or no numbers
        raise NmbenchError(f"{what} must be an array of numbers") from None
    if not np.isfinite(array).all():
        raise NmbenchError(f"{what} must be finite, but some values are NaN or infinite")
    return array


def floats(values: Any) -> Any:
    """All leaves as arrays of JAX's default float."""
    return tree.map_structure(lambda a: np.asarray(a, jnp.result_type(float)), values)
