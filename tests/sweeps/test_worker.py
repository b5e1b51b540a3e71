"""Jobs as processes: crashes, kills, time limits and stops. Nothing is trained."""

import dataclasses
import os
import pathlib
import signal
import time

import pytest

from nmbench.contracts import fingerprints
from nmbench.results.store import Store
from nmbench.support import devices
from nmbench.support.errors import NmbenchError
from nmbench.support.interrupts import Interrupted
from nmbench.sweeps import lost_runs, worker
from nmbench.sweeps.local import LocalExecutor, divide_cores


def run(job, **options):
    process = worker.JobProcess(job, **options)
    while not process.ended():
        time.sleep(0.01)
    return process.outcome()


def statuses(job):
    return [row and (row["status"], row["error"]) for row in lost_runs.rows_of(job)]


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            -9,
            "its process was killed by SIGKILL, perhaps because memory ran out; see ",
        ),
        ("import os; os.abort()", -6, "its process was killed by SIGABRT; see "),
        ("import os; os._exit(137)", 137, "its process was killed by SIGKILL, perhaps because memory ran out; see "),
        ("raise ValueError('no\\x1b[31m')", 1, "its process ended with exit code 1: ValueError: no\\x1b[31m; see "),
    ],
)
def test_a_crash_becomes_failed_rows(jobs, child, text, code, error):
    child(text)
    outcome = run(jobs[0])
    error += f"logs/sweep/{jobs[0].name}.log"
    assert (outcome.code, outcome.error) == (code, error)
    assert statuses(jobs[0]) == [("failed", error)] * 3
    rows = Store(jobs[0].results_dir).collect()
    assert [row["seed"] for row in rows] == [0, 1, 2] and {row["params_target"] for row in rows} == {160}
    assert jobs[0].log.read_text().startswith("== ")


def test_a_file_that_changes_during_a_sweep_leaves_no_rows(jobs, child, tmp_path):
    (tmp_path / "mine.py").write_text("gain = 1")
    job = dataclasses.replace(jobs[0], sources={str(tmp_path / "mine.py"): fingerprints.of_module(tmp_path / "mine.py")})
    (tmp_path / "mine.py").write_text("gain = 2")
    child("import os; os._exit(1)")
    end = "; its rows could not be stored: mine.py has changed since the sweep began; run the same sweep again"
    assert run(job).error.endswith(end)
    assert statuses(job) == [None] * 3
    assert [pathlib.Path(path).name for path in jobs[0].sources] == ["lstm.py"]  # the toy task has no file


