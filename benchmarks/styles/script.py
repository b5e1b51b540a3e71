"""Training for the styles "published" and "haiku": a jitted optax step per Python iteration, one seed after another."""

from __future__ import annotations

import time

import jax
import optax

from nmbench.experiments.experiment import Experiment
from nmbench.training.phase_program import masked_mse

from .data import Batches


class ScriptRunner:
    """Trains a model with a loop as in a training script.

    Args:
      experiment: the task and the settings of training.
      init: computes parameters from a seed.
      apply: computes outputs `[T, B, O]` from parameters and inputs.
      seeds: number of seeds.
    """

    def __init__(self, experiment: Experiment, init, apply, seeds: int):
        phase, learning_rate = experiment.phases[0], experiment.learning_rate.value
        schedule = optax.cosine_decay_schedule(learning_rate, phase.steps)
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=phase.weight_decay))
        self._runs = [(params, optimizer.init(params)) for params in map(init, range(seeds))]
        self._batches = Batches(experiment)

        def loss(params, batch):
            return masked_mse(apply(params, batch.inputs), batch.targets, batch.mask)

        @jax.jit
        def step(params, state, batch):
            value, gradients = jax.value_and_grad(loss)(params, batch)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, value

        self._step = step

    def compile(self) -> None:
        jax.block_until_ready(self._step(*self._runs[0], next(self._batches)))

    def run(self, steps: int) -> float:
        began = time.perf_counter()
        for i, (params, state) in enumerate(self._runs):
            for _ in range(steps):
                params, state, value = self._step(params, state, next(self._batches))
            jax.block_until_ready((params, value))
            self._runs[i] = params, state
        return time.perf_counter() - began
