"""Measure files, bytes and time of ten thousand stub runs with valid rows, in a temporary folder. Nothing is trained.

  python benchmarks/ten_thousand.py --runs=10000 --markdown=table.md

The runs are those of a sweep over all tasks and built-in models at many budgets, ten seeds each.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import pathlib
import tempfile
import time

import _checkout  # noqa: F401
import numpy as np
import safetensors.numpy
from absl import app, flags, logging

from nmbench import __main__
from nmbench.support import cli, devices

devices.prepare(1)

import tabulate  # noqa: E402

from nmbench import sweep  # noqa: E402
from nmbench.contracts.catalog import BASELINES, TASKS  # noqa: E402
from nmbench.experiments import recording  # noqa: E402
from nmbench.results import provenance, schema  # noqa: E402
from nmbench.results.store import Store  # noqa: E402
from nmbench.sweeps import grid  # noqa: E402

SEEDS = 10
RUNS = flags.DEFINE_integer("runs", 10_000, "number of runs, a multiple of ten", lower_bound=SEEDS)
MARKDOWN = flags.DEFINE_string("markdown", None, "also write the table to this Markdown file")
FOLDER = flags.DEFINE_string("folder", None, "make the temporary folder in this folder; by default in the system's")


def stub_rows(point: grid.GridPoint) -> list[dict]:
    """A row for every seed of an experiment; only results of training and evaluation are invented."""
    experiment, random = point.experiment, np.random.RandomState(len(point.name))
    metric = experiment.task.primary
    rows = []
    for seed in range(SEEDS):
        configuration = experiment.configuration(seed)
        value = float(metric.ceiling + (metric.floor - metric.ceiling) * random.rand())
        rows.append(
            {
                **dict.fromkeys(column.name for column in schema.COLUMNS),
                **recording.experiment_columns(experiment),
                **ORIGIN,
                "schema_version": schema.SCHEMA_VERSION,
                "run_id": configuration.run_id,
                "status": "ok",
                "config_json": configuration.to_json(),
                "seed": seed,
                "value": value,
                "score": metric.score(value),
                "last_value": value,
                "validation_loss": abs(value),
                "conditions_json": schema.canonical_json({metric.name: {str(i): value for i in range(20)}}),
                "selected_step": 1,
                **dict.fromkeys(("compile_s", "train_s", "eval_s", "peak_rss_mb"), 1.0),
                "seeds_together": SEEDS,
                "n_devices": 2,
                "started_utc": provenance.utc_now(),
            }
        )
    return rows


def write(store: Store, rows: list[dict]) -> None:
    params = safetensors.numpy.save({"w": np.zeros((500,), np.float32)})
    trials = {"metric": np.zeros((1000,))}
    curve = [(250 * i, 1.0, 1.0) for i in range(1, 81)]
    for row in rows:
        store.write(row, lambda path: path.write_bytes(params), trials, curve)


class Table:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def timed(self, what: str):
        began = time.perf_counter()
        yield
        self.add(what, f"{time.perf_counter() - began:.1f} s")

    def add(self, what: str, value: str) -> None:
        self.lines.append((what, value))
        print(f"{what}: {value}", flush=True)


def command(name: str, *argv: str) -> str:
    """The output of a command, called in this process."""
    module, out = {"sweep": sweep, "leaderboard": __import__("nmbench.leaderboard", fromlist=["main"])}[name], io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", __main__.COMMANDS[name], list(argv))
    assert code == 0, name
    return out.getvalue()


def main(_) -> None:
    logging.set_verbosity(logging.WARNING)
    experiments, table = RUNS.value // SEEDS, Table()
    models = tuple(entry.name for entry in BASELINES.entries())
    tasks = tuple(entry.name for entry in TASKS.entries())
    per_budget = len(models) * len(tasks)
    budgets = tuple(400 + 37 * i for i in range(2 * experiments // per_budget + 2))
    with tempfile.TemporaryDirectory(dir=FOLDER.value) as folder:
        results = str(pathlib.Path(folder, "results"))
        request = grid.SweepRequest(models=models, tasks=tasks, budgets=budgets, seeds=range(SEEDS), results_dir=results)
        store = Store(results)
        with table.timed(f"resolving a grid of {per_budget * len(budgets)} experiments"):
            points = grid.build(request).points
        points = sorted(points, key=lambda point: point.name)[:experiments]
        assert len(points) == experiments
        store.prepare()
        with table.timed(f"making {RUNS.value} run folders (every file flushed to disk)"):
            for point in points:
                write(store, stub_rows(point))
        files = [path for path in pathlib.Path(results).rglob("*") if path.is_file()]
        table.add("files", str(len(files)))
        table.add("MB", f"{sum(path.stat().st_size for path in files) / 1e6:.0f}")
        table.add("MB on disk", f"{sum(512 * path.stat().st_blocks for path in files) / 1e6:.0f}")
        with table.timed("listing the names of all runs"):
            assert len(store.names()) == RUNS.value
        with table.timed("collecting all runs into results.csv"):
            assert len(store.collect()) == RUNS.value
        table.add("MB of results.csv", f"{os.path.getsize(store.csv) / 1e6:.0f}")
        flags_ = ["--models=all", "--tasks=all", f"--budgets={','.join(map(str, budgets))}", f"--results_dir={results}"]
        with table.timed("sweep --dry_run over the whole grid, with these runs done"):
            shown = command("sweep", *flags_, "--dry_run")
        done = sum(point.experiment.configuration(0).budget in budgets for point in points) * SEEDS
        assert f" {done} " in shown.splitlines()[len(tasks) + 3], shown
        first = points[0].experiment
        with table.timed("reading ten rows, as each process of a sweep does"):
            assert all(store.row(first.run_id(seed)) for seed in range(SEEDS))
        for what in ("results", "results/results.csv"):
            with table.timed(f"leaderboard of {'the folder' if what == 'results' else 'results.csv'}"):
                command("leaderboard", str(pathlib.Path(folder, what)), "--tables=tasks", "--format=csv")
        table.add("processes started by a local sweep", str(experiments))
        rows = collections.Counter(json.loads((p / "row.json").read_bytes())["status"] for p in store.folders()[:10])
        assert rows == {"ok": 10}
    text = tabulate.tabulate(
        table.lines, ("", f"{RUNS.value} runs of {experiments} experiments"), tablefmt="github", disable_numparse=True
    )
    print(f"\n{text}")
    if MARKDOWN.value:
        pathlib.Path(MARKDOWN.value).write_text(f"{text}\n", encoding="utf-8")


ORIGIN = provenance.describe()

if __name__ == "__main__":
    app.run(main)
