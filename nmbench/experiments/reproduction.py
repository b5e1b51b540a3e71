"""One row again: trained anew from its configuration, or scored anew from its stored parameters, and compared."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nmbench.experiments import rebuild
from nmbench.experiments.experiment import Experiment
from nmbench.experiments.request import run_id_of
from nmbench.results import provenance, schema, store
from nmbench.results.store import PARAMS, Store
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.training.parameter_files import load_params
from nmbench.training.prediction import predictor

# Rows made under the same of all these, on the same kind of processor, are expected to be equal to the last bit. The commit
# is among them because the order of a sum in the engine or beside a model's file changes the last bit as well.
SURROUNDINGS = (
    "nmbench_version",
    "git_sha",
    "git_dirty",
    "python_version",
    "jax_version",
    "jaxlib_version",
    "haiku_version",
    "optax_version",
    "numpy_version",
    "platform",
    "device_kind",
    "prng_impl",
    "xla_flags",
)
# A model is only read from its own file; the rest of what a configuration names must be as it was.
TRAINED_ELSEWHERE, SCORED_ELSEWHERE = 0.5, 1e-3
MAY_DIFFER = ("model_sha256", "engine")


def find(text: str, paths: Sequence[str], results_dir: str) -> tuple[dict[str, Any], pathlib.Path | None]:
    """The row that `text` names, and its run folder if there is one.

    Args:
      text: a run id, `FILE.csv:N` (row N, the first one after the header is 1) or `FILE.csv#RUN_ID`.
      paths: results CSVs or folders to look a run id up in; `results_dir` without any.
      results_dir: results folder.

    Raises:
      NmbenchError: no such file or row.
    """
    named = re.fullmatch(r"(.+\.csv)(?:#(?P<run_id>.+)|:(?P<number>[0-9]{1,12}))", text)
    if named:
        rows = store.read(named[1])
        if named["number"] is not None:
            number = int(named["number"])
            if not 1 <= number <= len(rows):
                raise NmbenchError(f"{named[1]} has rows 1 to {len(rows)}, none with number {number}")
            row = rows[number - 1]
        else:
            row = _by_id(rows, named["run_id"], named[1])
        return row, _folder(row["run_id"], [named[1], *paths, results_dir])
    if text.endswith(".csv") or os.path.isdir(text):
        raise NmbenchError(f"{text} is not one row; write {text.rstrip('/')}:N for row N of a CSV, or #RUN_ID, or a run id")
    if not schema.RUN_ID.fullmatch(text):
        raise NmbenchError(f"{text!r} is neither a run id nor FILE.csv:N nor FILE.csv#RUN_ID")
    places = list(paths) or [results_dir]
    rows = [row for path in places for row in store.iterate(path)]
    return _by_id(rows, text, ", ".join(places)), _folder(text, places)


def _by_id(rows: Sequence[dict[str, Any]], run_id: str, where: str) -> dict[str, Any]:
    for row in rows:
        if row["run_id"] == run_id:
            return row
    raise NmbenchError(f"no run {run_id!r} in {where}{_closest(run_id, [row['run_id'] for row in rows])}")


def _closest(run_id: str, known: list[str]) -> str:
    hint = did_you_mean(run_id, known).split(" (known")[0]
    return f"{hint} ({len(known)} rows there)"


def _folder(run_id: str, places: Sequence[str]) -> pathlib.Path | None:
    """The run's folder in one of these results folders, or beside one of these CSVs."""
    for place in places:
        path = pathlib.Path(os.path.expanduser(place))
        folder = Store(path if path.is_dir() else path.parent).runs / run_id
        if folder.is_dir():
            return folder
    return None


