"""A small task with a fixed training set: report the mean of the inputs so far."""

import numpy as np

from nmbench import ArraySpec, Batch, FixedData, Metric, Phase, Protocol, SequenceSpec, register_task, squared_error

STEPS = 20
SETS = {"train": (1, 500), "validation": (2, 200), "test": (3, 500)}  # seed and number of trials


def draw_set(split: str) -> dict[str, np.ndarray]:
    """Inputs `[T, B, 1]`, standard normal."""
    seed, trials = SETS[split]
    return {"inputs": np.random.RandomState(seed).standard_normal((STEPS, trials, 1)).astype(np.float32)}


def unpack(arrays) -> Batch:
    """Model inputs, targets and mask."""
    inputs = arrays["inputs"]
    means = np.cumsum(inputs, axis=0, dtype=np.float64) / np.arange(1, STEPS + 1)[:, None, None]
    return Batch({"sensory": inputs}, means.astype(np.float32), np.ones((STEPS, 1, 1), np.float32))


def _squared_error(predictions, arrays) -> np.ndarray:
    batch = unpack(arrays)
    return squared_error(predictions, {"targets": batch.targets, "mask": batch.mask})


# The mean of t numbers has variance 1/t, which is the expected squared error of the answer 0 at step t.
CHANCE = float(np.mean(1 / np.arange(1, STEPS + 1)))

register_task(
    "running_mean",
    version=1,
    summary="Report the mean of the inputs so far.",
    citation="An example of nmbench.",
    tags=("integration", "example"),
    spec=SequenceSpec(STEPS, {"sensory": ArraySpec(1)}, ArraySpec(1)),
    training={"train": FixedData(lambda: unpack(draw_set("train")))},
    draw_set=draw_set,
    set_sizes={split: SETS[split][1] for split in ("validation", "test")},
    unpack=unpack,
    metrics=(Metric("mse", _squared_error, higher_is_better=False, floor=CHANCE, ceiling=0.0, threshold=0.01),),
    default_budget=200,
    protocols=(
        Protocol(
            name="matched",
            phases=(Phase(steps=2_000, batch_size=64, schedule="cosine", clip_norm=1.0),),
            learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
            summary="Adam, cosine decay, gradients clipped to norm 1, learning rate tuned.",
        ),
        Protocol(
            name="smoke",
            phases=(Phase(steps=20, batch_size=16),),
            validate_every=10,
            summary="Twenty steps, to check that everything runs.",
        ),
    ),
    references={"chance (always 0)": lambda arrays: np.zeros_like(arrays["inputs"])},
)
