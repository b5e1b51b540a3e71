"""Sweeps on a real Slurm of one node: jobs cancelled, killed, preempted and queued again; none is lost or trained twice."""

import contextlib
import os
import pathlib
import re
import signal
import time

import pytest
import submitit

from nmbench.results import csv_files
from support.outcomes import checkpoints
from support.processes import finish, start
from support.slurm import cluster

BUDGETS = [40, 50, 60, 70, 80]
SWEEP = (
    "nmbench.sweep",
    "--executor=slurm",
    "--models=rnn",
    "--tasks=element_finder",
    f"--budgets={','.join(map(str, BUDGETS))}",
    "--seeds=1",
    "--allow_budget_miss",
    "--steps=3000",
    "--checkpoint_minutes=0",
    "--results_dir=out",
    "--retry_failed",
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm whose arrays have at most 3 jobs, so 5 experiments need two."""
    with cluster(tmp_path_factory.mktemp("slurm"), longest_array=3) as slurm, pytest.MonkeyPatch.context() as patch:
        for name, value in slurm.environment.items():
            patch.setenv(name, value)
        yield slurm
    assert slurm.processes() == []


class Sweep:
    """The experiments of a results folder, in Slurm and on disk.

    Attributes:
      names: run id to the name of its job, for all jobs submitted so far.
    """

    def __init__(self, slurm, folder: pathlib.Path):
        self._slurm, self.folder, self.out = slurm, folder, folder / "out"
        self.names: dict[str, str] = {}

    def start(self, *more):
        return start(*SWEEP, *more, cwd=self.folder)

    def queued(self) -> dict[str, str]:
        """Run id to Slurm's job id, for all jobs in the queue. Asserts that no experiment is there twice."""
        run_ids = {}
        for path in (self.out / "logs" / "sweep" / "slurm").glob("*_submitted.pkl"):
            job = submitit.core.utils.DelayedSubmission.load(path).args[0]
            (run_id,) = job.run_ids
            run_ids[path.name.removesuffix("_submitted.pkl")] = run_id
            self.names[run_id] = job.name
        slurm_ids = self._slurm.call("squeue", "-h", "--array", "--format=%i").split()
        queued = {run_ids[slurm_id]: slurm_id for slurm_id in slurm_ids}
        assert len(queued) == len(slurm_ids), "an experiment is in the queue twice"
        return queued

    def next_in_training(self, besides) -> tuple[str, int]:
        """Run id and process of an experiment in training that has a checkpoint; SIGSTOP holds the process."""
        for _ in range(9000):
            for path in checkpoints(self.out):
                pid = None if path.stem in besides else self._process_of(path.stem)
                if pid is not None:
                    hold(pid)
                    if path.exists():
                        return path.stem, pid
                    os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)
        raise AssertionError(f"no experiment in training within three minutes: {self._slurm.logs()}")

    def log(self, run_id) -> str:
        return (self.out / "logs" / "sweep" / f"{self.names[run_id]}.log").read_text()

    def starts(self, run_id) -> int:
        return len(re.findall("^== ", self.log(run_id), re.MULTILINE))

    def _process_of(self, run_id) -> int | None:
        budget = f"--budget={self.names[run_id].split('.')[3].removeprefix('b')}".encode()
        folder = f"--results_dir={self.out}".encode()
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"nmbench.run" in words and budget in words and folder in words:
                    return int(path.parent.name)
        return None


def hold(pid):
    """Hold a process with SIGSTOP, and wait until it has stopped, so that a later signal cannot arrive first."""
    os.kill(pid, signal.SIGSTOP)
    for _ in range(3000):
        if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TZ":
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} does not stop")


def continue_on_sigterm(pid):
    """Let a held process continue once SIGTERM is pending, so that SIGTERM arrives before the process ends."""
    for _ in range(3000):
        pending = re.findall(r"^S..Pnd:\s*(\w+)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        if any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in pending):
            os.kill(pid, signal.SIGCONT)
            return
        time.sleep(0.01)
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    raise AssertionError(f"no SIGTERM within half a minute: {status}")


@pytest.mark.slow
def test_jobs_that_are_cancelled_killed_preempted_or_requeued_give_every_row_once(slurm, tmp_path):
    sweep = Sweep(slurm, tmp_path)
    code, _, err = finish(sweep.start("--nowait"))
    assert code == 0 and "5 experiments are in Slurm's queue; run the same command again to monitor them" in err, err
    assert len(re.findall("^(3|2) experiments submitted to Slurm as job ", err, re.MULTILINE)) == 2
    slurm_ids = sweep.queued()
    assert len(slurm_ids) == 5
    monitoring = sweep.start()
    harmed = []
    for harm in ("requeue", "preempt", "cancel", "kill"):
        run_id, pid = sweep.next_in_training(harmed)
        harmed.append(run_id)
        if harm == "requeue":
            slurm.call("scontrol", "requeue", slurm_ids[run_id])
        elif harm == "preempt":  # Slurm sends this before the time limit and, on clusters that warn, before preemption
            parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            os.kill(int(parent), signal.SIGUSR2)
        elif harm == "cancel":
            slurm.call("scancel", slurm_ids[run_id])
        else:
            os.kill(pid, signal.SIGKILL)
            continue
        continue_on_sigterm(pid)
    requeued, preempted, cancelled, killed = harmed
    code, _, err = finish(monitoring, timeout=900)
    assert code == 1, err
    already = re.search(r"^(\d+) of (\d+) experiments are in Slurm's queue already$", err, re.MULTILINE)
    assert already and already.group(1) == already.group(2) and "submitted" not in err
    assert (
        f"{sweep.names[cancelled]}: stopped by a signal or lost; run the same sweep again to continue from its checkpoint"
        in err
    )
    assert f"{sweep.names[killed]}: its process was killed by SIGKILL" in err
    rows = {row["run_id"]: row for row in csv_files.read_csv(sweep.out / "results.csv")}
    assert set(rows) == set(sweep.names) - {cancelled}
    assert {run_id for run_id, row in rows.items() if row["status"] != "ok"} == {killed}
    assert rows[killed]["status"] == "failed" and rows[killed]["error"].startswith("its process was killed by SIGKILL")
    for run_id in (requeued, preempted):
        assert re.search(r"^1 run resumed at step [1-9]\d* of 3000$", sweep.log(run_id), re.MULTILINE), sweep.log(run_id)
    assert {path.stem for path in checkpoints(sweep.out)} == {cancelled, killed}

    code, _, err = finish(sweep.start(), timeout=900)
    assert code == 0, err
    assert "2 experiments submitted to Slurm as job " in err
    rows = csv_files.read_csv(sweep.out / "results.csv")
    assert sorted(row["params_target"] for row in rows) == BUDGETS
    assert all(row["status"] == "ok" for row in rows)
    assert sorted(path.name for path in (sweep.out / "runs").iterdir()) == sorted(sweep.names) and len(sweep.names) == 5
    assert {run_id: sweep.starts(run_id) for run_id in sweep.names if sweep.starts(run_id) != 1} == dict.fromkeys(harmed, 2)
    for run_id in (cancelled, killed):
        assert re.search(r"^1 run resumed at step [1-9]\d* of 3000$", sweep.log(run_id), re.MULTILINE), sweep.log(run_id)
    assert checkpoints(sweep.out) == [] and sweep.queued() == {}
