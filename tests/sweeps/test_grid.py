"""Which cells a sweep has, what they are called, who gets which."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.registration import register_baseline
from nmbench.experiments import recording, resolution
from nmbench.experiments.request import Request
from nmbench.experiments.resolve_cache import ResolveCache
from nmbench.results import schema
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import estimate, grid, losses, standing
from nmbench.sweeps.jobs import Job, run_ids_of
from support.models import RowGRU
from support.rows import make_row


def names(built):
    return [(p.cell.baseline.name, p.cell.task.name, p.cell.sizing.target) for p in built.places]


@given(st.lists(st.integers(), max_size=60), st.integers(1, 12))
def test_shards_are_disjoint_and_complete(items, n):
    parts = [grid.shard(list(enumerate(items)), f"{i}/{n}") for i in range(1, n + 1)]
    assert sorted(item for part in parts for item in part) == list(enumerate(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == [grid.shard(list(enumerate(items)), f"{i}/{n}") for i in range(1, n + 1)]
    assert grid.shard(items, None) == items


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "", "1.0/4", "²/4", "1/9999999999999"])
def test_other_shards_are_refused(text):
    with pytest.raises(NmbenchError, match="--shard="):
        grid.shard([1, 2], text)


def test_shards_do_not_depend_on_what_is_done(asked, places, jobs, child):
    names_before = [place.name for place in places]
    seed = dataclasses.replace(jobs[0], seeds=(1,), run_ids=jobs[0].run_ids[1:2])
    losses.record(seed, "failed", "for a test", "2026-01-01T00:00:00+00:00")
    assert [place.name for place in grid.build(asked, ResolveCache(many=True)).places] == names_before


def test_every_combination_once_and_what_does_not_fit_is_left_out(asked):
    built = grid.build(dataclasses.replace(asked, budgets=(160, 230, 3)), ResolveCache(many=True))
    assert sorted(names(built)) == [("lstm", "toy", 160), ("lstm", "toy", 230), ("rnn", "toy", 160), ("rnn", "toy", 230)]
    assert [(one.model, one.budget) for one in built.left_out] == [("rnn", 3), ("lstm", 3)]
    assert str(built.left_out[1]).startswith(
        "lstm on toy, budget 3: a budget of 3 is too small for lstm: its smallest size, N=1"
    )
    assert built.places == sorted(built.places, key=lambda place: -place.work)
    built = grid.build(dataclasses.replace(asked, protocols=(None, "matched", "untuned")), ResolveCache(many=True))
    assert sorted(names(built)) == [*[("lstm", "toy", 160)] * 2, *[("rnn", "toy", 160)] * 2]
    built = grid.build(dataclasses.replace(asked, budgets=(None, 100), allow_budget_miss=True), ResolveCache(many=True))
    assert sorted(names(built)) == [("lstm", "toy", 100), ("rnn", "toy", 100)]


def test_a_task_that_retrains_what_a_model_does_not_name_is_left_out(asked):
    with BASELINES.restored():
        register_baseline("row_gru", free_size="N")(RowGRU)
        built = grid.build(
            dataclasses.replace(asked, models=("row_gru",), tasks=("toy", "multitask"), budgets=(2000,)),
            ResolveCache(many=True),
        )
    assert [(one.model, one.task) for one in built.left_out] == [("row_gru", "multitask")]
    assert "has no partition 'input_weights', which this protocol trains" in built.left_out[0].reason
    assert len(built.places) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("rn",)}, "unknown model 'rn'; did you mean 'rnn'?"),
        ({"tasks": ("toi",)}, "unknown task 'toi'; did you mean 'toy'?"),
        ({"protocols": ("matchd",)}, "none of the tasks has a protocol 'matchd'; did you mean 'matched'?"),
        ({"budgets": (1, 2)}, "nothing can be run: rnn on toy, budget 1: .* \\(and 3 more\\)"),
        ({"tune": True, "seeds": range(990, 1001)}, "seed 1000 is one that tuning uses"),
    ],
)
def test_bad_requests_are_refused(asked, changes, message):
    with pytest.raises(NmbenchError, match=message):
        grid.build(dataclasses.replace(asked, **changes), ResolveCache(many=True))


def test_runs_are_those_of_the_run_command():
    """What is shared and counted quickly gives the same sizes and run ids as resolving one request alone."""
    known, quick = ResolveCache(many=True), ResolveCache(quick=True)
    asked = {
        "nmrnn": [("multitask", None, None), ("mwg_rank3", None, "paper")],
        "nmrnn_linear": [("mwg_rank1", 250, None), ("element_finder", 1000, None)],
        "lrrnn": [("element_finder", 1000, None)],
        "lstm": [("element_finder", 250, None), ("element_finder", 1000, None)],
    }
    for model in asked:
        for task, budget, protocol in asked[model]:
            request = Request(model=model, task=task, budget=budget, protocol=protocol)
            try:
                alone = resolution.resolve(request)
            except NmbenchError as error:
                with pytest.raises(NmbenchError) as refused:
                    resolution.resolve(request, known=known)
                assert str(refused.value) == str(error)
                continue
            cell = resolution.resolve(request, known=known)
            assert run_ids_of(cell.config(0), (0, 7)) == (alone.run_id(0), alone.run_id(7))
            assert cell.sizing == alone.sizing == resolution.resolve(request, known=quick).sizing


def test_a_job_is_plain_data(jobs):
    for job in jobs:
        assert Job.from_plain(json.loads(json.dumps(job.plain()))) == dataclasses.replace(
            job, config=json.loads(json.dumps(job.config)), facts=json.loads(json.dumps(job.facts))
        )
        assert job.argv[:2] == (f"--model={job.request.model}", "--task=toy") and "--nocollect" in job.argv
        assert job.name.startswith(f"{job.request.model}.toy.matched.b160.") and len(job.run_ids) == len(job.seeds) == 3


def test_what_is_done_and_what_it_would_cost(asked, places, jobs):
    store, estimator = Store(asked.results_dir), estimate.Estimator(ResolveCache())
    one = dataclasses.replace(jobs[0], seeds=(1,), run_ids=jobs[0].run_ids[1:2])
    losses.record(one, "timeout", "for a test", "2026-01-01T00:00:00+00:00")
    stand = standing.standings(places, asked, store, store.names(), estimator)
    assert [s.missing for s in stand] == [(0, 2), (0, 1, 2)] and stand[0].statuses == {"timeout": 1}
    again = dataclasses.replace(asked, retry_failed=True)
    stand_again = standing.standings(places, again, store, store.names(), estimator)
    assert [s.missing for s in stand_again] == [(0, 1, 2)] * 2
    table = standing.table(stand, [], 3)
    assert table.splitlines()[2].split()[:6] == ["toy", "2", "6", "0", "1", "0"]
    assert sorted(job.name for job in standing.jobs_of(stand, asked)) == sorted(job.name for job in jobs)


def test_estimates_follow_what_was_measured(asked, places):
    cell, work = places[0].cell, places[0].work
    # 40 steps of 5 time steps of 12 trials.
    assert work == pytest.approx(200 * (estimate.PER_STEP + 12 * cell.sizing.actual * estimate.PER_PRODUCT))
    estimator = estimate.Estimator(ResolveCache())
    assert estimator.core_minutes(cell, work, 3, False) == pytest.approx((estimate.PER_JOB + 3 * work) / 60)
    facts = recording.experiment_columns(cell)
    for seconds in (9 * work, 10 * work, 30 * work):
        config = schema.canonical_json(cell.config(0))
        row = make_row(**facts, config_json=config, train_s=seconds / 2, n_devices=2, seeds_together=2)
        estimator.learn(row)
    assert estimator.rows == 3
    assert estimator.core_minutes(cell, work, 3, False) == pytest.approx((estimate.PER_JOB + 30 * work) / 60)
    # Tuning takes one run per rate and seed more.
    assert estimator.core_minutes(cell, work, 3, True) == pytest.approx((estimate.PER_JOB + 70 * work) / 60)
    for bad in ({"config_json": "{"}, {"task": "gone"}, {"train_s": None}, {"config_json": "{}"}):
        estimator.learn({**row, **bad})
    assert estimator.rows == 3
