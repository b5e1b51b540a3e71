"""Do what a request asks: tune the learning rate, train the seeds, store their rows, and say what happens."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

from nmbench.contracts import plugin_files, tuning_record
from nmbench.experiments import resolution, running, tuning
from nmbench.experiments.experiment import Experiment, LearningRate
from nmbench.experiments.request import Request
from nmbench.experiments.resuming import RunGroup
from nmbench.results import provenance, schema
from nmbench.results.store import Store
from nmbench.support import devices, interrupts
from nmbench.support.loggers import Loggers
from nmbench.support.progress import Progress
from nmbench.training.checkpoints import Checkpoints

Say = Callable[[str], None]


def say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def say_if_few_devices() -> None:
    """A line on stderr if JAX had started before nmbench could prepare a device for each core."""
    import jax

    found, cores = len(jax.devices()), devices.cores()
    if jax.default_backend() == "cpu" and found < cores:
        say_on_stderr(
            f"JAX had started before, with {found} device{'s' * (found > 1)} for {cores} cores; seeds train faster if you "
            f"start Python again and call nmbench before you use JAX"
        )


def resolve(request: Request, seeds: Sequence[int], tune: bool = False) -> Experiment:
    """The experiment of a request, after all checks. Nothing is trained or written.

    Raises:
      NmbenchError: the request cannot be resolved, its protocol does not allow tuning, or a seed is used for tuning.
    """
    experiment = resolution.resolve(request)
    if tune:
        tuning.check(experiment)
    if tune or experiment.learning_rate.tuning_runs:
        tuning.check_seeds(seeds, experiment)
    return experiment


def train_rows(
    request: Request,
    seeds: Sequence[int],
    store: Store,
    *,
    tune: bool = False,
    force: bool = False,
    retry_failed: bool = False,
    log: Sequence[str] = (),
    checkpoint_minutes: float = 5.0,
    say: Say | None = None,
) -> list[dict[str, Any]]:
    """Rows of all seeds of a request, in order. Stored runs are read, the others are trained and stored.

    Args:
      request: the experiment.
      seeds: the seeds to run.
      store: results folder.
      tune: first choose the learning rate.
      force: train stored runs, and with `tune` also tuning runs, again from the beginning.
      retry_failed: train runs with status failed or timeout again.
      log: names of loggers.
      checkpoint_minutes: minutes between checkpoints; 0 writes one at every validation.
      say: called with each line for the user; None for neither lines nor a progress bar.

    Raises:
      NmbenchError: the request cannot be resolved, or the results folder cannot be written.
      Interrupted: the process received SIGINT or SIGTERM; the state of all unfinished runs is in the checkpoints.
    """
    experiment = resolve(request, seeds, tune)
    store.prepare()
    origin = provenance.describe()  # before the hours of tuning, in which a developer may commit
    tell: Say = say or (lambda line: None)
    tell(describe(experiment, tune))
    with interrupts.watch_signals() as watch:
        # With --force, the same command trains from the beginning again and would not use a checkpoint.
        checkpoints = Checkpoints(store.checkpoints, minutes=checkpoint_minutes, watch=watch, say=tell, keep=not force)
        if tune:
            if not force and tuning.is_damaged(experiment, store):
                tell(
                    f"the tuning record {tuning.file_of(experiment, store)} is damaged, so the learning rate is tuned again"
                )
            groups = tuning.plan(experiment, store, checkpoints, force=force)
            _say_resumed("tuning run", groups, experiment.steps, tell)
            with Progress(f"tuning {request.model}", experiment.steps if say else 0, _first_step(groups)) as progress:
                choice = tuning.tune(
                    experiment,
                    store,
                    force=force,
                    report=progress,
                    checkpoints=checkpoints,
                    planned=groups or None,
                    say=tell,
                )
            tell(_describe_tuning(choice))
            # Not resolved again: the user may have edited the file of the model in the meantime.
            experiment = dataclasses.replace(experiment, learning_rate=choice)
        plan = running.plan(experiment, seeds, store, checkpoints, force=force, retry_failed=retry_failed)
        if plan.stored:
            again = "--force trains them again"
            if any(row["status"] in schema.LOST for row in plan.stored.values()):
                again = "--retry_failed trains the failed ones again, --force all of them"
            tell(f"{len(plan.stored)} of {len(seeds)} runs are already in {store.runs} ({again})")
        _say_resumed("run", plan.groups, experiment.steps, tell)
        if unused := checkpoints.unused([experiment.run_id(seed) for seed in plan.missing]):
            tell(
                f"not used: {unused} checkpoint{'s' * (unused > 1)} of the same seeds in {checkpoints.folder}, with another "
                f"size, other settings or other code"
            )
        left = len(plan.missing)
        label = f"{request.model}, {left} seed{'' if left == 1 else 's'}"
        with Progress(label, experiment.steps if say and left else 0, _first_step(plan.groups)) as progress:
            rows = running.run_seeds(
                experiment,
                seeds,
                store,
                report=progress,
                loggers=Loggers(log, store.logs),
                checkpoints=checkpoints,
                planned=plan,
                origin=origin,
            )
    for row in rows:
        if row["status"] != "ok":
            tell(f"seed {row['seed']}: {row['status']}: {row['error']}")
    if any(row["status"] == "diverged" for row in rows):
        tell(_after_divergence(experiment))
    return rows


def describe(experiment: Experiment, tune: bool = False) -> str:
    """One line that describes the experiment: model, task, protocol, size, and learning rate unless it is to be tuned."""
    size, rate = experiment.sizing, experiment.learning_rate
    chosen = "to be tuned" if tune else f"{rate.value:g} ({rate.record.get('source', '')})"
    hparams = ", ".join(f"{name}={value}" for name, value in size.hparams.items())
    target = "" if size.target is None else f" (budget {size.target}, {size.deviation:+.1%})"
    return (
        f"{experiment.baseline.name} on {experiment.task.name}, protocol {experiment.protocol.name}: {size.actual} "
        f"parameters{target}, {hparams}; learning rate {chosen}"
    )


def _say_resumed(what: str, groups: Sequence[RunGroup], steps: int, say: Say) -> None:
    """One line for each group of runs that resumes from a checkpoint."""
    for group in groups:
        if group.step:
            many = "s" if len(group.indices) > 1 else ""
            say(f"{len(group.indices)} {what}{many} resumed at step {group.step} of {steps}")


def _first_step(groups: Sequence[RunGroup]) -> int:
    """The step at which the progress bar starts: that of the first group."""
    return groups[0].step if groups else 0


def _after_divergence(experiment: Experiment) -> str:
    """One line on what to do about runs that diverged."""
    name, plugin = experiment.baseline.name, plugin_files.flag(experiment.baseline.path)
    of_task = plugin_files.flag(experiment.task.path)
    task = f", python -m nmbench.check --task={experiment.task.name}{of_task} the task" if of_task else ""
    tune = ", or --tune" if experiment.protocol.learning_rate_grid else ""
    return (
        f"if runs diverge, try a lower learning rate than {experiment.learning_rate.value:g} (--learning_rate{tune}); "
        f"python -m nmbench.check --model={name}{plugin} checks the model{task}"
    )


def _describe_tuning(choice: LearningRate) -> str:
    """One line with the validation loss (geometric mean) and the poor runs of each learning rate, and the chosen one."""
    record = choice.record
    means = tuning_record.mean_logs(record["validation_losses"])
    listed = ", ".join(
        f"{rate:g}: {10**mean:.3g}" + (f" ({failed} of {len(record['seeds'])} poor)" if failed else "")
        for rate, mean, failed in zip(record["grid"], means, record["failed"], strict=True)
    )
    poor = (
        " (poor: diverged, or a loss above ten times the median at the best learning rate)" if any(record["failed"]) else ""
    )
    return (
        f"tuning, validation loss (geometric mean) by learning rate: {listed}{poor}; "
        f"chosen {choice.value:g} after {choice.tuning_runs} tuning runs"
    )
