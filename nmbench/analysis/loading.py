"""Load the trained network of a run."""

from __future__ import annotations

from nmbench.analysis.network import Network
from nmbench.experiments import loading, reproduction
from nmbench.support.errors import NmbenchError


def load(results_dir: str, run_id: str) -> Network:
    """Load the trained network of a run.

    If the source of the model or the engine has changed since the run, the network must still reach the value of its row.

    Args:
      results_dir: folder with `runs/`.
      run_id: a run id, `FILE.csv:N` or `FILE.csv#RUN_ID`; see `nmbench.experiments.loading.find_row`.

    Raises:
      NmbenchError: unknown run, a run that diverged or failed, missing parameters, a task or protocol that has changed, or a
        changed model that no longer reaches the value of the row.
    """
    row, folder = loading.find_row(run_id, [results_dir], results_dir)
    if row["status"] != "ok":
        raise NmbenchError(f"{row['run_id']} has status {row['status']!r}, so there is no trained network to analyse")
    run = loading.load_row(row, folder)
    params = run.params()
    if run.remarks:
        now = run.score()
        if not reproduction.Reproduction(row["value"], now, reproduction.SCORED_ELSEWHERE).reproduced:
            raise NmbenchError(
                f"{run.run_id}: {'; '.join(run.remarks)}, and it now reaches {now:.6g} instead of {row['value']:.6g}; "
                f"analyse it with the version of nmbench that trained it"
            )
    experiment = run.experiment
    return Network(
        baseline=experiment.baseline,
        spec=experiment.task.spec,
        hparams=experiment.sizing.hparams,
        params=params,
        task=experiment.task,
        row=row,
    )
