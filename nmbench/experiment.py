"""One cell of the benchmark: resolve what was asked for, size, train, evaluate, record.

Everything that can be wrong is found while resolving, before anything is computed or written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench import lanes, sizing, sources, training
from nmbench.catalog import BASELINES, TASKS
from nmbench.checkpoint import save_params
from nmbench.columns import task_columns, verdict_columns
from nmbench.errors import NmbenchError
from nmbench.evaluation import predictor
from nmbench.input_weights import check_shapes
from nmbench.lanes import Group
from nmbench.loggers import Loggers
from nmbench.model import Baseline, Model
from nmbench.params import flatten, is_learned
from nmbench.protocol import Phase, Protocol
from nmbench.results import provenance, schema
from nmbench.results.store import Store
from nmbench.resume import Checkpoints
from nmbench.snapshot import CurvePoint
from nmbench.task import Task
from nmbench.training import Lane, Report, Timing, Trained

# Raised when a change of the engine changes what a configuration trains to.
ENGINE_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for; None means the default.

    Attributes:
      model, task: registered names.
      budget: learned parameters; the task's default under protocols that size by budget.
      hparams: name to value or text; fixes sizes.
      protocol: name; the task's first.
      learning_rate: overrides tuned, published and default rates.
      steps: total number of training steps, shared among the phases.
      data_seed: seed of the training data.
      allow_budget_miss: accept a size more than 5% off the budget.
      devices: bound on JAX devices.
      remat: recompute activations for the gradient instead of keeping them all.
    """

    model: str
    task: str
    budget: int | None = None
    hparams: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    protocol: str | None = None
    learning_rate: float | None = None
    steps: int | None = None
    data_seed: int = 0
    allow_budget_miss: bool = False
    devices: int | None = None
    remat: bool = False


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How the learning rate was chosen.

    Attributes:
      rate: the chosen rate.
      trials: number of training runs the choice took.
      record: grid, seeds and losses (see `nmbench.tuning`), or {"source": ...} for a rate that was not tuned.
    """

    rate: float
    trials: int
    record: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A resolved request: ready to train."""

    request: Request
    baseline: Baseline
    task: Task
    protocol: Protocol
    sizing: sizing.Sizing
    model: Model
    tuning: Tuning
    phases: tuple[Phase, ...]
    testset_sha256: str
    n_test: int
    validation_sha256: dict[str, str]
    training_sha256: dict[str, str]
    model_sha256: str

    def resolved_protocol(self) -> dict[str, Any]:
        """The protocol as it will run, plain data."""
        return self.protocol.resolve(self.phases, self.tuning.rate)

    def config(self, seed: int) -> dict[str, Any]:
        """Everything that determines a run; its hash ends the run id."""
        return {
            "engine": ENGINE_VERSION,
            "model": self.baseline.name,
            "model_sha256": self.model_sha256,
            "hparams": self.sizing.hparams,
            "budget": self.sizing.target,
            "task": self.task.name,
            "task_version": self.task.version,
            "testset_sha256": self.testset_sha256,
            "validation_sha256": self.validation_sha256,
            "training_sha256": self.training_sha256,
            "protocol": self.resolved_protocol(),
            "learning_rate": self.tuning.rate,
            "tuning_trials": self.tuning.trials,
            "data_seed": self.request.data_seed,
            "seed": seed,
            "x64": provenance.uses_x64(),
            # Rounding differs with it, so it belongs to the key; without it a key stays what it was.
            **({"remat": True} if self.request.remat else {}),
        }

    def run_id(self, seed: int) -> str:
        return run_id_of(self.config(seed))

    def train(self, lanes: Sequence[Lane], report: Report, **options: Any) -> tuple[list[Trained], Timing]:
        """Train lanes of this cell together (see `nmbench.training.train`)."""
        return training.train(
            self.model,
            self.task,
            self.baseline,
            self.phases,
            lanes,
            validate_every=self.protocol.validate_every,
            selection=self.protocol.selection,
            loss_limit=self.protocol.loss_limit,
            data_seed=self.request.data_seed,
            max_devices=self.request.devices,
            report=report,
            **options,
        )


class Plan(NamedTuple):
    """What is left to do: rows that are stored already, by seed, the other seeds, and how these are trained."""

    known: dict[int, dict[str, Any]]
    missing: list[int]
    groups: list[Group]


