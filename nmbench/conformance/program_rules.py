"""The rules for models that concern compiled programs and a training run; `model_rules` has the others.

They use the model's probed tasks, like the rules there that run the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from nmbench.conformance import model_subject
from nmbench.conformance.model_rules import FLOATS, GRADIENT, INPUTS, MODEL_RULES, OUTPUTS, REPEATS, TOLERANCE
from nmbench.conformance.model_subject import ModelUnderTest, perturbed, programs, random_inputs
from nmbench.conformance.rules import RuleFinding
from nmbench.contracts.parameters import flatten, is_learned, split, unflatten

_CALLBACKS = ("callback", "debug_print", "infeed", "outfeed")


@MODEL_RULES.add("M14-callbacks", fix="make apply differentiable by jax.grad", needs=(FLOATS, OUTPUTS))
def callbacks(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """compiled programs do not call Python and do not print"""
    for task in m.probed:
        model, inputs, key = m.model(task), random_inputs(task.spec, 1), jax.random.key(0)
        learned, fixed = split(flatten(m.params(task)), is_learned)
        total = lambda p, task=task, fixed=fixed, model=model, inputs=inputs: jnp.sum(
            model.apply(unflatten(m.params(task), {**fixed, **p}), inputs)
        )
        traced = jax.make_jaxpr(model.init)(key), jax.make_jaxpr(jax.grad(total))(learned)
        names = {equation.primitive.name for jaxpr in traced for part in programs(jaxpr) for equation in _equations(part)}
        found = sorted(name for name in names if any(word in name for word in _CALLBACKS))
        if found:
            yield RuleFinding(
                f"{', '.join(found)} in the program of {task.name}",
                "compute with JAX alone; remove jax.debug.print and callbacks",
            )


@MODEL_RULES.add("M15-precision", fix="make apply traceable", needs=(FLOATS, OUTPUTS))
def precision(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """the model requests no precision above JAX's default"""
    for task in m.probed:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = m.rebuilt(task)
            # New lambdas, because JAX caches traces by function and warns only once.
            params = jax.eval_shape(lambda key, model=model: model.init(key), jax.random.key(0))
            jax.eval_shape(lambda p, u, model=model: model.apply(p, u), params, task.spec.zeros(1))
        asked = [str(w.message) for w in caught if "requested dtype" in str(w.message)]
        if asked:
            yield RuleFinding(
                f"on {task.name}: {asked[0].split(',')[0]}",
                "use jnp.result_type(float), which is float32, or float64 if the user enables it",
                warning=True,
            )


@MODEL_RULES.add("M16-smoke", fix="run it with nmbench.run --protocol=smoke", needs=(REPEATS, GRADIENT, INPUTS))
def smoke(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """a short training run gives a valid row, and the stored parameters reproduce the row's value"""
    for task in m.probed:
        by_name = {p.name: p for p in task.protocols}
        if m.lacks(task, by_name.get("smoke", task.protocols[0])):
            continue  # M13-partitions reports this
        row, again = m.smoke_run(task)
        if row["status"] != "ok":
            yield RuleFinding(
                f"on {task.name}: {row['status']}: {row['error']}",
                "use smaller weights or a lower learning rate",
            )
        elif again is None or abs(again - row["value"]) > 1e-3 * max(abs(again), abs(row["value"])):
            yield RuleFinding(
                f"{row['metric']} of {task.name} is {row['value']:.6g} in the row, {again:.6g} from the stored parameters",
                "keep all values that determine the outputs in params",
            )


@MODEL_RULES.add("M17-names", fix="see register_baseline's settings and learning_rates", needs=("M01-builds",))
def names(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """keys of settings and learning_rates name tasks and protocols that exist"""
    for seen in model_subject.unknown_names(m.baseline):
        yield RuleFinding(seen, "correct the name, or load the task with another --plugin=FILE.py", warning=True)


@MODEL_RULES.add("M18-remat", fix="make apply run with build(spec, hparams, remat=True)", needs=(REPEATS,))
def remat(m: ModelUnderTest) -> Iterator[RuleFinding]:
    """--remat, which limits memory on long trials, does not change the outputs"""
    for task in m.probed if m.has_steps else ():
        inputs, params = random_inputs(task.spec), perturbed(m.params(task))
        other = m.baseline.build(task.spec, m.sized(task).hparams, remat=True)
        off = model_subject.difference(m.outputs(task, inputs), np.asarray(jax.jit(other.apply)(params, inputs)))
        if off > TOLERANCE:
            yield RuleFinding(
                f"--remat changes the outputs on {task.name} by {off:.2g}",
                "let input_map and readout compute each step from that step alone; what lasts belongs in the state",
                warning=True,
            )


def _equations(part):
    return getattr(part, "jaxpr", part).eqns
