"""Sweeps on Slurm without one: flags, what sbatch is given, what squeue's answers mean, records, and lost jobs."""

import json
import os

import pytest

from nmbench.results.store import Store
from nmbench.support import cli
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import worker
from nmbench.sweeps.jobs import Job, JobOutcome
from nmbench.sweeps.slurm import batches, executor, queue, settings
from nmbench.sweeps.slurm import job as node


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
    extra = {"qos": "low", "exclude": "n1,n2", "exclusive": True}
    assert given.options() == {
        "partition": "gpu",
        "account": "lab.a",
        "time": "90",
        "mem": "4G",
        "cpus-per-task": "3",
        "gpus-per-node": "1",
        **extra,
    }
    assert given.parameters() == {
        "partition": "gpu",
        "account": "lab.a",
        "time": 90,
        "mem": "4G",
        "cpus_per_task": 3,
        "gpus_per_node": 1,
        "array_parallelism": 7,
        "setup": ["module load cuda && true"],
        "stderr_to_stdout": True,
        "srun_args": ["--cpus-per-task=3"],
        "additional_parameters": {"requeue": True, **extra},
    }
    assert parsed().options() == {"time": "60", "cpus-per-task": "1"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--slurm_partition=a b", "--slurm_partition='a b' is not the name of a Slurm partition"),
        ("--slurm_account=x\n#SBATCH --uid=0", "is not the name of a Slurm account"),
        ("--slurm_mem=4 GB", "--slurm_mem='4 GB' is not an amount of memory; write one as 4G or 500M"),
        ("--slurm_mem=0", "is not an amount of memory"),
        ("--slurm_time=600000", "--slurm_time=600000 is too large; use at most 525600"),
        ("--slurm_setup=a\nb", "--slurm_setup must be one line of shell"),
        ("--slurm_extra=qos", "--slurm_extra: 'qos' is not an option of sbatch; write K=V,K=V"),
        ("--slurm_extra=qos=", "qos='' has no good value"),
        ("--slurm_extra=qos=a\nb", "has no good value"),
        ("--slurm_extra=qos=a,qos=b", "--slurm_extra: qos is given twice"),
        ("--slurm_extra=time=3", "--slurm_extra: time cannot be given here; use --slurm_time"),
        ("--slurm_extra=job_name=x", "--slurm_extra: job-name cannot be given here; nmbench sets it"),
    ],
)
def test_flags_that_make_no_sense_are_refused(argument, message):
    with pytest.raises(NmbenchError) as caught:
        parsed(argument)
    assert message in str(caught.value)


def test_answers_of_squeue():
    text = "nmbench-a|0|RUNNING\nnmbench-a|11|PENDING\nnmbench-b|N/A|CANCELLED by 0\nother|x|1|RUNNING\nother|3|RUNNING\n\n"
    assert queue.read_states(text) == {"nmbench-a": {0: "RUNNING", 11: "PENDING"}, "nmbench-b": {0: "CANCELLED"}}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("2:00:00", 120), ("30:00", 30), ("1-01:30:30", 1530.5), ("infinite", None), ("n/a", None), ("0:45", 0.75)],
)
def test_time_limits_of_partitions(text, minutes):
    assert queue.minutes_of(text) == minutes


def test_a_partition_is_checked():
    known = {"main": (120.0, True), "short": (2.0, False), "long": (None, False)}
    queue.check_partition(None, 120, known)
    queue.check_partition("short,main", 120, known)
    queue.check_partition("long", 10**5, known)
    for wanted, minutes, message in [
        (None, 121, "--slurm_time=121 is more than partition main allows; use at most 120 minutes"),
        ("short", 3, "more than partition short allows; use at most 2 minutes"),
        ("mian", 1, "no partition 'mian'; did you mean 'main'?"),
    ]:
        with pytest.raises(NmbenchError, match=message.replace("?", "[?]")):
            queue.check_partition(wanted, minutes, known)
    with pytest.raises(NmbenchError, match="no default partition; give --slurm_partition"):
        queue.check_partition(None, 1, {"long": (None, False)})


