"""Four Pro/Anti tasks with a context input: learn three of them, then the fourth, training only part of the model.

Trials are those of `delay_pro`, `delay_anti`, `memory_pro` and `memory_anti`, with a one-hot context input that identifies
the task, in this order, and is constant over the trial. Training and validation data of the first phase contain the first
three tasks, so the fourth context channel is 0. The data of the retraining phase contain only `memory_anti`. The test
set contains all four tasks. See supplement C.2 and C.4.

The metrics judge a model when it has learned a task: the first three tasks with the parameters before retraining, the fourth
with those after it. So a model solves the multitask if it is correct in 90% of all trials, not necessarily in 90% of each
task. What retraining destroys is shown by `old_tasks`, which uses the parameters after retraining, beside
`old_tasks.before_retraining`. `new_task.before_retraining` says little: the weights of the new context are still random.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nmbench import Batch, FixedData, Phase, Protocol, register_task

from . import _pro_anti_scores as scores
from . import _pro_anti_trials as trials

OLD_TASKS = 3
SET_SIZES = {"validation": 600, "validation_retrain": 300, "test": 4000}
_TRIALS = {"train": 3000, "retrain": 1000, **SET_SIZES}
# Data seeds depend on neither the model nor its seed.
SEEDS = {
    "train": 20241200,
    "validation": 20241201,
    "test": 20241202,
    "noise": 20241203,
    "retrain": 20241204,
    "validation_retrain": 20241205,
}
# Name of the stage after the first phase, when three tasks have been learned.
BEFORE = "before_retraining"
# Standard deviation, in the authors' scripts, of the input noise and of the noise on the old context channels.
NOISE = 0.1


def draw_set(split: str) -> dict[str, np.ndarray]:
    """Trial parameters `[B]` of a frozen set or a training set; see `_pro_anti_trials.draw_trials`.

    "train" and "validation" contain the first three tasks with equal probabilities; "retrain" and "validation_retrain"
    contain `memory_anti`; "test" contains 1000 trials of each of the four tasks, one task after another.
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


def _phases(first: Phase, **retraining: Any) -> tuple[Phase, Phase]:
    """Two phases: learn three tasks, then the fourth, with a new context, while most of the model is frozen.

    The second phase trains the neuromodulatory subnetwork of a model that has one, and the input weights of any other model.
    The weights of the new context channel start at 0.1, as in the authors' code.
    """
    second = dataclasses.replace(
        first,
        partition=("neuromodulatory_subnetwork", "input_weights"),
        data=retraining.pop("data", "retrain"),
        validation="validation_retrain",
        new_inputs={f"context/{trials.MEMORY_ANTI}": 0.1},
        **retraining,
    )
    return dataclasses.replace(first, stage=BEFORE), second


_FAIR = Phase(steps=50_000, batch_size=100, weight_decay=1e-4, schedule="cosine", clip_norm=1.0)
_MATCHED = Protocol(
    name="matched",
    phases=_phases(_FAIR, steps=10_000),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    tuning_seeds=tuple(range(1000, 1005)),
    summary="Three tasks, then the fourth with most weights frozen. AdamW, cosine decay, gradient norm clipped at 1, tuned.",
)
_ADAMW = Phase(steps=150_000, batch_size=100, weight_decay=1e-4, clip_value=1.0)
_PAPER = Protocol(
    name="paper",
    phases=_phases(_ADAMW, steps=50_000, relative_rate=10.0),
    sizes="published",
    learning_rate=1e-3,
    summary="Sizes and recipe of supplement C.3: AdamW at 1e-3, then at 1e-2, gradient elements clipped at 1.",
)
_PAPER_CODE = dataclasses.replace(
    _PAPER,
    name="paper_code",
    phases=_phases(
        dataclasses.replace(_ADAMW, reset_optimizer_every=1000),
        steps=50_000,
        relative_rate=10.0,
        data="retrain_noisy_context",
    ),
    summary="Like paper, with the authors' code's additions: Adam's moments reset every 1000 steps, noise on old contexts.",
)
_SMOKE = Protocol(
    name="smoke",
    phases=_phases(Phase(steps=20, batch_size=20), steps=20),
    validate_every=10,
    summary="Twenty steps of each phase, to check that everything runs; its scores are meaningless.",
)

register_task(
    "multitask",
    version=2,
    summary="Three Pro/Anti tasks with a context input, then a fourth, learned while most of the model is frozen.",
    citation=trials.CITATION,
    tags=("angle", "memory", "context", "continual", "paper"),
    spec=trials.spec(context=True),
    training={
        "train": FixedData(lambda: unpack(draw_set("train"))),
        "retrain": FixedData(lambda: unpack(draw_set("retrain"))),
        # The noise is drawn once, as in the authors' scripts.
        "train_noisy": FixedData(lambda: unpack(draw_set("train"), input_noise=NOISE)),
        "retrain_noisy_context": FixedData(lambda: unpack(draw_set("retrain"), old_context_noise=NOISE)),
    },
    draw_set=draw_set,
    set_sizes=SET_SIZES,
    unpack=unpack,
    metrics=scores.metrics(draw_set("test"), by_task=True, old_tasks_at=BEFORE) + scores.old_and_new(BEFORE),
    default_budget=1790,
    protocols=(_MATCHED, _PAPER, _PAPER_CODE, _SMOKE),
    references=scores.REFERENCES,
    epochs=trials.epochs,
)
