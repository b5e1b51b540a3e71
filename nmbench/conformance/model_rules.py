"""The rules for models. Each rule is a generator of findings on a `ModelUnderTest`.

Rules about shapes use all tasks of the subject; rules that run the model use its probed tasks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.conformance import model_subject
from nmbench.conformance.model_subject import TRIALS, ModelUnderTest, perturbed, random_inputs, trace_of
from nmbench.conformance.rules import RuleFinding, Rules
from nmbench.contracts.input_weights import check_shapes
from nmbench.contracts.model import UnsuitableModelError
from nmbench.contracts.parameters import flatten, is_learned, split, unflatten
from nmbench.experiments import contract_checks, resolution, sizing
from nmbench.support.errors import NmbenchError
from nmbench.training.phase_program import as_float, mean_loss

MODEL_RULES = Rules()
# Largest accepted relative difference of outputs. The order of a float32 sum changes outputs by less.
TOLERANCE = 1e-4
MOST_RETRAINED = 0.75  # share of the learned parameters; retraining all would not show what a part can do
MOST_CUTS = 128  # steps at which causality is tested
BUILDS, FLOATS, OUTPUTS, REPEATS = "M01-builds", "M02-parameters", "M03-outputs", "M04-repeats"
TRIAL_ALONE, GRADIENT, INPUTS = "M05-trials", "M09-gradient", "M12-input-weights"


@MODEL_RULES.add(BUILDS, fix="make the factory run with (spec, **hparams), and init with a key")
def builds(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """the factory can be called, and init can be traced"""
    seen: set[str] = set()
    for task in m.kinds:
        try:
            m.shapes(task)
        except UnsuitableModelError as error:
            yield RuleFinding(str(error), error.fix)
            return  # the other tasks would give the same finding
        except NmbenchError as error:
            said = re.sub(r"\d+", "", str(error))
            if said in seen:  # other tasks give the same error, with other sizes
                continue
            seen.add(said)
            yield RuleFinding(f"{task.name}: {error}", model_subject.how_to_build(str(error)))


@MODEL_RULES.add(FLOATS, fix="let init return float arrays in dicts, tuples or registered pytrees", needs=(BUILDS,))
def parameters(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """there are learned parameters, and they are arrays of JAX's default float"""
    wanted = jnp.result_type(float)
    for task in m.probed:
        shapes = m.shapes(task)
        if not any(is_learned(*name.rsplit("|", 1)) for name in shapes):
            what = "create parameters with Core.learned, hk.get_parameter or in init"
            yield RuleFinding(f"no learned parameter on {task.name}", what)
        for name, leaf in shapes.items():
            if is_learned(*name.rsplit("|", 1)) and (leaf.dtype != wanted or leaf.weak_type):
                yield RuleFinding(
                    f"parameter {name!r} has dtype {'weak ' if leaf.weak_type else ''}{leaf.dtype}, not {wanted}",
                    "give it the dtype jnp.result_type(float); keep values that are not learned out of params (in Equinox: "
                    "eqx.partition(model, eqx.is_inexact_array)) or start their names with fixed_",
                )


