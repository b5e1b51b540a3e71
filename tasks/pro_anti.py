"""Delay and Memory Pro/Anti as four single tasks: report an angle, or its opposite, after a go cue.

A trial has 100 steps. The fixation input (channel 0) is 1 until go, then 0. The stimulus (channels 1 and 2: sine and cosine
of theta_in) is on from its onset to the end (Delay) or until some time before go (Memory). The target of the fixation output
is 0.8 until go, then 0. The targets of the other two outputs are 0 until go, then sine and cosine of theta_in (Pro) or of
theta_in + pi (Anti). See supplement C.2 and C.4. With theta = theta_in (Pro) or theta_in + pi (Anti), the targets are

y_t = (0.8, 0, 0) for t < t_go
y_t = (0, sin(theta), cos(theta)) for t >= t_go
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nmbench import FixedData, Phase, Protocol, register_task

from . import _pro_anti_scores as scores
from . import _pro_anti_trials as trials

TRAINING_TRIALS = 3000
SET_SIZES = {"validation": 500, "test": 1000}
# Data seeds depend on neither the model nor its seed. 10 times the index of the task is added to each of them.
SEEDS = {"train": 20241100, "validation": 20241101, "test": 20241102, "noise": 20241103}
# Standard deviation of the optional input noise in the authors' scripts.
NOISE = 0.1

_MATCHED = Protocol(
    name="matched",
    phases=(Phase(steps=20_000, batch_size=100, weight_decay=1e-4, schedule="cosine", clip_norm=1.0),),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    tuning_seeds=tuple(range(1000, 1005)),
    summary="One recipe for all models: AdamW, cosine decay, gradients clipped to norm 1, learning rate tuned.",
)
_PAPER = Protocol(
    name="paper",
    phases=(Phase(steps=150_000, batch_size=100, weight_decay=1e-4, clip_value=1.0),),
    sizes="published",
    learning_rate=1e-3,
    summary="The multitask recipe of supplement C.3 on one task: AdamW at 1e-3, gradient elements clipped at 1.",
)
_SMOKE = Protocol(
    name="smoke",
    phases=(Phase(steps=20, batch_size=20),),
    validate_every=10,
    summary="Twenty steps, to check that everything runs.",
)


def _common(name: str) -> dict[str, Any]:
    """Arguments of `register_task` for the task called `name`."""
    index = trials.NAMES.index(name)
    sizes = {"train": TRAINING_TRIALS, **SET_SIZES}

    def draw_set(split: str) -> dict[str, np.ndarray]:
        random = np.random.RandomState(SEEDS[split] + 10 * index)
        return trials.draw_trials(random, np.full(sizes[split], index))

    def unpack(arrays, **noise):
        return trials.unpack(arrays, context=False, noise_seed=SEEDS["noise"] + 10 * index, **noise)

    return {
        "version": 1,
        "citation": trials.CITATION,
        "spec": trials.spec(context=False),
        "training": {
            "train": FixedData(lambda: unpack(draw_set("train"))),
            # The same trials with noise on all inputs, drawn once. No protocol in this file uses them.
            "train_noisy": FixedData(lambda: unpack(draw_set("train"), input_noise=NOISE)),
        },
        "draw_set": draw_set,
        "set_sizes": SET_SIZES,
        "unpack": unpack,
        "metrics": scores.metrics(draw_set("test"), by_task=False),
        "default_budget": 500,
        "protocols": (_MATCHED, _PAPER, _SMOKE),
        "references": scores.REFERENCES,
        "epochs": trials.epochs,
    }


register_task(
    "delay_pro",
    summary="After go, report the angle of a stimulus that is still on.",
    tags=("angle", "delay"),
    **_common("delay_pro"),
)
register_task(
    "delay_anti",
    summary="After go, report the angle opposite to a stimulus that is still on.",
    tags=("angle", "delay"),
    **_common("delay_anti"),
)
register_task(
    "memory_pro",
    summary="After go, report the angle of a stimulus that is no longer on.",
    tags=("angle", "memory"),
    **_common("memory_pro"),
)
register_task(
    "memory_anti",
    summary="After go, report the angle opposite to a stimulus that is no longer on.",
    tags=("angle", "memory"),
    **_common("memory_anti"),
)
