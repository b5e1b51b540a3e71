"""A task small enough to train in a test."""

import dataclasses
import pathlib

import numpy as np

from nmbench.contracts import frozen_sets
from nmbench.contracts.metrics import Metric, squared_error
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.contracts.task import Batch, FixedData, Task

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
