"""Questions about submitted models. Only `answer` imports their code; for a stranger's model, it runs in another process.

Questions and answers are plain data (JSON); parameters and predictions are safetensors files in a folder that both sides can
reach. The asking side believes no answer that it can check itself: it scores the predictions, counts the parameters and
computes the hashes.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nmbench.contracts import plugins

PREDICTIONS = "predictions"
# Asks a question about files in a folder and returns the answer.
Ask = Callable[[Mapping[str, Any], pathlib.Path], Mapping[str, Any]]


def asker(files: Sequence[str] = ()) -> Ask:
    """Asks in this process, for models whose code is trusted. files: plugins that register them."""
    return lambda question, folder: answer({**question, "plugins": list(files)}, folder)


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
    """Predict the test set with the parameters of each run of one experiment.

    `question["runs"]` maps the run's folder, in `folder`, to the stages of its parameters ("" for the final ones). The
    predictions `[T, B, O]` are written to RUN/predictions.STAGE.npy.
    """
    import jax
    import numpy as np

    from nmbench.experiments import loading
    from nmbench.experiments.configuration import Configuration
    from nmbench.results.store import PARAMS, stage_file
    from nmbench.training.parameter_files import load_params
    from nmbench.training.prediction import predictor

    experiment = loading.resolve_again(Configuration.from_dict(question["configuration"]))
    predict = predictor(experiment.model, experiment.task, experiment.task.frozen("test"))
    like = jax.eval_shape(experiment.model.init, jax.random.key(0))
    for run, stages in question["runs"].items():
        for stage in stages:
            params = load_params(folder / run / (stage_file(stage) if stage else PARAMS), like)
            np.save(folder / run / predictions_file(stage), predict(params), allow_pickle=False)
    return {}


def predictions_file(stage: str) -> str:
    """Name of the file with the predictions of a stage of training, "" for the final one."""
    return f"{PREDICTIONS}.{stage}.npy" if stage else f"{PREDICTIONS}.npy"


QUESTIONS: dict[str, Callable[[Mapping[str, Any], pathlib.Path], dict[str, Any]]] = {
    "configurations": _configurations,
    "check": _check,
    "predictions": _predictions,
}
