"""Jobs as arrays of a Slurm cluster: submitted through submitit, watched with one squeue for all of them.

The results folder, on a file system that all nodes share, is the only channel: what became of a job is read from its rows
and from the record that it writes, never from what submitit pickles.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nmbench.results.provenance import utc_now
from nmbench.support import interrupts
from nmbench.support.errors import NmbenchError
from nmbench.sweeps import losses
from nmbench.sweeps.executors import Executor
from nmbench.sweeps.jobs import Event, Job, JobOutcome
from nmbench.sweeps.slurm import batches, queue
from nmbench.sweeps.slurm.batches import Batch
from nmbench.sweeps.slurm.job import Cell
from nmbench.sweeps.slurm.settings import Settings

try:
    import fcntl
except ImportError:  # no Slurm there either
    fcntl = None

# Seconds between two looks at the queue: at first, at most, and as a part of the time that has passed.
SOONEST_S, LATEST_S, SHARE = 2.0, 30.0, 0.02
# How long a job that has left the queue may take until what it has written is seen here.
SETTLE_S = 10.0
# What Slurm's last word on a job makes of its runs; those of other jobs are left for the next call.
_LOST = {"OUT_OF_MEMORY": "failed", "TIMEOUT": "timeout", "DEADLINE": "timeout"}


class Spot(NamedTuple):
    """Where a job is in Slurm."""

    batch: Batch
    index: int


class SlurmExecutor(Executor):
    """Args:
    settings: what each job gets.
    timeout_s: time limit of a training, None for that of the Slurm job alone.
    wait: watch the jobs to their end; otherwise `run` returns once they are submitted, with no outcomes.
    """

    def __init__(self, settings: Settings, timeout_s: float | None = None, wait: bool = True):
        self._settings, self._timeout_s, self._wait = settings, timeout_s, wait
        self._longest = 1000

    def check(self) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise NmbenchError("--executor=slurm needs submitit; install it with pip install 'nmbench[slurm]'")
        queue.require()
        queue.check_partition(self._settings.partition, self._settings.minutes, queue.partitions())
        queue.check_options(self._settings.options())
        self._longest = queue.longest_array()

    def run(self, jobs: Sequence[Job], tell: Callable[[Event], None]) -> list[JobOutcome]:
        if not jobs:
            return []
        folder = batches.folder_of(jobs[0].results_dir)
        with interrupts.watched() as watch, watch.held():
            with _alone(folder):
                spots = find(jobs, folder)
                if spots:
                    tell(Event("said", text=f"{len(spots)} of {len(jobs)} cells are in Slurm's queue already"))
                # Of those that have just left it, nothing is left to do.
                over = {i for i, job in enumerate(jobs) if i not in spots and job.run_ids and not losses.unfinished(job)}
                self._submit([i for i in range(len(jobs)) if i not in {*spots, *over}], jobs, folder, spots, tell)
            if not self._wait:
                tell(Event("said", text=f"{len(jobs)} cells left in Slurm's queue; the same command watches them"))
                return []
            return self._watch(jobs, folder, spots, over, tell, watch)

    def _submit(self, places, jobs, folder, spots: dict[int, Spot], tell) -> None:
        """Submit some of the jobs, in arrays that are no longer than Slurm allows."""
        import submitit

        after = None
        for part in parts(places, self._longest):
            batch = batches.new(folder, [jobs[place] for place in part])
            executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=self._settings.requeues)
            executor.update_parameters(
                **self._settings.parameters(),
                job_name=batch.name,
                # One array after the other where the number of jobs at a time is bounded.
                **({"dependency": f"afterany:{after}"} if after and self._settings.parallelism else {}),
            )
            try:
                submitted = executor.map_array(
                    Cell(),
                    [json.dumps(jobs[place].plain()) for place in part],
                    [str(batch.ending(index)) for index in range(len(part))],
                    [self._timeout_s] * len(part),
                )
            except Exception as error:  # submitit has several kinds
                reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
                kept = f"; {len(spots)} cells are in the queue, and the same command goes on" if spots else ""
                raise NmbenchError(f"sbatch refused {len(part)} jobs: {reason[0][:300]}{kept}") from error
            after = submitted[0].job_id.partition("_")[0]
            spots |= {place: Spot(batch, index) for index, place in enumerate(part)}
            tell(Event("said", text=f"{len(part)} cells submitted to Slurm as job {after}, named {batch.name}"))

    def _watch(self, jobs, folder, spots: dict[int, Spot], over, tell, watch) -> list[JobOutcome]:
        outcomes: dict[int, JobOutcome] = {}
        for place in over:
            outcomes[place] = of_rows(jobs[place])
            tell(Event("ended", jobs[place], outcomes[place]))
        started: set[int] = set()
        gone: dict[int, float] = {}  # when a job without a result was first missing
        began, complained = time.monotonic(), False
        while len(outcomes) < len(jobs):
            self._pause(began, len(jobs) - len(outcomes), spots, outcomes, watch)
            try:
                states = queue.states()
            except queue.SlurmError as error:
                if not complained:
                    tell(Event("said", text=f"{error}; asking again"))
                complained = True
                continue
            complained, again = False, []
            tell(Event("waiting"))
            for place, spot in spots.items():
                if place in outcomes:
                    continue
                job, state = jobs[place], states.get(spot.batch.name, {}).get(spot.index)
                if state is not None and state not in queue.ENDED:
                    gone.pop(place, None)
                    if state == "RUNNING" and place not in started:
                        started.add(place)
                        tell(Event("started", job))
                    continue
                outcome = ended(job, spot)
                if outcome is None and time.monotonic() - gone.setdefault(place, time.monotonic()) < SETTLE_S:
                    continue
                if set(job.run_ids) - set(spot.batch.jobs[spot.index][1]) and losses.unfinished(job):
                    again.append(place)  # it was submitted by a sweep of fewer seeds
                    continue
                outcomes[place] = outcome or lost(job, state)
                tell(Event("ended", job, outcomes[place]))
            if again:
                with _alone(folder):
                    self._submit(again, jobs, folder, spots, tell)
        return [outcomes[place] for place in range(len(jobs))]

    def _pause(self, began: float, left: int, spots, outcomes, watch) -> None:
        """Wait for the next look at the queue; raise `Interrupted` when told to stop."""
        until = time.monotonic() + min(LATEST_S, max(SOONEST_S, SHARE * (time.monotonic() - began)))
        while not watch.asked and time.monotonic() < until:
            time.sleep(0.1)
        names = sorted({spot.batch.name for place, spot in spots.items() if place not in outcomes})
        watch.heed(
            f"{left} cells go on in Slurm; the same command watches them again, scancel --name={','.join(names)} ends them"
        )


def find(jobs: Sequence[Job], folder) -> dict[int, Spot]:
    """Which of the jobs are in Slurm's queue: place among the jobs to spot."""
    spots: dict[str, Spot] = {}
    for name, states in queue.states().items():
        alive = [index for index, state in states.items() if state not in queue.ENDED]
        batch = batches.load(folder, name) if alive else None
        if batch is not None:
            spots |= {batch.jobs[index][0]: Spot(batch, index) for index in alive if index < len(batch.jobs)}
    return {place: spots[job.name] for place, job in enumerate(jobs) if job.name in spots}


