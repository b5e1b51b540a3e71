"""Rules for tasks: a correct task passes all; each broken task fails exactly one rule."""

import dataclasses
import itertools

import numpy as np
import pytest
import tree

from nmbench.conformance import FAIL, TASK_RULES, WARN, TaskUnderTest, judge
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.metrics import Metric, squared_error
from nmbench.contracts.protocol import Phase, Protocol
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.contracts.task import Batch, FixedData

IDS = [rule.id for rule in TASK_RULES]
SMOKE = "T16-smoke"
STEPS, TRIALS = 5, 12
SEEDS = {"train": 1, "validation": 2, "test": 3}
MATCHED = Protocol(name="matched", phases=(Phase(steps=40),), learning_rate_grid=(1e-3, 1e-2))
QUICK = Protocol(name="smoke", phases=(Phase(steps=4),), validate_every=2)


def metric(per_trial=squared_error, **changes):
    return {"metrics": (Metric("mse", per_trial, **{"higher_is_better": False, "floor": 1.0, "ceiling": 0.0, **changes}),)}


def arrays_of(random):
    """The arrays that the generator of the toy task draws."""
    inputs = random.randn(STEPS, TRIALS, 2).astype(np.float32)
    targets = 0.5 * np.cumsum(inputs.sum(axis=2, keepdims=True), axis=0)
    return {"inputs": inputs, "targets": targets.astype(np.float32), "mask": np.ones((STEPS, 1, 1), np.float32)}


def from_global_state(split):
    np.random.seed(SEEDS[split])
    return arrays_of(np.random)


def unpack(arrays):
    inputs = {"context": arrays["inputs"][..., :1], "sensory": arrays["inputs"][..., 1:]}
    return Batch(inputs, arrays["targets"], arrays["mask"])


def fixed(**changes):
    return {"train": FixedData(lambda: unpack(arrays_of(np.random.RandomState(1)))._replace(**changes))}


def numbered():
    """Fixed data that differ at every call."""
    calls = itertools.count()
    return {"train": FixedData(lambda: unpack(arrays_of(np.random.RandomState(next(calls)))))}


def silent_trial(arrays):
    mask = np.ones((STEPS, TRIALS, 1), np.float32)
    mask[:, 3] = 0
    return unpack(arrays)._replace(mask=mask)


def pooled(predictions, arrays):
    """The mean error, repeated for every trial."""
    return np.full(TRIALS, squared_error(predictions, arrays).mean())


def never(**changes):
    return (MATCHED, dataclasses.replace(QUICK, **changes))


# Rule: changes of the toy task, words of the finding.
BROKEN = {
    "T01-spec": (
        {"spec": SequenceSpec(STEPS, {"sensory": ArraySpec(1), "context": ArraySpec(1)}, ArraySpec(1, "int32"))},
        "outputs has dtype int32",
    ),
    "T02-frozen-sets": (
        {"set_sizes": {"validation": TRIALS, "test": 11}},
        "the test set has 12 trials, but set_sizes declares 11",
    ),
    "T03-generator": (
        {"draw_set": lambda split: arrays_of(np.random.RandomState(9))},
        "draw_set('validation') gives sha256",
    ),
    "T04-seeds": ({"draw_set": from_global_state}, "draw_set('validation') draws from the global state of np.random"),
    "T05-batches": (
        {"unpack": lambda arrays: unpack(arrays)._replace(targets=np.swapaxes(arrays["targets"], 0, 1))},
        "the validation set: outputs have shape (12, 5, 1)",
    ),
    "T06-mask": ({"unpack": silent_trial}, "the mask selects nothing of trial 3"),
    "T07-training-data": (
        {"training": fixed(targets=np.full((STEPS, TRIALS, 1), np.inf, np.float32))},
        "training data 'train': targets are not finite",
    ),
    "T08-repeats": ({"training": numbered()}, "FixedData 'train' gives other arrays at every call"),
    "T09-phases": ({"protocols": never(phases=(Phase(steps=4, data="trian"),))}, "no training data 'trian' (known: train)"),
    "T10-protocols": ({"protocols": (QUICK, MATCHED)}, "the first protocol, the default, is 'smoke'"),
    "T11-per-trial": (metric(pooled), "mse of other trials changes with the answer to trial 0"),
    "T12-conditions": (metric(conditions=lambda arrays: np.arange(5)), "conditions of mse have shape (5,), not (12,)"),
    "T13-ceiling": (metric(ceiling=0.5), "mse of the targets is 0, but its ceiling is 0.5"),
    "T14-references": (
        {"references": {"late": lambda arrays: arrays["targets"][1:]}},
        "outputs have shape (4, 12, 1), the task needs [T, B, O] = (5, 12, 1)",
    ),
    "T15-epochs": ({"epochs": lambda arrays, trial: [("all", 0, STEPS + 1)]}, "epoch 'all' of test trial 0: 0 to 6"),
    SMOKE: ({"protocols": never(loss_limit=1e-9)}, "diverged: the loss was not a number or above 1e-09"),
    "T17-separate": (
        {"training": {"train": FixedData(lambda: unpack(arrays_of(np.random.RandomState(SEEDS["test"]))))}},
        "training data 'train' contain every test trial of mse",
    ),
    "T18-informative": (metric(lambda predictions, arrays: np.zeros(TRIALS)), "mse of random outputs is 0, its ceiling"),
}


