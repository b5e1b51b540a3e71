"""Find a row and load its run: row, configuration, experiment and trained parameters."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.experiment import Experiment, LearningRate
from nmbench.experiments.resolution import resolve
from nmbench.results import packs, schema, store
from nmbench.results.provenance import uses_x64
from nmbench.results.store import PARAMS, Store, stage_file
from nmbench.support.errors import NmbenchError, did_you_mean

# Entries of a configuration that may differ from today's: stored parameters can still be tried with other code.
MAY_DIFFER = ("model_sha256", "engine", "training_sha256")
# Columns of a row that its configuration determines: attribute of the configuration to column.
_SAME_NAME = ("run_id", "model", "task", "task_version", "testset_sha256", "seed", "data_seed", "x64")
COLUMN_OF = {
    **{name: name for name in (*_SAME_NAME, "learning_rate", "tuning_trials")},
    "protocol_name": "protocol",
    "budget": "params_target",
    "steps": "train_steps",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedRun:
    """A finished run, read back from its row and its run folder.

    Attributes:
      row: the result row.
      configuration: everything that determined the run.
      experiment: the experiment to which the configuration resolves today.
      folder: the run folder, None if there is only the row.
      remarks: changes of the code since the run, one line each.
    """

    row: Mapping[str, Any]
    configuration: Configuration
    experiment: Experiment
    folder: pathlib.Path | None
    remarks: tuple[str, ...]

    @property
    def run_id(self) -> str:
        return self.row["run_id"]

    def params(self, stage: str = "") -> Any:
        """The selected parameters, in the model's own tree; those of an earlier stage of training if one is named.

        Raises:
          NmbenchError: the run diverged or failed, there are no stored parameters, they do not fit the model, or the
            precision (x64) is another one.
        """
        import jax

        from nmbench.training.parameter_files import load_params

        if self.row["status"] != "ok":
            raise NmbenchError(f"{self.run_id} has status {self.row['status']!r}, so there is no trained network")
        name = stage_file(stage) if stage else PARAMS
        if self.folder is None or not (self.folder / name).is_file():
            raise NmbenchError(
                f"the parameters of {self.run_id} are not here: a CSV does not contain them; name the results folder with "
                f"runs/{self.run_id}/{name}, or train again with nmbench.reproduce --from=training"
            )
        if self.configuration.x64 != uses_x64():
            flag = str(self.configuration.x64).lower()
            raise NmbenchError(f"{self.run_id} was trained in another precision; set JAX_ENABLE_X64={flag} to load it")
        return load_params(self.folder / name, jax.eval_shape(self.experiment.model.init, jax.random.key(0)))

    def score(self) -> float:
        """The primary metric of the stored parameters on the frozen test set; raises as `params` does."""
        from nmbench.training.prediction import predictor

        task = self.experiment.task
        frozen = task.frozen("test")
        predict = predictor(self.experiment.model, task, frozen)
        own = {phase.stage for phase in self.experiment.phases}
        earlier = {stage: predict(self.params(stage)) for stage in task.primary.earlier if stage in own}
        judged = task.evaluate(predict(self.params()), frozen.arrays, earlier)
        return float(judged["values"][task.primary.name])


def load_run(text: str, paths: Sequence[str] = (), results_dir: str = "results") -> LoadedRun:
    """The run that `text` names; see `find_row` for the arguments.

    Raises:
      NmbenchError: there is no such row, its model was trained elsewhere, its configuration was edited or cannot be
        resolved today, or the task or the protocol has changed since the run.
    """
    return load_row(*find_row(text, paths, results_dir))


def load_row(row: Mapping[str, Any], folder: pathlib.Path | None) -> LoadedRun:
    """The run of a row; raises `NmbenchError` as `load_run` does."""
    configuration = configuration_of(row)
    check_registered(row)
    experiment = resolve_again(configuration, json.loads(row["tuning_json"] or "{}"))
    remarks = changes_since(row, configuration, experiment)
    return LoadedRun(row=row, configuration=configuration, experiment=experiment, folder=folder, remarks=tuple(remarks))


def check_registered(row: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` if the model or the task of a row is not registered here."""
    origins = {"model": f", registered by {row['model_origin']},", "task": ""}
    for registry in (BASELINES, TASKS):
        name = row[registry.kind]
        if name not in registry:
            raise NmbenchError(
                f"{row['run_id']}: its {registry.kind} {name!r}{origins[registry.kind]} is not registered here; name its "
                f"file with --plugin=FILE.py, in Python with nmbench.load_plugin('FILE.py')"
            )


