"""Questions about submitted models. Only `answer` imports their code; for a stranger's model, it runs in another process.

Questions and answers are plain data (JSON); inputs, parameters and predictions are files in a folder that both sides can
reach. The asking side believes no answer that it can check itself: it scores the predictions, counts the parameters and
computes the hashes.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tree

from nmbench.contracts import plugins
from nmbench.contracts.task import Task
from nmbench.submissions import retraining_probe

INPUTS, PREDICTIONS = "inputs.npz", "predictions"


def answer(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """The answer to a question.

    Args:
      question: "ask", one of `QUESTIONS`; "plugins", files that register models and tasks; and the question's own entries.
      folder: where files are read and written.

    Raises:
      NmbenchError: a plugin or a model is not valid.
    """
    plugins.load_all(question["plugins"])
    return QUESTIONS[question["ask"]](question, folder)


def _configurations(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Resolve each of `question["configurations"]` again, as `configuration`, `params` and `departures`."""
    from nmbench.experiments import loading
    from nmbench.experiments.configuration import Configuration

    del folder
    found = []
    for entries in question["configurations"]:
        given = Configuration.from_dict(entries)
        experiment = loading.resolve_again(given)
        found.append(
            {
                "configuration": experiment.configuration(given.seed).to_dict(),
                "params": experiment.sizing.actual,
                "departures": experiment.departures,
            }
        )
    return {"resolved": found}


def _check(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Apply the rules for models to `question["model"]` on `question["tasks"]`; their ids, verdicts and first findings."""
    from nmbench.conformance import MODEL_RULES, ModelUnderTest, judge

    del folder
    outcomes = judge(MODEL_RULES, ModelUnderTest.of(question["model"], question["tasks"]))
    return {
        "rules": [
            {"id": one.rule.id, "verdict": one.verdict, "seen": one.findings[0].seen if one.findings else ""}
            for one in outcomes
        ]
    }


def _predictions(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Predict outputs for the inputs that `write_inputs` wrote, with the parameters of each run of one experiment.

    `question["runs"]` maps the run's folder, in `folder`, to the stages of its parameters ("" for the final ones). The
    predictions `[T, B, O]` are written to RUN/predictions.STAGE.npy.
    """
    import jax

    from nmbench.contracts.frozen_sets import FrozenSet
    from nmbench.contracts.task import Batch
    from nmbench.experiments import loading
    from nmbench.experiments.configuration import Configuration
    from nmbench.results.store import PARAMS, stage_file
    from nmbench.training.parameter_files import load_params
    from nmbench.training.prediction import predictor

    experiment = loading.resolve_again(Configuration.from_dict(question["configuration"]))
    with np.load(folder / INPUTS, allow_pickle=False) as stored:
        leaves = [stored[str(i)] for i in range(len(stored.files))]
    inputs = tree.unflatten_as(experiment.task.spec.inputs, leaves)
    task = dataclasses.replace(experiment.task, unpack=lambda arrays: Batch(inputs, None, None))
    predict = predictor(experiment.model, task, FrozenSet("inputs", {}, "", leaves[0].shape[1]))
    like = jax.eval_shape(experiment.model.init, jax.random.key(0))
    for run, stages in question["runs"].items():
        for stage in stages:
            params = load_params(folder / run / (stage_file(stage) if stage else PARAMS), like)
            np.save(folder / run / predictions_file(stage), predict(params), allow_pickle=False)
    return {}


def write_inputs(folder: pathlib.Path, task: Task) -> None:
    """Write the inputs of a task's test set, without its targets, for the question "predictions"."""
    leaves = tree.flatten(task.unpack(task.frozen("test").arrays).inputs)
    np.savez(folder / INPUTS, **{str(i): leaf for i, leaf in enumerate(leaves)})  # pyright: ignore[reportArgumentType]


def predictions_file(stage: str) -> str:
    """Name of the file with the predictions of a stage of training, "" for the final one."""
    return f"{PREDICTIONS}.{stage}.npy" if stage else f"{PREDICTIONS}.npy"


QUESTIONS: dict[str, Callable[[Mapping[str, Any], pathlib.Path], dict[str, Any]]] = {
    "configurations": _configurations,
    "check": _check,
    "predictions": _predictions,
    "retrained": retraining_probe.retrained,
    "starts": retraining_probe.starts,
}