def test_without_slurm_it_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NmbenchError, match="--executor=slurm needs Slurm's commands, and sbatch is not found"):
        executor.SlurmExecutor(settings.Settings()).check()


def test_a_command_that_fails_is_one_line(tmp_path, monkeypatch):
    fake = tmp_path / "squeue"
    fake.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(
        queue.SlurmError, match="squeue failed with code 1 and said: slurm_load_jobs error: Unable to contact"
    ):
        queue.states()


def test_parts_are_disjoint_complete_and_in_order():
    assert executor.parts([3, 4, 5, 6, 9], 2) == [[3, 4], [5, 6], [9]]
    assert executor.parts([1, 2], 2) == [[1, 2]]
    assert executor.parts([], 2) == []


def test_jobs_in_the_queue_are_found_by_the_records_of_their_results_folder(jobs, tmp_path, monkeypatch):
    folder = tmp_path / "records"
    batch = batches.new(folder, jobs)
    assert batches.load(folder, batch.name) == batch and batches.load(folder, "nmbench-other") is None
    (folder / "nmbench-broken.json").write_text("{")
    said = {batch.name: {0: "COMPLETED", 1: "PENDING", 7: "RUNNING"}, "nmbench-broken": {0: "RUNNING"}}
    monkeypatch.setattr(queue, "states", lambda: said)
    assert executor.find(jobs, folder) == {1: executor.Spot(batch, 1)}
    assert executor.find(jobs[:1], folder) == {}


def test_what_a_job_records_is_read_back(jobs, tmp_path):
    path = tmp_path / "0.json"
    assert batches.read_ending(path, jobs[0]) is None
    outcome = JobOutcome(jobs[0], 143, "told to stop", 2.5)
    batches.write_ending(path, outcome)
    assert batches.read_ending(path, jobs[0]) == outcome and outcome.stopped
    path.write_text("[]")
    assert batches.read_ending(path, jobs[0]) is None


def test_what_slurm_ended_for_a_jobs_own_fault_becomes_rows_and_the_rest_is_left_for_the_next_call(jobs):
    store = Store(jobs[0].results_dir)
    assert "cancelled before its end, or lost; the same sweep runs it again" in executor.lost(jobs[0], "CANCELLED").error
    assert "ended as NODE_FAIL without a result" in executor.lost(jobs[0], "NODE_FAIL").error
    assert store.rows() == []
    assert executor.lost(jobs[0], "OUT_OF_MEMORY").code is None
    assert executor.lost(jobs[1], "TIMEOUT").code is None
    statuses = {job.name: {store.row(run_id)["status"] for run_id in job.run_ids} for job in jobs}
    assert statuses == {jobs[0].name: {"failed"}, jobs[1].name: {"timeout"}}


def test_on_the_node_a_job_runs_and_says_what_became_of_it(jobs, child, tmp_path, monkeypatch):
    """Its process has as many devices as the job has cores, and does not get submitit's signal."""
    child("import signal, sys; print(sys.argv[-1], signal.SIGUSR2 in signal.pthread_sigmask(0, [])); sys.exit(3)")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    path = tmp_path / "0.json"
    path.write_text("of an earlier start")
    assert node.Experiment()(json.dumps(jobs[0].plain()), str(path), None) == 3
    assert "--devices=5 True" in jobs[0].log.read_text()
    ending = batches.read_ending(path, jobs[0])
    assert ending is not None and ending.code == 3 and ending.error.startswith("its process ended with exit code 3")
    assert {row["status"] for row in Store(jobs[0].results_dir).rows()} == {"failed"}


def test_a_time_limit_reached_for_good_is_rows(jobs):
    outcome = node.give_up(jobs[0], "2020-01-01T00:00:00+00:00", 60.0)
    assert outcome.code == worker.TIMED_OUT
    rows = Store(jobs[0].results_dir).rows()
    assert len(rows) == 3 and {row["status"] for row in rows} == {"timeout"}
    assert {row["error"] for row in rows} == {
        "stopped at the time limit of its Slurm job, requeues included; its checkpoint is kept"
    }


def test_a_plain_job_is_the_same_job(jobs):
    assert Job.from_plain(json.loads(json.dumps(jobs[0].plain()))) == jobs[0]
