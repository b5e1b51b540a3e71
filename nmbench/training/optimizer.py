"""Optimisers from a phase's plain data. The learning rate is separate, so that runs with different ones share a program."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from nmbench.contracts.protocol import Phase
from nmbench.support.errors import NmbenchError


def transform(phase: Phase) -> optax.GradientTransformation:
    """The optimiser without its step size: clipping, moments, decoupled weight decay, in this order.

    `params - rate * transform(grads)` with `optimizer="adam"` and `weight_decay` is AdamW (Loshchilov and Hutter, 2017).
    """
    parts = []
    if phase.clip_value:
        parts.append(optax.clip(phase.clip_value))
    if phase.clip_norm:
        parts.append(optax.clip_by_global_norm(phase.clip_norm))
    if phase.optimizer != "sgd":
        scale_by = getattr(optax, f"scale_by_{phase.optimizer}")
        try:
            parts.append(scale_by(**phase.optimizer_options))
        except TypeError as error:
            raise NmbenchError(f"optimizer {phase.optimizer!r} refuses {phase.optimizer_options}: {error}") from error
    if phase.weight_decay:
        parts.append(optax.add_decayed_weights(phase.weight_decay))
    return optax.chain(optax.identity(), *parts)


def rate_factor(phase: Phase, step):
    """Factor on the run's learning rate at `step` (0-based, traced): the phase's relative rate times its schedule.

    constant: 1. cosine: (1 + cos(pi step / steps)) / 2. Warm-up multiplies by min(1, (step + 1) / warmup_steps).
    """
    step = jnp.asarray(step, jnp.result_type(float))
    factor = jnp.full_like(step, phase.relative_rate)
    if phase.schedule == "cosine":
        factor = factor * 0.5 * (1.0 + jnp.cos(jnp.pi * step / phase.steps))
    if phase.warmup_steps:
        factor = factor * jnp.minimum(1.0, (step + 1) / phase.warmup_steps)
    return factor
