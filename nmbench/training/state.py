"""What a phase of training carries from chunk to chunk: parameters that move and that do not, optimiser, the best so far."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nmbench.contracts import parameters as flat_params
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.protocol import Phase
from nmbench.training.optimizer import transform


class State(NamedTuple):
    """Per lane (leading axis): what a phase carries from chunk to chunk."""

    moving: flat_params.Flat
    still: flat_params.Flat
    optimizer: Any
    best: flat_params.Flat
    best_loss: jax.Array
    best_step: jax.Array
    first_bad: jax.Array


def names(state: State) -> list[str]:
    """A name for every leaf, in order."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]]


def fresh(current: flat_params.Flat, partition: flat_params.Predicate, optimizer: optax.GradientTransformation) -> State:
    """The state that a phase starts with, from parameters `[lanes, ...]`."""
    moving, still = flat_params.split(current, partition)
    lanes = next(iter(current.values())).shape[0]
    return State(
        moving=moving,
        still=still,
        optimizer=jax.vmap(optimizer.init)(moving),
        best=jax.tree.map(jnp.copy, moving),
        best_loss=jnp.full((lanes,), jnp.inf),
        best_step=jnp.zeros((lanes,), jnp.int32),
        first_bad=jnp.full((lanes,), -1, jnp.int32),
    )


def shapes(model: Model, baseline: Baseline, phases: Sequence[Phase]) -> tuple[list[flat_params.Flat], flat_params.Flat]:
    """Shape and dtype of what a snapshot holds: state leaves by name for every phase, and parameters.

    Of one lane, from abstract shapes.
    """
    params = flat_params.flatten(jax.eval_shape(model.init, jax.random.key(0)))
    one = {name: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype) for name, leaf in params.items()}
    states = []
    for phase in phases:
        assert isinstance(phase.partition, str)
        start = functools.partial(fresh, partition=baseline.partition(phase.partition), optimizer=transform(phase))
        state = jax.eval_shape(start, one)
        leaves = [jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for leaf in jax.tree.leaves(state)]
        states.append(dict(zip(names(state), leaves, strict=True)))
    return states, params


def merge(state: State, selection: str) -> flat_params.Flat:
    return {**state.still, **(state.best if selection == "best" else state.moving)}
