"""How often resampled tuning seeds choose another learning rate, and what that costs: ten seeds and five.

Tuning seeds are drawn again, with replacement, from each shipped tuning record with ten seeds. "same" is the share of draws
that choose the rate of the record. "loss" is the geometric mean of the validation loss at the chosen rate, divided by that
at the rate of the record. The grid is that of the record, also where a rate at its end wins.

    python benchmarks/tuning_seeds.py
"""

from __future__ import annotations

import json
import pathlib

import _checkout  # noqa: F401
import numpy as np
import tabulate

from nmbench.contracts import tuning_record
from nmbench.support import cli

RECORDS = pathlib.Path(__file__).resolve().parents[1] / "baselines" / "tuned"
SEEDS, DRAWS = (10, 5), 4000


def main() -> int:
    lines = []
    for path in sorted(RECORDS.glob("*.json")):
        record = tuning_record.check(json.loads(path.read_text()))
        logs = np.array(tuning_record.logs(record["validation_losses"]))
        if logs.shape[1] < max(SEEDS):
            continue
        actual, random, cells = record["grid"].index(record["chosen"]), np.random.default_rng(0), []
        for seeds in SEEDS:
            drawn = random.integers(logs.shape[1], size=(DRAWS, seeds))
            chosen = logs[:, drawn].mean(axis=2).argmin(axis=0)
            worse = logs.mean(axis=1)[chosen].mean() - logs[actual].mean()
            cells += [f"{np.mean(chosen == actual):.2f}", f"{10**worse:.2f}"]
        lines.append([record["model"], record["task"], f"{record['chosen']:g}", *cells])
    header = ["model", "task", "rate", *(f"{what}, {seeds} seeds" for seeds in SEEDS for what in ("same", "loss"))]
    print(tabulate.tabulate(lines, header, tablefmt="github", disable_numparse=True))
    return 0


if __name__ == "__main__":
    cli.run(main, cli.new_flags(), __doc__, "tuning_seeds.py")