def parts(places: Sequence[int], longest: int) -> list[list[int]]:
    """`places` in order, in as few parts as possible of at most `longest`."""
    return [list(places[start : start + longest]) for start in range(0, len(places), longest)]


def ended(job: Job, spot: Spot) -> JobOutcome | None:
    """What the results folder says of a job that has left the queue, None for nothing (yet)."""
    outcome = batches.read_ending(spot.batch.ending(spot.index), job)
    if outcome is None and job.run_ids and not losses.unfinished(job):
        outcome = of_rows(job)
    return outcome


def of_rows(job: Job) -> JobOutcome:
    """The outcome of a job all of whose runs have a row."""
    diverged = sum(row is not None and row["status"] != "ok" for row in losses.rows_of(job))
    return JobOutcome(job, int(bool(diverged)), f"{diverged} of {len(job.seeds)} seeds diverged" if diverged else "")


def lost(job: Job, state: str | None) -> JobOutcome:
    """What becomes of a job that left nothing. Where Slurm says that it was its own fault, its runs get rows that say so."""
    if state in _LOST:
        reason = f"its Slurm job ended as {state}; see {batches.folder_of('.').as_posix()}"
        if job.run_ids:
            losses.record(job, _LOST[state], reason, utc_now())
    elif state in (None, "CANCELLED"):
        reason = "cancelled before its end, or lost; the same sweep runs it again"
    else:
        reason = (
            f"its Slurm job ended as {state} without a result; see {batches.folder_of('.').as_posix()}; the same sweep runs "
            "it again"
        )
    return JobOutcome(job, None, reason)


@contextlib.contextmanager
def _alone(folder) -> Iterator[None]:
    """Two starts of a sweep look at the queue and submit one after the other.

    Raises:
      NmbenchError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise NmbenchError(f"cannot write to {folder}: {error.strerror or error}") from error
    with lock:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # some shared file systems have no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
