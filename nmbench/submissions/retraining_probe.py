"""The part of tier re-trained that runs a stranger's code: train seeds from the configuration alone.

Like `probe`, of which these are questions, it runs in a process of its own. Nothing is scored here, and no test set is here.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping
from typing import Any

# A change of the learning rate that is as small as differences in rounding.
NUDGE = 1e-6


def run_folder(seed: int) -> str:
    """Name of the folder with the parameters of a retrained seed."""
    return f"retrained-{seed}"


def retrained(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Train `question["seeds"]` of the experiment of `question["configuration"]`.

    The selected parameters, and those of earlier stages, are written to `run_folder(seed)`. The answer has "runs", one entry
    for each seed: the step at which it diverged or None, and the stages of its parameters.
    """
    from nmbench.results.store import PARAMS, stage_file
    from nmbench.training.parameter_files import save_params
    from nmbench.training.trainer import TrainingRun, train

    experiment = _experiment(question)
    seeds = question["seeds"]
    found, timing = train(experiment.training_setup(), [TrainingRun(s, experiment.learning_rate.value) for s in seeds])
    runs = []
    for seed, one in zip(seeds, found, strict=True):
        stages = [] if one.diverged_at is not None else ["", *one.stages]
        for stage in stages:
            (folder / run_folder(seed)).mkdir(exist_ok=True)
            path = folder / run_folder(seed) / (stage_file(stage) if stage else PARAMS)
            save_params(path, one.stages[stage] if stage else one.params)
        runs.append({"diverged_at": one.diverged_at, "stages": stages})
    return {"runs": runs, "compile_s": timing.compile_s, "train_s": timing.train_s}


def starts(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Train `question["seeds"]` until the first validation, each of them twice: as configured, and nudged.

    The answer has "starts": for each seed [training loss, validation loss] of both runs. A loss that is not finite is None.
    """
    from nmbench.training.trainer import Trainer, TrainingRun

    del folder
    experiment = _experiment(question)
    rate = experiment.learning_rate.value
    runs = [TrainingRun(seed, rate * factor) for seed in question["seeds"] for factor in (1.0, 1.0 + NUDGE)]
    trainer = Trainer(experiment.training_setup(), runs)
    for piece in trainer:
        if piece.validation_losses is not None:
            break
    losses = [[_finite(loss) for loss in one.curve[0][1:]] for one in trainer.snapshots()]
    return {"starts": [losses[i : i + 2] for i in range(0, len(losses), 2)]}


def _experiment(question: Mapping[str, Any]):
    from nmbench.experiments import loading
    from nmbench.experiments.configuration import Configuration

    return loading.resolve_again(Configuration.from_dict(question["configuration"]))


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
