"""Parameter counts: those of the publication, sizes chosen for a budget, and golden shapes."""

import json
import math
import pathlib
from unittest import mock

import pytest
import tree

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.experiments import resolution, sizing
from nmbench.experiments.request import Request
from nmbench.support.errors import NmbenchError

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "parameter_shapes.json"
BUDGETS = (250, 1000, 4000)
MWG = SequenceSpec(110, {"sensory": ArraySpec(3)}, ArraySpec(1))
MULTITASK = SequenceSpec(100, {"sensory": ArraySpec(3), "context": ArraySpec(3)}, ArraySpec(3))


def count(name, spec, **hparams):
    baseline = BASELINES.get(name)
    return sizing.count(sizing.shapes(baseline, spec, {**baseline.hparams, **hparams}))


@pytest.mark.parametrize(
    ("model", "hparams", "expected"),
    [
        ("nmrnn", {"M": 5, "N": 18, "K": 8}, 497),
        ("nmrnn", {"M": 5, "N": 13, "K": 12}, 510),
        ("nmrnn", {"M": 10, "N": 14, "K": 5}, 483),
        ("nmrnn", {"M": 10, "N": 12, "K": 7}, 509),
        ("nmrnn", {"M": 15, "N": 6, "K": 5}, 497),
        ("lrrnn", {"N": 23, "K": 10}, 506),
        ("lrrnn", {"N": 31, "K": 7}, 496),
        ("lrrnn", {"N": 50, "K": 4}, 500),
        ("lrrnn", {"N": 83, "K": 2}, 498),
        ("rnn", {"N": 16}, 288),
        ("lstm", {"N": 10}, 490),
    ],
)
@pytest.mark.parametrize("protocol", ["matched", "paper", "paper_code"])
def test_counts_at_the_published_sizes_on_element_finder(model, hparams, expected, protocol):
    baseline = BASELINES.get(model)
    full = {**baseline.defaults("element_finder", protocol), **baseline.check_hparams(hparams)}
    assert sizing.given_sizes(baseline, TASKS.get("element_finder").spec, full, None).actual == expected


@pytest.mark.parametrize(
    ("model", "spec", "hparams", "expected"),
    [
        ("nmrnn", MWG, {"N": 100, "M": 5, "K": 3}, 1059),
        ("nmrnn_linear", MWG, {"N": 100, "M": 20, "K": 1}, 982),
        ("lrrnn", MWG, {"N": 106, "K": 3}, 1061),
        ("rnn", MWG, {"N": 31}, 1086),
        ("lstm", MWG, {"N": 15}, 1155),
        ("nmrnn", MULTITASK, {"N": 100, "M": 20, "K": 3}, 1786),
        ("lrrnn", MULTITASK, {"N": 100, "K": 3}, 1503),
        ("lrrnn", MULTITASK, {"N": 119, "K": 3}, 1788),
        ("rnn", MULTITASK, {"N": 18}, 489),
        ("rnn", MULTITASK, {"N": 38}, 1789),
        ("lstm", MULTITASK, {"N": 8}, 504),
        ("lstm", MULTITASK, {"N": 17}, 1683),
        ("lstm", MULTITASK, {"N": 18}, 1854),
    ],
)
def test_counts_at_the_published_sizes_on_other_specs(model, spec, hparams, expected):
    assert count(model, spec, **hparams) == expected


@pytest.mark.parametrize(
    ("task", "protocol", "expected"),
    [
        ("mwg_rank1", "paper", {"nmrnn_linear": 982}),
        ("mwg_rank3", "paper", {"nmrnn": 1059, "lrrnn": 1061, "rnn": 1086, "lstm": 1155}),
        ("mwg_rank3_code", "paper_code", {"nmrnn": 1059, "lrrnn": 1061, "rnn": 1086, "lstm": 1155}),
        # Published counts have three context channels; a row also counts the weights of the fourth, which retraining learns.
        ("multitask", "paper", {"nmrnn": 1786 + 20, "lrrnn": 1503 + 100, "rnn": 489 + 18, "lstm": 504 + 4 * 8}),
    ],
)
def test_paper_protocols_take_the_published_sizes(task, protocol, expected):
    for model, count_ in expected.items():
        experiment = resolution.resolve(Request(model=model, task=task, protocol=protocol))
        assert (experiment.sizing.actual, experiment.sizing.target) == (count_, None), model


