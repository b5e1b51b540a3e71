"""Style "haiku": an `hk.RNNCore` with trials as rows, `hk.dynamic_unroll`, then `hk.Linear` as readout.

Sizes and equations are those of the benchmark; initial values are Haiku's defaults.
"""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import tree

from nmbench.experiments.experiment import Experiment

from .script import ScriptRunner

NORMAL = hk.initializers.RandomNormal


class LeakyRNN(hk.RNNCore):
    """x = (1 - 1/tau) x + (1/tau) [W tanh(x) + B u]; returns x, rows `[B, N]`."""

    def __init__(self, N: int, tau: float):
        super().__init__()
        self._N, self._tau = N, tau

    def __call__(self, inputs, x):
        recurrence = hk.Linear(self._N, with_bias=False, w_init=NORMAL(self._N**-0.5))(jnp.tanh(x))
        drive = recurrence + hk.Linear(self._N, with_bias=False)(inputs)
        x = (1 - 1 / self._tau) * x + drive / self._tau
        return x, x

    def initial_state(self, batch_size):
        return jnp.full((batch_size, self._N), 0.1)


class NMRNN(hk.RNNCore):
    """The NM-RNN of `plain_cells.nmrnn`, rows `[B, C]`; returns x. inputs: (sensory, everything)."""

    def __init__(self, hparams):
        super().__init__()
        self._h, (N, M, K) = hparams, (hparams["N"], hparams["M"], hparams["K"])
        self._R = hk.get_parameter("R", (N, K), init=NORMAL(K**-0.5))
        self._L = hk.get_parameter("L", (N, K), init=NORMAL(K**-0.5))
        if not hparams["feedback"]:
            self._L = jnp.linalg.qr(self._L)[0]
        self._sizes = N, M, K

    def __call__(self, inputs, state):
        (x, z), (sensory, everything), (N, M, K) = state, inputs, self._sizes
        drive = hk.Linear(M, with_bias=False, name="W_z")(jnp.tanh(z)) + hk.Linear(M, with_bias=False, name="B_z")(
            everything
        )
        if self._h["feedback"]:
            drive = drive + hk.Linear(M, name="B_zx")(jnp.tanh(x))
        z = (1 - 1 / self._h["tau_z"]) * z + drive / self._h["tau_z"]
        s = jax.nn.sigmoid(hk.Linear(K, name="A_z")(z))
        recurrence = (s * (jnp.tanh(x) @ self._R)) @ self._L.T
        drive = recurrence + hk.Linear(N, with_bias=False, name="B_x")(sensory)
        x = (1 - 1 / self._h["tau_x"]) * x + drive / self._h["tau_x"]
        return x, (x, z)

    def initial_state(self, batch_size):
        N, M, _ = self._sizes
        return jnp.full((batch_size, N), 0.1), jnp.full((batch_size, M), 0.1)


class Runner(ScriptRunner):
    def __init__(self, experiment: Experiment, seeds: int):
        name, hparams = experiment.baseline.name, experiment.sizing.hparams

        def forward(inputs):
            everything = jnp.concatenate(tree.flatten(inputs), axis=-1)
            if name == "nmrnn":
                core, sequence = NMRNN(hparams), (inputs["sensory"], everything)
            elif name == "rnn":
                core, sequence = LeakyRNN(hparams["N"], hparams["tau"]), everything
            else:
                core, sequence = hk.LSTM(hparams["N"]), everything
            states, _ = hk.dynamic_unroll(core, sequence, core.initial_state(everything.shape[1]))
            return hk.Linear(experiment.task.spec.output_size, with_bias=hparams.get("readout_bias", False))(states)

        model = hk.without_apply_rng(hk.transform(forward))
        example = experiment.task.spec.zeros(batch=1, steps=1)
        init = jax.jit(lambda seed: model.init(jax.random.key(seed), example))
        super().__init__(experiment, init, model.apply, seeds)
