"""Observers compute the states and signals of a `Core`, under the names in its equations.

The state that a core carries is chosen for speed. It can differ from the state in the equations, and it does not contain
intermediate signals such as gates. An observer computes both from the carried state. It is registered for a class of cores
and applies to subclasses. Without an observer, the carried state itself is recorded.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import tree

from nmbench.support.errors import NmbenchError

# Observers of the models that come with nmbench. A plugin registers the observer of its model itself.
_SHIPPED = "nmbench.baselines._observers"


class Observer:
    """Observer that returns the carried state of a core as it is. Subclasses override the methods.

    Attributes:
      gates: name of the signal that contains the gates, with values in (0, 1); "" if there are no gates.
    """

    gates = ""

    def states(self, core: Any, carried: Any) -> dict[str, jax.Array]:
        """The states in the equations, name to `[..., features, B]`. They must be a linear function of `carried`.

        Args:
          core: the core, with its parameters.
          carried: its carried state, leaves `[..., features, B]`, with or without a leading axis of steps.
        """
        del core
        leaves = tree.flatten_with_path(carried)
        return {"/".join(["x", *map(str, path)]): leaf for path, leaf in leaves}

    def signals(self, core: Any, carried: Any) -> dict[str, jax.Array]:
        """Signals that are functions of the state after each step, such as gates: name to `[..., features, B]`."""
        del core, carried
        return {}

    def hold_gate(self, params: Any, gate: int, value: float) -> Any:
        """Parameters with which gate number `gate` has this value at every step. Override it if there are gates."""
        raise NmbenchError(f"the observer {type(self).__name__} has `gates`, but no method `hold_gate`")


_OBSERVERS: dict[Any, Observer] = {}


def register_observer(core_class: Any) -> Callable[[type[Observer]], type[Observer]]:
    """Class decorator that registers an `Observer` for `core_class`, a subclass of `Core`, and for its subclasses.

    Raises:
      NmbenchError: the class already has an observer.
    """

    def decorate(observer: type[Observer]) -> type[Observer]:
        if core_class in _OBSERVERS:
            raise NmbenchError(f"{core_class.__name__} already has an observer, {type(_OBSERVERS[core_class]).__name__}")
        _OBSERVERS[core_class] = observer()
        return observer

    return decorate


def observer_of(core_class: Any) -> Observer:
    """The observer of the nearest class in the method resolution order; a plain `Observer` if there is none."""
    _load_shipped()
    return next((_OBSERVERS[c] for c in core_class.__mro__ if c in _OBSERVERS), Observer())


@functools.cache
def _load_shipped() -> None:
    importlib.import_module(_SHIPPED)