def resolve(request: Request, tuning: Tuning | None = None) -> Cell:
    """Look everything up, check it and size the model. Nothing is written, nothing heavy is computed.

    The learning rate is, in this order: the request's; `tuning`'s; one that the baseline declares for this task and
    protocol; the tuning record shipped beside the baseline; the protocol's default.

    Raises:
      NmbenchError: one line on whatever is wrong.
    """
    task = TASKS.get(request.task)
    baseline = BASELINES.get(request.model)
    protocol = task.protocol(request.protocol) if request.protocol else task.protocols[0]
    phases = protocol.phases_for(baseline.name, baseline.partitions, request.steps)
    training.check(task, baseline, phases)
    frozen = task.frozen("test")
    for metric in task.metrics:
        metric.check(frozen.arrays, frozen.n)
    given_hparams = baseline.check_hparams(request.hparams)
    defaults = baseline.defaults(task.name, protocol.name)
    # A value equal to the default is the default, to the letter: 10 and 10.0 would make two run ids of one run.
    given = {name: value if value != defaults.get(name) else defaults[name] for name, value in given_hparams.items()}
    hparams = {**defaults, **given}
    sized = _size(request, baseline, task, protocol, hparams, given)
    if request.learning_rate is not None and not (request.learning_rate > 0 and np.isfinite(request.learning_rate)):
        raise NmbenchError(f"--learning_rate must be positive, got {request.learning_rate}")
    if request.learning_rate is not None:
        tuning = Tuning(request.learning_rate, 0, {"source": "given"})
    tuning = tuning or known_rate(baseline, task, protocol)
    model = baseline.build(task.spec, sized.hparams, remat=request.remat)
    _check_outputs(baseline, model, task)
    return Cell(
        request=request,
        baseline=baseline,
        task=task,
        protocol=protocol,
        sizing=sized,
        model=model,
        tuning=tuning,
        phases=phases,
        testset_sha256=frozen.sha256,
        n_test=frozen.n,
        validation_sha256={name: task.frozen(name).sha256 for name in sorted({p.validation for p in phases})},
        training_sha256={name: task.training[name].fingerprint() for name in sorted({p.data for p in phases})},
        # A model whose source has changed is another model: its old runs are not taken for new ones.
        model_sha256=sources.sha256(baseline.path),
    )


def run_id_of(config: Mapping[str, Any]) -> str:
    """The run id of a configuration as `Cell.config` makes it."""
    key = hashlib.sha256(schema.canonical_json(config).encode()).hexdigest()[:12]
    return f"{config['model']}.{config['task']}.{config['protocol']['name']}.s{config['seed']}.{key}"


def plan(cell: Cell, seeds: Sequence[int], store: Store, checkpoints: Checkpoints, *, force: bool = False) -> Plan:
    """What is stored, and from where the rest goes on. With `force` nothing is, and checkpoints are discarded."""
    keys = {seed: cell.run_id(seed) for seed in seeds}
    known = {} if force else {seed: row for seed in seeds if (row := store.row(keys[seed])) is not None}
    missing = [seed for seed in seeds if seed not in known]
    for seed in seeds if force else known:
        checkpoints.discard(keys[seed])
    return Plan(known, missing, lanes.stand(cell, [keys[seed] for seed in missing], checkpoints))