@MODEL_RULES.add(
    OUTPUTS,
    fix="let apply(params, inputs) return one array [T, B, O]",
    needs=(BUILDS,),
)
def outputs(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """outputs are [T, B, O] in JAX's default float, for every B"""
    wanted = jnp.result_type(float)
    for task in m.kinds:
        params = jax.eval_shape(m.model(task).init, jax.random.key(0))
        for batch in (1, 3):
            with contract_checks.one_line_of(m.baseline, f"on {task.name}"):
                found = jax.eval_shape(m.model(task).apply, params, task.spec.zeros(batch))
            if not hasattr(found, "shape"):
                yield RuleFinding(f"the model returns a {type(found).__name__} on {task.name}", "return the outputs alone")
                break
            expected = (task.spec.steps, batch, task.spec.output_size)
            shape, dtype = found.shape, found.dtype
            if shape != expected:
                yield RuleFinding(
                    f"shape {shape} for {batch} trials of {task.name}, not [T, B, O] = {expected}",
                    "keep time first and trials second; take T and B from the inputs",
                )
                break
            if dtype != wanted:
                yield RuleFinding(
                    f"outputs on {task.name} have dtype {dtype}, not {wanted}", "cast the outputs or the parameters"
                )
                break


@MODEL_RULES.add(REPEATS, fix="make init and apply traceable more than once", needs=(FLOATS, OUTPUTS))
def repeats(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """init and apply are pure functions: the same key and inputs give the same numbers"""
    for task in m.probed:
        inputs, key = random_inputs(task.spec, 1), jax.random.key(0)
        params = jax.eval_shape(m.model(task).init, key)
        for name, arguments in (("init", (key,)), ("apply", (params, inputs))):
            one, other = m.rebuilt(task), m.rebuilt(task)  # a built model may also keep state
            first, *again = (trace_of(getattr(model, name), *arguments) for model in (one, one, other))
            if any(trace != first for trace in again):
                yield RuleFinding(
                    f"{name} on {task.name} is not the same computation when it is compiled again: perhaps it draws numbers "
                    f"with np.random, which happens once, at compilation, so that they stay constant in training",
                    "draw random numbers in init alone, with jax.random and the key it receives; keep no state in Python "
                    "between calls",
                )


@MODEL_RULES.add(TRIAL_ALONE, fix="make apply run on random inputs", needs=(REPEATS,))
def trials(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """the outputs of a trial depend on that trial alone"""
    for task in m.probed:
        inputs, others = random_inputs(task.spec), random_inputs(task.spec, seed=1)
        for kept in (0, TRIALS - 1):  # in a scan over trials, the first one does not depend on the others
            others_of = lambda a, b, kept=kept: np.where((np.arange(TRIALS) == kept)[None, :, None], a, b)
            changed = tree.map_structure(others_of, inputs, others)
            off = model_subject.difference(m.outputs(task, inputs)[:, kept], m.outputs(task, changed)[:, kept])
            if off > TOLERANCE:
                yield RuleFinding(
                    f"the outputs of trial {kept} of {task.name} change by {off:.2g} when the other trials change",
                    "scan over steps and compute no statistics over trials: axes are [T, B, C], in a Core [T, C, B] (Flax: "
                    "nn.RNN(..., time_major=True), Equinox: jax.vmap(..., in_axes=1, out_axes=1))",
                )
                break


@MODEL_RULES.add("M06-batch-size", fix="take the number of trials from the inputs", needs=(TRIAL_ALONE,))
def batch_size(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """the outputs of a trial do not depend on the number of trials"""
    for task in m.probed:
        inputs = random_inputs(task.spec)
        for which, some in (("first", slice(2)), ("last", slice(-2, None))):
            few = tree.map_structure(lambda a, some=some: a[:, some], inputs)
            off = model_subject.difference(m.outputs(task, inputs)[:, some], m.outputs(task, few))
            if off > TOLERANCE:
                yield RuleFinding(
                    f"the outputs of the {which} 2 trials of {task.name} differ by {off:.2g} between 2 and {TRIALS} trials",
                    "do not use the number of trials or averages over trials",
                )
                break


@MODEL_RULES.add("M07-causal", fix="make apply run on random inputs", needs=(TRIAL_ALONE,))
def causal(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """outputs at a step do not depend on later inputs"""
    for task in m.probed:
        steps = task.spec.steps
        last = np.unique(np.linspace(0, steps - 2, min(steps - 1, MOST_CUTS)).astype(int))  # one step for each trial
        if not len(last):
            continue
        inputs, others = (random_inputs(task.spec, len(last), seed) for seed in (0, 1))
        later = (np.arange(steps)[:, None] > last)[..., None]
        changed = tree.map_structure(lambda a, b, later=later: np.where(later, b, a), inputs, others)
        plain, now = m.outputs(task, inputs), m.outputs(task, changed)
        for trial, step in enumerate(last):
            off = model_subject.difference(plain[: step + 1, trial], now[: step + 1, trial])
            if off > TOLERANCE:
                yield RuleFinding(
                    f"outputs of {task.name} up to step {step} change by {off:.2g} when later inputs change",
                    "the axes are [T, B, C]: scan forwards over the first, compute no statistics over a trial",
                )
                break


@MODEL_RULES.add("M08-seeded", fix="let init(key) draw with jax.random", needs=(REPEATS,))
def seeded(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """different keys give different parameters"""
    for task in m.probed:
        one, two = flatten(m.params(task)), flatten(m.params(task, 1))
        if all(np.array_equal(one[name], two[name]) for name in one):
            yield RuleFinding(
                f"keys 0 and 1 give the same parameters on {task.name}",
                "draw initial parameters from the key: every seed must be another run",
            )


@MODEL_RULES.add(GRADIENT, fix="make apply differentiable by jax.grad", needs=(FLOATS, OUTPUTS))
def gradient(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """loss and gradient are finite, and every learned parameter has a gradient"""
    for task in m.probed:
        model, phase = m.model(task), task.protocols[0].phases[0]
        source, size = task.training[phase.data], min(phase.batch_size or 16, 16)
        batch = as_float(source.draw(jax.tree.map(jnp.asarray, source.arrays()), jax.random.key(0), size))

        @jax.jit
        def slope(params, task=task, model=model, batch=batch):
            learned, fixed = split(flatten(params), is_learned)
            loss_of = lambda p: mean_loss(
                task, model.apply(unflatten(params, {**fixed, **p}), batch.inputs), batch.targets, batch.mask
            )
            return jax.value_and_grad(loss_of)(learned)

        loss, found = slope(m.params(task))
        wrong = [name for name, leaf in found.items() if not np.isfinite(leaf).all()]
        if not np.isfinite(loss) or wrong:
            yield RuleFinding(
                f"before training, the loss on {task.name} is {float(loss):.3g}; the gradient is not finite for these "
                f"parameters: {', '.join(wrong) or 'none'}",
                "use smaller initial weights; avoid a division by, and a root or logarithm of, a value that can be 0",
            )
            continue
        # A parameter that starts at 0 can make other gradients 0, so check nearby parameters as well.
        silent = [name for name, leaf in found.items() if leaf.size and not np.any(leaf)]
        nearby = slope(perturbed(m.params(task)))[1] if silent else {}
        silent = [name for name in silent if not np.any(nearby[name])]
        if len(silent) == len(found):
            yield RuleFinding(
                f"no parameter has a gradient on {task.name}, so the model cannot learn",
                "look for stop_gradient, rounding and units that are 0 for every input",
            )
        elif silent:
            yield RuleFinding(
                f"no gradient on {task.name} for: {', '.join(silent)}",
                "they count towards the budget: remove them, or, if they are not learned, create them with Core.fixed or "
                "name them fixed_NAME",
                warning=True,
            )


@MODEL_RULES.add("M10-count", fix="let the factory accept larger sizes", needs=(BUILDS,))
def counts(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """the number of learned parameters grows with the free size"""
    free = m.baseline.free_size
    for task in m.probed:
        hparams = m.sized(task).hparams
        chosen = hparams[free]
        sizes = sorted({1, 2, 4, max(1, chosen // 2), max(1, chosen - 1), chosen, chosen + 1, 2 * chosen, 4 * chosen})
        counted = {}
        for size in sizes:
            try:
                counted[size] = sizing.count(sizing.shapes(m.baseline, task.spec, {**hparams, free: size}))
            except NmbenchError as error:
                if size >= chosen:  # smaller sizes may be refused
                    yield RuleFinding(
                        f"{free}={size} is refused on {task.name}: {error}", "accept every size above the smallest"
                    )
        pairs = list(zip(counted.items(), list(counted.items())[1:], strict=False))
        for (small, few), (large, many) in pairs:
            if many < few:
                yield RuleFinding(
                    f"{few} parameters with {free}={small} but {many} with {free}={large}, on {task.name}",
                    "the count must not decrease as the free size grows, because sizing uses bisection",
                )
                break
        if len(set(counted.values())) == 1:
            yield RuleFinding(
                f"{next(iter(counted.values()))} parameters on {task.name} for every {free}",
                "name the hyperparameter that sets the network's size as free_size=",
            )


@MODEL_RULES.add("M11-budgets", fix="make a size possible within 5% of each budget", needs=("M10-count",))
def budgets(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """for every task, some free size is within 5% of the budget"""
    free = m.baseline.free_size
    for task in m.tasks:
        for protocol in task.protocols:
            sized = m.sized(task, protocol.name)
            off = sized.deviation
            if protocol.sizes != "budget" or (off is not None and abs(off) <= sizing.TOLERANCE):
                continue
            size = f"{free}={sized.hparams[free]} has {sized.actual} parameters"
            seen = f"no size is close, {size}" if off is None else f"the closest size, {size}, is {off:+.1%} off"
            other = resolution.suiting_budget([m.baseline], task, protocol, task.default_budget)
            suits = f"; --budget={other} suits the model as it is" if other else ""
            fix = "let a step of the free size add fewer parameters (leave out a bias, say)"
            for name, value in list(m.baseline.hparams.items())[:1]:
                fix += (
                    f', or give other hyperparameters other defaults; register_baseline(..., settings={{"{task.name}": '
                    f'{{"{name}": {value!r}}}}}) sets them for one task'
                )
            if len(m.tasks) > 1:
                fix += "; `nmbench check --task=NAME` looks only at the task that you want"
            yield RuleFinding(
                f"budget {task.default_budget} of {task.name}: {seen}; at most {sizing.TOLERANCE:.0%} is allowed{suits}", fix
            )
            break


@MODEL_RULES.add(INPUTS, fix="see register_baseline's input_weights", needs=(BUILDS,))
def input_weights(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """declared input weights exist and have one entry per input channel"""
    for task in m.kinds:
        try:
            shapes = {name: leaf.shape for name, leaf in m.shapes(task).items()}
            check_shapes(m.baseline.name, m.baseline.input_weights, task.spec, shapes)
        except NmbenchError as error:
            yield RuleFinding(
                f"{task.name}: {error}",
                "name the parameter that multiplies only the inputs; use InputWeights(axis=0) for u @ W",
            )
            return  # other tasks would give the same finding


def _instead(partition: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names of partitions that a model may have to be trained in part, instead of one that other models have."""
    return () if isinstance(partition, str) else partition[:-1]


@MODEL_RULES.add("M13-partitions", fix="partitions= maps a name to a predicate on (module, parameter)", needs=(INPUTS,))
def partitions(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """every partition has a learned parameter, a retrained one at most 3/4 of them, and those that protocols train exist"""
    for name in m.baseline.partitions:
        for task in m.kinds:
            if not split(m.shapes(task), m.baseline.partition(name))[0]:
                yield RuleFinding(
                    f"partition {name!r} has no learned parameter on {task.name}",
                    f"its predicate receives names such as {', '.join(list(m.shapes(task))[:3])}, split at the last '|'",
                )
                break
    for task in m.tasks:
        names = {name for protocol in task.protocols for phase in protocol.phases for name in _instead(phase.partition)}
        for name in sorted(names & set(m.baseline.partitions)):
            learned = split(m.shapes(task), is_learned)[0]
            chosen = split(learned, m.baseline.partition(name))[0]
            part, whole = (sum(leaf.size for leaf in leaves.values()) for leaves in (chosen, learned))
            if part > MOST_RETRAINED * whole:
                yield RuleFinding(
                    f"on {task.name}, partition {name!r} has {part} of {whole} learned parameters: nearly the whole model "
                    f"is retrained, where others retrain a part",
                    "see 'What is retrained' in the rules of the board (docs/rules.md)",
                    warning=True,
                )
    for task in m.tasks:
        missing = [p.name for p in task.protocols if m.lacks(task, p)]
        if missing:
            yield RuleFinding(
                f"{task.name} cannot be run under {', '.join(missing)}: {m.lacks(task, task.protocol(missing[0]))}",
                "declare input_weights={...} or partitions={...} in register_baseline, or do not use this task",
                warning=True,
            )
