"""Verify the experiments of a submission, tier after tier, and keep the outcome in `verification.json`."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES
from nmbench.experiments import reproduction
from nmbench.experiments.configuration import Configuration
from nmbench.results import curves, provenance, verification
from nmbench.results.verification import RE_SCORED, RE_TRAINED, SELF_REPORTED, TIERS, SubmittedExperiment, VerificationStep
from nmbench.submissions import about, checks, probe, rescoring, retraining
from nmbench.submissions.asking import Respondent
from nmbench.submissions.checks import Compared, Rows
from nmbench.submissions.folder import Submission, experiment_of, runs_of
from nmbench.submissions.retraining import DEFAULT_DRAW, Draw
from nmbench.support.errors import NmbenchError

# Verdicts of a rule of `nmbench check` with which a model is accepted.
_ACCEPTED = ("PASS", "WARN")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifiedExperiment:
    """The outcome for one experiment.

    Attributes:
      experiment: the experiment.
      rows: its rows.
      steps: what was compared, in order; the last one may have failed.
    """

    experiment: SubmittedExperiment
    rows: Rows
    steps: tuple[VerificationStep, ...]

    @property
    def tier(self) -> str:
        """The highest tier whose steps all passed; "" if a step failed, because then the rows are in doubt."""
        return self.steps[-1].tier if self.steps and all(step.passed for step in self.steps) else ""

    @property
    def problem(self) -> str:
        """What the failed step found; "" if none failed."""
        return next((step.compared for step in self.steps if not step.passed), "")

    @property
    def duration_s(self) -> float:
        return sum(step.duration_s for step in self.steps)


def choose(
    submission: Submission, models: Collection[str] = (), tasks: Collection[str] = ()
) -> dict[SubmittedExperiment, Rows]:
    """The experiments of these models and tasks, by default of all; raises `NmbenchError` if there are none."""
    every = submission.experiments()
    for what, names, known in (("model", models, {e.model for e in every}), ("task", tasks, {e.task for e in every})):
        for name in names:
            if name not in known:
                raise NmbenchError(f"{submission.folder} has no rows of {what} {name!r} (it has {', '.join(sorted(known))})")
    chosen: dict[SubmittedExperiment, Rows] = {
        key: rows for key, rows in every.items() if (not models or key.model in models) and (not tasks or key.task in tasks)
    }
    if not chosen:
        raise NmbenchError(f"{submission.folder} has no rows of {', '.join(models)} on {', '.join(tasks)}")
    return chosen


def verify(
    submission: Submission,
    experiments: Mapping[SubmittedExperiment, Rows],
    tier: str,
    model: Respondent,
    draw: Draw = DEFAULT_DRAW,
) -> Iterator[VerifiedExperiment]:
    """Verify experiments up to a tier; yields each outcome as soon as it is known.

    Args:
      submission: the submission.
      experiments: from `choose`.
      tier: one of `TIERS`.
      model: whom to ask about the submitted models.
      draw: how many seeds tier re-trained draws, and with which salt.
    """
    for experiment, rows in experiments.items():
        steps: list[VerificationStep] = []
        for name, check in _checks(submission, rows, tier, model, draw):
            steps.append(_step(experiment, name, check))
            if not steps[-1].passed:
                break
        yield VerifiedExperiment(experiment=experiment, rows=rows, steps=tuple(steps))


def _checks(
    submission: Submission, rows: Rows, tier: str, model: Respondent, draw: Draw
) -> Iterator[tuple[str, Callable[[], Compared]]]:
    """(tier, check) of each step, in order. A check is made only if all before it have passed."""
    yield SELF_REPORTED, lambda: checks.check_seeds(rows)
    yield SELF_REPORTED, lambda: checks.check_configurations(rows, _model_sha256(submission, rows, model))
    yield SELF_REPORTED, lambda: checks.check_sizes(rows)
    yield SELF_REPORTED, lambda: checks.check_tuning(rows, list(submission.tuning.values()) if submission.about else [])
    yield SELF_REPORTED, lambda: check_model(rows, model)
    folders = runs_of(submission, rows)
    try:
        yield SELF_REPORTED, lambda: checks.check_runs(rows, folders)
        if submission.about:  # the tests of nmbench check its own models
            yield SELF_REPORTED, lambda: check_contract(rows, model)
        if tier != SELF_REPORTED:
            yield RE_SCORED, lambda: check_scores(rows, folders, model)
        if tier == RE_TRAINED:
            trained = [row for row in rows if row["status"] == "ok"]
            found = {row["seed"]: curves.read_curve(_present(folders[row["run_id"]])) for row in trained}
            seeds = retraining.draw_seeds(submission.content_sha256, experiment_of(rows[0]), len(rows), draw)
            yield RE_TRAINED, lambda: retraining.check_starts(rows, found, model)
            yield RE_TRAINED, lambda: retraining.check_values(rows, seeds, model)
    finally:
        for folder in filter(None, folders.values()):
            shutil.rmtree(folder, ignore_errors=True)


def _step(experiment: SubmittedExperiment, tier: str, check: Callable[[], Compared]) -> VerificationStep:
    began = time.perf_counter()
    try:
        seen, passed = check(), True
    except NmbenchError as error:
        seen, passed = Compared(str(error)), False
    return VerificationStep(
        experiment=experiment, tier=tier, passed=passed, duration_s=round(time.perf_counter() - began, 3), **seen._asdict()
    )


def _model_sha256(submission: Submission, rows: Rows, model: Respondent) -> str:
    """Fingerprint of the model's source: of the submitted file, of the installed package, or of nmbench's own model."""
    if submission.plugin is not None:
        return checks.fingerprint(submission.plugin)
    if submission.about is not None and submission.about.package is not None:
        name, version = submission.about.package
        if about.package_hash(name) != (version, submission.about.sha256):
            raise NmbenchError(
                f"the installed package {name} is not version {version} with the submitted files; install that"
            )
        return _resolved(rows, model)["configuration"]["model_sha256"]
    return checks.fingerprint(pathlib.Path(BASELINES.get(rows[0]["model"]).path))


def check_model(rows: Rows, model: Respondent) -> Compared:
    """The model accepts its hyperparameters, and with them has the configuration and the size that the rows say."""
    row, found = rows[0], _resolved(rows, model)
    given = Configuration.from_json(row["config_json"])
    for name, (then, now) in given.differences(Configuration.from_dict(found["configuration"])).items():
        raise NmbenchError(f"the model gives {name} {str(now)[:40]}, but its rows say {str(then)[:40]}")
    if found["params"] != row["params_actual"]:
        raise NmbenchError(f"the model has {found['params']} parameters, but its rows say {row['params_actual']}")
    if found["departures"]:
        raise NmbenchError(f"the model departs from its protocol: {found['departures']}")
    return Compared("the model gives the configuration and the number of parameters of the rows")


def _resolved(rows: Rows, model: Respondent) -> dict[str, Any]:
    given = Configuration.from_json(rows[0]["config_json"])
    answer = model.ask({"ask": "configurations", "configurations": [given.to_dict()]})
    try:
        (found,) = answer["resolved"]
        Configuration.from_dict(found["configuration"])
        return {name: found[name] for name in ("configuration", "params", "departures")}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NmbenchError("the model's process gave no configuration") from None


def check_contract(rows: Rows, model: Respondent) -> Compared:
    """The model passes the rules of `nmbench check` on its task: it is causal, its trials are independent, and so on."""
    answer = model.ask({"ask": "check", "model": rows[0]["model"], "tasks": [rows[0]["task"]]})
    try:
        outcomes = [(str(one["id"])[:40], str(one["verdict"]), str(one["seen"])[:300]) for one in answer["rules"]]
    except (KeyError, TypeError):
        outcomes = []
    if not outcomes:
        raise NmbenchError("the model's process gave no outcomes of nmbench check")
    for name, verdict, seen in outcomes:
        if verdict not in _ACCEPTED:
            raise NmbenchError(f"it fails rule {name} of nmbench check: {seen}")
    return Compared(f"{len(outcomes)} rules of nmbench check")


def check_scores(rows: Rows, folders: Mapping[str, pathlib.Path | None], model: Respondent) -> Compared:
    """The stored parameters give the stored values: the model predicts the test set, and the predictions are scored here."""
    task, worst = checks.task_of(rows), 0.0
    chosen = {row["run_id"]: row for row in rows if row["status"] == "ok"}
    stages: dict[str, list[str]] = {}
    probe.write_inputs(model.files, task)
    for run_id in chosen:
        folder = _present(folders[run_id])
        (model.files / run_id).mkdir()
        found = sorted(folder.glob("params*.safetensors"))
        for file in found:
            shutil.copy(file, model.files / run_id)
        stages[run_id] = [file.name.removesuffix(".safetensors").partition(".")[2] for file in found]
    try:
        if chosen:
            configuration = Configuration.from_json(rows[0]["config_json"]).to_dict()
            model.ask({"ask": "predictions", "configuration": configuration, "runs": stages})
        for run_id, row in chosen.items():
            predictions = rescoring.read_predictions(model.files / run_id, task, stages[run_id])
            worst = max(worst, rescoring.rescore(task, row, _present(folders[run_id]), predictions))
    finally:
        for run_id in chosen:
            shutil.rmtree(model.files / run_id, ignore_errors=True)
    return Compared(
        f"{rows[0]['n_test']} values of trials of each of {len(chosen)} runs: computed from the parameters, and stored",
        worst,
        rescoring.TOLERANCE,
    )


def _present(folder: pathlib.Path | None) -> pathlib.Path:
    """The folder of a run whose files were checked before."""
    assert folder is not None
    return folder


def records(
    submission: Submission, outcomes: Iterable[VerifiedExperiment], earlier: Sequence[verification.VerificationRecord] = ()
) -> list[verification.VerificationRecord]:
    """The records of a submission after these outcomes.

    Args:
      submission: the submission.
      outcomes: what was verified now. An experiment that failed loses its record.
      earlier: records of before. One stays if its rows are unchanged and the experiment was not verified now, or reached a
        lower tier now, because a lower tier was asked for.
    """
    here = provenance.describe()
    surroundings = {name: here[name] for name in (*reproduction.SURROUNDINGS, "n_cpu")}
    current = submission.experiments()
    hashes = {key: {row["run_id"]: verification.row_hash(row) for row in rows} for key, rows in current.items()}
    kept = {record.experiment: record for record in earlier if record.runs == hashes.get(record.experiment)}
    for outcome in outcomes:
        before = kept.pop(outcome.experiment, None)
        if not outcome.tier:
            continue
        if before is not None and TIERS.index(before.tier) > TIERS.index(outcome.tier):
            kept[outcome.experiment] = before
            continue
        kept[outcome.experiment] = verification.VerificationRecord(
            experiment=outcome.experiment,
            tier=outcome.tier,
            runs=hashes[outcome.experiment],
            content_sha256=submission.content_sha256,
            verified_utc=provenance.utc_now(),
            duration_s=round(outcome.duration_s, 3),
            surroundings={name: value for name, value in surroundings.items() if value is not None},
            steps=outcome.steps,
        )
    return list(kept.values())
