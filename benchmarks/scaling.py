"""Measure how the trainer's time and memory grow for the NM-RNN on `mwg_rank3`. One size varies at a time."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import reporting
from workers import Worker

from nmbench.support.errors import NmbenchError

CASE, MODEL, SEEDS = "mwg_rank3", "nmrnn", 2
# From the label of a size to ("seeds" or a key in `changes` of `cases.load`, values). If T or B varies, the data are noise.
AXES: dict[str, tuple[str, tuple[int, ...]]] = {
    "seeds": ("seeds", (1, 2, 5, 10, 20, 50, 100)),
    "units N": ("N", (25, 50, 100, 200, 400, 800, 1600)),
    "steps T of a trial": ("T", (26, 55, 110, 220, 500, 1000, 2000)),
    "trials per step": ("B", (10, 20, 40, 80, 160, 320, 640)),
}


def main(path: str, block_seconds: float, report: reporting.Report) -> None:
    """Measure all points, print them and plot them in the file `path`."""
    try:
        import matplotlib
    except ImportError as error:
        raise NmbenchError("--scaling needs matplotlib: pip install 'matplotlib>=3.8'") from error
    matplotlib.use("Agg")
    points: dict[str, list[tuple[float, float]]] = {}
    for label, (key, values) in AXES.items():
        points[label] = []
        for value in values:
            print(f"{label} = {value}", file=sys.stderr, flush=True)
            points[label].append(measure(key, value, block_seconds))
        rows = [
            {label: v, "ms/step": reporting.digits(ms), "peak MB": round(mb)} for v, (ms, mb) in zip(values, points[label])
        ]
        report.table(f"{MODEL} on {CASE}, {label} varied", rows)
    try:
        draw(pathlib.Path(path), points)
    except (OSError, ValueError) as error:
        raise NmbenchError(f"cannot write {path}: {error}") from error
    report.close()


def measure(key: str, value: int, block_seconds: float) -> tuple[float, float]:
    """Returns (ms per step of all seeds, the better of two blocks; peak MB) with one size changed."""
    seeds, changes = (value, {}) if key == "seeds" else (SEEDS, {key: value})
    with Worker(style="nmbench", case=CASE, model=MODEL, seeds=seeds, changes=changes) as worker:
        worker.begin()
        steps = worker.calibrate(block_seconds / 2)
        answers = [worker.run(steps) for _ in range(2)]
    return 1000 * min(a["seconds"] for a in answers) / steps, answers[-1]["peak_rss_mb"]


def draw(path: pathlib.Path, points: dict[str, list[tuple[float, float]]]) -> None:
    """Draw log-log plots, time above and memory below. A dotted line of slope one goes through the last point of each."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, len(AXES), figsize=(3.2 * len(AXES), 5.6), sharex="col", sharey="row", layout="constrained"
    )
    for column, (label, (_, values)) in enumerate(AXES.items()):
        for row, what in enumerate(("ms per step, all seeds", "peak memory, MB")):
            ax: Any = axes[row, column]
            measured = [point[row] for point in points[label]]
            ax.loglog(values, measured, "o-", markersize=4)
            ax.loglog(values, [measured[-1] * v / values[-1] for v in values], "k:", linewidth=1, label="slope 1")
            if column == 0:
                ax.set_ylabel(what)
            if row == 1:
                ax.set_xlabel(label)
                ax.set_xticks(values, [str(v) for v in values], rotation=45)
                ax.set_xticks([], minor=True)
    for row in range(2):
        measured = [point[row] for axis in points.values() for point in axis]
        axes[row, 0].set_ylim(min(measured) / 1.5, max(measured) * 1.5)
    axes[0, 0].legend()
    figure.suptitle(f"{MODEL} on {CASE}: {SEEDS} seeds unless varied")
    figure.savefig(path, dpi=120)
    plt.close(figure)
