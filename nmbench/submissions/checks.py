"""Tier self-reported: what can be checked in rows and files, without running a model or believing what it says.

Every check looks at the rows of one experiment. It raises `NmbenchError` with one line about the first thing that is wrong,
and otherwise returns what it compared.
"""

from __future__ import annotations

import itertools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nmbench.contracts import fingerprints, tuning_record
from nmbench.contracts.catalog import TASKS
from nmbench.contracts.parameters import is_learned
from nmbench.contracts.task import Task
from nmbench.experiments import sizing, tuning
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.experiment import ENGINE_VERSION
from nmbench.results import curves, per_trial, schema
from nmbench.results.columns import task_columns
from nmbench.results.store import PARAMS, PER_TRIAL
from nmbench.submissions import board_seeds, rescoring
from nmbench.support.errors import NmbenchError

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Compared(NamedTuple):
    """What a check has compared: see `nmbench.results.verification.VerificationStep`."""

    compared: str
    difference: float | None = None
    tolerance: float | None = None
    details: Mapping[str, Any] = {}


def task_of(rows: Rows) -> Task:
    """The task of these rows; raises `NmbenchError` if it is not installed."""
    return TASKS.get(rows[0]["task"])


def check_seeds(rows: Rows) -> Compared:
    """The runs follow their protocol and ended by themselves; seeds are 0 .. n-1, at least as many as the board asks for."""
    _check_protocol(rows[0])  # first, so that nobody trains more seeds of runs that cannot be submitted
    seeds, wanted = [row["seed"] for row in rows], board_seeds.wanted(rows[0]["task"])
    if seeds != list(range(len(seeds))):
        missing = next((i for i, seed in enumerate(seeds) if seed != i), 0)
        raise NmbenchError(f"seed {missing} is missing; seeds must be 0, 1, 2 and so on, so that none can be left out")
    if len(seeds) < wanted:
        number = f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"
        raise NmbenchError(f"{number}, but the board asks for {wanted}: train them with --seeds={wanted}")
    for row in rows:
        if row["status"] in schema.LOST:
            raise NmbenchError(f"run {row['run_id']} has status {row['status']}; train it again with --retry_failed")
    diverged = sum(row["status"] != "ok" for row in rows)
    return Compared(f"{len(rows)} seeds, 0 to {len(rows) - 1}" + (f"; {diverged} diverged" if diverged else ""))


def _check_protocol(row: Row) -> None:
    if row["protocol"] == "smoke":
        raise NmbenchError("protocol smoke only checks that everything runs; train without --protocol=smoke")
    if row["departures"]:
        raise NmbenchError(
            f"its rows depart from protocol {row['protocol']} ({row['departures']}); train without these departures"
        )


def check_configurations(rows: Rows, model_sha256: str) -> Compared:
    """Run ids, configurations and columns are those that the protocol gives for this model, task and budget.

    Args:
      rows: the rows.
      model_sha256: fingerprint of the model's source.
    """
    task = task_of(rows)
    columns = task_columns(task, task.frozen("test").sha256, task.frozen("test").n)
    for row in rows:
        found = Configuration.from_json(row["config_json"])
        for name, value in expected_configuration(found, task, model_sha256).items():
            if name == "model_sha256":
                raise NmbenchError(
                    f"run {row['run_id']} was trained with another source of {found.model} ({value[0][:12]}, the submitted "
                    f"one is {value[1][:12]}); train again"
                )
            raise NmbenchError(f"run {row['run_id']} was trained with {name} {_short(value[0])}, not {_short(value[1])}")
        if found.run_id != row["run_id"]:
            raise NmbenchError(f"run {row['run_id']}: its run id is not that of its configuration, {found.run_id}")
        own = {
            name: getattr(found, name) for name in ("model", "seed", "data_seed", "learning_rate", "tuning_trials", "x64")
        }
        own |= {
            "protocol": found.protocol_name,
            "params_target": found.budget,
            "train_steps": found.steps,
            "departures": None,
        }
        for name, value in {**own, **columns}.items():
            if row[name] != value:
                raise NmbenchError(f"run {row['run_id']}, column {name!r}: {_short(row[name])}, not {_short(value)}")
    return Compared(f"run ids and configurations recomputed for {task.name} v{task.version}, {rows[0]['protocol']}")