def test_settings_and_learning_rates_name_existing_tasks_and_protocols():
    known = {f"{e.name}/{p.name}" for e in TASKS.entries() for p in TASKS.get(e.name).protocols}
    known |= {e.name for e in TASKS.entries()}
    for entry in BASELINES.entries():
        baseline = BASELINES.get(entry.name)
        assert {*baseline.settings, *baseline.learning_rates} <= known, entry.name


def golden_now(budgets=BUDGETS) -> dict:
    """Contents of the golden file: shapes and totals per task, budget and model; default budgets are always included."""
    table, traced, shapes_of = {}, {}, sizing.shapes

    def remembered(baseline, spec, hparams):
        """Shapes from a cache: experiments with the same channels and sizes are traced once."""
        channels = [(*path, leaf.channels) for path, leaf in tree.flatten_with_path(spec.inputs)]
        key = baseline.name, str(channels), spec.output_size, tuple(sorted(hparams.items()))
        if key not in traced:
            traced[key] = shapes_of(baseline, spec, hparams)
        return traced[key]

    with mock.patch.object(sizing, "shapes", remembered):
        for task_entry in TASKS.entries():
            task = TASKS.get(task_entry.name)
            for budget in sorted({*budgets, task.default_budget}):
                for entry in BASELINES.entries():
                    baseline = BASELINES.get(entry.name)
                    hparams = baseline.defaults(task.name, task.protocols[0].name)
                    sized = sizing.size_to_budget(baseline, task.spec, hparams, budget, allow_miss=True)
                    shapes = sizing.shapes(baseline, task.spec, sized.hparams)
                    table[f"{task.name} {budget} {entry.name}"] = {
                        "free_size": sized.hparams[baseline.free_size],
                        "total": sized.actual,
                        "shapes": {name: list(shape) for name, shape in shapes.items()},
                    }
    return table


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (1, 2))])
def test_shapes_at_default_budgets_equal_the_golden_file(turn):
    """After an intended change, run `python tests/golden/regenerate.py` and check the diff.

    Every turn has a third of the tasks of every model. Models take the free size of the golden file. The test of releases
    below checks that it is the closest to the budget.
    """
    golden, traced = json.loads(GOLDEN.read_text()), {}
    for i, task_entry in enumerate(TASKS.entries()):
        task = TASKS.get(task_entry.name)
        channels = str([(*path, leaf.channels) for path, leaf in tree.flatten_with_path(task.spec.inputs)])
        for j, entry in enumerate(BASELINES.entries()):
            if (i + j) % 3 != turn:
                continue
            baseline = BASELINES.get(entry.name)
            record = golden[f"{task.name} {task.default_budget} {entry.name}"]
            hparams = baseline.defaults(task.name, task.protocols[0].name) | {baseline.free_size: record["free_size"]}
            key = entry.name, channels, task.spec.output_size, tuple(sorted(hparams.items()))
            if key not in traced:  # tasks with the same channels share it
                traced[key] = sizing.shapes(baseline, task.spec, hparams)
            assert {name: list(shape) for name, shape in traced[key].items()} == record["shapes"], (task.name, entry.name)
            assert sizing.count(traced[key]) == record["total"]


@pytest.mark.release
def test_shapes_at_another_budget_equal_the_golden_file():
    """One budget beside the default; `golden_now` makes the file with all three."""
    golden, now = json.loads(GOLDEN.read_text()), golden_now(BUDGETS[:1])
    assert len(golden) > len(now) and now == {name: golden[name] for name in now}


def test_every_baseline_lands_within_five_percent_of_the_default_budget():
    for name, record in json.loads(GOLDEN.read_text()).items():
        task, budget, _model = name.split()
        if int(budget) == TASKS.get(task).default_budget:
            assert abs(record["total"] - int(budget)) <= 0.05 * int(budget), name


