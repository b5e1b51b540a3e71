"""Try frauds against the check of training starts of `nmbench verify --tier=re-trained`, on the reference rows.

python benchmarks/start_rates.py

For every experiment of results/board with stored curves, all seeds are trained until the first point of their curves: as
their rows say, and in other ways that a submitter might claim to be these rows. The table, in Markdown, has the number of
steady seeds and how many of them are recognised; bold numbers fail the check. docs/verification.md explains it.

  rows           the stored curves of the rows
  rate +1%       trained here with a learning rate that is 1% larger (+10%, x3 likewise)
  other data     trained here on the training data of another seed
  exchanged      the seed numbers of the rows' curves are exchanged among half of the seeds
"""

from __future__ import annotations

import dataclasses
import pathlib

import _checkout  # noqa: F401
import numpy as np
import tabulate

from nmbench.contracts import plugins
from nmbench.experiments import loading
from nmbench.experiments.configuration import Configuration
from nmbench.results import csv_files, curves, packs
from nmbench.submissions import training_starts
from nmbench.submissions.retraining_probe import NUDGE
from nmbench.support import cli, devices

FLAGS = cli.new_flags("plugin")
RATES = {"rate +1%": 1.01, "rate +10%": 1.1, "rate x3": 3.0}
BOARD = pathlib.Path(__file__).resolve().parents[1] / "results" / "board"


def train_starts(setup, seeds: list[int], rates: list[float]) -> np.ndarray:
    """Training and validation loss of the first point of each curve, `[rates, seeds, 2]`."""
    from nmbench.training.trainer import Trainer, TrainingRun

    trainer = Trainer(setup, [TrainingRun(seed, rate) for rate in rates for seed in seeds])
    for piece in trainer:
        if piece.validation_losses is not None:
            break
    first = np.array([one.curve[0][1:] for one in trainer.snapshots()], dtype=np.float64)
    return first.reshape(len(rates), len(seeds), 2)


def stored_starts(path: pathlib.Path, rows) -> np.ndarray:
    """The first points of the rows' stored curves, `[seeds, 2]`; NaN for a run without a curve."""
    folders = [packs.run_folder(packs.beside(path), row["run_id"]) for row in rows]
    found = [np.full(2, np.nan) if folder is None else curves.read_curve(folder)[0, 1:] for folder in folders]
    return np.array(found)


def examine(path: pathlib.Path, rows) -> list[str]:
    """One line of the table."""
    experiment = loading.resolve_again(Configuration.from_json(rows[0]["config_json"]))
    setup, rate = experiment.training_setup(), experiment.learning_rate.value
    seeds = [row["seed"] for row in rows]
    here, nudged, *other_rates = train_starts(setup, seeds, [rate, rate * (1 + NUDGE), *(rate * f for f in RATES.values())])
    (other_data,) = train_starts(dataclasses.replace(setup, data_seed=1), seeds, [rate])
    stored = stored_starts(path, rows)
    exchanged = stored.copy()
    half = np.arange(len(seeds) // 2)
    exchanged[half] = stored[np.roll(half, 1)]
    cells = []
    for claimed in (stored, *other_rates, other_data, exchanged):
        outcome = training_starts.compare(claimed, here, nudged)
        cells.append(f"{outcome.matches}" if outcome.passed else f"**{outcome.matches}**")
    return [rows[0]["task"], rows[0]["model"], str(outcome.judged), *cells]


def main(paths: list[str]) -> int:
    devices.start(None)
    plugins.load_all(FLAGS.plugin)
    lines = []
    for path in [pathlib.Path(one) for one in paths] or sorted(BOARD.glob("*.csv")):
        by_model: dict[str, list] = {}
        for row in csv_files.read_csv(path):
            by_model.setdefault(row["model"], []).append(row)
        for rows in by_model.values():
            if packs.beside(path).is_file():
                lines.append(examine(path, rows))
                print(" ".join(lines[-1]), flush=True)
    headers = ("task", "model", "steady", "rows", *RATES, "other data", "exchanged")
    print(tabulate.tabulate(lines, headers, "github", disable_numparse=True))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "start_rates.py", "[FILE.csv ...]")