@pytest.fixture
def judged(tmp_path, toy_maker):
    """Outcomes of rules on the toy task with changes."""

    def run(rules=TASK_RULES, **changes):
        task = toy_maker(tmp_path / "testsets", **{"protocols": (MATCHED, QUICK), **changes})
        with TASKS.restored(), BASELINES.restored():
            TASKS.register("toy", task, origin="tests:1")
            return {outcome.rule.id: outcome for outcome in judge(rules, TaskUnderTest(task))}

    return run


def test_every_rule_has_a_broken_task():
    assert sorted(BROKEN) == IDS == sorted(IDS)


@pytest.mark.slow
def test_a_correct_task_passes_all_rules(judged):
    assert {id_: o.verdict for id_, o in judged().items()} == dict.fromkeys(IDS, "PASS")


def check_broken(judged, id_, rules):
    changes, words = BROKEN[id_]
    outcomes = judged(rules, **changes)
    assert [i for i, o in outcomes.items() if o.findings] == [id_], {
        i: o.findings for i, o in outcomes.items() if o.findings
    }
    assert outcomes[id_].verdict == (WARN if id_ == "T17-separate" else FAIL)
    assert words in outcomes[id_].findings[0].seen and outcomes[id_].findings[0].fix


@pytest.mark.parametrize("id_", [i for i in IDS if i not in (SMOKE, "T07-training-data", "T08-repeats")])
def test_a_broken_task_fails_its_rule(judged, id_):
    rules = [rule for rule in TASK_RULES if rule.id not in (SMOKE, "T07-training-data", "T08-repeats")]
    check_broken(judged, id_, rules)


@pytest.mark.slow
@pytest.mark.parametrize("id_", IDS)
def test_a_broken_task_fails_only_its_rule(judged, id_):
    # The short training run takes most of the time and checks nothing that other rules check.
    check_broken(judged, id_, [rule for rule in TASK_RULES if id_ == SMOKE or rule.id != SMOKE])


def test_a_share_of_trials_needs_trials_that_count_0_or_1(judged):
    rules = [rule for rule in TASK_RULES if rule.id == "T11-per-trial"]
    wrong = lambda predictions, arrays: (squared_error(predictions, arrays) > 1).astype(float)
    assert not judged(rules, **metric(wrong, share_of_trials=True))["T11-per-trial"].findings
    (finding,) = judged(rules, **metric(share_of_trials=True))["T11-per-trial"].findings
    assert "but with share_of_trials it must be 0 or 1" in finding.seen


@pytest.mark.parametrize(("validation", "verdict"), [(slice(None), FAIL), (slice(3, None), FAIL), (None, WARN)])
def test_validation_trials_in_the_test_set_are_found(judged, monkeypatch, validation, verdict):
    """All trials, some of the test set, or a mixture of new ones and one of the test set."""
    rules = [rule for rule in TASK_RULES if rule.id == "T17-separate"]
    batch = TaskUnderTest.batch

    def of(subject, split):
        test = batch(subject, "test")
        if split == "test":
            return test
        if validation is not None:
            return tree.map_structure(lambda a: a[:, validation], test._replace(mask=np.ones((STEPS, TRIALS, 1))))
        own = batch(subject, "validation")
        return tree.map_structure(lambda a, b: np.concatenate([a[:, :1], b[:, 1:]], axis=1), test, own)

    monkeypatch.setattr(TaskUnderTest, "batch", of)
    outcome = judged(rules)["T17-separate"]
    assert outcome.verdict == verdict and "trials of the validation set are in the test set" in outcome.findings[0].seen


def test_a_floor_that_is_far_too_bad_is_found(judged):
    rules = [rule for rule in TASK_RULES if rule.id == "T18-informative"]
    (finding,) = judged(rules, **metric(floor=1e6))["T18-informative"].findings
    assert finding.warning and "scores 100 of 100" in finding.seen and "move the floor of mse" in finding.fix


def test_labels_that_are_not_a_number_and_a_random_unpack_are_found(judged):
    rules = [rule for rule in TASK_RULES if rule.id in ("T05-batches", "T12-conditions")]
    outcomes = judged(rules, **metric(conditions=lambda arrays: np.full(TRIALS, np.nan)))
    assert outcomes["T12-conditions"].findings[0].seen == "conditions of mse contain NaN"
    first = lambda arrays: np.arange(TRIALS) == 0
    labels = lambda arrays: np.where(first(arrays), 1.0, np.nan)
    assert not judged(rules, **metric(conditions=labels, subset=first))["T12-conditions"].findings
    drawn = lambda arrays: unpack(arrays)._replace(targets=np.random.rand(STEPS, TRIALS, 1))
    outcomes = judged(rules, unpack=drawn)
    assert outcomes["T05-batches"].findings[0].seen == "unpack gives another validation set at every call"


def test_missing_sets_give_one_finding(judged, tmp_path):
    rules = [rule for rule in TASK_RULES if rule.id in ("T02-frozen-sets", "T03-generator")]
    outcomes = judged(rules, set_sizes={"validation": TRIALS, "test": TRIALS, "extra": 3})
    assert "no frozen set 'toy-v1-extra'" in outcomes["T02-frozen-sets"].findings[0].seen
    assert outcomes["T03-generator"].because == "T02-frozen-sets"


def test_a_missing_grid_and_a_missing_smoke_protocol_give_warnings(judged):
    (rule,) = (rule for rule in TASK_RULES if rule.id == "T10-protocols")
    outcome = judged([rule], protocols=(dataclasses.replace(MATCHED, learning_rate_grid=()),))["T10-protocols"]
    assert outcome.verdict == "WARN" and len(outcome.findings) == 2
