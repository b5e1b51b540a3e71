"""Load the trained network of a run."""

from __future__ import annotations

import os
import warnings

from nmbench.analysis.network import Network
from nmbench.experiments import loading, reproduction
from nmbench.support import devices
from nmbench.support.errors import NmbenchError


def load_network(run: str | os.PathLike, results_dir: str | os.PathLike = "results") -> Network:
    """Load the trained network of a run, for `nmbench.analysis`.

    If the source of the model or the engine has changed since the run, there is a warning, and the network must still reach
    the value of its row.

    Args:
      run: a run id, a run folder, `FILE.csv:N` (row N; the first after the header is 1) or `FILE.csv#RUN_ID`.
      results_dir: results folder, for a run id; for a row of a CSV, if the CSV is not in the results folder of its runs.

    Raises:
      NmbenchError: unknown run, a run that diverged or failed, missing parameters, a model that is not registered (see
        `load_plugin`), a task or protocol that has changed, or a changed model that no longer reaches the value of the row.
    """
    for name, value in (("run", run), ("results_dir", results_dir)):
        if not isinstance(value, str | os.PathLike):
            raise NmbenchError(
                f"load_network: {name} must be a run id or a path, got a value of type {type(value).__name__}"
            )
    devices.start()
    row, folder = loading.find_row(os.fspath(run), [os.fspath(results_dir)], os.fspath(results_dir))
    if row["status"] != "ok":
        raise NmbenchError(f"{row['run_id']} has status {row['status']!r}, so there is no trained network to analyse")
    loaded = loading.load_row(row, folder)
    params = loaded.params()
    if loaded.remarks:
        now = loaded.score()
        if not reproduction.Reproduction(row["value"], now, reproduction.SCORED_ELSEWHERE).reproduced:
            raise NmbenchError(
                f"{loaded.run_id}: {'; '.join(loaded.remarks)}, and it now reaches {now:.6g} instead of {row['value']:.6g}; "
                f"analyse it with the version of nmbench that trained it"
            )
        changed = f"{loaded.run_id}: {'; '.join(loaded.remarks)}"
        warnings.warn(f"{changed}; with this code it reaches {now:.6g}, in its row {row['value']:.6g}", stacklevel=2)
    experiment = loaded.experiment
    return Network(
        baseline=experiment.baseline,
        spec=experiment.task.spec,
        hparams=experiment.sizing.hparams,
        params=params,
        task=experiment.task,
        row=row,
    )