def expected_configuration(found: Configuration, task: Task, model_sha256: str) -> dict[str, tuple[Any, Any]]:
    """Entries of a configuration that differ from those of the task, its protocol and the model's source.

    Returns a dict from name to (found, expected).

    Hyperparameters, budget, learning rate and seed are taken from the configuration; other checks look at them.

    Raises:
      NmbenchError: the task has no such protocol.
    """
    protocol = task.protocol(found.protocol_name)
    named = {phase.get("partition") for phase in found.phases}
    phases = protocol.phases_for(found.model, {name for name in named if isinstance(name, str)})
    expected = Configuration(
        engine=ENGINE_VERSION,
        model=found.model,
        model_sha256=model_sha256,
        hparams=found.hparams,
        budget=found.budget,
        task=task.name,
        task_version=task.version,
        testset_sha256=task.frozen("test").sha256,
        validation_sha256={name: task.frozen(name).sha256 for name in sorted({phase.validation for phase in phases})},
        training_sha256={name: task.training[name].fingerprint() for name in sorted({phase.data for phase in phases})},
        protocol=protocol.resolve(phases, found.learning_rate),
        learning_rate=found.learning_rate,
        tuning_trials=found.tuning_trials,
        data_seed=0,
        seed=found.seed,
        x64=False,
        remat=found.remat,
        loss=task.loss,
    )
    # The task's version explains other differences, so it comes first; the model's source last.
    order = {"task_version": 0, "testset_sha256": 1, "model_sha256": 3}
    return dict(sorted(found.differences(expected).items(), key=lambda pair: order.get(pair[0], 2)))


def check_sizes(rows: Rows) -> Compared:
    """The number of parameters that the rows state is within 5% of their budget."""
    row = rows[0]
    actual, target = row["params_actual"], row["params_target"]
    if target is None:
        published = task_of(rows).protocol(row["protocol"]).sizes == "published"
        if not published:
            raise NmbenchError(
                "its size was set with --hparams, so it has no budget; train without the free size in --hparams"
            )
        return Compared(f"{actual} parameters, published sizes")
    deviation = (actual - target) / target
    for one in rows:
        if one["params_actual"] != actual or not math.isclose(one["params_dev"], deviation, abs_tol=1e-9):
            raise NmbenchError(
                f"run {one['run_id']}: 'params_actual' and 'params_dev' do not agree with the budget {target}"
            )
    if abs(deviation) > sizing.TOLERANCE:
        raise NmbenchError(
            f"{actual} parameters are {deviation:+.1%} off the budget of {target}; {sizing.TOLERANCE:.0%} are the most"
        )
    return Compared(f"{actual} parameters for a budget of {target}", abs(deviation), sizing.TOLERANCE)


def check_tuning(rows: Rows, records: Sequence[Mapping[str, Any]]) -> Compared:
    """The learning rate was tuned if the protocol tunes, on its grid and seeds, with this model at this size.

    Args:
      rows: the rows.
      records: the submission's tuning records; one of them must be that of the rows. [] if the submission has none.
    """
    row, task = rows[0], task_of(rows)
    protocol = task.protocol(row["protocol"])
    if not protocol.learning_rate_grid:
        return Compared(f"protocol {protocol.name} does not tune")
    if not row["tuning_trials"]:
        raise NmbenchError("its learning rate was not tuned; train with --tune")
    record = {name: value for name, value in json.loads(row["tuning_json"]).items() if name != "source"}
    if any(one["tuning_json"] != row["tuning_json"] for one in rows):
        raise NmbenchError("its rows have different tuning records")
    configuration = Configuration.from_json(row["config_json"])
    wanted = {
        "engine": ENGINE_VERSION,
        "hparams": dict(configuration.hparams),
        "params": row["params_actual"],
        "steps": configuration.steps,
        "seeds": list(protocol.tuning_seeds),
        "validation_sha256": dict(configuration.validation_sha256),
    }
    for name, value in wanted.items():
        if record[name] != value:
            raise NmbenchError(f"its tuning record has {name} {_short(record[name])}, not {_short(value)}; tune again")
    check_phases(record, task, configuration)
    grid = sorted(protocol.learning_rate_grid)
    if not set(grid) <= set(record["grid"]):
        raise NmbenchError(f"its tuning record lacks learning rates of the protocol's grid, {grid}; tune again")
    beyond = tuning_record.next_rate(grid, record["grid"], record["validation_losses"])
    if beyond is not None:
        raise NmbenchError(f"its tuning stopped at the edge of its grid; the rule tries {beyond:g} next; tune again")
    if records and record not in [{name: v for name, v in one.items() if name != "source"} for one in records]:
        raise NmbenchError("no file in tuning/ is the tuning record of its rows")
    return Compared(f"learning rate {row['learning_rate']:g} is the choice of {row['tuning_trials']} tuning runs")


