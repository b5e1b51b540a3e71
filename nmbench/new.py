"""Write the file of a new model or task, a complete example to change. It passes `nmbench check`.

  python -m nmbench.new model my_model    writes my_model.py
  python -m nmbench.new task my_task      writes my_task.py and the task's frozen sets in testsets/

The files are written into the current folder. Existing files are never overwritten.
"""

from __future__ import annotations

import importlib.util
import pathlib

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support import cli
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()

MODEL = '''"""A leaky recurrent network, to be changed into a model of your own."""

import jax.numpy as jnp

import nmbench


@nmbench.register_baseline("NAME", free_size="N", tags=("own",), input_weights={"B": nmbench.InputWeights()})
class Model(nmbench.Core):
    """x_t = (1 - a) x_{t-1} + a tanh(W x_{t-1} + B u_t + b), y_t = C x_t."""

    def __init__(self, spec, N: int, a: float = 0.5):  # N follows from the parameter budget; --hparams=a=0.2 changes a
        super().__init__(spec)
        self.W = self.learned("W", (N, N), 1 / N**0.5)  # name, shape, standard deviation of its initial values
        self.B = self.learned("B", (N, spec.input_size), 1 / spec.input_size**0.5)
        self.b = self.learned("b", (N, 1), 0.1)
        self.C = self.learned("C", (spec.output_size, N), 1 / N**0.5)
        self.N, self.a = N, a

    def input_map(self, inputs):  # the whole sequence at once: a dict of arrays [T, channels, B], B trials
        return self.B @ self.concat(inputs) + self.b[None]

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size))

    def step(self, x, v_t):  # one step: [N, B]; v_t is what input_map gives for this step
        return (1 - self.a) * x + self.a * jnp.tanh(self.W @ x + v_t)

    def readout(self, x):  # the whole sequence at once: [T, N, B] to [T, outputs, B]
        return self.C @ x
'''

TASK = '''"""Report the running mean of a noisy input. To be changed into a task of your own."""

import jax
import numpy as np

from nmbench import ArraySpec, Batch, Metric, Phase, Protocol, Sampler, SequenceSpec, register_task, squared_error

STEPS = 20
SETS = {"validation": (1, 200), "test": (2, 500)}  # seed and number of trials
CHANCE = float(np.mean(1 / np.arange(1, STEPS + 1)))  # squared error of the answer 0


def _batch(noise) -> Batch:
    """Inputs, targets and mask of trials, time-major [T, B, channels], from arrays of NumPy or JAX."""
    count = np.arange(1, STEPS + 1, dtype=np.float32).reshape(STEPS, 1, 1)
    return Batch({"sensory": noise}, noise.cumsum(axis=0) / count, np.ones((STEPS, 1, 1), np.float32))


def sample(key, batch_size: int) -> Batch:
    """New training trials, drawn on the device at every step."""
    return _batch(jax.random.normal(key, (STEPS, batch_size, 1)))


def draw_set(split: str) -> dict[str, np.ndarray]:
    """The arrays of a frozen set. After a change, run nmbench.freeze: with a higher version, or without the old sets."""
    seed, trials = SETS[split]
    return {"noise": np.random.RandomState(seed).standard_normal((STEPS, trials, 1)).astype(np.float32)}


def unpack(arrays) -> Batch:
    return _batch(arrays["noise"])


def _squared_error(predictions, arrays) -> np.ndarray:
    """Mean squared error over all steps, `[B]`."""
    batch = unpack(arrays)
    return squared_error(predictions, {"targets": batch.targets, "mask": batch.mask})


register_task(
    "NAME",
    version=1,
    summary="Report the running mean of a noisy input.",
    citation="none",
    tags=("own",),
    spec=SequenceSpec(STEPS, {"sensory": ArraySpec(1)}, ArraySpec(1)),
    training={"train": Sampler(sample)},
    draw_set=draw_set,
    set_sizes={split: trials for split, (_, trials) in SETS.items()},
    unpack=unpack,
    metrics=(Metric("mse", _squared_error, higher_is_better=False, floor=CHANCE, ceiling=0.0, threshold=0.01),),
    default_budget=500,
    protocols=(
        Protocol(
            name="matched",
            phases=(Phase(steps=5_000, batch_size=64, schedule="cosine", clip_norm=1.0),),
            learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        ),
        Protocol(name="smoke", phases=(Phase(steps=20, batch_size=16),), validate_every=10),
    ),
    references={
        "chance (always 0)": lambda arrays: np.zeros_like(arrays["noise"]),
        "perfect": lambda arrays: unpack(arrays).targets,
    },
)
'''

NEXT = {
    "model": "python -m nmbench.run --plugin={path} --model={name} --task=element_finder --tune",
    "task": "python -m nmbench.run --plugin={path} --task={name} --model=lstm",
}


def main(operands: list[str]) -> int:
    if len(operands) != 2 or operands[0] not in NEXT:
        raise NmbenchError("write `nmbench new model NAME` or `nmbench new task NAME`")
    kind, name = operands
    registry = TASKS if kind == "task" else BASELINES
    registry.check_name(name)
    path = pathlib.Path(f"{name.replace('-', '_')}.py")
    if name in registry:
        raise NmbenchError(f"there is already a {kind} {name!r}; choose another name")
    if path.exists() or path.is_symlink():
        raise NmbenchError(f"{path} already exists; choose another name, or move the file away")
    if importlib.util.find_spec(path.stem) is not None:
        raise NmbenchError(f"{path} would hide the Python module {path.stem!r}; choose another name")
    text = (TASK if kind == "task" else MODEL).replace('"NAME"', f'"{name}"')
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
    written = str(path)
    if kind == "task":
        try:
            written += f" and its frozen sets in {_freeze(path, name)}"
        except NmbenchError:
            path.unlink()
            raise
    print(f"{written} written. Next:")
    print(f"  python -m nmbench.check --plugin={path}")
    print(f"  {NEXT[kind].format(path=path, name=name)}")
    return 0


def _freeze(path: pathlib.Path, name: str) -> str:
    """Write the frozen sets of a new task, and return the name of their folder."""
    from nmbench.contracts import frozen_sets, plugins

    plugins.load(str(path))
    task = TASKS.get(name)
    for split, trials in task.set_sizes.items():
        frozen_sets.save(task.sets_folder, name, task.version, split, task.draw_set(split), trials)
    return f"{task.sets_folder.name}/"


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.new", operands="model|task NAME")
