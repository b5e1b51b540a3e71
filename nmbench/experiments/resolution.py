"""From a request to an experiment: look up names, check that the parts fit, and size the model, all before training."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.model import Baseline
from nmbench.contracts.protocol import Protocol
from nmbench.contracts.task import Task
from nmbench.experiments import resolve_cache, sizing
from nmbench.experiments.experiment import ENGINE_VERSION, Experiment, LearningRate
from nmbench.experiments.request import Request
from nmbench.support.errors import NmbenchError
from nmbench.training import trainer


def resolve(request: Request, learning_rate: LearningRate | None = None) -> Experiment:
    """Look up names, check that the parts fit, and size the model. Nothing is trained or written.

    The learning rate is the first available of: the request's; the argument; the one that the baseline declares for this
    task and protocol; the one in the tuning record shipped with the baseline; the protocol's default.

    Raises:
      NmbenchError: an unknown name, an invalid value, a frozen set that is missing or damaged, a budget that the model
        cannot meet, or a model that does not fit the task or the protocol.
    """
    task = TASKS.get(request.task)
    with contextlib.suppress(OSError):  # a task may be registered in a cell of a notebook
        fingerprints.of_imported(task.path)
    baseline = BASELINES.get(request.model)
    protocol = task.protocol(request.protocol) if request.protocol else task.protocols[0]
    phases = protocol.phases_for(baseline.name, baseline.partitions, request.steps)
    trainer.check(task, baseline, phases)
    test_set = task.frozen("test")
    for metric in task.metrics:
        metric.check(test_set.arrays, test_set.n)
    sized = _size(request, baseline, task, protocol)
    model = baseline.build(task.spec, sized.hparams, remat=request.remat)
    steps = sum(phase.steps for phase in phases)
    resolve_cache.check_model(baseline, model, task, sized.hparams)
    resolve_cache.check_task(task, phases)
    return Experiment(
        request=request,
        baseline=baseline,
        task=task,
        protocol=protocol,
        sizing=sized,
        model=model,
        learning_rate=_given(request)
        or learning_rate
        or default_learning_rate(baseline, task, protocol, sized.hparams, steps),
        phases=phases,
        testset_sha256=test_set.sha256,
        n_test=test_set.n,
        validation_sha256={name: task.frozen(name).sha256 for name in sorted({p.validation for p in phases})},
        training_sha256={name: task.training[name].fingerprint() for name in sorted({p.data for p in phases})},
        model_sha256=_fingerprint(baseline),
    )


def suiting_budget(baselines: Sequence[Baseline], task: Task, protocol: Protocol, budget: int) -> int | None:
    """The budget closest to `budget` for which each of these models has a size within 5%, with its default hyperparameters.

    None if there is none from half to twice the budget.
    """
    pairs = []
    for baseline in baselines:
        hparams = baseline.defaults(task.name, protocol.name)
        pairs.append((baseline, resolve_cache.parameter_counter(baseline, task.spec, hparams)))
    return sizing.suiting_budget(pairs, budget)


def default_learning_rate(
    baseline: Baseline, task: Task, protocol: Protocol, hparams: Mapping[str, Any], steps: int
) -> LearningRate:
    """The learning rate if none is given: declared by the model, tuned and shipped with it, or the protocol's default.

    A shipped tuning record counts only if it was made for this version of the task and this protocol. At other sizes, with
    another number of steps, other training data or other code of the model, its learning rate is used but does not count as
    tuned.

    Args:
      baseline, task, protocol: the registered objects.
      hparams: all hyperparameters, with the free size.
      steps: number of training steps.
    """
    declared = baseline.learning_rates.get(f"{task.name}/{protocol.name}")
    if declared is not None:
        return LearningRate(float(declared), 0, {"source": "declared by the model"})
    record = baseline.tuned(task.name, protocol.name)
    if record is None:
        return LearningRate(protocol.learning_rate, 0, {"source": "default of the protocol"})
    phases = protocol.phases_for(baseline.name, baseline.partitions)
    made_for = {
        "engine": ENGINE_VERSION,
        "task_version": task.version,
        "steps": sum(phase.steps for phase in phases),
        "validation_sha256": {name: task.frozen(name).sha256 for name in sorted({p.validation for p in phases})},
        "seeds": list(protocol.tuning_seeds),
    }
    other = [name for name, value in made_for.items() if record[name] != value]
    if not set(protocol.learning_rate_grid) <= set(record["grid"]):
        other.append("grid")
    if other:
        source = f"default of the protocol; the shipped tuning record has another {other[0]}"
        return LearningRate(protocol.learning_rate, 0, {"source": source})
    same = {
        "steps": steps,
        "hparams": hparams,
        # Records of older versions of nmbench lack these two.
        "training_sha256": {name: task.training[name].fingerprint() for name in sorted({p.data for p in phases})},
        "model_sha256": _fingerprint(baseline),
    }
    differs = [name for name, value in same.items() if record.get(name, value) != value]
    if differs:
        source = f"shipped tuning record, made with other {differs[0]}"
        return LearningRate(float(record["chosen"]), 0, {"source": source})
    tuning_runs = len(record["grid"]) * len(record["seeds"])
    return LearningRate(float(record["chosen"]), tuning_runs, {**record, "source": "shipped tuning record"})


def _fingerprint(baseline: Baseline) -> str:
    try:
        return fingerprints.of_imported(baseline.path)
    except OSError as error:  # registered in a cell of a notebook, or the file is gone
        raise NmbenchError(
            f"the model {baseline.name!r} is not in a file, so its rows could not name its code; write it to a file and "
            f"name that with --plugin=FILE.py, in Python nmbench.train(..., plugin='FILE.py')"
        ) from error


def _given(request: Request) -> LearningRate | None:
    rate = request.learning_rate
    return None if rate is None else LearningRate(rate, 0, {"source": "given"})


def _size(request: Request, baseline: Baseline, task: Task, protocol: Protocol) -> sizing.Sizing:
    defaults = baseline.defaults(task.name, protocol.name)
    given = _as_defaults(baseline.check_hparams(request.hparams), defaults)
    hparams, free = {**defaults, **given}, baseline.free_size
    published = protocol.sizes == "published" and free in hparams and request.budget is None
    counter = resolve_cache.parameter_counter(baseline, task.spec, hparams)
    if free in given or published:
        sized = sizing.given_sizes(baseline, task.spec, hparams, request.budget, counter)
        sizing.check_deviation(baseline, sized, request.allow_budget_miss)
        return sized
    budget = task.default_budget if request.budget is None else request.budget
    return sizing.size_to_budget(baseline, task.spec, hparams, budget, request.allow_budget_miss, counter)


def _as_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Replace given values that equal the default by the default: 10 and 10.0 would give one run two run ids."""
    return {name: defaults[name] if value == defaults.get(name) else value for name, value in given.items()}