def check_phases(record: Mapping[str, Any], task: Task, configuration: Configuration) -> None:
    """Raise `NmbenchError` unless the losses of a tuning record are the means of those of its phases, if it has several."""
    phases = task.protocol(configuration.protocol_name).phases_for(
        configuration.model, {phase["partition"] for phase in configuration.phases}
    )
    if len(phases) == 1:
        return
    weights, by_phase = tuning.weights(task, phases), record.get("losses_by_phase", [])
    same = len(by_phase) == len(phases)
    if same:
        for loss, *parts in zip(
            *(itertools.chain(*table) for table in (record["validation_losses"], *by_phase)), strict=True
        ):
            mean = None if None in parts else tuning.mean_loss(weights, parts)
            same &= loss == mean if loss is None or mean is None else math.isclose(loss, mean, rel_tol=1e-9)
    if not same:
        raise NmbenchError("the losses of its tuning record are not the means of those of its phases; tune again")


def check_runs(rows: Rows, folders: Mapping[str, pathlib.Path | None]) -> Compared:
    """Every run has as many parameters as its row says, scores whose mean is its value, and a curve as long as training.

    Args:
      rows: the rows.
      folders: run id to its unpacked files.
    """
    task, worst = task_of(rows), 0.0
    for row in (row for row in rows if row["status"] == "ok"):
        folder = folders[row["run_id"]]
        if folder is None or not (folder / PARAMS).is_file():
            raise NmbenchError(f"run {row['run_id']} has no parameters; they are written when nmbench trains a model")
        if not (folder / PER_TRIAL).is_file():
            raise NmbenchError(f"run {row['run_id']} has no values of trials; train it again with --force")
        learned = count_learned(folder / PARAMS)
        if learned != row["params_actual"]:
            raise NmbenchError(
                f"run {row['run_id']} has {learned} learned parameters, but its row says {row['params_actual']}"
            )
        scores = rescoring.stored_values(folder, row)
        mean = task.primary.mean(scores, task.frozen("test").arrays)
        seen = abs(mean - row["value"]) / (max(abs(mean), abs(row["value"])) or 1.0)
        if not seen <= per_trial.TOLERANCE:
            raise NmbenchError(
                f"run {row['run_id']} has value {row['value']:.6g}, but the mean over its trials is {mean:.6g}"
            )
        worst = max(worst, seen)
        if rescoring.conditions_differ(task, row, scores):
            raise NmbenchError(f"run {row['run_id']}, column 'conditions_json': it is not the means of its values of trials")
        _check_curve(row, curves.read_curve(folder))
    return Compared("parameters counted; stored values of trials have the means in the rows", worst, per_trial.TOLERANCE)


def count_learned(path: pathlib.Path) -> int:
    """Number of learned parameters in a file, from its header; raises `NmbenchError` if it cannot be read."""
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118, not a dict
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise NmbenchError(f"cannot read {path}: {error}") from None
    return sum(math.prod(shape) for name, shape in shapes.items() if is_learned("", name.rpartition("|")[2]))


def _check_curve(row: Row, curve: np.ndarray) -> None:
    """Raise `NmbenchError` unless a training curve `[P, 3]` ends with training and holds the selected validation loss."""
    steps, losses = curve[:, 0], curve[:, 2]
    if steps[-1] != row["train_steps"] or any(b <= a for a, b in itertools.pairwise(steps)):
        raise NmbenchError(
            f"run {row['run_id']}: its training curve ends at step {steps[-1]:.0f}, but its row says {row['train_steps']}"
        )
    phases = [phase["steps"] for phase in Configuration.from_json(row["config_json"]).phases]
    # A phase may select the parameters with which it starts; the curve does not have their loss in this phase.
    starts = {0, *itertools.accumulate(phases[:-1])}
    selected = losses[steps == row["selected_step"]]
    if row["selected_step"] not in starts and not (
        len(selected) and np.isclose(selected[0], row["validation_loss"], rtol=1e-5)
    ):
        raise NmbenchError(f"run {row['run_id']}: its training curve does not have its validation loss at the selected step")


def fingerprint(path: pathlib.Path) -> str:
    """Fingerprint of a model's file, which is read and not executed; raises `NmbenchError` if it cannot be read."""
    try:
        return fingerprints.of_module(path)
    except OSError as error:
        raise NmbenchError(f"cannot read {path}: {error.strerror}") from None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
