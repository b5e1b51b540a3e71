"""Count the Slurm commands and the files of a sweep of ten thousand experiments. Nothing is trained.

  python benchmarks/scheduler_calls.py --experiments=10000

Needs submitit, but no Slurm: scripts replace `sbatch`, `squeue` and the other commands. They count their calls and answer as
Slurm does, with arrays of at most 1,001 jobs (Slurm's default).
"""

from __future__ import annotations

import collections
import os
import pathlib
import shlex
import tempfile
import time

import _checkout  # noqa: F401
from tabulate import tabulate

from nmbench.experiments.configuration import Configuration
from nmbench.experiments.request import Request
from nmbench.support import cli
from nmbench.sweeps.jobs import Job
from nmbench.sweeps.slurm import executor
from nmbench.sweeps.slurm.settings import Settings

FLAGS = cli.new_flags()
cli.integer(FLAGS, "experiments", 10_000, "number of experiments in the sweep", lower=1)

ANSWERS = {
    "sbatch": "echo Submitted batch job $(wc -l < {calls})",
    "squeue": "cat {queue}",
    "sinfo": "echo 'main*|infinite'",
    "scontrol": "echo 'MaxArraySize = 1001'",
    "srun": "",
}


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        calls, queue = folder / "calls", folder / "queue"
        queue.touch()
        for command, answer in ANSWERS.items():
            script = folder / command
            lines = answer.format(calls=shlex.quote(str(calls)), queue=shlex.quote(str(queue)))
            script.write_text(f"#!/bin/sh\necho {command} >> {shlex.quote(str(calls))}\n{lines}\n")
            script.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        lines = measure(folder, calls, queue)
    print(tabulate(lines, headers=["", f"{FLAGS.experiments} experiments"], tablefmt="github", disable_numparse=True))
    return 0


def measure(folder: pathlib.Path, calls: pathlib.Path, queue: pathlib.Path) -> list[tuple[str, str]]:
    results = folder / "results"
    jobs = [stub(i, str(results)) for i in range(FLAGS.experiments)]
    lines: list[tuple[str, str]] = []

    def counted(what: str, action) -> None:
        calls.write_text("")
        began = time.perf_counter()
        action()
        seconds = time.perf_counter() - began
        made = collections.Counter(calls.read_text().split())
        counts = ", ".join(f"{n} {command}" for command, n in sorted(made.items())) or "none"
        lines.append((what, f"{counts}; {seconds:.1f} s"))

    slurm = executor.SlurmExecutor(Settings(options={"time": "60", "cpus-per-task": "1"}), wait=False)
    counted("checks before submitting", slurm.check)
    counted("submitting", lambda: slurm.run(jobs, lambda event: None))
    records = executor.folder_of(str(results))
    files = [path for path in records.rglob("*") if path.is_file() and not path.is_symlink()]
    lines.append(("files made by submitting", f"{len(files)}, {sum(p.stat().st_size for p in files) / 1e6:.0f} MB"))
    job_ids = [path.name.removesuffix("_submitted.pkl") for path in records.glob("*_submitted.pkl")]
    assert len(job_ids) == FLAGS.experiments
    queue.write_text("".join(f"{job_id}|PENDING\n" for job_id in job_ids))

    def reattach() -> None:
        assert len(executor.find(jobs, records)) == FLAGS.experiments

    counted("reattaching, all jobs waiting", reattach)
    counted("one query of the queue, all jobs waiting", lambda: executor.commands.states("nmbench"))
    lines.append(("queries per hour in a long sweep", f"{3600 / executor.LONGEST_S:g}"))
    return lines


def stub(number: int, results: str) -> Job:
    """A job like those of a sweep, for an experiment that does not exist."""
    budget, seeds, sha256 = number + 1, tuple(range(10)), "0" * 64
    configuration = Configuration(
        engine=1,
        model="nmrnn",
        model_sha256=sha256,
        hparams={"N": budget},
        budget=budget,
        task="element_finder",
        task_version=1,
        testset_sha256=sha256,
        validation_sha256={"validation": sha256},
        training_sha256={"training": sha256},
        protocol={"name": "matched", "phases": [{"steps": 1000, "text": "x" * 200}] * 5},
        learning_rate=0.01,
        tuning_trials=0,
        data_seed=0,
        seed=0,
        x64=False,
    )
    return Job(
        name=f"nmrnn.element_finder.matched.b{budget}.{number:010x}",
        request=Request(model="nmrnn", task="element_finder", budget=budget),
        argv=("--model=nmrnn", "--task=element_finder", f"--budget={budget}", f"--results_dir={results}"),
        results_dir=results,
        seeds=seeds,
        run_ids=tuple(configuration.with_seed(seed).run_id for seed in seeds),
        configuration=configuration,
        columns={"task": "element_finder", "platform": "x" * 500},
    )


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "scheduler_calls.py")
