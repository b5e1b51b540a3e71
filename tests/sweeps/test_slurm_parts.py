"""Parts of the Slurm executor, without Slurm: flags, options of sbatch, output of Slurm's commands, outcomes of jobs."""

import dataclasses
import os

import pytest

from nmbench.results.store import Store
from nmbench.support import cli
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import worker
from nmbench.sweeps.jobs import JobOutcome
from nmbench.sweeps.slurm import commands, executor, settings
from nmbench.sweeps.slurm.job import TrainingCall, record_timeout


def parsed(*argv):
    values = cli.new_flags()
    settings.define(values)
    values(["sweep", *argv])
    return settings.parse(values)


def test_flags_become_options_of_sbatch_and_parameters_of_submitit():
    given = parsed(
        "--slurm_partition=gpu",
        "--slurm_account=lab.a",
        "--slurm_time=90",
        "--slurm_mem=4G",
        "--slurm_cpus=3",
        "--slurm_gpus=1",
        "--slurm_parallelism=7",
        "--slurm_setup=module load cuda && true",
        "--slurm_extra=qos=low,exclude=n1,n2,--exclusive=true",
    )
    options = {
        "partition": "gpu",
        "account": "lab.a",
        "time": "90",
        "mem": "4G",
        "cpus-per-task": "3",
        "gpus-per-node": "1",
        "qos": "low",
        "exclude": "n1,n2",
        "exclusive": True,
    }
    assert given.options == options
    assert given.parameters() == {
        "time": 90,
        "array_parallelism": 7,
        "setup": ["module load cuda && true"],
        "stderr_to_stdout": True,
        "srun_args": ["--cpus-per-task=3"],
        "additional_parameters": {"requeue": True, **options},
    }
    assert parsed().options == {"time": "60", "cpus-per-task": "1"}


def test_submission_script_has_every_option_once(tmp_path):
    import submitit

    parameters = parsed(
        "--slurm_partition=gpu", "--slurm_cpus=3", "--slurm_mem=4G", "--slurm_extra=exclusive=true"
    ).parameters()
    script = submitit.slurm.slurm._make_sbatch_string(command="true", folder=tmp_path, map_count=2, **parameters)
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert len({line.partition("=")[0] for line in lines}) == len(lines)
    assert {"partition=gpu", "cpus-per-task=3", "mem=4G", "time=60", "exclusive", "requeue", "signal=USR2@90"} < set(lines)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--slurm_extra=qos", "--slurm_extra: 'qos' is not an option of sbatch; write K=V,K=V"),
        ("--slurm_extra=qos=", "--slurm_extra: 'qos=' is not an option of sbatch"),
        ("--slurm_extra=,", "--slurm_extra: ',' is not an option of sbatch"),
        ("--slurm_extra=time=02:00:00", "--slurm_extra: use --slurm_time instead of time"),
        ("--slurm_extra=qos=low,--array=1-3", "--slurm_extra cannot set array, which the sweep sets itself"),
    ],
)
def test_malformed_extra_options_are_refused(argument, message):
    with pytest.raises(NmbenchError) as caught:
        parsed(argument)
    assert message in str(caught.value)


def test_states_of_jobs_are_read_from_squeue(monkeypatch):
    monkeypatch.setattr(commands, "call", lambda *command: "7_0|RUNNING\n7_11|PENDING\n9|CANCELLED by 0\n\n")
    assert commands.states("nmbench-a") == {"7_0": "RUNNING", "7_11": "PENDING", "9": "CANCELLED"}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("2:00:00", 120), ("30:00", 30), ("1-01:30:30", 1530.5), ("infinite", float("inf")), ("0:45", 0.75)],
)
def test_time_limits_of_partitions_are_read(text, minutes):
    assert commands.minutes_of(text) == minutes


