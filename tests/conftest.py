"""Settings for all tests: two host devices with one thread each, no silent rank promotion, small tasks to train on."""

import os

# What tests compile is their own affair, and two workers of pytest must not meet in one folder.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

from nmbench.support import devices

devices.prepare(2)

import dataclasses  # noqa: E402
import pathlib  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from nmbench.contracts import frozen_sets  # noqa: E402
from nmbench.contracts.catalog import BASELINES, TASKS  # noqa: E402
from nmbench.contracts.metrics import Metric, squared_error  # noqa: E402
from nmbench.contracts.protocol import Phase, Protocol  # noqa: E402
from nmbench.contracts.specs import ArraySpec, SequenceSpec  # noqa: E402
from nmbench.contracts.task import Batch, FixedData, Task  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

STEPS, TRIALS = 5, 12


def toy_arrays(split: str) -> dict[str, np.ndarray]:
    """Twelve trials of five steps: the target is half the running sum of two input channels."""
    random = np.random.RandomState({"train": 1, "validation": 2, "test": 3}[split])
    inputs = random.randn(STEPS, TRIALS, 2).astype(np.float32)
    targets = 0.5 * np.cumsum(inputs.sum(axis=2, keepdims=True), axis=0)
    return {"inputs": inputs, "targets": targets.astype(np.float32), "mask": np.ones((STEPS, 1, 1), np.float32)}


def toy_unpack(arrays) -> Batch:
    inputs = {"context": arrays["inputs"][..., :1], "sensory": arrays["inputs"][..., 1:]}
    return Batch(inputs, arrays["targets"], arrays["mask"])


def make_toy_task(folder: pathlib.Path, **changes) -> Task:
    """A task small enough to train in a test, with its frozen sets in `folder`."""
    protocol = Protocol(
        name="matched",
        phases=(Phase(steps=40),),
        learning_rate_grid=(1e-3, 1e-2),
        tuning_seeds=(1000, 1001),
        validate_every=10,
    )
    attributes = {
        "name": "toy",
        "version": 1,
        "summary": "half the running sum",
        "citation": "none",
        "spec": SequenceSpec(STEPS, {"sensory": ArraySpec(1), "context": ArraySpec(1)}, ArraySpec(1)),
        "training": {"train": FixedData(lambda: toy_unpack(toy_arrays("train")))},
        "draw_set": toy_arrays,
        "set_sizes": {"validation": TRIALS, "test": TRIALS},
        "unpack": toy_unpack,
        "metrics": (
            Metric(
                name="mse",
                per_trial=squared_error,
                higher_is_better=False,
                floor=1.0,
                ceiling=0.0,
                conditions=lambda arrays: np.arange(TRIALS) % 2,
                threshold=0.1,
            ),
        ),
        "default_budget": 100,
        "protocols": (protocol, dataclasses.replace(protocol, name="untuned", learning_rate_grid=())),
        "references": {"zero": lambda arrays: np.zeros_like(arrays["targets"])},
        "sets_folder": folder,
    }
    task = Task(**{**attributes, **changes})
    for split in ("validation", "test"):
        frozen_sets.save(folder, task.name, task.version, split, toy_arrays(split), TRIALS)
    return task


@pytest.fixture(scope="session")
def toy_maker():
    """`make_toy_task`, for fixtures of wider scope than `toy_task`."""
    return make_toy_task


@pytest.fixture
def toy_task(tmp_path):
    """The toy task, registered for the duration of a test."""
    task = make_toy_task(tmp_path / "testsets")
    with TASKS.restored(), BASELINES.restored():
        TASKS.register("toy", task, origin="tests/conftest.py:1", tags=("testing",), summary=task.summary)
        yield task
