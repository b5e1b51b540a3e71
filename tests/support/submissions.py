"""A small model for submissions, and changes of a submission folder as of somebody who wants a better row."""

import dataclasses
import json
import pathlib

import safetensors.numpy

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.metrics import scores
from nmbench.experiments.configuration import Configuration
from nmbench.results import csv_files

LEAKY = '''
import jax
import jax.numpy as jnp
import nmbench


@nmbench.register_baseline("leaky", free_size="N")
class Leaky(nmbench.Core):
    """x_t = x_{t-1} + tanh(W x_{t-1} + b) / 10 + B u_t;  y_t = C x_t."""

    def __init__(self, spec, N: int):
        super().__init__(spec)
        self.W = self.learned("W", (N, N), 1 / N**0.5)
        self.B = self.learned("B", (N, spec.input_size), 1.0)
        self.b = self.learned("b", (N, 1), 0.1)
        self.C = self.learned("C", (spec.output_size, N), 1 / N**0.5)
        self.N = N

    def input_map(self, inputs):
        return self.B @ self.concat(inputs)

    def initial_state(self, batch_size):
        return jnp.zeros((self.N, batch_size))

    def step(self, x, u):
        return x + jnp.tanh(self.W @ x + self.b) / 10 + u

    def readout(self, x):
        return self.C @ x
'''


def register_toy(make, folder, **changes):
    """The toy task with a grid of learning rates that tuning does not extend."""
    task = make(folder, **changes)
    grid = dataclasses.replace(task.protocols[0], learning_rate_grid=(1e-2, 1e-1, 1.0))
    task = dataclasses.replace(task, protocols=(grid, task.protocols[1]))
    TASKS.register("toy", task, origin="tests/support/toys.py:1")
    return task


def rows_of(place: pathlib.Path, task: str = "toy") -> list[dict]:
    return csv_files.read_csv(place / f"{task}.csv")


def rewrite(place: pathlib.Path, rows: list[dict], task: str = "toy") -> None:
    (place / f"{task}.csv").write_text(csv_files.to_csv(rows))


def arrays_of(place: pathlib.Path, task: str = "toy") -> dict:
    return safetensors.numpy.load_file(place / f"{task}.safetensors")


def repack(place: pathlib.Path, arrays: dict, task: str = "toy") -> None:
    safetensors.numpy.save_file({name: array.copy() for name, array in arrays.items()}, place / f"{task}.safetensors")


def reconfigure(place: pathlib.Path, **changes) -> None:
    """Change entries of the configurations of all rows, with the columns and the run ids that belong to them."""
    rows, names = rows_of(place), {}
    for row in rows:
        configuration = Configuration.from_dict({**json.loads(row["config_json"]), **changes})
        names[row["run_id"]] = configuration.run_id
        row.update(run_id=configuration.run_id, config_json=configuration.to_json(), train_steps=configuration.steps)
        row.update({name: value for name, value in changes.items() if name in row and name != "protocol"})
    rewrite(place, rows)
    arrays = {f"{names[name.split('/')[0]]}/{name.partition('/')[2]}": array for name, array in arrays_of(place).items()}
    repack(place, arrays)


def change_values(place: pathlib.Path, factor: float, trials: bool) -> None:
    """Multiply the values of all rows, with their scores and conditions, and if `trials` the values of trials."""
    rows = rows_of(place)
    for row in rows:
        row["value"] *= factor
        row["score"] = float(scores(row["value"], row["floor"], row["ceiling"]))
        if trials:
            means = json.loads(row["conditions_json"])
            means = {metric: {name: factor * mean for name, mean in one.items()} for metric, one in means.items()}
            row["conditions_json"] = json.dumps(means)
    rewrite(place, rows)
    if trials:
        values = lambda name: "/per_trial/" in name and not name.endswith(".exponent")
        repack(place, {name: array * (factor if values(name) else 1) for name, array in arrays_of(place).items()})