def config_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a row that nmbench trained; raises `NmbenchError` for one that was trained elsewhere."""
    if row["protocol"] == schema.EXTERNAL:
        raise NmbenchError(
            f"{row['run_id']} is of a model trained elsewhere: there is nothing here to train or to score again; "
            f"ask its author for the predictions and score them with nmbench.score"
        )
    return json.loads(row["config_json"])


def check(row: Mapping[str, Any], config: Mapping[str, Any], cell: Experiment) -> list[str]:
    """Remarks on what has changed since the row was made, one line each.

    Raises:
      NmbenchError: the row is not what its configuration says, or the change makes the two incomparable.
    """
    run_id, remarks = row["run_id"], []
    if run_id_of(config) != run_id:
        raise NmbenchError(f"{run_id} is not the run id of its own config_json; the row was changed after it was made")
    for name, then in (("testset_sha256", row["testset_sha256"]), ("task_version", row["task_version"])):
        if config[name] != then:
            raise NmbenchError(f"{run_id}: its columns and its config_json disagree on {name}; the row was changed")
    changed = rebuild.differences(config, cell)
    for name, (then, now) in changed.items():
        if name not in MAY_DIFFER:
            raise NmbenchError(
                f"{run_id} was made with another {name} ({_short(then)}, here {_short(now)}); it can be reproduced "
                f"only with the nmbench it was made with{_commit(row)}"
            )
        what = "engine version" if name == "engine" else f"file of the model {row['model']}"
        remarks.append(f"the {what} is another one: {_short(then)} in the row, {_short(now)} here")
    return remarks


def _commit(row: Mapping[str, Any]) -> str:
    return f", commit {row['git_sha'][:12]}" if row["git_sha"] else f", version {row['nmbench_version']}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def surroundings(row: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Versions and the like in which this process differs from the row's: column to (row, here)."""
    here = provenance.describe()
    plain = lambda name, value: _without_devices(value or "") if name == "xla_flags" else value
    pairs = {name: (plain(name, row[name]), plain(name, here[name])) for name in SURROUNDINGS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _without_devices(flags: str) -> str:
    """XLA flags but for the number of devices, on which no result depends."""
    return " ".join(flag for flag in flags.split() if "xla_force_host_platform_device_count" not in flag)


def score_again(cell: Experiment, row: Mapping[str, Any], folder: pathlib.Path | None) -> float:
    """The primary metric of the run's stored parameters on the frozen test set.

    Raises:
      NmbenchError: no parameters are there, or not this model's.
    """
    import jax

    if folder is None:
        raise NmbenchError(
            f"the parameters of {row['run_id']} are not here: a CSV does not hold them; give the results folder that has "
            f"runs/{row['run_id']}/{PARAMS}, or train again with --from=training"
        )
    params = load_params(folder / PARAMS, jax.eval_shape(cell.model.init, jax.random.key(0)))
    frozen = cell.task.frozen("test")
    judged = cell.task.evaluate(predictor(cell.model, cell.task, frozen)(params), frozen.arrays)
    return float(judged["values"][cell.task.primary.name])


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """The row's value and the new one.

    Attributes:
      then, now: None where the run diverged.
      tolerance: bound on the relative difference.
    """

    then: float | None
    now: float | None
    tolerance: float

    @property
    def difference(self) -> float:
        """|now - then| relative to the larger of the two; 1 if only one of them diverged."""
        if self.then is None or self.now is None:
            return float(self.then is not self.now)
        largest = max(abs(self.then), abs(self.now))
        return abs(self.now - self.then) / largest if largest and math.isfinite(largest) else float(self.now != self.then)

    @property
    def reproduced(self) -> bool:
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        if not self.reproduced:
            return f"NOT reproduced: {self.difference:.3g} is more than {self.tolerance:g}"
        if self.then is None:
            return "reproduced: it diverges again"
        return "reproduced exactly" if self.then == self.now else f"reproduced within the tolerance of {self.tolerance:g}"


def number(value: float | None) -> str:
    return "diverged" if value is None or not np.isfinite(value) else repr(value)


def tolerance(train: bool, elsewhere: bool) -> float:
    """What is accepted if the user does not say: see `nmbench.reproduce`."""
    if train:
        return TRAINED_ELSEWHERE if elsewhere else 0.0
    return SCORED_ELSEWHERE if elsewhere else 0.0


@contextlib.contextmanager
def one_line(what: str):
    """Whatever is wrong with a value of a foreign row, as one line."""
    try:
        yield
    except Exception as error:
        reason = str(error).split("\n")[0][:100]
        raise NmbenchError(f"{what} is of no use here: {reason}") from error
