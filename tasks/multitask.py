"""Four Pro/Anti tasks under context: learn three, then the fourth while only part of the model may change.

Trials are those of `delay_pro`, `delay_anti`, `memory_pro` and `memory_anti`, with a one-hot context that says which task
it is, in this order, constant over the trial. The data of the first phase, training and validation, hold the first three
tasks, so the fourth context channel is 0 throughout them; the retraining phase holds `memory_anti` only. The test set
holds all four tasks. (supplement C.2, C.4)
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nmbench.protocol import Phase, Protocol
from nmbench.task import Batch, FixedData, register_task

from . import _pro_anti_scores as scores
from . import _pro_anti_trials as trials

OLD_TASKS = 3
SET_SIZES = {"validation": 600, "validation_retrain": 300, "test": 4000}
_TRIALS = {"train": 3000, "retrain": 1000, **SET_SIZES}
# Data seeds belong to the task alone: no model and no model seed has a part in them.
SEEDS = {
    "train": 20241200,
    "validation": 20241201,
    "test": 20241202,
    "noise": 20241203,
    "retrain": 20241204,
    "validation_retrain": 20241205,
}
# Standard deviation in the authors' scripts, of the input noise and of the noise on the old context channels.
NOISE = 0.1


def draw_set(split: str) -> dict[str, np.ndarray]:
    """Trial parameters `[B]` of a frozen set or a training set; see `_pro_anti_trials.draw_trials`.

    "train" and "validation": each of the first three tasks equally likely; "retrain" and "validation_retrain":
    `memory_anti`; "test": 1000 trials of each of the four tasks, one task after another.
    """
    random, n = np.random.RandomState(SEEDS[split]), _TRIALS[split]
    if split in ("train", "validation"):
        return trials.draw_mixture(random, n, OLD_TASKS)
    if split == "test":
        return trials.draw_trials(random, np.repeat(np.arange(4), n // 4))
    return trials.draw_trials(random, np.full(n, trials.MEMORY_ANTI))


def unpack(arrays, **noise) -> Batch:
    """Inputs `{"sensory": [T, B, 3], "context": [T, B, 4]}`, targets, mask; `noise`: see `_pro_anti_trials.unpack`."""
    return trials.unpack(arrays, context=True, noise_seed=SEEDS["noise"], **noise)


def _retraining(first: Phase, retraining: Phase) -> dict[str, Any]:
    """Phases of a protocol: what may change in retraining is the input weights, or the NM-RNN's small network."""
    second = dataclasses.replace(retraining, data="retrain", validation="validation_retrain")
    of_input = dataclasses.replace(second, partition="input_weights")
    of_modulation = dataclasses.replace(second, partition="neuromodulatory_subnetwork")
    return {"phases": (first, of_input), "phases_by_model": {"nmrnn": (first, of_modulation)}}


_FAIR = Phase(steps=50_000, batch_size=100, weight_decay=1e-4, schedule="cosine", clip_norm=1.0)
_MATCHED = Protocol(
    name="matched",
    **_retraining(_FAIR, dataclasses.replace(_FAIR, steps=10_000)),
    learning_rate_grid=(1e-3, 3e-3, 1e-2),
    summary="Three tasks, then the fourth with a frozen core. AdamW, cosine decay, gradients clipped to norm 1, tuned rate.",
)
_CODE = Phase(steps=150_000, batch_size=100, learning_rate=1e-3, weight_decay=1e-4, clip_value=1.0)
_PAPER = Protocol(
    name="paper",
    **_retraining(_CODE, dataclasses.replace(_CODE, steps=50_000, learning_rate=1e-2)),
    sizes="published",
    summary="Sizes and recipe of supplement C.3: AdamW at 1e-3, then at 1e-2, gradient elements clipped at 1.",
)
_SMOKE = Protocol(
    name="smoke",
    **_retraining(Phase(steps=20, batch_size=20), Phase(steps=20, batch_size=20)),
    validate_every=10,
    summary="Twenty steps of each phase, to see that everything runs.",
)

register_task(
    "multitask",
    version=1,
    summary="Three Pro/Anti tasks under context, then a fourth learned while most of the model is frozen.",
    citation=trials.CITATION,
    tags=("angle", "memory", "context", "continual", "paper"),
    spec=trials.spec(context=True),
    training={
        "train": FixedData(lambda: unpack(draw_set("train"))),
        "retrain": FixedData(lambda: unpack(draw_set("retrain"))),
        # Noise drawn once, as in the authors' scripts: for experiments, no protocol here uses it.
        "train_noisy": FixedData(lambda: unpack(draw_set("train"), input_noise=NOISE)),
        "retrain_noisy_context": FixedData(lambda: unpack(draw_set("retrain"), old_context_noise=NOISE)),
    },
    draw_set=draw_set,
    set_sizes=SET_SIZES,
    unpack=unpack,
    metrics=scores.metrics(draw_set("test"), by_task=True),
    default_budget=1790,
    protocols=(_MATCHED, _PAPER, _SMOKE),
    references=scores.REFERENCES,
    epochs=trials.epochs,
)