def run_seeds(
    cell: Cell,
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

    def finish(group: Group, results: list[Trained], timing: Timing) -> None:
        predict = predictor(cell.model, cell.task, cell.task.frozen("test"))
        spent = [(s.compile_s, s.train_s) for s in group.snapshots] or [(0.0, 0.0)] * len(results)
        for place, trained, before in zip(group.places, results, spent, strict=True):
            checkpoints.heed()
            compile_s, train_s = (a + b / len(results) for a, b in zip(before, timing[:2], strict=True))
            facts = {
                **origin,
                "started_utc": checkpoints.started(keys[place]) or origin["started_utc"],
                "compile_s": round(compile_s, 3),
                "train_s": round(train_s, 3),
                "seeds_together": len(results),
                "n_devices": timing.devices,
            }
            known[missing[place]] = _record(cell, missing[place], trained, predict, facts, store)
            checkpoints.discard(keys[place])
            log.finish(place, known[missing[place]])

    runs = [Lane(seed, cell.tuning.rate) for seed in missing]
    with (loggers or Loggers()).started([(key, cell.config(seed)) for key, seed in zip(keys, missing, strict=True)]) as log:
        lanes.train_resumably(cell, runs, keys, groups, checkpoints, report, finish, log.step)
    return [known[seed] for seed in seeds]


def _record(cell: Cell, seed: int, trained: Trained, predict, facts: dict[str, Any], store: Store) -> dict[str, Any]:
    task, began = cell.task, time.perf_counter()
    row: dict[str, Any] = dict.fromkeys((c.name for c in schema.COLUMNS), None)
    per_trial: dict[str, np.ndarray] = {}
    if trained.diverged_at is not None:
        limit = cell.protocol.loss_limit
        row.update(
            status="diverged",
            error=f"the loss was not a number or above {limit:g} at step {trained.diverged_at}",
        )
    else:
        judged = _judge(task, trained, predict)
        if (np.abs(list(judged["values"].values())) <= schema.LARGEST_FLOAT).all():  # NaN is not
            per_trial = judged["per_trial"]
            row.update(
                status="ok",
                last_value=judged["last"],
                validation_loss=trained.validation_loss,
                **verdict_columns(task, judged),
            )
        else:
            row.update(status="diverged", error="predictions on the test set are not finite")
    protocol = cell.resolved_protocol()
    row.update(
        schema_version=schema.SCHEMA_VERSION,
        run_id=cell.run_id(seed),
        model=cell.baseline.name,
        model_origin=cell.baseline.origin,
        protocol=cell.protocol.name,
        config_json=schema.canonical_json(cell.config(seed)),
        params_target=cell.sizing.target,
        params_actual=cell.sizing.actual,
        params_dev=cell.sizing.deviation,
        seed=seed,
        data_seed=cell.request.data_seed,
        selected_step=trained.selected_step,
        train_steps=sum(p["steps"] for p in protocol["phases"]),
        learning_rate=cell.tuning.rate,
        tuning_trials=cell.tuning.trials,
        tuning_json=schema.canonical_json(cell.tuning.record),
        eval_s=round(time.perf_counter() - began, 3),
        peak_rss_mb=provenance.peak_rss_mb(),
        **task_columns(task, task.frozen("test")),
        **facts,
    )
    save = lambda path: save_params(path, trained.params, {"run_id": row["run_id"]})
    store.write(row, save, per_trial, trained.curve, CurvePoint._fields)
    return schema.check_row(row, row["run_id"])


def _judge(task: Task, trained: Trained, predict) -> dict[str, Any]:
    """What `Task.evaluate` says of the selected parameters, with the stages that metrics ask for, and the "last" value."""
    arrays = task.frozen("test").arrays
    judged = task.evaluate(predict(trained.params), arrays)
    for stage, params in trained.stages.items():
        asked = [m for m in task.metrics if stage in m.stages]
        earlier = task.evaluate(predict(params), arrays) if asked else {}
        for metric in asked:
            name = f"{metric.name}.{stage}"
            judged["values"][name] = earlier["values"][metric.name]
            judged["per_trial"][name] = earlier["per_trial"][metric.name]
            if metric.conditions:
                judged["conditions"][name] = earlier["conditions"][metric.name]
    last = task.evaluate(predict(trained.last_params), arrays)["values"][task.primary.name]
    return {**judged, "last": last if abs(last) <= schema.LARGEST_FLOAT else None}


def _size(request: Request, baseline: Baseline, task: Task, protocol: Protocol, hparams, given) -> sizing.Sizing:
    free = baseline.free_size
    published = protocol.sizes == "published" and free in hparams and request.budget is None
    if request.budget is not None and request.budget < 1:
        raise NmbenchError(f"--budget must be at least 1, got {request.budget}")
    if free in given or published:
        sized = sizing.given_sizes(baseline, task.spec, hparams, request.budget)
        sizing.check_deviation(baseline, sized, request.allow_budget_miss)
        return sized
    budget = task.default_budget if request.budget is None else request.budget
    return sizing.size_to_budget(baseline, task.spec, hparams, budget, request.allow_budget_miss)


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


def _check_outputs(baseline: Baseline, model: Model, task: Task) -> None:
    """Trace the model once: outputs must be `[T, B, O]`, and declared input weights must be there."""
    import jax

    try:
        params = jax.eval_shape(model.init, jax.random.key(0))
        outputs = jax.eval_shape(model.apply, params, task.spec.zeros(batch=2))
    except NmbenchError:
        raise
    except Exception as error:  # a third-party model may raise anything; the user needs one line
        reason = str(error).split("\n")[0]
        raise NmbenchError(f"model {baseline.name!r} fails on {task.name}: {type(error).__name__}: {reason}") from error
    shape = getattr(outputs, "shape", None)
    expected = (task.spec.steps, 2, task.spec.output_size)
    if shape != expected:
        raise NmbenchError(f"model {baseline.name!r} returns shape {shape} for 2 trials of {task.name}, not {expected}")
    named = flatten(params)
    for name, leaf in named.items():
        if is_learned(*name.rsplit("|", 1)) and not jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
            raise NmbenchError(
                f"model {baseline.name!r}: parameter {name!r} is of {leaf.dtype}, and only real floats are learned; keep it "
                f"out of what init returns (Equinox: eqx.partition(model, eqx.is_inexact_array)), or call it fixed_..."
            )
    check_shapes(baseline.name, baseline.input_weights, task.spec, {name: leaf.shape for name, leaf in named.items()})
