"""Style "nmbench": nmbench's training program, with all seeds in one program and with validation."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nmbench.contracts import parameters as flat_params
from nmbench.experiments.experiment import Experiment
from nmbench.training.phase_program import PhaseProgram


class Runner:
    """Runs chunks as `nmbench.training.trainer.Trainer` does."""

    def __init__(self, experiment: Experiment, seeds: int):
        devices = jax.devices()[: min(seeds, len(jax.devices()))]
        padded = [*range(seeds), *range(-seeds % len(devices))]
        model, self._phase, self._every = experiment.model, experiment.phases[0], experiment.protocol.validate_every
        init = jax.jit(model.init)
        trees = [flat_params.flatten(init(jax.random.key(seed))) for seed in padded]
        like = jax.eval_shape(model.init, jax.random.key(0))
        apply = lambda flat, inputs: model.apply(flat_params.unflatten(like, flat), inputs)
        mesh = Mesh(np.asarray(devices), ("runs",))
        limit = experiment.protocol.loss_limit
        self._program = PhaseProgram(apply, experiment.task, experiment.baseline, self._phase, mesh, limit)
        self._state = self._program.start({name: jnp.stack([t[name] for t in trees]) for name in trees[0]})
        self._learning_rates = jnp.full((len(padded),), experiment.learning_rate.value)
        self._done = 0

    def compile(self) -> None:
        self._chunk = self._program.compile(self._state, self._learning_rates, jax.random.key(0))
        self._timed(1)

    def run(self, steps: int) -> float:
        """Runs whole chunks, then the remaining steps, for which only a proportional part of the validation time counts."""
        chunks, rest = divmod(steps, self._every)
        seconds = sum(self._timed(self._every) for _ in range(chunks))
        if rest:
            validation = self._timed(0)
            seconds += self._timed(rest) - validation * (1 - rest / self._every)
        return seconds

    def _timed(self, steps: int) -> float:
        began = time.perf_counter()
        first = self._done % self._phase.steps
        sums = self._program.zeros(self._state)
        self._state, losses, validation = self._chunk(self._state, sums, first, steps, True)
        jax.device_get((losses, validation, self._state.first_bad))
        self._done += steps
        return time.perf_counter() - began