def test_bisection_finds_the_closest_size():
    """Compares with an exhaustive search."""
    baseline = BASELINES.get("rnn")
    for budget in (24, 100, 517, 518, 3001):
        sized = sizing.size_to_budget(baseline, MWG, baseline.hparams, budget, allow_miss=True)
        # W, B (3 inputs), C and d of a vanilla RNN with one output.
        counts = {n: n * n + 3 * n + n + 1 for n in range(1, 80)}
        assert sized.actual == counts[sized.hparams["N"]]
        assert abs(sized.actual - budget) == min(abs(total - budget) for total in counts.values())


def test_counting_allocates_nothing():
    """A model of 10^12 parameters is counted from abstract shapes."""
    assert count("rnn", MWG, N=1_000_000) == 10**12 + 4 * 10**6 + 1


def test_fixed_numbers_are_not_counted():
    baseline = BASELINES.get("lstm")
    shapes = sizing.shapes(baseline, MWG, {"N": 4, "drawn_start": True})
    fixed = {name: shape for name, shape in shapes.items() if "fixed_" in name}
    assert fixed == {"lstm|fixed_h0": (4, 1), "lstm|fixed_c0": (4, 1)}
    assert sizing.count(shapes) == sum(math.prod(s) for n, s in shapes.items() if n not in fixed)


def test_too_small_and_missed_budgets_are_refused():
    baseline = BASELINES.get("nmrnn")
    hparams = baseline.defaults("element_finder", "matched")
    spec = TASKS.get("element_finder").spec
    with pytest.raises(NmbenchError, match="too small.*smallest size"):
        sizing.size_to_budget(baseline, spec, hparams, 50)
    with pytest.raises(NmbenchError, match="off the budget of 27.*choose a budget of 2[0-9] "):
        sizing.size_to_budget(BASELINES.get("rnn"), MWG, BASELINES.get("rnn").hparams, 27)
    assert sizing.size_to_budget(baseline, spec, hparams, 50, allow_miss=True).hparams["N"] == 1


def test_a_model_that_refuses_some_sizes_needs_a_fixed_one():
    def even(size):
        if size % 2:
            raise NmbenchError("N must be even")
        return 10 * size

    with pytest.raises(NmbenchError, match="^N must be even; to meet a budget, a model must accept every N from 2 on; --hp"):
        sizing.size_to_budget(BASELINES.get("rnn"), MWG, {}, 100, counted=even)


def test_the_suggested_budget_is_the_closest_that_suits_all_models():
    """Compares with an exhaustive search, for one model and for two."""
    model, counts = BASELINES.get("rnn"), (lambda n: n**3 + 20, lambda n: 7 * n * n)
    reachable = [[count_of(n) for n in range(1, 40)] for count_of in counts]
    suits = lambda budget, totals: any(abs(total - budget) / budget <= sizing.TOLERANCE for total in totals)
    for chosen in ([0], [1], [0, 1]):
        counters = [(model, counts[i]) for i in chosen]
        for budget in (9, 21, 40, 100, 200, 330, 1000, 1700, 5000):
            found = [b for b in range(budget // 2, 2 * budget + 1) if all(suits(b, reachable[i]) for i in chosen)]
            found = [b for b in found if b >= budget / 2]
            expected = min((abs(b - budget) for b in found), default=None)
            answer = sizing.suiting_budget(counters, budget)
            assert (None if answer is None else abs(answer - budget)) == expected, (chosen, budget, answer)


@pytest.mark.parametrize("count_of", [lambda n: 7 * n, lambda n: n**3 + n, lambda n: 40 + 5 * (n // 3), lambda n: 3 * n * n])
def test_bisection_finds_the_closest_size_of_any_growing_count(monkeypatch, count_of):
    """Linear, cubic, stepwise and quadratic counts, compared with an exhaustive search."""
    monkeypatch.setattr(sizing, "shapes", lambda baseline, spec, hparams: {"m|w": (count_of(hparams["N"]),)})
    for budget in (41, 100, 101, 990, 5000):
        sized = sizing.size_to_budget(BASELINES.get("rnn"), MWG, {}, budget, allow_miss=True)
        assert abs(sized.actual - budget) == min(abs(count_of(n) - budget) for n in range(1, 5000))
