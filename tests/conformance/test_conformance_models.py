"""Rules for models: a correct model passes all; each broken model fails exactly one rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench import InputWeights, register_baseline
from nmbench.conformance import FAIL, MODEL_RULES, SKIP, WARN, ModelUnderTest, judge
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.unroll import concat_inputs

SMOKE = "M16-smoke"
IDS = [rule.id for rule in MODEL_RULES]


def init(key, inputs, width):
    return {"B": jax.random.normal(key, (inputs, width)), "C": jax.random.normal(key, (width, 1))}


def apply(params, inputs):
    """A readout of the tanh of projections of the running sum of the inputs."""
    return jnp.tanh(0.1 * jnp.cumsum(concat_inputs(inputs), axis=0) @ params["B"]) @ params["C"]


def model(init=init, apply=apply, width=lambda N: N, refuse=None):
    def factory(spec, N: int):
        if refuse is not None:
            raise refuse
        return (lambda key: init(key, spec.input_size, width(N))), apply

    return factory


def with_leaf(name, leaf):
    return lambda key, inputs, width: {**init(key, inputs, width), name: leaf(width)}


def shrinking(params, inputs):
    return apply(params, inputs) + jnp.sum(params["D"])


def singular(params, inputs):
    return apply(params, inputs) + jnp.sqrt(jnp.sum(params["Z"] ** 2))


def printing(params, inputs):
    jax.debug.print("{}", params["C"][0, 0])
    return apply(params, inputs)


def centred(axis):
    def shifted(params, inputs):
        outputs = apply(params, inputs)
        return outputs - jnp.mean(outputs, axis=axis, keepdims=True)

    return shifted


# Rule: factory, arguments of register_baseline, words of the finding.
BROKEN = {
    "M01-builds": (model(refuse=ValueError("no such size")), {}, "no such size"),
    "M02-parameters": (model(with_leaf("step", lambda n: jnp.zeros((), jnp.int32))), {}, "'|step' has dtype int32"),
    "M03-outputs": (
        model(apply=lambda p, u: jnp.swapaxes(apply(p, u), 0, 1)),
        {},
        "shape (1, 5, 1) for 1 trials of toy, not [T, B, O] = (5, 1, 1)",
    ),
    "M04-repeats": (
        model(apply=lambda p, u: apply(p, u) * np.random.RandomState().rand()),
        {},
        "apply on toy is not the same computation when it is compiled again",
    ),
    "M05-trials": (model(apply=centred(1)), {}, "the outputs of trial 0 of toy change"),
    "M06-batch-size": (model(apply=lambda p, u: apply(p, u) / u["sensory"].shape[1]), {}, "between 2 and 4 trials"),
    "M07-causal": (model(apply=centred(0)), {}, "up to step 0 change"),
    "M08-seeded": (model(lambda key, *sizes: init(jax.random.key(7), *sizes)), {}, "keys 0 and 1 give the same"),
    "M09-gradient": (model(with_leaf("Z", lambda n: jnp.zeros((1,))), singular), {}, "not finite for these parameters: |Z"),
    "M10-count": (
        model(with_leaf("D", lambda n: jnp.zeros((max(0, 50 - 5 * n),))), shrinking),
        {},
        "parameters with N=1 but",
    ),
    "M11-budgets": (
        model(width=lambda N: 64 * N),
        {},
        "budget 100 of toy: the closest size, N=1 has 192 parameters, is +92.0% off",
    ),
    "M12-input-weights": (model(), {"input_weights": {"B": InputWeights()}}, "should run over the 2 channels"),
    "M13-partitions": (model(), {"partitions": {"none": lambda module, name: False}}, "'none' has no learned parameter"),
    "M14-callbacks": (model(apply=printing), {}, "debug"),
    "M15-precision": (model(apply=lambda p, u: apply(p, u) * jnp.asarray(1.0, jnp.float64)), {}, "float64"),
    SMOKE: (model(), {"learning_rates": {"toy/matched": 1e30}}, "diverged"),
    "M17-names": (model(), {"settings": {"toi": {}}}, "settings['toi'] has no effect: there is no task 'toi'; did you mean"),
}


def judged(toy_task, factory, rules=MODEL_RULES, **arguments):
    register_baseline("mine", free_size="N", **arguments)(factory)
    subject = ModelUnderTest(BASELINES.get("mine"), [toy_task], [toy_task])
    return {outcome.rule.id: outcome for outcome in judge(rules, subject)}


@pytest.mark.parametrize(("axis", "id_"), [(1, "M05-trials"), (0, "M07-causal")])
def test_a_readout_that_starts_at_0_hides_nothing(toy_task, axis, id_):
    zero = lambda key, inputs, width: {**init(key, inputs, width), "C": jnp.zeros((width, 1))}
    rules = [rule for rule in MODEL_RULES if rule.id in needed(id_)]
    assert [i for i, o in judged(toy_task, model(zero, centred(axis)), rules).items() if o.findings] == [id_]


def test_a_scan_over_trials_is_found(toy_task):
    """It does not change the outputs of the first trial."""
    summed = lambda p, u: jnp.tanh(0.1 * jnp.cumsum(concat_inputs(u), axis=1) @ p["B"]) @ p["C"]
    rules = [rule for rule in MODEL_RULES if rule.id in needed("M05-trials")]
    (finding,) = judged(toy_task, model(apply=summed), rules)["M05-trials"].findings
    assert "the outputs of trial 3 of toy change" in finding.seen and "time_major=True" in finding.fix


def test_every_rule_has_a_broken_model():
    assert sorted(BROKEN) == IDS == sorted(IDS)


@pytest.mark.slow
def test_a_correct_model_passes_all_rules(toy_task):
    outcomes = judged(toy_task, model(), input_weights={"B": InputWeights(axis=0)})
    assert {id_: o.verdict for id_, o in outcomes.items()} == dict.fromkeys(IDS, "PASS")


def check_broken(toy_task, id_, rules):
    factory, arguments, words = BROKEN[id_]
    outcomes = judged(toy_task, factory, rules, **arguments)
    assert [i for i, o in outcomes.items() if o.findings] == [id_], {
        i: o.findings for i, o in outcomes.items() if o.findings
    }
    outcome = outcomes[id_]
    assert outcome.verdict == (WARN if id_ in ("M15-precision", "M17-names") else FAIL)
    assert words in outcome.findings[0].seen and outcome.findings[0].fix
    for other in outcomes.values():
        assert (other.verdict == SKIP) == bool(other.because)
        assert not other.because or outcomes[other.because].verdict in (FAIL, SKIP)


def needed(id_):
    """A rule and the rules that it needs, directly or indirectly."""
    (rule,) = (rule for rule in MODEL_RULES if rule.id == id_)
    return {id_}.union(*map(needed, rule.needs))


# The rules left out take most of the time; the slow test below covers them.
@pytest.mark.parametrize("id_", [i for i in IDS if i not in (SMOKE, "M06-batch-size", "M07-causal", "M08-seeded")])
def test_a_broken_model_fails_its_rule(toy_task, id_):
    check_broken(toy_task, id_, [rule for rule in MODEL_RULES if rule.id in needed(id_)])


@pytest.mark.slow
@pytest.mark.parametrize("id_", IDS)
def test_a_broken_model_fails_only_its_rule(toy_task, id_):
    # The short training run takes most of the time and checks nothing that other rules check.
    check_broken(toy_task, id_, [rule for rule in MODEL_RULES if id_ == SMOKE or rule.id != SMOKE])


def test_a_parameter_without_a_gradient_gives_a_warning(toy_task):
    rules = [rule for rule in MODEL_RULES if rule.id in ("M01-builds", "M02-parameters", "M03-outputs", "M09-gradient")]
    outcome = judged(toy_task, model(with_leaf("idle", lambda n: jnp.ones((3,)))), rules)["M09-gradient"]
    assert outcome.verdict == WARN
    assert [f.seen for f in outcome.findings] == ["parameter '|idle' has no gradient on toy"]


def test_a_readout_that_starts_at_zero_gives_no_gradient_warning(toy_task):
    rules = [rule for rule in MODEL_RULES if rule.id in ("M01-builds", "M02-parameters", "M03-outputs", "M09-gradient")]
    zero = lambda key, *sizes: {**init(key, *sizes), "C": jnp.zeros((sizes[1], 1))}
    assert judged(toy_task, model(zero), rules)["M09-gradient"].verdict == "PASS"
