"""Run the seeds of an experiment: find stored runs; train, evaluate and record the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nmbench.experiments import recording, resuming
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.resuming import Report, RunGroup
from nmbench.results import provenance, schema
from nmbench.results.store import Store
from nmbench.support.loggers import Loggers
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.prediction import predictor
from nmbench.training.trainer import TrainingRun


class Plan(NamedTuple):
    """Stored and missing runs of an experiment.

    Attributes:
      stored: rows of finished runs, by seed.
      missing: the other seeds.
      groups: groups in which the missing seeds are trained; their indices are positions in `missing`.
    """

    stored: dict[int, dict[str, Any]]
    missing: list[int]
    groups: list[RunGroup]


def plan(
    experiment: Experiment,
    seeds: Sequence[int],
    store: Store,
    checkpoints: Checkpoints,
    *,
    force: bool = False,
    retry_failed: bool = False,
) -> Plan:
    """Find the stored runs, and the checkpoints from which the others resume.

    Checkpoints that are no longer needed are removed.

    Args:
      experiment: the experiment to run.
      seeds: the seeds to run.
      store: results folder.
      checkpoints: checkpoints of runs in training.
      force: train stored runs again, from the beginning.
      retry_failed: train runs with status failed or timeout again, from their checkpoints if there are any.
    """
    keys = {seed: experiment.run_id(seed) for seed in seeds}
    rows = {} if force else {seed: row for seed in seeds if (row := store.row(keys[seed])) is not None}
    stored = {seed: row for seed, row in rows.items() if not (retry_failed and row["status"] in schema.LOST)}
    missing = [seed for seed in seeds if seed not in stored]
    for seed in seeds if force else stored:
        if force or stored[seed]["status"] not in schema.LOST:
            checkpoints.discard(keys[seed])
    return Plan(stored, missing, resuming.group_runs(experiment, [keys[seed] for seed in missing], checkpoints))


def run_seeds(
    experiment: Experiment,
    seeds: Sequence[int],
    store: Store,
    *,
    report: Report = lambda step, losses: None,
    loggers: Loggers | None = None,
    checkpoints: Checkpoints | None = None,
    planned: Plan | None = None,
    origin: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Rows of all seeds, in order: stored rows are read, the other runs are trained together, evaluated and stored.

    Args:
      experiment: the experiment to run.
      seeds: the seeds to run.
      store: results folder.
      report: called with the number of steps done and the losses of the missing seeds, `[missing]`.
      loggers: for the runs that are trained; none by default.
      checkpoints: checkpoints of interrupted runs; by default those of the store.
      planned: the result of `plan`, if the caller has it.
      origin: the result of `provenance.describe`, if the caller has it from before tuning.

    Raises:
      NmbenchError: a file cannot be written, for example on a full disk; the message says what was saved in checkpoints.
      Interrupted: the command received a signal; the state of all unfinished runs is in the checkpoints.
    """
    checkpoints = checkpoints or Checkpoints(store.checkpoints)
    stored, missing, groups = planned or plan(experiment, seeds, store, checkpoints)
    rows = dict(stored)
    keys = [experiment.run_id(seed) for seed in missing]
    # Computed before training, so that an error here does not waste the training.
    origin = origin or (provenance.describe() if missing else {})
    runs = [TrainingRun(seed, experiment.learning_rate.value) for seed in missing]
    configurations = [(key, experiment.configuration(seed).to_dict()) for key, seed in zip(keys, missing, strict=True)]
    with (loggers or Loggers()).started(configurations) as log:
        for group in groups:
            trainer = resuming.new_trainer(experiment, runs, group)
            with checkpoints.training([keys[i] for i in group.indices], trainer.snapshots):
                resuming.train_group(trainer, group, len(runs), checkpoints, report, log)
                predict = predictor(experiment.model, experiment.task, experiment.task.frozen("test"))
                for i, trained, circumstances in zip(
                    group.indices, trainer.results(), _circumstances(trainer, group), strict=True
                ):
                    checkpoints.stop_if_signalled()
                    circumstances = {**origin, **circumstances, "started_utc": checkpoints.started(keys[i])}
                    circumstances["processor"] = checkpoints.processor(keys[i])
                    row = recording.record(experiment, missing[i], trained, predict, circumstances, store)
                    rows[missing[i]] = row
                    checkpoints.discard(keys[i])
                    log.finish(i, row)
    return [rows[seed] for seed in seeds]


def _circumstances(trainer: Any, group: RunGroup) -> list[dict[str, Any]]:
    """Columns about time and devices, for each run of a group; seconds are shared equally among the runs."""
    count, (compile_s, train_s, devices) = len(group.indices), trainer.timing
    earlier = [(s.compile_s, s.train_s) for s in group.snapshots] or [(0.0, 0.0)] * count
    return [
        {
            "compile_s": round(compiled + compile_s / count, 3),
            "train_s": round(trained + train_s / count, 3),
            "seeds_together": count,
            "n_devices": devices,
        }
        for compiled, trained in earlier
    ]
