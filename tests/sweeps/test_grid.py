"""The experiments of a sweep: their grid, shards, jobs, status and estimated cost."""

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmbench import run
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.registration import register_baseline
from nmbench.experiments import recording, resolution
from nmbench.experiments.request import Request
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import estimate, grid, lost_runs, status
from support.models import RowGRU
from support.rows import make_row


def names(built):
    experiments = [point.experiment for point in built.points]
    return [(e.baseline.name, e.task.name, e.sizing.target) for e in experiments]


@given(st.lists(st.integers(), max_size=60), st.integers(1, 12))
def test_shards_are_disjoint_and_complete(items, n):
    parts = [grid.shard(list(enumerate(items)), f"{i}/{n}") for i in range(1, n + 1)]
    assert sorted(item for part in parts for item in part) == list(enumerate(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == [grid.shard(list(enumerate(items)), f"{i}/{n}") for i in range(1, n + 1)]
    assert grid.shard(items, None) == items


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "", "1.0/4", "²/4", "1/9999999999999"])
def test_malformed_shards_are_refused(text):
    with pytest.raises(NmbenchError, match="--shard="):
        grid.shard([1, 2], text)


def test_shards_do_not_depend_on_stored_runs(sweep, points, jobs):
    names_before = [point.name for point in points]
    seed = dataclasses.replace(jobs[0], seeds=(1,), run_ids=jobs[0].run_ids[1:2])
    lost_runs.record(seed, "failed", "for a test", "2026-01-01T00:00:00+00:00")
    assert [point.name for point in grid.build(sweep).points] == names_before


def test_every_combination_appears_once_and_impossible_ones_are_skipped(sweep):
    built = grid.build(dataclasses.replace(sweep, budgets=(160, 230, 3)))
    assert sorted(names(built)) == [("lstm", "toy", 160), ("lstm", "toy", 230), ("rnn", "toy", 160), ("rnn", "toy", 230)]
    assert [(combination.model, combination.budget) for combination in built.skipped] == [("rnn", 3), ("lstm", 3)]
    assert str(built.skipped[1]).startswith(
        "lstm on toy, budget 3: a budget of 3 is too small for lstm: its smallest size, N=1"
    )
    assert built.points == sorted(built.points, key=lambda point: -point.work)
    built = grid.build(dataclasses.replace(sweep, protocols=(None, "matched", "untuned")))
    assert sorted(names(built)) == [*[("lstm", "toy", 160)] * 2, *[("rnn", "toy", 160)] * 2]
    built = grid.build(dataclasses.replace(sweep, budgets=(None, 100), allow_budget_miss=True))
    assert sorted(names(built)) == [("lstm", "toy", 100), ("rnn", "toy", 100)]


def test_a_task_that_retrains_a_partition_which_the_model_lacks_is_skipped(sweep):
    with BASELINES.restored():
        register_baseline("row_gru", free_size="N")(RowGRU)
        built = grid.build(
            dataclasses.replace(sweep, models=("row_gru",), tasks=("toy", "multitask"), budgets=(2000,)),
        )
    assert [(combination.model, combination.task) for combination in built.skipped] == [("row_gru", "multitask")]
    assert "has no partition 'input_weights', which this protocol trains" in built.skipped[0].reason
    assert len(built.points) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("rn",)}, "unknown model 'rn'; did you mean 'rnn'?"),
        ({"tasks": ("toi",)}, "unknown task 'toi'; did you mean 'toy'?"),
        ({"protocols": ("matchd",)}, "none of the tasks has a protocol 'matchd'; did you mean 'matched'?"),
        ({"budgets": (1, 2)}, "nothing can be trained: rnn on toy, budget 1: .* \\(and 3 more\\)"),
        ({"tune": True, "seeds": range(990, 1001)}, "seed 1000 is used for tuning"),
    ],
)
def test_bad_requests_are_refused(sweep, changes, message):
    with pytest.raises(NmbenchError, match=message):
        grid.build(dataclasses.replace(sweep, **changes))


def test_job_arguments_ask_nmbench_run_for_the_same_runs(sweep, points, jobs):
    flags = run.FLAGS
    for point, job in zip(points, jobs, strict=True):
        assert job.argv[:2] == (f"--model={job.request.model}", "--task=toy") and "--nocollect" in job.argv
        assert job.name.startswith(f"{job.request.model}.toy.matched.b160.")
        flags.unparse_flags()
        flags(["run", *job.argv])
        request = Request(model=flags.model, task=flags.task, budget=flags.budget)
        assert job.run_ids == tuple(resolution.resolve(request).run_id(seed) for seed in range(flags.seeds))
        assert job.run_ids == point.run_ids(sweep.seeds) and len(job.run_ids) == 3


def test_jobs_can_be_pickled(jobs):
    assert pickle.loads(pickle.dumps(jobs)) == jobs


def test_status_counts_stored_and_missing_runs(sweep, points, jobs):
    store, estimator = Store(sweep.results_dir), estimate.Estimator()
    one = dataclasses.replace(jobs[0], seeds=(1,), run_ids=jobs[0].run_ids[1:2])
    lost_runs.record(one, "timeout", "for a test", "2026-01-01T00:00:00+00:00")
    found = status.statuses(points, sweep, store, estimator)
    assert [s.missing for s in found] == [(0, 2), (0, 1, 2)] and found[0].stored == {"timeout": 1}
    retry = dataclasses.replace(sweep, retry_failed=True)
    assert [s.missing for s in status.statuses(points, retry, store, estimator)] == [(0, 1, 2)] * 2
    table = status.table(found, [], 3)
    assert table.splitlines()[2].split()[:6] == ["toy", "2", "6", "0", "1", "0"]
    assert sorted(job.name for job in status.make_jobs(found, sweep)) == sorted(job.name for job in jobs)


def test_estimates_follow_timed_runs(points):
    experiment, work = points[0].experiment, points[0].work
    # 40 training steps, each with 12 trials of 5 time steps.
    assert work == pytest.approx(2400 * (estimate.PER_TRIAL + experiment.sizing.actual * estimate.PER_PRODUCT))
    estimator = estimate.Estimator()
    assert estimator.core_minutes(experiment, work, 3, False) == pytest.approx((estimate.PER_JOB + 3 * work) / 60)
    columns = recording.experiment_columns(experiment)
    for seconds in (9 * work, 10 * work, 30 * work):
        config = experiment.configuration(0).to_json()
        row = make_row(**columns, config_json=config, train_s=seconds / 2, n_devices=2, seeds_together=2)
        estimator.learn(row)
    assert estimator.rows == 3
    assert estimator.core_minutes(experiment, work, 3, False) == pytest.approx((estimate.PER_JOB + 30 * work) / 60)
    # Tuning adds one run per learning rate and tuning seed.
    assert estimator.core_minutes(experiment, work, 3, True) == pytest.approx((estimate.PER_JOB + 70 * work) / 60)
    for bad in ({"config_json": "{"}, {"task": "gone"}, {"train_s": None}, {"config_json": "{}"}):
        estimator.learn({**row, **bad})
    assert estimator.rows == 3


def test_the_command_of_a_job_has_the_hyperparameters_of_its_setting(sweep):
    several = dataclasses.replace(sweep, models=("lrrnn",), hparams=({}, {"K": "2"}), allow_budget_miss=True)
    commands = [grid.make_job(point, several, several.seeds, 1.0).argv for point in grid.build(several).points]
    given = sorted([part for part in command if part.startswith("--hparams")] for command in commands)
    assert given == [[], ["--hparams=K=2"]]
