"""Compare the trainer's time and memory on the CPU and on a GPU, for 10, 100 and 1,000 seeds in one program.

The platforms take turns, one process at a time. On the CPU the seeds are divided among all cores; on a GPU all seeds are
one batch. `benchmarks/gpu.sh` runs this script and the fast tests.

    python benchmarks/gpu.py --markdown=gpu.md
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
from typing import Any

import _checkout  # noqa: F401
import cases
import reporting
from workers import Worker

from nmbench.support import cli
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()
cli.string(FLAGS, "cases", ",".join(cases.SIZES), "tasks, separated by commas")
cli.string(FLAGS, "models", "nmrnn", "models, separated by commas")
cli.string(FLAGS, "seeds", "10,100,1000", "numbers of seeds, separated by commas")
cli.string(FLAGS, "platforms", "cpu,cuda", "JAX platforms, separated by commas; the first is the one compared with")
cli.integer(FLAGS, "rounds", 3, "number of blocks", lower=1)
cli.number(FLAGS, "block_seconds", 1.0, "approximate length of a block in seconds")
cli.string(FLAGS, "markdown", None, "also write the table to this Markdown file")
PLATFORMS = ("cpu", "cuda", "rocm")


def main() -> int:
    chosen = cases.choose(FLAGS.cases, list(cases.SIZES), "cases")
    models = cases.choose(FLAGS.models, cases.MODELS, "models")
    platforms = cases.choose(FLAGS.platforms, PLATFORMS, "platforms")
    seeds = cases.counts(FLAGS.seeds, "seeds")
    if not FLAGS.block_seconds > 0:
        raise NmbenchError(f"--block_seconds must be positive, got {FLAGS.block_seconds}")
    if FLAGS.markdown and not pathlib.Path(FLAGS.markdown).resolve().parent.is_dir():
        raise NmbenchError(f"--markdown={FLAGS.markdown}: no such folder")
    names = {platform: device_name(platform) for platform in platforms}
    report = reporting.Report(FLAGS.markdown, [f"{platform}: {name}" for platform, name in names.items()])
    rows: list[dict[str, Any]] = []
    for case in chosen:
        for model in models:
            for number in seeds:
                measured = [measure(case, model, number, platform) for platform in platforms]
                for row in measured:
                    row["x " + platforms[0]] = f"{measured[0]['_ms'] / row['_ms']:.2f}"
                rows += measured
    report.table("Time of a training step and memory", [{k: v for k, v in row.items() if k != "_ms"} for row in rows])
    report.close()
    return 0


def device_name(platform: str) -> str:
    """Name and number of the devices of a platform. Raises `NmbenchError` if JAX has none."""
    code = f"import jax; d = jax.devices({platform!r}); print(len(d), 'x', d[0].device_kind)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if result.returncode:
        raise NmbenchError(f"JAX finds no device of the platform {platform}; to time the CPU alone: --platforms=cpu")
    return result.stdout.strip().splitlines()[-1]


def measure(case: str, model: str, seeds: int, platform: str) -> dict[str, Any]:
    """A row of the table. `_ms` is the unrounded time of a step of one seed."""
    with Worker(style="nmbench", case=case, model=model, seeds=seeds, platform=platform) as worker:
        compile_s = worker.begin()["compile_s"]
        steps = worker.calibrate(FLAGS.block_seconds)
        answers = [worker.run(steps) for _ in range(FLAGS.rounds)]
    each = [1000 * answer["seconds"] / (steps * seeds) for answer in answers]
    ms, last = statistics.median(each), answers[-1]
    row = {"case": case, "model": model, "seeds": seeds, "platform": platform, "_ms": ms}
    row |= {"ms/step": reporting.digits(ms * seeds), "ms/step/seed": reporting.digits(ms)}
    row["range"] = f"{reporting.digits(min(each))} .. {reporting.digits(max(each))}"
    row |= {"process MB": round(last["peak_rss_mb"]), "device MB": last["device_mb"], "compile s": f"{compile_s:.1f}"}
    print(f"{case}, {model}, {seeds} seeds, {platform}: {reporting.digits(ms)} ms/step/seed", file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "gpu.py")
