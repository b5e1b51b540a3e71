"""From a request to an experiment: look everything up, check it and size the model, before anything is computed."""

from __future__ import annotations

import numpy as np

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.model import Baseline
from nmbench.contracts.protocol import Protocol
from nmbench.contracts.task import Task
from nmbench.experiments import sizing
from nmbench.experiments.experiment import Experiment, Tuning
from nmbench.experiments.request import Request
from nmbench.experiments.resolve_cache import ResolveCache
from nmbench.support.errors import NmbenchError
from nmbench.training import trainer


def resolve(request: Request, tuning: Tuning | None = None, known: ResolveCache | None = None) -> Experiment:
    """Look everything up, check it and size the model. Nothing is written, nothing heavy is computed.

    The learning rate is, in this order: the request's; `tuning`'s; one that the baseline declares for this task and
    protocol; the tuning record shipped beside the baseline; the protocol's default. `known` remembers, from call to call,
    what many requests have in common.

    Raises:
      NmbenchError: one line on whatever is wrong.
    """
    known = known or ResolveCache()
    task = TASKS.get(request.task)
    baseline = BASELINES.get(request.model)
    protocol = task.protocol(request.protocol) if request.protocol else task.protocols[0]
    phases = protocol.phases_for(baseline.name, baseline.partitions, request.steps)
    trainer.check(task, baseline, phases)
    testset_sha256, n_test = known.test_set(task)
    given_hparams = baseline.check_hparams(request.hparams)
    defaults = baseline.defaults(task.name, protocol.name)
    # A value equal to the default is the default, to the letter: 10 and 10.0 would make two run ids of one run.
    given = {name: value if value != defaults.get(name) else defaults[name] for name, value in given_hparams.items()}
    hparams = {**defaults, **given}
    sized = _size(request, baseline, task, protocol, hparams, given, known)
    if request.learning_rate is not None and not (request.learning_rate > 0 and np.isfinite(request.learning_rate)):
        raise NmbenchError(f"--learning_rate must be positive, got {request.learning_rate}")
    if request.learning_rate is not None:
        tuning = Tuning(request.learning_rate, 0, {"source": "given"})
    tuning = tuning or known_rate(baseline, task, protocol)
    model = baseline.build(task.spec, sized.hparams, remat=request.remat)
    known.check_outputs(baseline, model, task)
    return Experiment(
        request=request,
        baseline=baseline,
        task=task,
        protocol=protocol,
        sizing=sized,
        model=model,
        tuning=tuning,
        phases=phases,
        testset_sha256=testset_sha256,
        n_test=n_test,
        validation_sha256={name: known.set_sha256(task, name) for name in sorted({p.validation for p in phases})},
        training_sha256={name: known.training_sha256(task, name) for name in sorted({p.data for p in phases})},
        # A model whose source has changed is another model: its old runs are not taken for new ones.
        model_sha256=known.source_sha256(baseline),
    )


def _size(
    request: Request, baseline: Baseline, task: Task, protocol: Protocol, hparams, given, known: ResolveCache
) -> sizing.Sizing:
    free = baseline.free_size
    published = protocol.sizes == "published" and free in hparams and request.budget is None
    if request.budget is not None and request.budget < 1:
        raise NmbenchError(f"--budget must be at least 1, got {request.budget}")
    if free in given or published:
        sized = sizing.given_sizes(baseline, task.spec, hparams, request.budget)
        sizing.check_deviation(baseline, sized, request.allow_budget_miss)
        return sized
    budget = task.default_budget if request.budget is None else request.budget
    counted = known.counter(baseline, task, hparams)
    return sizing.size_to_budget(baseline, task.spec, hparams, budget, request.allow_budget_miss, counted)


def known_rate(baseline: Baseline, task: Task, protocol: Protocol) -> Tuning:
    """The learning rate that nobody needs to give: declared by the model, shipped with it, or the protocol's default."""
    declared = baseline.learning_rates.get(f"{task.name}/{protocol.name}")
    if declared is not None:
        return Tuning(float(declared), 0, {"source": "declared by the model"})
    record = baseline.tuned(task.name, protocol.name)
    if record is not None:
        try:
            trials = len(record["grid"]) * len(record["seeds"])
            return Tuning(float(record["chosen"]), trials, {"source": "shipped tuning record", **record})
        except (KeyError, TypeError, ValueError) as error:
            raise NmbenchError(f"the tuning record of {baseline.name} for {task.name} is not valid: {error}") from error
    return Tuning(protocol.learning_rate, 0, {"source": "default of the protocol"})