@pytest.mark.parametrize(
    ("partition", "minutes", "message"),
    [
        (None, 120, None),
        ("short,main", 120, None),
        ("long", 10**5, None),
        (None, 121, "--slurm_time=121 is more than partition main allows; use at most 120 minutes"),
        ("short", 3, "more than partition short allows; use at most 2 minutes"),
    ],
)
def test_a_time_limit_above_that_of_the_partition_is_refused(monkeypatch, partition, minutes, message):
    limits = "main*|2:00:00\nshort|2:00\nlong|infinite\n"
    monkeypatch.setattr(commands, "call", lambda *command: limits if command[0] == "sinfo" else "")
    monkeypatch.setattr(commands.shutil, "which", lambda name: name)
    options = {"time": str(minutes)} if partition is None else {"time": str(minutes), "partition": partition}
    if message is None:
        commands.check(options)
    else:
        with pytest.raises(NmbenchError, match=message):
            commands.check(options)


def test_missing_slurm_is_reported(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NmbenchError, match="--executor=slurm needs Slurm's commands, and sbatch is not found"):
        executor.SlurmExecutor(parsed()).check()


def test_a_failing_command_is_reported(tmp_path, monkeypatch):
    fake = tmp_path / "squeue"
    fake.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(commands.SlurmError, match="squeue failed with code 1: slurm_load_jobs error: Unable to contact"):
        commands.states("nmbench-a")


def store_submission(folder, job_id, job):
    """Write what submitit stores when a job is submitted."""
    from submitit.core.utils import DelayedSubmission, JobPaths

    folder.mkdir(parents=True, exist_ok=True)
    DelayedSubmission(TrainingCall(), job, None).dump(JobPaths(folder, job_id=job_id).submitted_pickle)


