"""The rules for tasks. Each rule is a generator of findings on a `TaskUnderTest`."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import tree

from nmbench.conformance.model_subject import SMOKE, smoke_run
from nmbench.conformance.probe import PROBE, register_probe
from nmbench.conformance.rules import RuleFinding, Rules
from nmbench.conformance.task_subject import TaskUnderTest
from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.input_weights import InputWeights, check_new_inputs
from nmbench.contracts.task import CROSS_ENTROPY, Batch, FixedData, Task
from nmbench.experiments import contract_checks
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.training.optimizer import transform
from nmbench.training.phase_program import mean_loss

TASK_RULES = Rules()
TOLERANCE = 1e-6
EPOCH_TRIALS = 20
SPEC, SETS, BATCHES, PHASES, TRIAL = "T01-spec", "T02-frozen-sets", "T05-batches", "T09-phases", "T11-per-trial"
DATA, CONDITIONS = "T07-training-data", "T12-conditions"


@TASK_RULES.add(SPEC, fix="see nmbench.SequenceSpec and nmbench.ArraySpec")
def spec(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the spec has at least one step and arrays of floats, and the budget is a positive integer"""
    task = t.task
    if task.spec.steps < 1:
        yield RuleFinding(f"trials of {task.spec.steps} steps", "steps= is the number of time steps of every trial")
    for path, leaf in [*tree.flatten_with_path(task.spec.inputs), (("outputs",), task.spec.outputs)]:
        if not np.issubdtype(np.dtype(leaf.dtype), np.floating):
            yield RuleFinding(
                f"{'/'.join(map(str, path))} has dtype {leaf.dtype}", "models compute with floats: declare float32"
            )
    if task.default_budget < 1:
        yield RuleFinding(f"default_budget={task.default_budget}", "give a number of learned parameters, such as 500")


