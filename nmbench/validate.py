"""Check results CSVs or results folders against the schema; an error names the row and the column.

  python -m nmbench.validate results/board results/claims/rows.csv --figures=results/claims/figures

With --figures, the figures in the folder must show rows of these files: each figure of `python -m nmbench.figures` contains
the run ids and values of its rows.

If the task of a row is installed in the row's version, the row must have its floor, ceiling, metrics and number of test
trials. If the model is that of the row, too, the row must have the number of parameters that follows from its configuration,
and if the protocol is, also the departures. If the run folder of a row is named, is in the results folder or in that of the
CSV, the values of the row must be the means over the trials stored there.
"""

from __future__ import annotations

import functools
import math
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nmbench.support import cli
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.contracts.task import Task

FLAGS = cli.new_flags()
cli.string(FLAGS, "figures", None, "folder with figures and captions.md, which must show the given rows")


def main(paths: list[str]) -> int:
    from nmbench.report import captions
    from nmbench.results import per_trial, store

    figures = None if FLAGS.figures is None else pathlib.Path(os.path.expanduser(FLAGS.figures))
    if figures is not None and not figures.is_dir():
        raise NmbenchError(f"--figures={FLAGS.figures}: there is no such folder")
    if not paths:
        raise NmbenchError("name at least one results CSV or results folder")
    counts, every = [], []
    for path in paths:
        rows = store.read(path)
        every += rows
        expanded = pathlib.Path(os.path.expanduser(path))
        runs = store.Store(expanded if expanded.is_dir() else expanded.parent).runs
        one_run = (expanded / store.ROW).is_file()
        for row in rows:
            check_configuration(path, row)
            check_task(path, row)
            if one_run or runs.is_dir():
                per_trial.check(expanded if one_run else runs / row["run_id"], row)
        counts.append((path, len(rows)))
    shown = {} if figures is None else captions.check(figures, every)
    if figures is not None and not shown:
        raise NmbenchError(f"--figures={FLAGS.figures}: the folder has no figure of nmbench")
    for path, n in counts:
        print(f"{path}: {n} valid row{'' if n == 1 else 's'}")
    if figures is not None:
        print(f"{figures}: {len(shown)} figure{'' if len(shown) == 1 else 's'} of these rows")
    return 0


def check_configuration(path: str, row: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` unless the configuration of a row is complete and agrees with it.

    A model trained elsewhere has none.
    """
    from nmbench.contracts.catalog import BASELINES
    from nmbench.experiments import loading
    from nmbench.experiments.configuration import Configuration
    from nmbench.results.schema import EXTERNAL

    if row["protocol"] == EXTERNAL:
        return
    where = f"{path}, run {row['run_id']}, column 'config_json'"
    try:
        configuration = Configuration.from_json(row["config_json"])
    except NmbenchError as error:
        raise NmbenchError(f"{where}: {error}") from None
    free = BASELINES.get(configuration.model).free_size if configuration.model in BASELINES else None
    if free is not None and free not in configuration.hparams:
        raise NmbenchError(f"{where}: 'hparams.{free}', the size of {configuration.model}, is missing")
    loading.check_columns(row, configuration)


def check_task(path: str, row: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` if columns of a row contradict its task or protocol, installed in the version of the row."""
    from nmbench.contracts.catalog import TASKS
    from nmbench.results import columns, schema

    task = TASKS.get(row["task"]) if row["task"] in TASKS else None
    if task is None or task.version != row["task_version"]:
        return
    try:
        test = task.frozen("test")
    except NmbenchError:  # it is missing or damaged
        return
    if test.sha256 != row["testset_sha256"]:
        return
    expected = {**columns.task_columns(task, test.sha256, test.n), **_of_configuration(path, row, task)}
    for name, value in expected.items():
        if row[name] != value and not (isinstance(value, float) and math.isclose(row[name], value, rel_tol=1e-9)):
            raise NmbenchError(f"{path}, run {row['run_id']}, column {name!r}: it is {row[name]!r}, but must be {value!r}")
    primary = task.primary
    if primary.ceiling == 0 and not primary.higher_is_better and (row["value"] or 0.0) < -1e-9 * abs(primary.floor):
        raise NmbenchError(f"{path}, run {row['run_id']}, column 'value': {row['value']:g} is below 0, a perfect answer")
    names = {f"{m.name}{stage}" for m in task.metrics for stage in ("", *(f".{one}" for one in (*m.stages, *m.earlier)))}
    known = {schema.metric_column(name) for name in names}
    for name, value in row.items():
        if name.startswith(schema.METRIC_PREFIX) and value is not None and name not in known:
            raise NmbenchError(f"{path}, run {row['run_id']}: the task has no metric for column {name!r}")


def _of_configuration(path: str, row: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Number of parameters and departures, from the configuration; without those that other code or protocols gave."""
    from nmbench.contracts import fingerprints
    from nmbench.contracts.catalog import BASELINES
    from nmbench.experiments.configuration import Configuration
    from nmbench.experiments.experiment import departures
    from nmbench.results.schema import EXTERNAL

    if row["protocol"] == EXTERNAL or row["model"] not in BASELINES:
        return {}
    baseline, run = BASELINES.get(row["model"]), Configuration.from_json(row["config_json"])
    if fingerprints.of_module(baseline.path) != run.model_sha256:
        return {}
    try:
        count = _parameters(run.model_sha256, baseline.name, task.name, tuple(sorted(run.hparams.items())))
    except NmbenchError as error:
        raise NmbenchError(f"{path}, run {row['run_id']}, column 'config_json': {error}") from None
    found = {"params_actual": count}
    protocol = next((protocol for protocol in task.protocols if protocol.name == row["protocol"]), None)
    if protocol is None:
        return found
    phases = protocol.phases_for(baseline.name, baseline.partitions)

    def recipe(of: Mapping[str, Any]) -> dict[str, Any]:
        free = ("steps", "learning_rate")
        return {**of, "phases": [{k: v for k, v in phase.items() if k not in free} for phase in of["phases"]]}

    if recipe(run.protocol) != recipe(protocol.resolve(phases, run.learning_rate)):
        return found
    return {**found, "departures": departures(run, protocol, baseline) or None}


@functools.cache
def _parameters(source: str, model: str, task: str, hparams: tuple[tuple[str, Any], ...]) -> int:
    """Number of learned parameters, counted once for each source of a model; `source` is its fingerprint."""
    from nmbench.contracts.catalog import BASELINES, TASKS
    from nmbench.experiments import sizing

    baseline = BASELINES.get(model)
    return sizing.given_sizes(baseline, TASKS.get(task).spec, baseline.check_hparams(dict(hparams)), None).actual


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.validate", operands="FILE.csv|FOLDER ...")
