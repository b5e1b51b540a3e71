"""`--tune`: choose a model's learning rate from the protocol's grid, on validation data alone.

Every learning rate is tried with the same seeds, which no result uses. `nmbench.contracts.tuning_record` has the rule that
chooses one from the validation losses and extends the grid if its lowest or highest learning rate wins. If the primary
metric judges some trials with parameters of an earlier phase, the loss of a tuning run is a mean over these phases
(`weights`).

The record also holds these losses by phase, and the primary metric of every tuning run on the test set. The metric does not
enter the choice: the leaderboard uses it for intervals that include the choice (`nmbench.results.tuned_intervals`).
"""

from __future__ import annotations

import hashlib
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts import tuning_record
from nmbench.contracts.protocol import Phase
from nmbench.contracts.task import Task
from nmbench.experiments import recording, resuming
from nmbench.experiments.experiment import ENGINE_VERSION, Experiment, LearningRate
from nmbench.experiments.resuming import Report, RunGroup
from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.prediction import predictor
from nmbench.training.trainer import TrainedRun, TrainingRun


class TuningOutcome(NamedTuple):
    """Outcome of one tuning run; all its numbers are None if the run diverged.

    Attributes:
      loss: validation loss, which decides.
      value: primary metric on the test set; None also if it is no number.
      by_phase: selected validation loss of each phase.
    """

    loss: float | None
    value: float | None
    by_phase: tuple[float | None, ...]


# Learning rate to the outcome of each tuning seed.
Outcomes = dict[float, list[TuningOutcome]]


def check(experiment: Experiment) -> None:
    """Raise `NmbenchError` if the experiment's protocol declares no learning rates to choose from."""
    if not experiment.protocol.learning_rate_grid:
        raise NmbenchError(
            f"protocol {experiment.protocol.name!r} of {experiment.task.name} declares no grid of learning rates to tune"
        )


def check_seeds(seeds: Sequence[int], experiment: Experiment) -> None:
    """Raise `NmbenchError` if a seed of the results is used for tuning."""
    clash = sorted(set(seeds) & set(experiment.protocol.tuning_seeds))
    if clash:
        raise NmbenchError(f"seed {clash[0]} is used for tuning; results need other seeds, so change --first_seed")


def name_of(experiment: Experiment) -> str:
    """Name of the experiment's tuning record; it ends in a hash of everything that determines the record."""
    grid, seeds = experiment.protocol.learning_rate_grid, experiment.protocol.tuning_seeds
    config = {name: value for name, value in experiment.configuration(seed=0).to_dict().items() if name not in _NOT_TUNED}
    config["protocol"] = experiment.protocol.resolve(experiment.phases, 1.0)
    made = {**config, "grid": grid, "seeds": seeds, "rule": tuning_record.RULE}
    if len(experiment.phases) > 1:
        made["weights"] = weights(experiment.task, experiment.phases)
    key = hashlib.sha256(schema.canonical_json(made).encode()).hexdigest()[:12]
    return f"{experiment.baseline.name}.{experiment.task.name}.{experiment.protocol.name}.{key}"


def plan(experiment: Experiment, store: Store, checkpoints: Checkpoints, *, force: bool = False) -> list[RunGroup]:
    """Groups of tuning runs of the grid, each with the checkpoints from which it resumes; none if the record is stored.

    With `force` the record is ignored and all tuning runs start from the beginning.
    """
    name, runs = name_of(experiment), _runs(experiment, experiment.protocol.learning_rate_grid)
    if not force and _load(experiment, store) is not None:
        return []
    return _groups(experiment, [_key(name, run) for run in runs], checkpoints, force)