@TASK_RULES.add(SETS, fix="make them with python -m nmbench.freeze --task=NAME")
def sets_are_frozen(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """all frozen sets exist, with the hashes of the manifest and the declared numbers of trials"""
    for split, trials in t.task.set_sizes.items():
        frozen = t.frozen(split)
        if frozen.n != trials:
            yield RuleFinding(
                f"the {split} set has {frozen.n} trials, but set_sizes declares {trials}",
                "raise the task's version and freeze again; or, if nobody has used the set, delete its file and its entry "
                "in the manifest first",
            )


@TASK_RULES.add("T03-generator", fix="let draw_set(split) return a flat dict of NumPy arrays", needs=(SETS,))
def generator(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """draw_set reproduces the frozen sets byte for byte"""
    for split in t.task.set_sizes:
        first, again = (frozen_sets.digest(t.task.draw_set(split)) for _ in range(2))
        if first != again:
            yield RuleFinding(
                f"draw_set({split!r}) gives other arrays at every call",
                "draw from np.random.RandomState(SEED) inside draw_set",
            )
        elif first != t.frozen(split).sha256:
            yield RuleFinding(
                f"draw_set({split!r}) gives sha256 {first[:12]}..., the frozen set has {t.frozen(split).sha256[:12]}...",
                "undo the change of draw_set, or raise version= and freeze again",
            )


@TASK_RULES.add("T04-seeds", fix="make draw_set and training data run without other arguments")
def seeds(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """frozen sets and fixed training data do not use NumPy's global random state"""
    sources = {f"draw_set({split!r})": functools.partial(t.task.draw_set, split) for split in t.task.set_sizes}
    fixed = {name: source.make for name, source in t.task.training.items() if isinstance(source, FixedData)}
    sources |= {f"training data {name!r}": make for name, make in fixed.items()}
    before = np.random.get_state()
    try:
        for name, make in sources.items():
            np.random.seed(1)
            state = _state()
            make()
            if _state() != state:
                yield RuleFinding(
                    f"{name} draws from the global state of np.random",
                    "draw from np.random.RandomState(SEED) with a constant seed",
                )
    finally:
        np.random.set_state(before)


@TASK_RULES.add(BATCHES, fix="let unpack(arrays) return nmbench.Batch(inputs, targets, mask)", needs=(SPEC, SETS))
def batches(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """unpacked sets fit the spec and contain finite numbers"""
    for split, trials in t.task.set_sizes.items():
        first, again = (tree.flatten(tuple(b)) for b in (t.batch(split), t.task.unpack(t.frozen(split).arrays)))
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True)):
            yield RuleFinding(f"unpack gives another {split} set at every call", "draw random numbers in draw_set alone")
        yield from _fits(t.task, t.batch(split), trials, f"the {split} set")


@TASK_RULES.add("T06-mask", fix="let the mask broadcast to targets [T, B, O]", needs=(BATCHES,))
def mask(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the mask broadcasts to the targets, is not negative and selects a step of every trial"""
    for split in t.task.set_sizes:
        yield from _masked(t.batch(split), f"the {split} set")


@TASK_RULES.add(DATA, fix="training= maps names to nmbench.Sampler(sample) or nmbench.FixedData(make)", needs=(SPEC,))
def training_data(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """training batches fit the spec, and their loss is finite"""
    for name, source in t.task.training.items():
        arrays = source.arrays()
        draw = jax.jit(lambda arrays, key, source=source: source.draw(arrays, key, 6))
        batch = Batch(*(tree.map_structure(np.asarray, part) for part in draw(arrays, jax.random.key(0))))
        findings = [*_fits(t.task, batch, 6, f"training data {name!r}")]
        findings += [] if findings else _masked(batch, f"training data {name!r}")
        yield from findings
        if not findings and not np.isfinite(mean_loss(t.task, np.zeros_like(batch.targets), batch.targets, batch.mask)):
            yield RuleFinding(
                f"the loss of the answer 0 on {name!r} is not finite",
                "use smaller targets and a mask that is not 0 everywhere",
            )


@TASK_RULES.add("T08-repeats", fix="see that training data can be drawn", needs=(DATA,))
def repeats(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the same key draws the same trials, another key draws other trials; fixed data are the same at every call"""
    for name, source in t.task.training.items():
        if isinstance(source, FixedData):
            if FixedData(source.make).fingerprint() != source.fingerprint():
                yield RuleFinding(
                    f"FixedData {name!r} gives other arrays at every call", "use np.random.RandomState(SEED) in make()"
                )
            continue
        # Each draw is compiled anew, because a number drawn in Python would be the same in all calls of one program.
        drawn = [
            np.concatenate(
                [np.ravel(a) for a in tree.flatten(jax.jit(lambda key, s=source: s.draw((), key, 6))(k)._asdict())]
            )
            for k in map(jax.random.key, (0, 0, 1))
        ]
        if not np.array_equal(drawn[0], drawn[1]):
            yield RuleFinding(
                f"Sampler {name!r} draws other trials with the same key", "draw with jax.random, from the key alone"
            )
        elif np.array_equal(drawn[0], drawn[2]):
            yield RuleFinding(f"Sampler {name!r} draws the same trials with another key", "use the key that sample receives")


@TASK_RULES.add(PHASES, fix="see nmbench.Phase")
def phases(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the phases of all protocols name existing training data, sets and channels"""
    task = t.task
    weights = {"any": InputWeights()}
    for protocol in task.protocols:
        for phase in [p for some in (protocol.phases, *protocol.phases_by_model.values()) for p in some]:
            where, declared = f"protocol {protocol.name!r}", "use names that the task declares in"
            if phase.data not in task.training:
                known = ", ".join(task.training)
                yield RuleFinding(f"{where}: no training data {phase.data!r} (known: {known})", f"{declared} training=")
            elif phase.batch_size == 0 and not isinstance(task.training[phase.data], FixedData):
                yield RuleFinding(
                    f"{where}: batch_size=0 takes all trials, but the data {phase.data!r} are drawn at every step",
                    "give the phase a batch_size such as 64",
                )
            if phase.validation not in task.set_sizes:
                known = ", ".join(task.set_sizes)
                yield RuleFinding(f"{where}: no frozen set {phase.validation!r} (known: {known})", f"{declared} set_sizes=")
            try:
                check_new_inputs("any", weights, task.spec, phase.new_inputs)
                transform(phase)
            except NmbenchError as error:
                yield RuleFinding(f"{where}: {error}", "see nmbench.Phase; new_inputs names inputs of spec=")


@TASK_RULES.add("T10-protocols", fix="see nmbench.Protocol")
def protocols(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the first protocol is "matched", with a grid of learning rates, and a short protocol "smoke" exists"""
    names = [protocol.name for protocol in t.task.protocols]
    if names[0] != "matched":
        yield RuleFinding(
            f"the first protocol, the default, is {names[0]!r}", 'put "matched", the recipe for all models, first'
        )
    if len(set(names)) < len(names):
        yield RuleFinding(f"protocols share a name: {', '.join(names)}", "give each protocol its own name")
    if not t.task.protocols[0].learning_rate_grid:
        yield RuleFinding(
            f"protocol {names[0]!r} has no learning_rate_grid, so --tune is refused",
            "use learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1), as the built-in tasks do",
            warning=True,
        )
    for protocol in t.task.protocols:
        for model in protocol.phases_by_model.keys() - {entry.name for entry in BASELINES.entries()}:
            hint = did_you_mean(model, [entry.name for entry in BASELINES.entries()]).partition(" (")[0]
            yield RuleFinding(
                f"phases_by_model of {protocol.name!r} names the model {model!r}, which is not registered{hint}",
                "correct the name, or load the model with another --plugin=FILE.py",
                warning=True,
            )
    smoke = next((p for p in t.task.protocols if p.name == SMOKE), None)
    steps = sum(phase.steps for phase in smoke.phases) if smoke else 0
    if smoke is None or steps > 200:
        yield RuleFinding(
            f"protocol 'smoke' trains {steps} steps" if smoke else "no protocol 'smoke'",
            'add Protocol(name="smoke", phases=(Phase(steps=20, ...),), validate_every=10), a quick test that a model runs',
            warning=True,
        )


@TASK_RULES.add(TRIAL, fix="per_trial(predictions [T, B, O], arrays) returns [B]", needs=(BATCHES, "T06-mask"))
def per_trial(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """metrics give one finite number per trial, computed from that trial alone"""
    arrays, targets = t.frozen("test").arrays, t.batch("test").targets
    first = np.random.RandomState(0).standard_normal(targets.shape).astype(np.float32)
    second = first.copy()
    second[:, 0] = targets[:, 0]
    for predictions in (first, second):
        predictions.setflags(write=False)  # a metric must not change what the metrics after it judge
    for metric in t.task.metrics:
        with contract_checks.one_line_of(t.task, f"metric {metric.name!r} fails"):
            one, two = (np.asarray(metric.per_trial(p, arrays), np.float64) for p in (first, second))
        if one.shape != targets.shape[1:2]:
            yield RuleFinding(
                f"{metric.name} returns shape {one.shape}, not {targets.shape[1:2]}", "average over T and O, not over B"
            )
        elif not np.isfinite(one).all():
            trial = int(np.argmin(np.isfinite(one)))
            yield RuleFinding(
                f"{metric.name} of trial {trial} is {one[trial]}", "return a finite number for every trial and any answer"
            )
        elif not np.array_equal(one[1:], two[1:]):
            yield RuleFinding(
                f"{metric.name} of other trials changes with the answer to trial 0",
                "compute each number from its own trial alone, because a trial is scored without regard to the others",
            )
        elif metric.share_of_trials and not np.isin(one, (0.0, 1.0)).all():
            trial = int(np.argmin(np.isin(one, (0.0, 1.0))))
            yield RuleFinding(
                f"{metric.name} of trial {trial} is {one[trial]:g}, but with share_of_trials it must be 0 or 1",
                "return 0 or 1 for every trial, or leave out share_of_trials=True",
            )


@TASK_RULES.add(CONDITIONS, fix="conditions, subset and earlier map arrays to [B]", needs=(BATCHES,))
def conditions(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """labels and subsets have one entry per trial, and the stages that metrics name exist"""
    stages = {phase.stage for protocol in t.task.protocols for phase in protocol.phases}
    arrays, trials = t.frozen("test").arrays, t.batch("test").targets.shape[1:2]
    for metric in t.task.metrics:
        of_stages = [(f"earlier[{stage!r}]", function) for stage, function in metric.earlier.items()]
        for what, function in (("conditions", metric.conditions), ("subset", metric.subset), *of_stages):
            found = None if function is None else np.asarray(function(arrays))
            if found is not None and found.shape != trials:
                yield RuleFinding(
                    f"{what} of {metric.name} have shape {found.shape}, not {trials}", "give one entry per trial"
                )
            elif found is not None and what == "conditions" and _unlabelled(found, metric.chosen(arrays, len(found))):
                yield RuleFinding(
                    f"conditions of {metric.name} contain NaN", "give each trial a label, or leave trials out with subset="
                )
            elif found is not None and what != "conditions" and not (found.dtype == bool and found.any()):
                yield RuleFinding(
                    f"{what} of {metric.name} selects no trial or is not boolean",
                    "return booleans [B], some of them True",
                )
        for stage in {*metric.stages, *metric.earlier} - stages:
            yield RuleFinding(
                f"{metric.name} names the stage {stage!r}, which no phase has",
                f"declare stage={stage!r} on a Phase",
            )


@TASK_RULES.add("T13-ceiling", fix="see nmbench.Metric", needs=(TRIAL, CONDITIONS))
def ceiling(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the targets reach the ceiling of every metric, and floor and ceiling agree with the declared direction"""
    values = t.values(t.answers())
    for metric in t.task.metrics:
        better = "higher" if metric.higher_is_better else "lower"
        if not (metric.ceiling > metric.floor if metric.higher_is_better else metric.ceiling < metric.floor):
            yield RuleFinding(
                f"{metric.name}: floor {metric.floor:g}, ceiling {metric.ceiling:g}, but {better} is better",
                "the ceiling is the value of a perfect answer, the floor is the value of chance",
            )
        elif abs(values[metric.name] - metric.ceiling) > TOLERANCE * abs(metric.floor - metric.ceiling):
            yield RuleFinding(
                f"{metric.name} of the targets is {values[metric.name]:.6g}, but its ceiling is {metric.ceiling:g}",
                "declare the value of a perfect answer as ceiling, or fix the metric",
            )


@TASK_RULES.add("T14-references", fix="references= maps a label to arrays -> predictions [T, B, O]", needs=("T13-ceiling",))
def references(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """reference answers fit the spec, and none is better than the ceiling"""
    answers = {"the answer 0": np.zeros_like(t.batch("test").targets)}
    answers |= {f"reference {label!r}": answer(t.frozen("test").arrays) for label, answer in t.task.references.items()}
    for label, predictions in answers.items():
        values = t.values(predictions)
        for metric in t.task.metrics:
            value, span = values[metric.name], metric.ceiling - metric.floor
            if not np.isfinite(value) or (value - metric.ceiling) / span > TOLERANCE:
                yield RuleFinding(
                    f"{metric.name} of {label} is {value:.6g}, beyond the ceiling of {metric.ceiling:g}",
                    "fix the ceiling, the metric or the reference",
                )


@TASK_RULES.add("T15-epochs", fix="epochs(arrays, trial) returns [(name, first step, step after the last)]", needs=(SETS,))
def epochs(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """epochs lie within a trial"""
    for trial in range(min(EPOCH_TRIALS, t.task.set_sizes["test"]) if t.task.epochs else 0):
        for name, first, end in t.task.epochs(t.frozen("test").arrays, trial) if t.task.epochs else ():
            if not (
                isinstance(name, str) and 0 <= first < end <= t.task.spec.steps and int(first) == first and int(end) == end
            ):
                yield RuleFinding(
                    f"epoch {name!r} of test trial {trial}: {first} to {end}, in trials of {t.task.spec.steps} steps",
                    "return whole steps with 0 <= first < end <= steps; omit empty epochs",
                )
                return


@TASK_RULES.add("T16-smoke", fix="run it with nmbench.run", needs=(BATCHES, "T06-mask", DATA, PHASES, TRIAL, CONDITIONS))
def smoke(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """a small model trains on the task for some steps, and its row is valid"""
    with BASELINES.restored():
        register_probe(t.task)
        row, again = smoke_run(PROBE, t.task, {"N": 4})
    if row["status"] != "ok":
        yield RuleFinding(
            f"{row['status']}: {row['error']}", "use smaller inputs and targets, or a lower learning rate under smoke"
        )
    elif again is None or abs(again - row["value"]) > 1e-3 * max(abs(again), abs(row["value"])):
        yield RuleFinding(
            f"{row['metric']} is {row['value']:.6g} in the row and {again:.6g} when computed again",
            "compute metrics from predictions and arrays alone",
        )


def _fits(task: Task, batch: Batch, trials: int, where: str) -> Iterator[RuleFinding]:
    try:
        task.spec.validate_inputs(batch.inputs)
        task.spec.validate_outputs(batch.targets, trials)
    except NmbenchError as error:
        yield RuleFinding(f"{where}: {error}", "use axes [T, B, channels] and the channels of the spec")
        return
    if task.loss == CROSS_ENTROPY and not (
        np.isin(batch.targets, (0, 1)).all() and (np.sum(batch.targets, axis=2) <= 1).all()
    ):
        yield RuleFinding(
            f"{where}: the targets are not 1 for one class and 0 for the others, which the loss cross_entropy needs",
            "give the index of the right class, integers [T, B]",
        )
    for name, part in (("inputs", batch.inputs), ("targets", batch.targets)):
        if not all(np.isfinite(leaf).all() for leaf in tree.flatten(part)):
            yield RuleFinding(
                f"{where}: {name} are not finite everywhere", "use 0 for undefined values and exclude them with the mask"
            )


def _masked(batch: Batch, where: str) -> Iterator[RuleFinding]:
    try:
        if np.ndim(batch.mask) != 3:
            raise ValueError
        weights = np.broadcast_to(np.asarray(batch.mask, np.float64), batch.targets.shape)
    except ValueError:
        yield RuleFinding(
            f"{where}: mask {np.shape(batch.mask)} does not broadcast to targets {batch.targets.shape}",
            "use [T, 1, 1] or [T, B, 1]",
        )
        return
    if not np.isfinite(weights).all() or (weights < 0).any():
        yield RuleFinding(f"{where}: the mask has negative or infinite weights", "use finite weights of at least 0")
    elif not weights.sum(axis=(0, 2)).all():
        trial = int(np.argmin(weights.sum(axis=(0, 2)) > 0))
        yield RuleFinding(f"{where}: the mask selects nothing of trial {trial}", "select at least one step of every trial")


def _unlabelled(labels: np.ndarray, chosen: np.ndarray) -> bool:
    """Whether a chosen trial has the label NaN; a subset of the wrong shape is another finding."""
    return chosen.shape == labels.shape and bool((labels != labels)[chosen].any())


def _state() -> Any:
    state: Any = np.random.get_state()
    return state[0], state[1].tobytes(), *state[2:]