def test_a_process_that_is_killed_after_a_stop_leaves_no_rows(jobs, child, tmp_path):
    ready = tmp_path / "ready"
    child(f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(60)")
    process = worker.JobProcess(jobs[0])
    while not ready.exists():
        time.sleep(0.01)
    process.stop()
    process.kill()
    outcome = process.outcome()
    assert process._process.returncode == -9
    assert (outcome.code, outcome.stopped, statuses(jobs[0])) == (143, True, [None] * 3)


@pytest.mark.parametrize(("code", "stopped"), [(0, False), (2, False), (130, True), (143, True)])
def test_bad_conditions_and_signals_leave_no_rows(jobs, child, code, stopped):
    child(f"import sys; print('no room'); sys.exit({code})")
    outcome = run(jobs[0])
    assert (outcome.code, outcome.stopped) == (code, stopped)
    assert ("no room" in outcome.error) == (code in (0, 2))
    assert statuses(jobs[0]) == [None] * 3


def test_a_crash_replaces_only_rows_of_lost_runs(jobs, child):
    child("import os; os.abort()")
    run(jobs[0])
    store = Store(jobs[0].results_dir)
    row = {**store.row(jobs[0].run_ids[1]), "status": "diverged", "error": "for a test"}
    store.write(row, None, {}, [])
    child("import os; os.kill(os.getpid(), 9)")
    run(jobs[0])
    assert [row["status"] for row in lost_runs.rows_of(jobs[0])] == ["failed", "diverged", "failed"]
    assert "SIGKILL" in lost_runs.rows_of(jobs[0])[0]["error"]


def test_outcome_of_a_finished_job_comes_from_its_rows(jobs, child):
    assert lost_runs.record(jobs[0], "failed", "x", "2026-01-01T00:00:00+00:00") == [0, 1, 2]
    store = Store(jobs[0].results_dir)
    for run_id in jobs[0].run_ids:
        store.write({**store.row(run_id), "status": "diverged", "error": "x"}, None, {}, [])
    child("import sys; sys.exit(1)")
    outcome = run(jobs[0])
    assert (outcome.code, outcome.error) == (1, "3 of 3 seeds diverged")


def test_a_job_is_not_trained_twice_at_the_same_time(jobs, child):
    """The child alone holds the lock, so it lasts if its sweep is killed and the child is not."""
    child("import time; time.sleep(60)")
    first = worker.JobProcess(jobs[0])
    with pytest.raises(NmbenchError, match="is already being trained by another process in this results folder"):
        worker.JobProcess(jobs[0])
    first.kill()
    child("pass")
    assert run(jobs[0]).code == 0


def test_time_limit(jobs, child, monkeypatch):
    """The process is stopped, or killed if it does not stop."""
    child("import signal, sys, time; signal.signal(15, lambda *a: sys.exit(143)); time.sleep(60)")
    outcome = run(jobs[0], timeout_s=0.3)
    error = "stopped at the time limit of 0.005 minutes; --retry_failed continues from the last checkpoint, if there is one"
    assert (outcome.code, outcome.error, outcome.stopped) == (124, error, False)
    assert statuses(jobs[0]) == [("timeout", error)] * 3
    monkeypatch.setattr(worker, "GRACE_S", 0.2)
    child("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)")
    began = time.monotonic()
    assert run(jobs[1], timeout_s=0.3).code == 124
    assert time.monotonic() - began < 20
    assert statuses(jobs[1]) == [("timeout", error)] * 3


def test_children_get_the_users_xla_flags_and_their_part_of_the_cores(jobs, child, monkeypatch):
    monkeypatch.setattr(devices, "_users_flags", None)  # a pytest-xdist worker inherits the flags of its parent
    child("import os; print(sorted(os.sched_getaffinity(0)), os.environ.get('XLA_FLAGS'), flush=True); os._exit(2)")
    cores = sorted(os.sched_getaffinity(0))
    outcome = run(jobs[0], cores=cores[-1:])
    assert f"exit code 2: [{cores[-1]}] None; see" in outcome.error
    assert sorted(os.sched_getaffinity(0)) == cores


def test_cores_are_divided_among_workers(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5, 7, 8})
    assert divide_cores(1) == [[2, 3, 5, 7, 8]]
    assert divide_cores(2) == [[2, 3], [5, 7, 8]]
    assert divide_cores(7) == [[2], [3], [5], [7], [8], [2], [3]]


def test_the_sweep_continues_after_a_crash(jobs, child):
    child("import os, sys; sys.exit(2) if '--model=rnn' in sys.argv else os.abort()")
    events = []
    outcomes = LocalExecutor(workers=2).run(jobs, events.append)
    assert [outcome.job for outcome in outcomes] == jobs
    assert {outcome.job.request.model: outcome.code for outcome in outcomes} == {"rnn": 2, "lstm": -6}
    assert [e.kind for e in events if e.kind != "waiting"][:2] == ["started", "started"]
    assert sorted(e.job.name for e in events if e.kind == "ended") == sorted(job.name for job in jobs)


def test_number_of_workers_limits_jobs_at_a_time(jobs, child):
    child("import time; time.sleep(0.3)")
    running, most = set(), 0

    def report(event):
        nonlocal most
        if event.kind in ("started", "ended"):
            (running.add if event.kind == "started" else running.discard)(event.job.name)
            most = max(most, len(running))

    LocalExecutor(workers=1).run(jobs, report)
    assert most == 1 and not running


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_the_sweep(jobs, child, number, code):
    """Running children are stopped and waited for; other jobs are not started."""
    child("import signal, sys, time; signal.signal(15, lambda *a: sys.exit(143)); print('up', flush=True); time.sleep(60)")
    outcomes, sent = [], []

    def report(event):
        if event.kind == "waiting" and not sent and "\nup" in jobs[0].log.read_text():
            sent.append(True)
            os.kill(os.getpid(), number)
        if event.outcome:
            outcomes.append(event.outcome)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match="0 of 2 experiments done; run the same command again to continue") as stopped:
            LocalExecutor().run(jobs, report)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.value.code == code
    assert [(outcome.job.name, outcome.code) for outcome in outcomes] == [(jobs[0].name, 143)]
    assert statuses(jobs[0]) == [None] * 3


def test_the_sweep_continues_after_a_job_that_cannot_be_started(jobs, child):
    child("import os; os._exit(2)")
    jobs[0].log.parent.mkdir(parents=True)
    jobs[0].log.mkdir()
    outcomes = LocalExecutor().run(jobs, lambda event: None)
    assert outcomes[0].code is None and outcomes[0].error.startswith(f"cannot start {jobs[0].name}: ")
    assert outcomes[1].code == 2
