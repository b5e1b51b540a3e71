"""Style "published": one trial at a time under vmap, readout inside the scan (`plain_cells`)."""

from __future__ import annotations

import jax
import plain_cells

from nmbench.contracts.parameters import is_learned
from nmbench.experiments.experiment import Experiment

from .script import ScriptRunner


class Runner(ScriptRunner):
    def __init__(self, experiment: Experiment, seeds: int):
        name, hparams = experiment.baseline.name, experiment.sizing.hparams
        init = jax.jit(experiment.model.init)
        # Initial states that are drawn but not trained. Here, all seeds use those of the first seed.
        fixed = {k: v for k, v in init(jax.random.key(0))[name].items() if not is_learned(name, k)}
        learned = lambda seed: {k: v for k, v in init(jax.random.key(seed))[name].items() if is_learned(name, k)}
        apply = lambda params, inputs: plain_cells.batch_outputs(name, {**params, **fixed}, hparams, inputs)
        super().__init__(experiment, learned, apply, seeds)
