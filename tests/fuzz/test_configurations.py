"""Configurations with one entry left out, of a wrong type or too large, read by every command that reads configurations."""

import json
import shutil

import jax
import pytest
from hypothesis import strategies as st

from nmbench.experiments import resolution
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.recording import experiment_columns
from nmbench.experiments.request import Request
from nmbench.results import csv_files, schema
from nmbench.results.store import PARAMS
from nmbench.support.errors import NmbenchError
from nmbench.training import parameter_files
from support.guard import FEW, cases, fuzz
from support.rows import make_row

LEFT_OUT = object()
EXTREMES = [
    0,
    1,
    -1,
    2,
    0.5,
    -0.5,
    2**31,
    2**63,
    -(2**64),
    10**400,
    -(10**400),
    1e-320,
    1e299,
    1e308,
    "",
    "x",
    "1",
    True,
    None,
]
NESTED = [[], {}, [[]], [{}], {"a": 1}, {"name": "matched"}, [1, 2], {"a": {"a": [10**400]}}, [{"steps": 10**400}]]
DRAWN = [None, LEFT_OUT, *EXTREMES, *NESTED]
COMMANDS = ["validate", "terminal", "compare", "reproduce"] * 4 + ["html"]


def entries(value, path=()):
    """Paths of all entries of a configuration, nested ones as well."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from entries(part, (*path, key))


def changed(config, path, value):
    """A copy of `config` with another value at `path`."""
    config = json.loads(json.dumps(config))
    place = config
    for key in path[:-1]:
        place = place[key]
    if value is LEFT_OUT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return config


@pytest.fixture(scope="module")
def run(guard):
    """The columns of a run of the toy task, its configuration and a file of parameters that fit it."""
    experiment = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": "4"}, allow_budget_miss=True))
    path = guard.given / PARAMS
    parameter_files.save_params(path, experiment.model.init(jax.random.key(0)))
    return experiment_columns(experiment), experiment.configuration(0).to_dict(), path


@cases("configurations")
def test_configurations(guard, run, count):
    columns, config, params = run
    paths = list(entries(config))

    def row_of(config):
        try:  # with a run id that fits, more code sees the configuration
            run_id = Configuration.from_dict(config).run_id
        except NmbenchError:
            run_id = "other"
        text = json.dumps(config)
        return make_row(**{**columns, "config_json": text, "run_id": run_id if schema.RUN_ID.fullmatch(run_id) else "other"})

    def check(case):
        command, path, value = case
        folder = guard.folder()
        row = row_of(changed(config, path, value))
        rows = [row, row_of({**config, "seed": 1}) | {"seed": 1}]
        runs = folder / "runs" / row["run_id"]
        runs.mkdir(parents=True)
        shutil.copy(params, runs / PARAMS)
        table = folder / "results.csv"
        table.write_text(csv_files.to_csv(rows), encoding="utf-8")
        (runs / "row.json").write_text(json.dumps(row))
        argv = {
            "validate": ("validate", str(table)),
            "terminal": ("leaderboard", str(table)),
            "compare": ("compare", str(table)),
            "reproduce": ("reproduce", f"{table}:1", "--from=params"),
            "html": ("leaderboard", str(folder), "--format=html", f"--out={folder}/page"),
        }[command]
        try:
            return guard.call(*argv, may_write=folder if command == "html" else None)[0]
        finally:
            jax.config.update("jax_enable_x64", False)  # `reproduce` sets it as the configuration says

    codes = fuzz(count, st.tuples(st.sampled_from(COMMANDS), st.sampled_from(paths), st.sampled_from(DRAWN)), check)
    assert len(codes) >= count and set(codes) <= {0, 1, 2}
    assert count == FEW or {0, 2} <= set(codes)  # both valid and refused cases occur
