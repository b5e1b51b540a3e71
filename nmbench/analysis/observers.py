"""Observers: they compute the states and signals of a `Core` under the names that its equations use.

A core carries the state that is fastest to compute with, which can differ from the state of its equations, and it does not
carry intermediate signals such as gates. An observer computes both from the carried state. It is registered for a class of
cores and applies to subclasses. For a core without an observer, the carried state itself is shown.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import tree

from nmbench.support.errors import NmbenchError

# Observers of the models that come with nmbench. A plugin registers its own beside its model.
_SHIPPED = "nmbench.baselines._observers"


class Observer:
    """Shows the carried state of a core. Subclasses override the methods.

    Attributes:
      gates: name of the signal whose units are gates in (0, 1), for `hold_gate`; "" for none.
    """

    gates = ""

    def states(self, core: Any, carried: Any) -> dict[str, jax.Array]:
        """The states of the equations, name to `[..., features, B]`; a linear function of `carried`.

        Args:
          core: the core, with its parameters.
          carried: its carried state, leaves `[..., features, B]`, with or without a leading axis of steps.
        """
        del core
        leaves = tree.flatten_with_path(carried)
        return {"/".join(["x", *map(str, path)]): leaf for path, leaf in leaves}

    def signals(self, core: Any, carried: Any) -> dict[str, jax.Array]:
        """Signals that the core computes from its new state at each step, such as gates: name to `[..., features, B]`."""
        del core, carried
        return {}

    def hold_gate(self, params: Any, gate: int, value: float) -> Any:
        """Parameters of the same network in which one gate has this value at every step."""
        raise NotImplementedError


_OBSERVERS: dict[Any, Observer] = {}


def register_observer(core_class: Any) -> Callable[[type[Observer]], type[Observer]]:
    """Class decorator that registers an `Observer` for this class, a `Core`, and its subclasses.

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
