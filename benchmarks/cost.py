"""Fit the constants of `nmbench/sweeps/estimate.py` to the rows of results CSVs, by default the reference rows.

python benchmarks/cost.py results/board/*.csv
"""

from __future__ import annotations

import json
import pathlib
import statistics
from collections import defaultdict

import _checkout  # noqa: F401
import numpy as np
import scipy.optimize
import tabulate

from nmbench.support import cli, devices

devices.prepare(1)

from nmbench.contracts.catalog import TASKS  # noqa: E402
from nmbench.results import csv_files  # noqa: E402
from nmbench.sweeps import estimate  # noqa: E402

FLAGS = cli.new_flags()
BOARD = sorted((pathlib.Path(__file__).resolve().parents[1] / "results" / "board").glob("*.csv"))


def main(paths: list[str]) -> int:
    groups = defaultdict(list)
    for row in (row for path in paths or BOARD for row in csv_files.read_csv(pathlib.Path(path))):
        if (seconds := estimate.measured(row)) is not None:
            groups[row["model"], row["task"], row["protocol"]].append((row, seconds))
    names, features, seconds = [], [], []
    for name, members in sorted(groups.items()):
        row, task = members[0][0], TASKS.get(name[1])
        steps = products = 0
        for phase in json.loads(row["config_json"])["protocol"]["phases"]:
            batch = phase["batch_size"] or estimate.training_trials(task, phase["data"])
            steps += phase["steps"] * task.spec.steps
            products += phase["steps"] * task.spec.steps * batch * row["params_actual"]
        names.append(name)
        features.append((steps, products))
        seconds.append(statistics.median(s for _, s in members))
    # Each equation is divided by the measured seconds, so that the fit minimises relative errors. Constants are >= 0.
    scaled = np.array(features, float) / np.array(seconds)[:, None]
    scale = scaled.max(axis=0)
    constants = scipy.optimize.nnls(scaled / scale, np.ones((len(names),)))[0] / scale
    estimates = np.array(features, float) @ constants
    lines = [(*n, s, e, e / s) for n, s, e in zip(names, seconds, estimates, strict=True)]
    print(tabulate.tabulate(lines, ("model", "task", "protocol", "core-s per seed", "estimate", "ratio"), floatfmt=".3g"))
    per_job = [(r["compile_s"] + r["eval_s"]) * r["seeds_together"] for members in groups.values() for r, _ in members[:1]]
    print(f"\nPER_STEP = {constants[0]:.2g}\nPER_PRODUCT = {constants[1]:.2g}")
    print(f"compilation and evaluation of an experiment, median: {statistics.median(per_job):.1f} s")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "cost.py", "[FILE.csv ...]")
