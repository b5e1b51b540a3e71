"""Check results CSVs or results folders against the schema; an error names the row and the column.

  python -m nmbench.validate results/board results/claims/rows.csv --figures=results/claims/figures

With --figures, the figures in the folder must show rows of these files: each figure of `python -m nmbench.figures` contains
the run ids and values of its rows.

If the run folder of a row is in the results folder, or in that of the CSV, the values of the row must be the means over the
trials stored there.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from nmbench.support import cli
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()
cli.string(FLAGS, "figures", None, "folder with figures and captions.md, which must show the given rows")


def main(paths: list[str]) -> int:
    from nmbench.report import captions
    from nmbench.results import per_trial, store

    figures = None if FLAGS.figures is None else pathlib.Path(FLAGS.figures).expanduser()
    if figures is not None and not figures.is_dir():
        raise NmbenchError(f"--figures={FLAGS.figures}: there is no such folder")
    if not paths:
        raise NmbenchError("name at least one results CSV or results folder")
    counts, every = [], []
    for path in paths:
        rows = store.read(path)
        every += rows
        expanded = pathlib.Path(path).expanduser()
        runs = store.Store(expanded if expanded.is_dir() else expanded.parent).runs
        for row in rows:
            check_configuration(path, row)
            if runs.is_dir():
                per_trial.check(runs / row["run_id"], row)
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


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.validate", operands="FILE.csv|FOLDER ...")