def resolve_again(configuration: Configuration, record: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment that a stored configuration describes, resolved with today's tasks and models.

    Args:
      configuration: the configuration of a stored run.
      record: how its learning rate was chosen, if this is known.

    Raises:
      NmbenchError: it cannot be resolved today.
    """
    source = dict(record or {"source": "the row"})
    rate = LearningRate(configuration.learning_rate, configuration.tuning_trials, source)
    return resolve(configuration.request(), rate)


def find_row(
    text: str, paths: Sequence[str] = (), results_dir: str = "results"
) -> tuple[dict[str, Any], pathlib.Path | None]:
    """The row that `text` names, and its run folder if there is one.

    Args:
      text: a run id, a run folder, `FILE.csv:N` (row N; the first after the header is 1) or `FILE.csv#RUN_ID`.
      paths: results CSVs or folders in which to look for a run id and for the run folder.
      results_dir: results folder; a run id is looked up in it only if `paths` is empty.

    Raises:
      NmbenchError: no such file or row.
    """
    named = re.fullmatch(r"(.+\.csv)(?:#(?P<run_id>.+)|:(?P<number>[0-9]{1,12}))", text)
    if named:
        rows = store.read(named[1])
        if named["number"] is None:
            row = _row_by_id(rows, named["run_id"], named[1])
        elif not 1 <= (number := int(named["number"])) <= len(rows):
            there = f"rows 1 to {len(rows)}" if rows else "no rows"
            raise NmbenchError(f"{named[1]} has {there}, so there is no row {number}")
        else:
            row = rows[number - 1]
        return row, run_folder(row["run_id"], [named[1], *paths, results_dir])
    folder = pathlib.Path(os.path.expanduser(text))
    if os.path.isfile(folder / store.ROW):  # `is_file` of a path raises for too long a name
        return next(store.iterate(text)), folder
    if text.endswith(".csv") or os.path.isdir(folder):
        raise NmbenchError(
            f"{text} is not one row; write FILE.csv:N for row N of a CSV, FILE.csv#RUN_ID, a run id or a run folder"
        )
    if not schema.RUN_ID.fullmatch(text):
        raise NmbenchError(f"{text!r} is neither a run id nor a run folder nor FILE.csv:N nor FILE.csv#RUN_ID")
    searched = list(paths) or [results_dir]
    rows = [row for path in searched for row in store.iterate(path)]
    return _row_by_id(rows, text, ", ".join(searched)), run_folder(text, searched)


def run_folder(run_id: str, paths: Iterable[str]) -> pathlib.Path | None:
    """The folder of a run in one of these results folders, beside one of these CSVs or packed with it; otherwise None.

    A pack is unpacked to a temporary folder. Raises `NmbenchError` if it cannot be read.
    """
    for place in paths:
        folder, packed = _places(place, run_id)
        if (folder / store.ROW).is_file():
            return folder
        for pack in packed:
            if found := packs.run_folder(pack, run_id):
                return found
    return None


def has_run_folder(run_id: str, place: str) -> bool:
    """Whether `run_folder` finds a run in one results folder or CSV; it unpacks nothing."""
    folder, packed = _places(place, run_id)
    return (folder / store.ROW).is_file() or any(packs.contains(pack, run_id) for pack in packed)


def _places(place: str, run_id: str) -> tuple[pathlib.Path, list[pathlib.Path]]:
    """Where the files of a run may be: its run folder, and the packs of a CSV or of a folder with CSVs."""
    path = pathlib.Path(os.path.expanduser(place))
    tables = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    return Store(path if path.is_dir() else path.parent).runs / run_id, [packs.beside(table) for table in tables]


def configuration_of(row: Mapping[str, Any]) -> Configuration:
    """The configuration of a row that nmbench trained.

    Raises:
      NmbenchError: the row belongs to a model trained elsewhere, or its configuration is not valid.
    """
    if row["protocol"] == schema.EXTERNAL:
        raise NmbenchError(
            f"{row['run_id']} belongs to a model trained elsewhere: nmbench cannot train or score it again; "
            f"ask its author for the predictions and score them with nmbench.score"
        )
    return Configuration.from_json(row["config_json"])


def check_columns(row: Mapping[str, Any], configuration: Configuration) -> None:
    """Raise `NmbenchError` if the columns of a row contradict its configuration."""
    for name, column in COLUMN_OF.items():
        if getattr(configuration, name) != row[column]:
            raise NmbenchError(f"{row['run_id']}: its columns and its config_json disagree on {column}; the row was changed")


def changes_since(row: Mapping[str, Any], configuration: Configuration, experiment: Experiment) -> list[str]:
    """Changes of the code since the row was made, one line each.

    Raises:
      NmbenchError: the row contradicts its configuration, or another entry than those in `MAY_DIFFER` has changed.
    """
    run_id, remarks = row["run_id"], []
    if configuration.run_id != run_id:
        raise NmbenchError(f"the run id {run_id} does not match its config_json; the row was changed after it was made")
    check_columns(row, configuration)
    for name, (then, now) in configuration.differences(experiment.configuration(configuration.seed)).items():
        if name == "x64" or name.startswith("jax_settings."):  # settings of the process, which the caller may still change
            continue
        entry = name.split(".")[0]
        if entry not in MAY_DIFFER:
            commit = f"commit {row['git_sha'][:12]}" if row["git_sha"] else f"version {row['nmbench_version']}"
            raise NmbenchError(
                f"{run_id} was made with another {name} ({_short(then)}, here {_short(now)}); to reproduce it, use {commit} "
                f"of nmbench, or the file of your task or model as it was then"
            )
        what = {
            "engine": "engine version has",
            "model_sha256": f"source of the model {row['model']} has",
            "training_sha256": f"training data of {row['task']}, or the file that draws them, have",
        }[entry]
        remarks.append(f"the {what} changed: {_short(then)} in the row, {_short(now)} here")
    return remarks


def _row_by_id(rows: Sequence[dict[str, Any]], run_id: str, where: str) -> dict[str, Any]:
    for row in rows:
        if row["run_id"] == run_id:
            return row
    hint = did_you_mean(run_id, [row["run_id"] for row in rows]).split(" (known")[0]
    raise NmbenchError(
        f"no run {run_id!r} in {where}{hint} ({len(rows)} rows there); a run of another CSV is named FILE.csv#RUN_ID"
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
