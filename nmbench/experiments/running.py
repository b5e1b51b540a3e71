"""Run the seeds of an experiment: find what is stored, train the rest, evaluate and record each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nmbench.experiments import recording, resuming
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.resuming import RunGroup
from nmbench.results import provenance, schema
from nmbench.results.store import Store
from nmbench.support.loggers import Loggers
from nmbench.training.checkpoints import Checkpoints
from nmbench.training.prediction import predictor
from nmbench.training.trainer import Report, Timing, TrainedRun, TrainingRun


class Plan(NamedTuple):
    """What is left to do: rows that are stored already, by seed, the other seeds, and how these are trained."""

    known: dict[int, dict[str, Any]]
    missing: list[int]
    groups: list[RunGroup]


def plan(
    cell: Experiment,
    seeds: Sequence[int],
    store: Store,
    checkpoints: Checkpoints,
    *,
    force: bool = False,
    retry_failed: bool = False,
) -> Plan:
    """What is stored, and from where the rest goes on.

    With `force` nothing is stored, and checkpoints are discarded. With `retry_failed`, runs that were lost to a crash or a
    time limit are not either; their checkpoints are kept in any case.
    """
    keys = {seed: cell.run_id(seed) for seed in seeds}
    stored = {} if force else {seed: row for seed in seeds if (row := store.row(keys[seed])) is not None}
    known = {s: row for s, row in stored.items() if not (retry_failed and row["status"] in schema.LOST)}
    missing = [seed for seed in seeds if seed not in known]
    for seed in seeds if force else known:
        if force or known[seed]["status"] not in schema.LOST:
            checkpoints.discard(keys[seed])
    return Plan(known, missing, resuming.stand(cell, [keys[seed] for seed in missing], checkpoints))


def run_seeds(
    cell: Experiment,
    seeds: Sequence[int],
    store: Store,
    *,
    force: bool = False,
    report: Report = lambda step, losses: None,
    loggers: Loggers | None = None,
    checkpoints: Checkpoints | None = None,
    planned: Plan | None = None,
) -> list[dict[str, Any]]:
    """Rows of all seeds: those already in the store as they are, the others trained together, evaluated and stored.

    Args:
      cell: what to run.
      seeds: of the models.
      store: where rows are looked up and stored.
      force: do again what is stored.
      report: called with the steps done and the losses of the seeds that were missing, `[missing]`.
      loggers: told of the seeds that are trained; none by default.
      checkpoints: where training that was cut short goes on from; those of the store by default.
      planned: what `plan` returned, if the caller has asked for it already.

    Raises:
      NmbenchError: the disk refuses; what has been trained is in the checkpoints then.
      Interrupted: the command was told to stop; likewise.
    """
    checkpoints = checkpoints or Checkpoints(store.checkpoints)
    known, missing, groups = planned or plan(cell, seeds, store, checkpoints, force=force)
    keys = [cell.run_id(seed) for seed in missing]
    # Gathered before training: nothing that can fail should fail after it.
    origin = {"started_utc": provenance.utc_now(), **provenance.describe()} if missing else {}

    def finish(group: RunGroup, results: list[TrainedRun], timing: Timing) -> None:
        predict = predictor(cell.model, cell.task, cell.task.frozen("test"))
        spent = [(s.compile_s, s.train_s) for s in group.snapshots] or [(0.0, 0.0)] * len(results)
        for place, trained, before in zip(group.places, results, spent, strict=True):
            checkpoints.heed()
            compile_s, train_s = (a + b / len(results) for a, b in zip(before, timing[:2], strict=True))
            circumstances = {
                **origin,
                "started_utc": checkpoints.started(keys[place]) or origin["started_utc"],
                "compile_s": round(compile_s, 3),
                "train_s": round(train_s, 3),
                "seeds_together": len(results),
                "n_devices": timing.devices,
            }
            known[missing[place]] = recording.record(cell, missing[place], trained, predict, circumstances, store)
            checkpoints.discard(keys[place])
            log.finish(place, known[missing[place]])

    runs = [TrainingRun(seed, cell.tuning.rate) for seed in missing]
    with (loggers or Loggers()).started([(key, cell.config(seed)) for key, seed in zip(keys, missing, strict=True)]) as log:
        resuming.train_resumably(cell, runs, keys, groups, checkpoints, report, finish, log.step)
    return [known[seed] for seed in seeds]
