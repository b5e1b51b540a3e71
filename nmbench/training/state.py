"""The state of a phase of training: trained and constant parameters, optimiser state, and the best parameters so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nmbench.contracts import parameters as flat_params


class State(NamedTuple):
    """The state of several runs; the first axis of every leaf runs over them.

    Attributes:
      moving: parameters that the phase trains.
      still: all other parameters.
      optimizer: state of the optimiser.
      best: the trained parameters with the lowest validation loss so far; those of a diverged run no longer change.
      best_loss: this validation loss; infinite before the first validation.
      best_step: number of steps of the phase after which it was measured.
      first_bad: first step of the phase (0-based) with a training loss that is above the limit or not a number; -1 if there
        is none.
    """

    moving: flat_params.Flat
    still: flat_params.Flat
    optimizer: Any
    best: flat_params.Flat
    best_loss: jax.Array
    best_step: jax.Array
    first_bad: jax.Array


def names(state: State) -> list[str]:
    """Names of all leaves, in order."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]]


def fresh(current: flat_params.Flat, partition: flat_params.Predicate, optimizer: optax.GradientTransformation) -> State:
    """The state at the start of a phase in which the `partition` of the parameters `[runs, ...]` is trained."""
    moving, still = flat_params.split(current, partition)
    runs = next(iter(current.values())).shape[0]
    return State(
        moving=moving,
        still=still,
        optimizer=jax.vmap(optimizer.init)(moving),
        best=jax.tree.map(jnp.copy, moving),
        best_loss=jnp.full((runs,), jnp.inf),
        best_step=jnp.zeros((runs,), jnp.int32),
        first_bad=jnp.full((runs,), -1, jnp.int32),
    )


def merge(state: State, selection: str) -> flat_params.Flat:
    """All parameters, `[runs, ...]`: the best ones if `selection` is "best", the last ones if it is "last"."""
    return {**state.still, **(state.best if selection == "best" else state.moving)}
