"""Optimisers of phases. The learning rate is separate, so that runs with different learning rates share one program."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from nmbench.contracts.protocol import Phase
from nmbench.support.errors import NmbenchError


def transform(phase: Phase) -> optax.GradientTransformation:
    """The optimiser without its learning rate: clipping, moments and decoupled weight decay, in this order.

    With `optimizer="adam"` and `weight_decay`, the step `params - learning_rate * transform(grads)` is AdamW (Loshchilov and
    Hutter, 2017).

    Raises:
      NmbenchError: the optimiser does not accept the phase's `optimizer_options`.
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
    """Factor that multiplies the run's learning rate at `step` (0-based, traced): `relative_rate` x schedule x warm-up.

    The schedule is 1 (constant) or (1 + cos(pi step / steps)) / 2 (cosine). The warm-up is
    min(1, (step + 1) / warmup_steps).
    """
    step = jnp.asarray(step, jnp.result_type(float))
    factor = jnp.full_like(step, phase.relative_rate)
    if phase.schedule == "cosine":
        factor = factor * 0.5 * (1.0 + jnp.cos(jnp.pi * step / phase.steps))
    if phase.warmup_steps:
        factor = factor * jnp.minimum(1.0, (step + 1) / phase.warmup_steps)
    return factor
