"""Delay and Memory Pro/Anti, each on its own: report an angle, or its opposite, after a go cue.

100 steps. Fixation (channel 0) is 1 until go, then 0; the stimulus (channels 1, 2: sine and cosine of theta_in) stays on
from its onset to the end (Delay) or goes off again before go (Memory). Hold the fixation output at 0.8 until go, then
report sine and cosine of theta_in (Pro) or theta_in + pi (Anti). (supplement C.2, C.4)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.registration import register_task
from nmbench.contracts.task import FixedData

from . import _pro_anti_scores as scores
from . import _pro_anti_trials as trials

TRAINING_TRIALS = 3000
SET_SIZES = {"validation": 500, "test": 1000}
# Data seeds belong to the task alone: no model and no model seed has a part in them. Index of the task times 10 is added.
SEEDS = {"train": 20241100, "validation": 20241101, "test": 20241102, "noise": 20241103}
# Standard deviation of the input noise in the authors' scripts, where they switch it on.
NOISE = 0.1

_MATCHED = Protocol(
    name="matched",
    phases=(Phase(steps=20_000, batch_size=100, weight_decay=1e-4, schedule="cosine", clip_norm=1.0),),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    summary="One recipe for all models: AdamW, cosine decay, gradients clipped to norm 1, rate tuned on validation data.",
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
    summary="Twenty steps, to see that everything runs.",
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
            # The same trials with noise on all inputs, drawn once: for experiments, no protocol here uses it.
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
    summary="After go, report the angle of a stimulus that has gone off before.",
    tags=("angle", "memory"),
    **_common("memory_pro"),
)
register_task(
    "memory_anti",
    summary="After go, report the angle opposite to a stimulus that has gone off before.",
    tags=("angle", "memory"),
    **_common("memory_anti"),
)
