"""Style "torch": PyTorch modules, AdamW, gradients clipped, one step per turn of a Python loop, one seed after another.

The RNN is `torch.nn.RNN`, which has no leak. The LSTM is `torch.nn.LSTM`, which has two bias vectors. The NM-RNN is a module
with a Python loop over time.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import tree
from torch import nn

from nmbench.contracts.task import Sampler
from nmbench.experiments.experiment import Experiment


class NMRNN(nn.Module):
    """The NM-RNN of `plain_cells.nmrnn`; returns x `[T, B, N]`. sensory `[T, B, P]`, everything `[T, B, Q]`."""

    def __init__(self, hparams, P: int, Q: int):
        super().__init__()
        N, M, K = (hparams[k] for k in ("N", "M", "K"))
        self.h, self.sizes = hparams, (N, M)
        self.L, self.R = (nn.Parameter(torch.randn(N, K) / K**0.5) for _ in range(2))
        self.W_z, self.B_z, self.B_x = (nn.Linear(a, b, bias=False) for a, b in ((M, M), (Q, M), (P, N)))
        self.A_z = nn.Linear(M, K)
        if hparams["feedback"]:
            self.B_zx = nn.Linear(N, M)

    def forward(self, sensory, everything):
        h, (N, M), B = self.h, self.sizes, sensory.shape[1]
        L = self.L if h["feedback"] else torch.linalg.qr(self.L)[0]
        x, z, xs = torch.full((B, N), 0.1), torch.full((B, M), 0.1), []
        v_x, v_z = self.B_x(sensory), self.B_z(everything)
        for t in range(len(sensory)):
            phi = torch.tanh(x)
            drive = self.W_z(torch.tanh(z)) + v_z[t]
            if h["feedback"]:
                drive = drive + self.B_zx(phi)
            z = (1 - 1 / h["tau_z"]) * z + drive / h["tau_z"]
            s = torch.sigmoid(self.A_z(z))
            x = (1 - 1 / h["tau_x"]) * x + ((s * (phi @ self.R)) @ L.T + v_x[t]) / h["tau_x"]
            xs.append(x)
        return torch.stack(xs)


class Network(nn.Module):
    """A recurrent network and a linear readout; inputs are the task's dict of tensors `[T, B, C]`."""

    def __init__(self, experiment: Experiment):
        super().__init__()
        spec, hparams, self.name = experiment.task.spec, experiment.sizing.hparams, experiment.baseline.name
        Q = spec.input_size
        if self.name == "nmrnn":
            self.core: nn.Module = NMRNN(hparams, spec.size_of("sensory"), Q)
        elif self.name == "rnn":
            self.core = nn.RNN(Q, hparams["N"], nonlinearity="tanh")
        else:
            self.core = nn.LSTM(Q, hparams["N"])
        self.read = nn.Linear(hparams["N"], spec.output_size, bias=hparams.get("readout_bias", False))

    def forward(self, inputs):
        everything = torch.cat(tree.flatten(inputs), dim=-1)
        if self.name == "nmrnn":
            return self.read(self.core(inputs["sensory"], everything))
        return self.read(self.core(everything)[0])


def element_finder_batch(batch_size: int, steps: int):
    """Inputs, targets and mask with the distribution of `nmbench.tasks.element_finder.sample`."""
    elements = torch.randint(-10, 11, (steps - 1, batch_size))
    query = torch.randint(0, steps - 1, (batch_size,))
    sensory = torch.cat([query[None], elements])[..., None].float()
    targets, mask = torch.zeros(steps, batch_size, 1), torch.zeros(steps, 1, 1)
    targets[-1, :, 0] = elements.gather(0, query[None])[0].float()
    mask[-1] = 1.0
    return {"sensory": sensory}, targets, mask


class Runner:
    def __init__(self, experiment: Experiment, seeds: int):
        phase, source = experiment.phases[0], experiment.task.training[experiment.phases[0].data]
        self._size, self._runs, self._steps = phase.batch_size, [], experiment.task.spec.steps
        self._arrays = None
        if not isinstance(source, Sampler):
            tensor = lambda a: torch.from_numpy(np.array(a, np.float32))
            self._arrays = tuple(tree.map_structure(tensor, part) for part in source.arrays())
        for seed in range(seeds):
            torch.manual_seed(seed)
            network = Network(experiment)
            optimizer = torch.optim.AdamW(
                network.parameters(), lr=experiment.learning_rate.value, weight_decay=phase.weight_decay
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, phase.steps)
            self._runs.append((network, optimizer, schedule))

    def compile(self) -> None:
        self._step(*self._runs[0])

    def run(self, steps: int) -> float:
        began = time.perf_counter()
        for run in self._runs:
            for _ in range(steps):
                self._step(*run)
        return time.perf_counter() - began

    def _batch(self):
        if self._arrays is None:
            return element_finder_batch(self._size, self._steps)
        if not self._size:
            return self._arrays
        index = torch.randint(0, self._arrays[1].shape[1], (self._size,))
        return tuple(tree.map_structure(lambda a: a[:, index], part) for part in self._arrays)

    def _step(self, network, optimizer, schedule) -> None:
        inputs, targets, mask = self._batch()
        optimizer.zero_grad()
        weights = mask.expand_as(targets)
        loss = (weights * (network(inputs) - targets) ** 2).sum() / weights.sum()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
