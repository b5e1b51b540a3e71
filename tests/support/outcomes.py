"""Contents of results folders, for tests of interrupted runs."""

import json

import numpy as np
import safetensors.numpy

from nmbench.results import csv_files

BASE = ("nmbench.run", "--model=rnn", "--task=element_finder", "--hparams=N=3", "--devices=1")
# Columns about durations, times and the machine, which may differ after an interruption.
CIRCUMSTANCES = {"compile_s", "train_s", "eval_s", "peak_rss_mb", "started_utc", "seeds_together", "n_devices"}


def outcome(folder):
    """Everything in a results folder that must not depend on interruptions."""
    runs = {}
    for run in sorted((folder / "runs").iterdir()):
        row = json.loads((run / "row.json").read_text())
        params = {k: v.tobytes() for k, v in safetensors.numpy.load_file(str(run / "params.safetensors")).items()}
        with np.load(run / "per_trial.npz") as file:
            trials = {name: file[name].tobytes() for name in file.files}
        row = {k: v for k, v in row.items() if k not in CIRCUMSTANCES}
        runs[run.name] = (row, params, trials, (run / "curve.csv").read_text())
    assert sorted(runs) == sorted(row["run_id"] for row in csv_files.read_csv(folder / "results.csv"))
    return runs


def checkpoints(folder):
    return sorted((folder / "checkpoints").glob("*.safetensors"))
