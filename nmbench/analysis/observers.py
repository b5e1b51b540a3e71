"""Observers: what there is to see inside a `Core`, under the names that its equations use.

A core carries what is fastest to compute with, which need not be the state of its equations; what it computes on the way,
such as gates, it does not carry at all. An observer says how to get both. It is registered for a class of cores and holds
for its subclasses; a core without one is seen as it is: its carried state.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import tree

from nmbench.support.errors import NmbenchError

# Those of the models that come with nmbench; a plugin registers its own beside its model.
_SHIPPED = "nmbench.baselines._observers"


class Observer:
    """Sees a core's carried state as it is. Subclasses say more.

    Attributes:
      gates: name of the signal whose units are gates in (0, 1) that `hold_gate` can hold; "" for none.
    """

    gates = ""

    def states(self, core: Any, carried: Any) -> dict[str, jax.Array]:
        """The states of the equations, name to `[..., features, B]`; a linear function of `carried`.

        Args:
          core: the core, its parameters in place.
          carried: its state, leaves `[..., features, B]`, with or without a leading axis of steps.
        """
        del core
        leaves = tree.flatten_with_path(carried)
        return {"/".join(["x", *map(str, path)]): leaf for path, leaf in leaves}

    def signals(self, core: Any, carried: Any) -> dict[str, jax.Array]:
        """What the core computes from its new state at each step, such as gates: name to `[..., features, B]`."""
        del core, carried
        return {}

    def hold_gate(self, params: Any, gate: int, value: float) -> Any:
        """Parameters of the same network but for one gate, which has this value at every step."""
        raise NotImplementedError


_OBSERVERS: dict[Any, Observer] = {}


def register_observer(core_class: Any) -> Callable[[type[Observer]], type[Observer]]:
    """Class decorator: the decorated `Observer` sees instances of this class, a `Core`, and of its subclasses.

    Raises:
      NmbenchError: the class has an observer already.
    """

    def decorate(observer: type[Observer]) -> type[Observer]:
        if core_class in _OBSERVERS:
            raise NmbenchError(f"{core_class.__name__} has an observer already, {type(_OBSERVERS[core_class]).__name__}")
        _OBSERVERS[core_class] = observer()
        return observer

    return decorate


def observer_of(core_class: Any) -> Observer:
    """The observer of the nearest class in the method resolution order, the plain one if none has any."""
    _load_shipped()
    return next((_OBSERVERS[c] for c in core_class.__mro__ if c in _OBSERVERS), Observer())


@functools.cache
def _load_shipped() -> None:
    importlib.import_module(_SHIPPED)