def test_jobs_in_the_queue_are_found_by_their_submissions(jobs, tmp_path, monkeypatch):
    folder = tmp_path / "slurm"
    store_submission(folder, "7_0", jobs[0])
    store_submission(folder, "7_1", jobs[1])
    (folder / "8_submitted.pkl").write_bytes(b"damaged")
    states = {"7_0": "COMPLETED", "7_1": "PENDING", "8": "RUNNING", "9": "RUNNING"}
    monkeypatch.setattr(commands, "states", lambda name: states)
    assert {name: handle.job_id for name, handle in executor.find(jobs, folder).items()} == {jobs[1].name: "7_1"}
    assert executor.find(jobs[:1], folder) == {}


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Commands of a Slurm that accepts jobs and runs none; returns the file that counts the calls of sbatch."""
    calls = tmp_path / "calls"
    calls.touch()
    for name, text in {"sbatch": f"echo x >> {calls}; echo Submitted batch job $(wc -l < {calls})", "srun": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(executor, "SHORTEST_S", 0.0)
    monkeypatch.setattr(executor, "SETTLE_S", 0.0)
    return calls


def test_jobs_are_submitted_once_and_monitored_to_their_end(jobs, child, sbatch, monkeypatch):
    import submitit

    folder, events, states = executor.folder_of(jobs[0].results_dir), [], {}
    monkeypatch.setattr(commands, "states", lambda name: dict(states))
    assert executor.SlurmExecutor(parsed(), wait=False).run(jobs, events.append) == []
    assert events[0].text.startswith("2 experiments submitted to Slurm as job 1, named nmbench-")
    states.update({"1_0": "RUNNING", "1_1": "PENDING"})

    def report(event):
        events.append(event)
        if event.kind == "started":  # then the first job fails, and the second is cancelled
            child("raise SystemExit(3)")
            handle = submitit.SlurmJob(folder, "1_0")
            submitit.core.utils.cloudpickle_dump(("success", handle.submission().result()), handle.paths.result_pickle)
            states.update({"1_0": "COMPLETED", "1_1": "CANCELLED"})

    outcomes = executor.SlurmExecutor(parsed()).run(jobs, report)
    assert sbatch.read_text() == "x\n" and "2 of 2 experiments are in Slurm's queue already" in [e.text for e in events]
    assert [outcome.code for outcome in outcomes] == [3, None]
    assert "ended with exit code 3" in outcomes[0].error and "stopped by a signal or lost" in outcomes[1].error
    assert {row["run_id"] for row in Store(jobs[0].results_dir).rows()} == set(jobs[0].run_ids)


def test_seeds_that_a_smaller_sweep_has_not_submitted_are_submitted_after_it(jobs, sbatch, monkeypatch):
    small = dataclasses.replace(jobs[0], seeds=(0,), run_ids=jobs[0].run_ids[:1])
    states = {}
    monkeypatch.setattr(commands, "states", lambda name: dict(states))
    executor.SlurmExecutor(parsed(), wait=False).run([small], lambda event: None)
    states["1"] = "RUNNING"

    def report(event):
        if "submitted" in event.text:
            states["2"] = "CANCELLED"
        elif event.kind == "started":
            states["1"] = "CANCELLED"

    (outcome,) = executor.SlurmExecutor(parsed()).run(jobs[:1], report)
    assert sbatch.read_text() == "x\nx\n" and outcome.job == jobs[0]


def test_outcomes_are_read_from_what_the_job_returned_or_from_its_rows(jobs, child, tmp_path):
    import submitit
    from submitit.core.utils import cloudpickle_dump

    handle = submitit.SlurmJob(tmp_path, "7_0")
    assert executor.stored_outcome(jobs[0], handle) is None
    outcome = JobOutcome(jobs[0], 3, "its process ended with exit code 3", 2.5)
    for result, expected in [(("success", outcome), outcome), (("success", None), None), (("error", "traceback"), None)]:
        cloudpickle_dump(result, handle.paths.result_pickle)
        assert executor.stored_outcome(jobs[0], handle) == expected
    store = Store(jobs[0].results_dir)
    executor.without_outcome(jobs[0], "OUT_OF_MEMORY")
    for run_id in jobs[0].run_ids:
        store.write({**store.row(run_id), "status": "diverged", "error": "x"}, None, {}, [])
    assert executor.stored_outcome(jobs[0], handle).error == "3 of 3 seeds diverged"


def test_final_states_caused_by_the_job_become_rows(jobs):
    store = Store(jobs[0].results_dir)
    assert "run the same sweep again to continue from its checkpoint" in executor.without_outcome(jobs[0], "CANCELLED").error
    assert "ended as NODE_FAIL" in executor.without_outcome(jobs[0], "NODE_FAIL").error
    assert store.rows() == []
    assert executor.without_outcome(jobs[0], "OUT_OF_MEMORY").code is None
    assert executor.without_outcome(jobs[1], "TIMEOUT").code is None
    statuses = {job.name: {store.row(run_id)["status"] for run_id in job.run_ids} for job in jobs}
    assert statuses == {jobs[0].name: {"failed"}, jobs[1].name: {"timeout"}}


def test_the_job_on_the_node_returns_the_outcome_and_its_process_ignores_submitits_signal(jobs, child):
    child("import signal, sys; print(signal.SIGUSR2 in signal.pthread_sigmask(0, [])); sys.exit(3)")
    outcome = TrainingCall()(jobs[0], None)
    assert outcome.code == 3 and outcome.error.startswith("its process ended with exit code 3: True")
    assert {row["status"] for row in Store(jobs[0].results_dir).rows()} == {"failed"}


def test_checkpoint_stops_the_process_and_returns_the_call_to_repeat(jobs, child):
    child("import signal, sys, time; signal.signal(15, lambda *a: sys.exit(143)); print('up', flush=True); time.sleep(60)")
    call, process = TrainingCall(), worker.JobProcess(jobs[0])
    while "\nup" not in jobs[0].log.read_text():
        assert not process.ended()
    call._started(process)
    again = call.checkpoint(jobs[0], 5.0)
    assert process.ended() and process.outcome().stopped
    assert isinstance(again.function, TrainingCall) and again.args == (jobs[0], 5.0)


def test_a_job_without_requeues_left_becomes_rows(jobs):
    outcome = record_timeout(jobs[0], "2020-01-01T00:00:00+00:00")
    assert outcome.code == worker.TIMED_OUT
    rows = Store(jobs[0].results_dir).rows()
    assert len(rows) == 3 and {row["status"] for row in rows} == {"timeout"}
    assert {row["error"] for row in rows} == {
        "stopped at the time limit of its Slurm job after all requeues; "
        "--retry_failed continues from the last checkpoint, if there is one"
    }
