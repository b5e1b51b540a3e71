"""What a sweep of ten thousand cells asks of Slurm: calls and files, with commands that only count and stub cells.

  python benchmarks/scheduler_calls.py --cells=10000

Needs submitit, but no Slurm: `sbatch`, `squeue` and the rest are scripts that write down that they were called and answer
what Slurm would answer, arrays of at most 1,001 jobs as Slurm has them by default.
"""

from __future__ import annotations

import collections
import os
import pathlib
import tempfile
import time

from tabulate import tabulate

from nmbench.experiments.request import Request
from nmbench.support import cli
from nmbench.sweeps.jobs import Job
from nmbench.sweeps.slurm import batches, executor
from nmbench.sweeps.slurm.settings import Settings

FLAGS = cli.new_flags()
cli.integer(FLAGS, "cells", 10_000, "cells of the sweep", lower=1)

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
            script.write_text(f"#!/bin/sh\necho {command} >> {calls}\n{answer.format(calls=calls, queue=queue)}\n")
            script.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        lines = measure(folder, calls, queue)
    print(tabulate(lines, headers=["", f"{FLAGS.cells} cells"], tablefmt="github", disable_numparse=True))
    return 0


def measure(folder: pathlib.Path, calls: pathlib.Path, queue: pathlib.Path) -> list[tuple[str, str]]:
    results = folder / "results"
    jobs = [stub(i, str(results)) for i in range(FLAGS.cells)]
    lines: list[tuple[str, str]] = []

    def counted(what: str, action) -> None:
        calls.write_text("")
        began = time.perf_counter()
        action()
        seconds = time.perf_counter() - began
        made = collections.Counter(calls.read_text().split())
        said = ", ".join(f"{n} {command}" for command, n in sorted(made.items())) or "none"
        lines.append((what, f"{said}; {seconds:.1f} s"))

    slurm = executor.SlurmExecutor(Settings(), wait=False)
    counted("checks before submitting", slurm.check)
    counted("submitting", lambda: slurm.run(jobs, lambda event: None))
    records = batches.folder_of(str(results))
    files = [path for path in records.rglob("*") if path.is_file()]
    lines.append(("files that submitting makes", f"{len(files)}, {sum(p.stat().st_size for p in files) / 1e6:.0f} MB"))
    arrays = [batches.load(records, path.stem) for path in sorted(records.glob("nmbench-*.json"))]
    waiting = [f"{array.name}|{i}|PENDING" for array in arrays if array for i in range(len(array.jobs))]
    assert len(waiting) == FLAGS.cells
    queue.write_text("\n".join(waiting) + "\n")

    def again() -> None:
        assert len(executor.find(jobs, records)) == FLAGS.cells

    counted("one look at the queue, all jobs waiting", again)
    per_hour = 3600 / executor.LATEST_S
    lines.append(("looks per hour, in the long run", f"{per_hour:g}"))
    return lines


def stub(number: int, results: str) -> Job:
    """A job like those of a sweep, of a cell that does not exist."""
    request = Request(model="nmrnn", task="element_finder", budget=number + 1)
    return Job(
        name=f"nmrnn.element_finder.matched.b{number}.{number:010x}",
        request=request,
        argv=("--model=nmrnn", "--task=element_finder", f"--budget={number}", f"--results_dir={results}"),
        results_dir=results,
        seeds=tuple(range(10)),
        run_ids=tuple(f"nmrnn.element_finder.matched.s{seed}.{number:012x}" for seed in range(10)),
        config={"model": "nmrnn", "phases": ["x" * 200] * 5},
        facts={"task": "element_finder", "platform": "x" * 500},
    )


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "scheduler_calls.py")
