"""`--tune`: choose a model's learning rate from the protocol's grid, on validation data alone.

Every learning rate is tried with the same seeds, which no result uses. The learning rate with the lowest mean validation
loss over these seeds wins. A tuning run that diverges has an infinite loss, so a learning rate that diverges on one seed
cannot win. If phases validate on different sets, the loss of a tuning run is the mean over these sets; each set contributes
the selected loss of the last phase that uses it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from nmbench.contracts.protocol import ResolvedPhase
from nmbench.experiments import resuming
from nmbench.experiments.experiment import ENGINE_VERSION, Experiment, LearningRate
from nmbench.experiments.resuming import Report, RunGroup
from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.trainer import TrainingRun


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
    key = hashlib.sha256(schema.canonical_json({**config, "grid": grid, "seeds": seeds}).encode()).hexdigest()[:12]
    return f"{experiment.baseline.name}.{experiment.task.name}.{experiment.protocol.name}.{key}"


def plan(experiment: Experiment, store: Store, checkpoints: Checkpoints, *, force: bool = False) -> list[RunGroup]:
    """Groups of tuning runs to train, each with the checkpoints from which it resumes; none if the record is stored.

    With `force` the record is ignored and all tuning runs start from the beginning.
    """
    keys = [_key(name_of(experiment), run) for run in _tuning_runs(experiment)]
    if not force and store.load_tuning(name_of(experiment)) is not None:
        return []
    for key in keys if force else ():
        checkpoints.discard(key)
    return resuming.group_runs(experiment, keys, checkpoints)


def tune(
    experiment: Experiment,
    store: Store,
    *,
    force: bool = False,
    report: Report = lambda step, losses: None,
    checkpoints: Checkpoints | None = None,
    planned: list[RunGroup] | None = None,
) -> LearningRate:
    """Train all tuning runs, or read the stored record, and return the chosen learning rate.

    Args:
      experiment: the experiment to tune; its own learning rate does not matter.
      store: results folder that holds the record.
      force: train again even if the record is stored.
      report: called with the number of steps done and the losses of all tuning runs, `[tuning runs]`.
      checkpoints: checkpoints of interrupted tuning runs; by default those of the store.
      planned: the result of `plan`, if the caller has it.

    Raises:
      NmbenchError: the protocol has no grid, every learning rate diverged, or the record cannot be written.
      Interrupted: the command received a signal; the state of the tuning runs is in the checkpoints.
    """
    check(experiment)
    grid, seeds, name = experiment.protocol.learning_rate_grid, experiment.protocol.tuning_seeds, name_of(experiment)
    record = None if force else store.load_tuning(name)
    if record is None:
        checkpoints = checkpoints or Checkpoints(store.checkpoints)
        groups = plan(experiment, store, checkpoints, force=force) if planned is None else planned
        tuning_runs = _tuning_runs(experiment)
        keys = [_key(name, run) for run in tuning_runs]
        losses: dict[int, float] = {}
        seconds = 0.0
        for group in groups:
            trainer = resuming.new_trainer(experiment, tuning_runs, group)
            with checkpoints.training([keys[i] for i in group.indices], trainer.snapshots):
                resuming.train_group(trainer, group, len(tuning_runs), checkpoints, report)
                for i, run in zip(group.indices, trainer.results(), strict=True):
                    diverged = run.diverged_at is not None
                    losses[i] = math.inf if diverged else criterion(experiment.phases, run.phase_losses)
                seconds += trainer.timing.train_s + sum(s.train_s for s in group.snapshots)
                if len(losses) < len(tuning_runs):
                    checkpoints.rescue()  # the record needs all tuning runs, so an interruption must not lose these
                    continue
                record = summarise(experiment, grid, seeds, [losses[i] for i in range(len(tuning_runs))])
                store.save_tuning(name, {**record, "train_s": round(seconds, 1)})
        for key in keys:
            checkpoints.discard(key)
        record = store.load_tuning(name)
        if record is None:
            raise NmbenchError(f"the tuning record {name} was stored in {store.tuning} but is gone; run the command again")
    return _choice(experiment, record)


def stored(experiment: Experiment, store: Store) -> LearningRate | None:
    """The learning rate of a stored tuning record, None if there is no record."""
    record = store.load_tuning(name_of(experiment))
    return None if record is None else _choice(experiment, record)


def _choice(experiment: Experiment, record: dict[str, Any]) -> LearningRate:
    count = len(experiment.protocol.learning_rate_grid) * len(experiment.protocol.tuning_seeds)
    return LearningRate(float(record["chosen"]), count, {"source": "tuned in this results folder", **record})


def _tuning_runs(experiment: Experiment) -> list[TrainingRun]:
    """One tuning run per (learning rate, seed), ordered by learning rate."""
    return [
        TrainingRun(seed, rate)
        for rate in experiment.protocol.learning_rate_grid
        for seed in experiment.protocol.tuning_seeds
    ]


def _key(name: str, run: TrainingRun) -> str:
    return f"tuning.{name}.s{run.seed}.r{run.learning_rate!r}"


def criterion(phases: Sequence[ResolvedPhase], losses: Sequence[float]) -> float:
    """Loss of a tuning run, from the selected validation loss of each phase."""
    by_set = {phase.validation: loss for phase, loss in zip(phases, losses, strict=True)}
    return sum(by_set.values()) / len(by_set)


def summarise(experiment: Experiment, grid, seeds, losses: list[float]) -> dict[str, Any]:
    """The tuning record, as plain data.

    Args:
      experiment: the tuned experiment.
      grid: the learning rates.
      seeds: the seeds of the tuning runs.
      losses: one per tuning run, in the order of `_tuning_runs`; infinite for a diverged run, which is null in the record.

    Raises:
      NmbenchError: every learning rate diverged.
    """
    n = len(seeds)
    by_rate = [losses[i * n : (i + 1) * n] for i in range(len(grid))]
    means = [sum(values) / n for values in by_rate]
    best = min(range(len(grid)), key=lambda i: (means[i], grid[i]))
    if math.isinf(means[best]):
        raise NmbenchError(
            f"{experiment.baseline.name} diverged on {experiment.task.name} at every learning rate of {list(grid)}"
        )
    finite = lambda value: value if math.isfinite(value) else None
    return {
        "engine": ENGINE_VERSION,
        "model": experiment.baseline.name,
        "task": experiment.task.name,
        "task_version": experiment.task.version,
        "protocol": experiment.protocol.name,
        "hparams": experiment.sizing.hparams,
        "params": experiment.sizing.actual,
        "steps": sum(p["steps"] for p in experiment.resolved_protocol()["phases"]),
        "validation_sha256": experiment.validation_sha256,
        "criterion": "lowest mean over seeds of the selected validation loss; null: diverged",
        "grid": list(grid),
        "seeds": list(seeds),
        "validation_losses": [[finite(v) for v in values] for values in by_rate],
        "mean_validation_loss": [finite(v) for v in means],
        "chosen": grid[best],
    }


# Entries of a configuration that do not determine a tuning record, or that `name_of` adds in another form.
_NOT_TUNED = ("seed", "learning_rate", "tuning_trials", "protocol", "testset_sha256")
