"""Time the same training in four styles, side by side on this machine.

nmbench:    nmbench's trainer: all seeds in one program, trials in columns, validation included
published:  JAX code as authors publish it: one trial under vmap, readout in the scan, a jitted step per Python iteration
haiku:      hk.RNNCore and hk.dynamic_unroll on batches, a jitted step per Python iteration
torch:      torch.nn modules on batches, a step per Python iteration

Every style runs in its own process. The processes of a case take turns: one block of steps each, for --rounds rounds. Only
one process works at a time. Sizes come from the publication, other settings from the first phase of the matched protocol.

    python benchmarks/speed.py --cases=mwg_rank3 --models=nmrnn --seeds=1,10 --markdown=speed.md
    python benchmarks/speed.py --scaling=scaling.png
"""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
import statistics
import sys
from typing import Any

import _checkout  # noqa: F401
import cases
import reporting
from workers import Worker

from nmbench.support import cli, devices
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()
cli.string(FLAGS, "cases", ",".join(cases.SIZES), "tasks, separated by commas")
cli.string(FLAGS, "models", ",".join(cases.MODELS), "models, separated by commas")
cli.string(FLAGS, "seeds", "1,10", "numbers of seeds, separated by commas")
cli.string(FLAGS, "styles", ",".join(cases.STYLES), "styles, separated by commas")
cli.integer(FLAGS, "rounds", 5, "number of blocks of each style", lower=1)
cli.number(FLAGS, "block_seconds", 1.0, "approximate length of a block in seconds")
cli.string(FLAGS, "markdown", None, "also write the tables to this Markdown file")
cli.string(
    FLAGS, "scaling", None, "instead, measure how time and memory grow with seeds, N, steps and trials; plot in this .png"
)


def main() -> int:
    chosen = cases.choose(FLAGS.cases, list(cases.SIZES), "cases")
    models = cases.choose(FLAGS.models, cases.MODELS, "models")
    styles = cases.choose(FLAGS.styles, cases.STYLES, "styles")
    seeds = cases.counts(FLAGS.seeds, "seeds")
    if not FLAGS.block_seconds > 0:
        raise NmbenchError(f"--block_seconds must be positive, got {FLAGS.block_seconds}")
    for name in ("markdown", "scaling"):
        value = getattr(FLAGS, name)
        if value and not pathlib.Path(value).resolve().parent.is_dir():
            raise NmbenchError(f"--{name}={value}: no such folder")
    if FLAGS.scaling and not FLAGS.scaling.endswith(".png"):
        raise NmbenchError(f"--scaling={FLAGS.scaling}: the file name must end in .png")
    notes = []
    if "torch" in styles and not importlib.util.find_spec("torch"):
        styles = [style for style in styles if style != "torch"]
        notes.append("style torch is skipped; to include it: pip install 'torch>=2.4'")
    report = reporting.Report(FLAGS.markdown, notes)
    if FLAGS.scaling:
        import scaling

        scaling.main(FLAGS.scaling, FLAGS.block_seconds, report)
        return 0
    if not styles:
        raise NmbenchError(notes[0])
    rows, limits = [], []
    for case in chosen:
        for model in models:
            for number in seeds:
                rows += measure(case, model, number, styles, FLAGS.rounds, FLAGS.block_seconds)
            ours = [r for r in rows if (r["case"], r["model"], r["style"]) == (case, model, "nmbench")]
            if ours:
                with Worker(style="roofline", case=case, model=model) as worker:
                    bound = worker.begin()
                limits += [limit(bound, row) for row in ours]
    report.table("Time of a training step", [{k: v for k, v in row.items() if k != "_ms"} for row in rows])
    if limits:
        report.table("Estimated least time of a training step", limits)
    report.close()
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(case: str, model: str, seeds: int, styles: list[str], rounds: int, block: float) -> list[dict[str, Any]]:
    """Time all styles in turns, for one case, model and number of seeds. Returns the rows of the table."""
    with contextlib.ExitStack() as stack:
        workers, compile_s, steps = {}, {}, {}
        for style in styles:
            workers[style] = stack.enter_context(Worker(style=style, case=case, model=model, seeds=seeds))
            compile_s[style] = workers[style].begin()["compile_s"]
            steps[style] = workers[style].calibrate(block)
        times: dict[str, list[float]] = {style: [] for style in styles}
        memory = {}
        for _ in range(rounds):
            for style in styles:
                answer = workers[style].run(steps[style])
                times[style].append(1000 * answer["seconds"] / (steps[style] * seeds))
                memory[style] = answer["peak_rss_mb"]
    rows = []
    for style in styles:
        ms = statistics.median(times[style])
        row = {"case": case, "model": model, "seeds": seeds, "style": style, "_ms": ms}
        row |= {"ms/step/seed": reporting.digits(ms), "steps/s": reporting.digits(1000 / ms), "x nmbench": "", "range": ""}
        if "nmbench" in styles:
            ratios = [a / b for a, b in zip(times[style], times["nmbench"], strict=True)]
            row["x nmbench"] = f"{statistics.median(ratios):.2f}"
            row["range"] = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        rows.append({**row, "peak MB": round(memory[style]), "compile s": f"{compile_s[style]:.1f}"})
        say(f"{case}, {model}, {seeds} seeds, {style}: {reporting.digits(ms)} ms per step and seed")
    return rows


def limit(bound: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """A row of the second table: the estimate of `roofline.measure` and the measured time."""
    cores, seeds = devices.cores(), row["seeds"]
    # A core runs whole seeds: 10 seeds on 4 cores take as long as 12.
    best = bound["ms"] * -(-seeds // min(cores, seeds)) / seeds
    digits = reporting.digits
    return {
        "case": row["case"],
        "model": row["model"],
        "seeds": seeds,
        "MMAC": digits(bound["macs"] / 1e6),
        "M tanh": digits(bound["tanhs"] / 1e6),
        "MB kept": digits(bound["bytes"] / 1e6),
        "GMAC/s": digits(bound["mac_rate"] / 1e9),
        "G tanh/s": digits(bound["tanh_rate"] / 1e9),
        "GB/s": digits(bound["byte_rate"] / 1e9),
        "ms on one core": digits(bound["ms"]),
        "ms per seed on all": digits(best),
        "measured ms": digits(row["_ms"]),
        "fraction": f"{best / row['_ms']:.2f}",
    }


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "speed.py")
