"""Time one gradient of the NM-RNN at its published sizes, with and without each idea for speed, on one core.

  python benchmarks/leads.py

The variants of a case take turns in one process, for several rounds. The table gives the median time of each variant and
the median of its ratio to the variant that nmbench uses. benchmarks/README.md lists the predictions and the ideas that were
kept.
"""

from __future__ import annotations

import functools
import statistics
import time

import _checkout  # noqa: F401

from nmbench.support import cli, devices

devices.prepare(1)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import tabulate  # noqa: E402

from nmbench.baselines import nmrnn  # noqa: E402
from nmbench.contracts import model, unroll  # noqa: E402
from nmbench.experiments import resolution  # noqa: E402
from nmbench.experiments.request import Request  # noqa: E402
from nmbench.training import phase_program  # noqa: E402

CASES = ("element_finder", "mwg_rank3", "multitask")
RUNS = 5
ROUNDS = 15


class Wide(nmrnn.NMRNN):
    """The same network with x itself as the state, `[N, B]`; input map and readout still take the whole sequence."""

    def input_map(self, inputs):
        v_x, v_z = super().input_map(inputs)
        return jnp.einsum("nj,tjb->tnb", self._x.Q[:, self._K :], v_x), v_z

    def initial_state(self, batch_size):
        w, z = super().initial_state(batch_size)
        return self._x.Q @ w, z

    def step(self, state, v_t):
        (x, z), (v_x, v_z) = state, v_t
        from_x = self._x._reads @ jnp.tanh(x)
        z = self._keep_z * z + self._W_z @ jnp.tanh(z) + v_z + (from_x[self._K :] if self._feedback else 0.0)
        s = jax.nn.sigmoid(self._A_z @ z + self._b_z)
        return self._x._keep * x + self._x.Q[:, : self._K] @ (s * from_x[: self._K]) + v_x, z

    def readout(self, states):
        return self._read(states[0])


class Plain(nmrnn.NMRNN):
    """The same network with ordinary matrix products and the gradients that JAX derives."""

    def connect(self, *args, **kwargs):
        super().connect(*args, **kwargs)
        self._W_z, self._A_z = self._W_z.matrix, self._A_z.matrix
        self._x._reads, self._x._basis = self._x._reads.matrix, self._x._basis.matrix


def unrolled(steps: int):
    """`unroll_core` with `steps` time steps per turn of the loop."""

    def unroller(core, inputs):
        columns = unroll.to_columns(inputs)
        state = core.initial_state(jax.tree.leaves(columns)[0].shape[-1])
        body = lambda state, v: (core.step(state, v),) * 2
        states = jax.lax.scan(body, state, core.input_map(columns), unroll=steps)[1]
        return jnp.swapaxes(core.readout(states), 1, 2)

    return unroller


def recomputing(core, inputs):
    """`unroll_core` that keeps only the states and recomputes the other values of each step."""
    columns = unroll.to_columns(inputs)
    state = core.initial_state(jax.tree.leaves(columns)[0].shape[-1])
    body = jax.checkpoint(lambda state, v: (core.step(state, v),) * 2, prevent_cse=False)
    states = jax.lax.scan(body, state, core.input_map(columns))[1]
    return jnp.swapaxes(core.readout(states), 1, 2)


FLAGS = cli.new_flags()


def main() -> int:
    table = [line for case in CASES for line in measure_case(case)]
    print(tabulate.tabulate(table, ["case", "variant", "ms per gradient", "time / time of used", "temporaries MB"]))
    return 0


def measure_case(case: str) -> list[list[str]]:
    experiment = resolution.resolve(Request(model="nmrnn", task=case))
    data, batch_size = experiment.task.training[experiment.phases[0].data], experiment.phases[0].batch_size
    batch = phase_program.as_float(jax.jit(lambda d, k: data.draw(d, k, batch_size))(data.arrays(), jax.random.key(0)))
    pair = lambda factory, unroller: model._haiku_pair(factory, unroller, experiment.task.spec, experiment.sizing.hparams)
    used = pair(nmrnn.NMRNN, unroll.unroll_core)
    params = [used.init(jax.random.key(seed)) for seed in range(RUNS)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    variants = {
        "used": gradient(used),
        "state x itself, N wide": gradient(pair(Wide, unroll.unroll_core)),
        "plain products": gradient(pair(Plain, unroll.unroll_core)),
        "two steps per turn": gradient(pair(nmrnn.NMRNN, unrolled(2))),
        "recompute each step": gradient(pair(nmrnn.NMRNN, recomputing)),
        "--remat": gradient(pair(nmrnn.NMRNN, functools.partial(unroll.unroll_core, remat=True))),
    }
    lines = measure(case, {name: compiled(f, params[0], batch) for name, f in variants.items()}, 1)
    one = gradient(used)
    runs = {
        "five seeds, one after another": lambda p, b, n: phase_program.over_runs(lambda q: one(q, b), n, p),
        "five seeds, vectorised": lambda p, b, n: jax.vmap(lambda q: one(q, b))(p),
    }
    return lines + measure(case, {k: compiled(f, stacked, batch, jnp.int32(RUNS)) for k, f in runs.items()}, RUNS)


def gradient(pair):
    loss = lambda p, batch: phase_program.masked_mse(pair.apply(p, batch.inputs), batch.targets, batch.mask)
    return jax.value_and_grad(loss)


def compiled(f, *args):
    """Returns (a function that runs the program and waits for the result, megabytes of temporaries)."""
    program = jax.jit(f).lower(*args).compile()
    call = lambda: jax.block_until_ready(program(*args))
    call()
    return call, program.memory_analysis().temp_size_in_bytes / 1e6


def measure(case: str, calls, gradients: int) -> list[list[str]]:
    """Lines of the table. `calls` holds the variant that nmbench uses first; each call computes `gradients` gradients."""
    times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (call, _) in calls.items():
            began = time.perf_counter()
            for _ in range(5):
                call()
            times[name].append((time.perf_counter() - began) / 5 / gradients * 1e3)
    base = next(iter(times.values()))
    lines = []
    for name, found in times.items():
        ratio = statistics.median(a / b for a, b in zip(found, base, strict=True))
        lines.append([case, name, f"{statistics.median(found):.3f}", f"{ratio:.2f}", f"{calls[name][1]:.1f}"])
    return lines


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "leads.py")
