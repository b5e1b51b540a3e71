"""The constants of `nmbench/sweeps/estimate.py`, fitted to the rows of results CSVs.

python benchmarks/cost.py results/reference.csv
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
from collections import defaultdict

import numpy as np
import scipy.optimize
import tabulate

from nmbench.support import devices

devices.prepare(1)

from nmbench.contracts.catalog import TASKS  # noqa: E402
from nmbench.results import csv_files  # noqa: E402
from nmbench.sweeps import estimate  # noqa: E402


def main(paths: list[str]) -> None:
    groups = defaultdict(list)
    for row in (row for path in paths for row in csv_files.read_csv(pathlib.Path(path))):
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
    # Each equation is divided by the measured seconds, so that errors are relative. Constants are not negative.
    scaled = np.array(features, float) / np.array(seconds)[:, None]
    scale = scaled.max(axis=0)
    constants = scipy.optimize.nnls(scaled / scale, np.ones((len(names),)))[0] / scale
    estimates = np.array(features, float) @ constants
    lines = [(*n, s, e, e / s) for n, s, e in zip(names, seconds, estimates, strict=True)]
    print(tabulate.tabulate(lines, ("model", "task", "protocol", "core-s per seed", "estimate", "ratio"), floatfmt=".3g"))
    per_job = [(r["compile_s"] + r["eval_s"]) * r["seeds_together"] for members in groups.values() for r, _ in members[:1]]
    print(f"\nPER_STEP = {constants[0]:.2g}\nPER_PRODUCT = {constants[1]:.2g}")
    print(f"compilation and evaluation of an experiment, median: {statistics.median(per_job):.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:] or ["results/reference.csv"])
