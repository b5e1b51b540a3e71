"""Fit the constants of `nmbench/sweeps/estimate.py` to the rows of CSVs, by default those of the board and the ledger.

python benchmarks/cost.py results/board/*.csv results/claims/rows.csv
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
RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
ROWS = [*sorted((RESULTS / "board").glob("*.csv")), RESULTS / "claims" / "rows.csv"]


def main(paths: list[str]) -> int:
    groups = defaultdict(list)
    for row in (row for path in paths or ROWS for row in csv_files.read_csv(pathlib.Path(path))):
        if (seconds := estimate.measured(row)) is not None:
            groups[row["model"], row["task"], row["protocol"]].append((row, seconds))
    names, features, seconds = [], [], []
    for name, members in sorted(groups.items()):
        row, task = members[0][0], TASKS.get(name[1])
        trials = products = 0
        for phase in json.loads(row["config_json"])["protocol"]["phases"]:
            batch = phase["batch_size"] or estimate.training_trials(task, phase["data"])
            trials += phase["steps"] * task.spec.steps * batch
            products += phase["steps"] * task.spec.steps * batch * row["params_actual"]
        names.append(name)
        features.append((trials, products))
        seconds.append(statistics.median(s for _, s in members))
    # Logarithms, so that a factor too much counts as a factor too little; soft_l1, because some rows were timed beside other
    # work.
    wrong = lambda logs: np.log(np.array(features, float) @ np.exp(logs) / np.array(seconds))
    constants = np.exp(scipy.optimize.least_squares(wrong, np.log([1e-7, 1e-10]), loss="soft_l1").x)
    estimates = np.array(features, float) @ constants
    lines = [(*n, s, e, e / s) for n, s, e in zip(names, seconds, estimates, strict=True)]
    print(tabulate.tabulate(lines, ("model", "task", "protocol", "core-s per seed", "estimate", "ratio"), floatfmt=".3g"))
    per_job = [(r["compile_s"] + r["eval_s"]) * r["seeds_together"] for members in groups.values() for r, _ in members[:1]]
    print(f"\nPER_TRIAL = {constants[0]:.2g}\nPER_PRODUCT = {constants[1]:.2g}")
    print(f"compilation and evaluation of an experiment, median: {statistics.median(per_job):.1f} s")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "cost.py", "[FILE.csv ...]")
