"""Rules for models: a correct model passes all; each broken model fails exactly one rule."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench import Core, InputWeights, register_baseline
from nmbench.conformance import FAIL, MODEL_RULES, SKIP, WARN, ModelUnderTest, judge
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.protocol import Phase
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


class Summing(Core):
    """A running sum of the inputs, computed for all steps at once, that a segment of steps cannot continue."""

    def __init__(self, spec, N: int):
        super().__init__(spec)
        self.B, self.C = self.learned("B", (N, spec.input_size), 1.0), self.learned("C", (1, N), 1.0)

    def input_map(self, inputs):
        return jnp.cumsum(jnp.einsum("np,tpb->tnb", self.B, self.concat(inputs)), axis=0)

    def initial_state(self, batch_size):
        return jnp.zeros((self.B.shape[0], batch_size))

    def step(self, state, v_t):
        return jnp.tanh(0.1 * v_t)

    def readout(self, states):
        return jnp.einsum("on,tnb->tob", self.C, states)


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
    "M18-remat": (Summing, {}, "--remat changes the outputs on toy by "),
}
WARNINGS = ("M15-precision", "M17-names", "M18-remat")


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


@pytest.mark.parametrize(("names", "warned"), [(("B", "C"), True), (("C",), False)])
def test_a_model_that_retrains_nearly_all_of_itself_is_warned(toy_task, names, warned):
    phases = (Phase(steps=2), Phase(steps=2, partition=("second", "input_weights")))
    task = dataclasses.replace(toy_task, protocols=(dataclasses.replace(toy_task.protocols[0], phases=phases),))
    register_baseline("mine", free_size="N", partitions={"second": lambda module, name: name in names})(model())
    rules = [rule for rule in MODEL_RULES if rule.id in needed("M13-partitions")]
    outcomes = judge(rules, ModelUnderTest(BASELINES.get("mine"), [task], [task]))
    seen = [finding.seen for outcome in outcomes for finding in outcome.findings]
    assert [one.endswith("where others retrain a part") for one in seen] == [True] * warned


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
    assert outcome.verdict == (WARN if id_ in WARNINGS else FAIL)
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
    assert [f.seen for f in outcome.findings] == ["no gradient on toy for: |idle"]
    with BASELINES.restored():
        BASELINES.forget("mine")
        stopped = judged(toy_task, model(apply=lambda p, u: jax.lax.stop_gradient(apply(p, u))), rules)
    stopped = stopped["M09-gradient"]
    assert stopped.verdict == FAIL and "no parameter has a gradient on toy" in stopped.findings[0].seen


@pytest.mark.parametrize("step", range(4))
def test_a_step_that_looks_ahead_is_found_wherever_it_is(toy_task, step):
    """Only the output of one step uses the input of the next."""

    def peeking(params, inputs):
        return apply(params, inputs).at[step].add(inputs["sensory"][step + 1])

    rules = [rule for rule in MODEL_RULES if rule.id in needed("M07-causal")]
    (finding,) = judged(toy_task, model(apply=peeking), rules)["M07-causal"].findings
    assert f"up to step {step} change" in finding.seen


def test_state_in_a_built_model_is_found(toy_task):
    def factory(spec, N: int):
        calls = []

        def counting(params, inputs):
            calls.append(1)
            return apply(params, inputs) * len(calls)

        return (lambda key: init(key, spec.input_size, N)), counting

    rules = [rule for rule in MODEL_RULES if rule.id in needed("M04-repeats")]
    assert "is not the same computation" in judged(toy_task, factory, rules)["M04-repeats"].findings[0].seen


def test_settings_of_one_task_are_checked_although_another_has_its_spec(toy_task):
    def factory(spec, N: int, wrong: bool = False):
        twice = lambda p, u: jnp.concatenate([apply(p, u)] * (1 + wrong))
        return (lambda key: init(key, spec.input_size, N)), twice

    register_baseline("mine", free_size="N", settings={"other": {"wrong": True}})(factory)
    subject = ModelUnderTest(BASELINES.get("mine"), [toy_task, dataclasses.replace(toy_task, name="other")], [toy_task])
    rules = [rule for rule in MODEL_RULES if rule.id in needed("M03-outputs")]
    (outcome,) = (outcome for outcome in judge(rules, subject) if outcome.rule.id == "M03-outputs")
    assert [f.seen for f in outcome.findings] == ["shape (10, 1, 1) for 1 trials of other, not [T, B, O] = (5, 1, 1)"]


def test_a_readout_that_starts_at_zero_gives_no_gradient_warning(toy_task):
    rules = [rule for rule in MODEL_RULES if rule.id in ("M01-builds", "M02-parameters", "M03-outputs", "M09-gradient")]
    zero = lambda key, *sizes: {**init(key, *sizes), "C": jnp.zeros((sizes[1], 1))}
    assert judged(toy_task, model(zero), rules)["M09-gradient"].verdict == "PASS"