def tune(
    experiment: Experiment,
    store: Store,
    *,
    force: bool = False,
    report: Report = lambda step, losses: None,
    checkpoints: Checkpoints | None = None,
    planned: list[RunGroup] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> LearningRate:
    """Train all tuning runs, or read the stored record, and return the chosen learning rate.

    Args:
      experiment: the experiment to tune; its own learning rate does not matter.
      store: results folder that holds the record.
      force: train again even if the record is stored.
      report: called with the number of steps done and the losses of the tuning runs of one round, `[tuning runs]`.
      checkpoints: checkpoints of interrupted tuning runs; by default those of the store.
      planned: the result of `plan`, if the caller has it.
      say: called with a line for each learning rate that extends the grid.

    Raises:
      NmbenchError: the protocol has no grid, every learning rate diverged, or the record cannot be written.
      Interrupted: the command received a signal; the state of the tuning runs is in the checkpoints.
    """
    check(experiment)
    name = name_of(experiment)
    record = None if force else _load(experiment, store)
    if record is not None:
        return choice(record)
    checkpoints = checkpoints or Checkpoints(store.checkpoints)
    predict = predictor(experiment.model, experiment.task, experiment.task.frozen("test"))
    seconds = 0.0
    found: Outcomes = {}
    groups, new = planned or None, list(experiment.protocol.learning_rate_grid)
    while new:
        runs = _runs(experiment, new)
        keys = [_key(name, run) for run in runs]
        outcomes: dict[int, TuningOutcome] = {}
        for group in _groups(experiment, keys, checkpoints, force) if groups is None else groups:
            trainer = resuming.new_trainer(experiment, runs, group)
            with checkpoints.training([keys[i] for i in group.indices], trainer.snapshots):
                resuming.train_group(trainer, group, len(runs), checkpoints, report)
                for i, run in zip(group.indices, trainer.results(), strict=True):
                    outcomes[i] = _outcome(experiment, run, predict)
                seconds += trainer.timing.train_s + sum(s.train_s for s in group.snapshots)
                checkpoints.rescue()  # the record needs all tuning runs, so an interruption must not lose these
        for i, run in enumerate(runs):
            found.setdefault(run.learning_rate, []).append(outcomes[i])
        groups, new = None, _beyond(experiment, found)
        for rate in new:
            wins = f"the {'lowest' if rate < min(found) else 'highest'} learning rate wins"
            say(f"tuning: {'every run diverged' if _all_diverged(found) else wins}, so {rate:g} is tried too")
    record = {**summarise(experiment, found), "train_s": round(seconds, 1)}
    store.save_tuning(name, record)
    for run in _runs(experiment, sorted(found)):
        checkpoints.discard(_key(name, run))
    return choice(record)


def stored(experiment: Experiment, store: Store) -> LearningRate | None:
    """The learning rate of a stored tuning record, None if there is no record."""
    record = _load(experiment, store)
    return None if record is None else choice(record)


def file_of(experiment: Experiment, store: Store) -> pathlib.Path:
    """The file of the experiment's tuning record in a results folder."""
    return store.tuning / f"{name_of(experiment)}.json"


def is_damaged(experiment: Experiment, store: Store) -> bool:
    """Whether there is a tuning record of the experiment that cannot be used."""
    return file_of(experiment, store).exists() and stored(experiment, store) is None


def _load(experiment: Experiment, store: Store) -> dict[str, Any] | None:
    """The stored tuning record of the experiment; None without one, and for that of another experiment under its name."""
    record = store.load_tuning(name_of(experiment))
    made_for = _made_for(experiment)
    return record if record is not None and all(record[name] == value for name, value in made_for.items()) else None


def _made_for(experiment: Experiment) -> dict[str, Any]:
    return {
        "model": experiment.baseline.name,
        "task": experiment.task.name,
        "task_version": experiment.task.version,
        "protocol": experiment.protocol.name,
    }


def choice(record: dict[str, Any], source: str = "tuned in this results folder") -> LearningRate:
    """The learning rate that a tuning record chooses."""
    count = len(record["grid"]) * len(record["seeds"])
    return LearningRate(float(record["chosen"]), count, {**record, "source": source})


def _groups(experiment: Experiment, keys: Sequence[str], checkpoints: Checkpoints, force: bool) -> list[RunGroup]:
    for key in keys if force else ():
        checkpoints.discard(key)
    return resuming.group_runs(experiment, keys, checkpoints)


def _runs(experiment: Experiment, rates: Sequence[float]) -> list[TrainingRun]:
    """One tuning run per (learning rate, seed), ordered by learning rate."""
    return [TrainingRun(seed, rate) for rate in rates for seed in experiment.protocol.tuning_seeds]


def _key(name: str, run: TrainingRun) -> str:
    return f"tuning.{name}.s{run.seed}.r{run.learning_rate!r}"


def _outcome(experiment: Experiment, run: TrainedRun, predict) -> TuningOutcome:
    if run.diverged_at is not None:
        return TuningOutcome(None, None, (None,) * len(experiment.phases))
    task = experiment.task
    earlier = recording.predictions_of_stages(task, run, predict)
    judged, _ = recording.evaluate(task, predict(run.params), task.frozen("test").arrays, earlier)
    value = math.nan if judged is None else judged["values"][task.primary.name]
    loss = mean_loss(weights(task, experiment.phases), run.phase_losses)
    return TuningOutcome(loss, value if abs(value) <= schema.LARGEST_FLOAT else None, tuple(run.phase_losses))


def mean_loss(weights: Sequence[float], losses: Sequence[float]) -> float:
    """The loss of a tuning run, from the weights and the losses of its phases."""
    return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


def weights(task: Task, phases: Sequence[Phase]) -> list[float]:
    """Weight of each phase's selected validation loss in the loss of a tuning run, `[phases]`; their sum is 1.

    A phase counts as much as the share of the primary metric's test trials that it judges with the parameters after this
    phase: those that `Metric.earlier` names for the phase's stage. The parameters after the last phase judge all others.
    """
    test = task.frozen("test")
    judges = np.full(test.n, len(phases) - 1)
    stages = {phase.stage: i for i, phase in enumerate(phases[:-1])}
    for stage, trials_of in task.primary.earlier.items():  # of two stages the later counts, as in `Task.evaluate`
        if stage in stages:
            judges = np.where(trials_of(test.arrays), stages[stage], judges)
    counted = judges[task.primary.chosen(test.arrays, test.n)]
    return [float(np.mean(counted == i)) for i in range(len(phases))]


def _beyond(experiment: Experiment, found: Outcomes) -> list[float]:
    """The learning rate that extends the grid, in a list; [] if the grid is complete."""
    rates = sorted(found)
    losses = [[run.loss for run in found[rate]] for rate in rates]
    rate = tuning_record.next_rate(sorted(experiment.protocol.learning_rate_grid), rates, losses)
    if rate is not None:
        return [rate]
    if _all_diverged(found):
        raise NmbenchError(
            f"{experiment.baseline.name} diverged on {experiment.task.name} at every learning rate of {rates}; a lower one "
            f"may work: --learning_rate={rates[0] / 10:g}"
        )
    return []


def _all_diverged(found: Outcomes) -> bool:
    return all(run.loss is None for runs in found.values() for run in runs)


def summarise(experiment: Experiment, found: Outcomes) -> dict[str, Any]:
    """The tuning record, as plain data.

    Args:
      experiment: the tuned experiment.
      found: the outcomes of all tuning runs.
    """
    rates = sorted(found)
    losses = [[run.loss for run in found[rate]] for rate in rates]
    phases = range(len(experiment.phases))
    by_phase = [[[run.by_phase[phase] for run in found[rate]] for rate in rates] for phase in phases]
    return {
        "engine": ENGINE_VERSION,
        **_made_for(experiment),
        "hparams": experiment.sizing.hparams,
        "params": experiment.sizing.actual,
        "steps": experiment.steps,
        "validation_sha256": experiment.validation_sha256,
        "training_sha256": experiment.training_sha256,
        "model_sha256": experiment.model_sha256,
        "rule": tuning_record.RULE,
        "grid": rates,
        "seeds": list(experiment.protocol.tuning_seeds),
        "validation_losses": losses,
        "failed": tuning_record.failures(losses),
        **({"losses_by_phase": by_phase} if len(phases) > 1 else {}),
        "test_values": [[run.value for run in found[rate]] for rate in rates],
        "chosen": tuning_record.choose(rates, losses),
    }


# Entries of a configuration that do not determine a tuning record, or that `name_of` adds in another form.
_NOT_TUNED = ("seed", "learning_rate", "tuning_trials", "protocol")
