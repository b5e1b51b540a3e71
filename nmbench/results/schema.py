"""The schema of a result row. Rows are checked when they are written and when they are read from a file."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from nmbench.contracts import tuning_record
from nmbench.contracts.metrics import scores
from nmbench.contracts.protocol import EXTERNAL
from nmbench.support.errors import NmbenchError

SCHEMA_VERSION = 2
STATUSES = ("ok", "diverged", "failed", "timeout")
# Statuses of runs that a crash or a time limit ended, possibly for reasons outside the model.
LOST = ("failed", "timeout")
METRIC_PREFIX = "metrics."
# Characters that control a terminal or are invisible (line ends, zero width, text direction, tags), and unpaired surrogates,
# which cannot be encoded.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
DEEPEST_JSON = 400
# Sums over a few seeds of larger numbers overflow.
LARGEST_FLOAT = 1e300
RUN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,199}")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a row.

    Attributes:
      name: column name.
      kind: "str", "int", "float", "bool", "json" or "sha256".
      meaning: description in one line.
      nullable: whether the column may be empty; "unless_ok": only if status is not ok.
      training: whether the column describes the training. Such a column may be empty under protocol "external".
    """

    name: str
    kind: str
    meaning: str
    nullable: bool | str = False
    training: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("schema_version", "int", f"version of this schema: {SCHEMA_VERSION}"),
    Column("run_id", "str", "name of the run folder; ends in a hash of config_json"),
    Column("status", "str", "ok, diverged, failed or timeout"),
    Column("error", "str", "reason for the status; empty if status is ok", True),
    Column("task", "str", "registered name of the task"),
    Column("task_version", "int", "version of the task"),
    Column("testset_sha256", "sha256", "hash of the frozen test set"),
    Column("n_test", "int", "number of test trials"),
    Column("model", "str", "registered name of the model"),
    Column(
        "model_origin",
        "str",
        "file and line that registered the model; 'external, size counted: ...' or 'external, size declared: ...' for one "
        "trained elsewhere",
    ),
    Column("protocol", "str", f"name of the training protocol; {EXTERNAL} for models trained elsewhere"),
    Column("config_json", "json", "everything that determines the run"),
    Column("params_target", "int", "parameter budget; empty if sizes were given", True),
    Column("params_actual", "int", "number of learned parameters"),
    Column("params_dev", "float", "(actual - target) / target", True),
    Column("seed", "int", "seed of the model's initial parameters"),
    Column("data_seed", "int", "seed of the training data", training=True),
    Column("metric", "str", "name of the primary metric"),
    Column("value", "float", "primary metric on the test set, with the selected parameters", "unless_ok"),
    Column("higher_is_better", "bool", "direction of the primary metric"),
    Column("floor", "float", "value of the primary metric that scores 0, such as chance"),
    Column("ceiling", "float", "value of the primary metric for a perfect answer"),
    Column("score", "float", "value scaled to 0 (floor) .. 100 (ceiling)", "unless_ok"),
    Column("conditions_json", "json", "metrics per condition on the test set", "unless_ok"),
    Column(
        "last_value",
        "float",
        "primary metric with the parameters after the last step (of the last phase); empty if not finite",
        True,
    ),
    Column(
        "validation_loss",
        "float",
        "validation loss of the selected parameters, in the last phase",
        "unless_ok",
        training=True,
    ),
    Column("selected_step", "int", "training step, over all phases, of the selected parameters", training=True),
    Column("train_steps", "int", "total number of training steps", training=True),
    Column("learning_rate", "float", "the run's learning rate; phases may use a multiple of it", training=True),
    Column("tuning_trials", "int", "tuning runs that chose the learning rate; 0 if it was not tuned", training=True),
    Column("tuning_json", "json", "the tuning record: learning rates, seeds, validation losses, test values", True),
    Column("departures", "str", "how the run departs from its protocol; empty if it does not", True),
    Column("compile_s", "float", "seconds of compilation, divided equally among the seeds trained together", training=True),
    Column("train_s", "float", "seconds of training, divided equally among the seeds trained together", training=True),
    Column("eval_s", "float", "seconds of evaluation on the test set"),
    Column("seeds_together", "int", "number of seeds trained in the same program", training=True),
    Column("peak_rss_mb", "float", "peak memory of the process so far, MB"),
    Column("nmbench_version", "str", "version of nmbench"),
    Column("python_version", "str", "version of Python"),
    Column("jax_version", "str", "version of jax"),
    Column("jaxlib_version", "str", "version of jaxlib"),
    Column("haiku_version", "str", "version of dm-haiku"),
    Column("optax_version", "str", "version of optax"),
    Column("numpy_version", "str", "version of numpy"),
    Column("git_sha", "str", "commit of the nmbench checkout; empty outside one", True),
    Column("git_dirty", "bool", "whether that checkout had uncommitted changes", True),
    Column("platform", "str", "operating system and processor"),
    Column("device_kind", "str", "kind of JAX device"),
    Column(
        "processor",
        "str",
        "model of the processor; several, if the run was resumed on another; empty if the system does not name it",
        True,
    ),
    Column("n_cpu", "int", "number of cores that the process could use"),
    Column("n_devices", "int", "number of JAX devices over which the seeds were distributed", training=True),
    Column("x64", "bool", "whether JAX used 64-bit floats"),
    Column("prng_impl", "str", "JAX random number generator"),
    Column("xla_flags", "str", "XLA_FLAGS without paths", True),
    Column("started_utc", "str", "when training started, UTC; under protocol external, when the predictions were scored"),
)
BY_NAME = {column.name: column for column in COLUMNS}
_NEEDED_IF_OK = tuple(column for column in COLUMNS if column.nullable == "unless_ok")


_COUNTED = f"{EXTERNAL}, size counted: "
_DECLARED = f"{EXTERNAL}, size declared: "


def external_origin(counted: bool, origin: str) -> str:
    """The column `model_origin` of a model trained elsewhere. counted: whether nmbench counted its parameters in a file."""
    return f"{_COUNTED if counted else _DECLARED}{origin or 'not given'}"


def is_declared(row: Mapping[str, Any]) -> bool:
    """Whether the number of parameters in a row is only declared: nmbench neither built the model nor counted a file."""
    return row["protocol"] == EXTERNAL and not row["model_origin"].startswith(_COUNTED)


def metric_column(name: str) -> str:
    """Name of the column of a metric; the primary metric has the column `value` instead."""
    return METRIC_PREFIX + name


def check_row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check a row and return it with values of the right types.

    Args:
      row: column to value, or to text as read from a CSV.
      where: name of the row in messages, e.g. "results.csv, row 3".

    Raises:
      NmbenchError: a column is missing, unknown or invalid; the message names it and says what it should contain.
    """
    checked: dict[str, Any] = {}
    external = row.get("protocol") == EXTERNAL
    for column in COLUMNS:
        if column.name not in row:
            raise NmbenchError(f"{where}: column {column.name!r} is missing ({column.meaning})")
        checked[column.name] = value = _parse(column, row[column.name], where, external and column.training)
        # First, because other versions have other columns.
        if column.name == "schema_version" and value != SCHEMA_VERSION:
            raise NmbenchError(
                f"{where}, column 'schema_version': {value} is not {SCHEMA_VERSION}, the version that this nmbench reads; "
                f"read it with the nmbench that wrote it, or train the run again"
            )
    for name, value in row.items():
        if name not in BY_NAME:
            if not str(name).startswith(METRIC_PREFIX):
                raise NmbenchError(f"{where}: unknown column {name!r}; columns of metrics are named {METRIC_PREFIX}NAME")
            column = _metric(name)
            if column is None:
                raise NmbenchError(f"{where}: the name of column {name!r} contains invisible characters")
            checked[name] = _parse(column, value, where)
    _check_consistency(checked, where)
    return checked


@functools.lru_cache(maxsize=1024)
def _metric(name: str) -> Column | None:
    return None if CONTROL.search(name) else Column(name, "float", "a metric", True)


def _check_consistency(row: dict[str, Any], where: str) -> None:
    def fail(column: str, what: str):
        raise NmbenchError(f"{where}, column {column!r}: {what}")

    if not RUN_ID.fullmatch(row["run_id"]):
        fail("run_id", f"{row['run_id']!r} is not a run id: letters, digits, '_', '.' and '-'")
    if row["floor"] == row["ceiling"]:
        fail("ceiling", "equals the floor")
    if row["status"] not in STATUSES:
        fail("status", f"{row['status']!r} is not one of {', '.join(STATUSES)}")
    if row["status"] == "ok":
        for column in _NEEDED_IF_OK:
            if row[column.name] is None and not (column.training and row["protocol"] == EXTERNAL):
                fail(column.name, "empty although status is ok")
        expected = float(scores(np.asarray(row["value"]), row["floor"], row["ceiling"]))
        if abs(row["score"] - expected) > 1e-6:
            fail("score", f"{row['score']} is not the score of value {row['value']}, {expected:.6g}")
        if row["error"]:
            fail("error", "not empty although status is ok")
    elif not row["error"]:
        fail("error", f"empty although status is {row['status']}")
    if row["conditions_json"] is not None and not _are_conditions(row["conditions_json"]):
        fail("conditions_json", "not a mean for each condition of each metric")
    for name in ("n_test", "params_target", "params_actual", "train_steps"):
        if row[name] is not None and row[name] < 1:
            fail(name, f"{row[name]} is not positive")
    for name in ("compile_s", "train_s", "eval_s", "peak_rss_mb", "seed", "data_seed", "selected_step"):
        if row[name] is not None and row[name] < 0:
            fail(name, f"{row[name]} is negative")
    if row["selected_step"] is not None and row["train_steps"] is not None and row["selected_step"] > row["train_steps"]:
        fail("selected_step", f"{row['selected_step']} is after the last step, {row['train_steps']}")
    if row["tuning_trials"]:
        names = ("model", "task", "task_version", "protocol", "learning_rate", "tuning_trials")
        wrong = _wrong_tuning(row["tuning_json"] or "{}", *(row[name] for name in names))
        if wrong:
            fail("tuning_json", wrong)
    if (row["params_target"] is None) != (row["params_dev"] is None):
        fail("params_dev", "must be given if params_target is given, and only then")
    if row["params_target"] is not None:
        deviation = (row["params_actual"] - row["params_target"]) / row["params_target"]
        if abs(row["params_dev"] - deviation) > 1e-6:
            fail(
                "params_dev", f"{row['params_dev']} is not (params_actual - params_target) / params_target, {deviation:.6g}"
            )


@functools.lru_cache(maxsize=256)
def _wrong_tuning(
    text: str, model: str, task: str, task_version: int, protocol: str, learning_rate: float, trials: int
) -> str:
    """What is wrong with the tuning record of a row; "" if it is the record of this row."""
    try:
        record = tuning_record.check(json.loads(text))
    except (ValueError, RecursionError) as error:
        return f"not a tuning record: {error}"
    expected = {
        "model": model,
        "task": task,
        "task_version": task_version,
        "protocol": protocol,
        "chosen": learning_rate,
    }
    other = next((name for name, value in expected.items() if record[name] != value), None)
    if other is not None:
        return f"its {other!r} is {str(record[other])[:40]!r}, not {str(expected[other])[:40]!r} as in the row"
    runs = len(record["grid"]) * len(record["seeds"])
    return "" if runs == trials else f"it has {runs} tuning runs, but column 'tuning_trials' says {trials}"


def _parse(column: Column, value: Any, where: str, may_be_empty: bool = False) -> Any:
    if value is None or (isinstance(value, str) and value == "") or (isinstance(value, float) and math.isnan(value)):
        if column.nullable or may_be_empty:
            return None
        raise NmbenchError(f"{where}, column {column.name!r}: empty; expected {column.kind} ({column.meaning})")
    try:
        return _PARSERS[column.kind](value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        shown = str(value)[:60]
        raise NmbenchError(
            f"{where}, column {column.name!r}: {shown!r} is not a valid {column.kind} ({column.meaning})"
        ) from None


def _bool(value: Any) -> bool:
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise ValueError


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise ValueError
    return int(value)


def _float(value: Any) -> float:
    number = float(value)
    if not abs(number) <= LARGEST_FLOAT or isinstance(value, bool):  # the first condition also rejects NaN
        raise ValueError
    return number


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    data = json.loads(text, parse_constant=_float, parse_float=_float, object_pairs_hook=_object)
    if not isinstance(data, dict) or _depth(text) > DEEPEST_JSON:
        raise ValueError
    text.encode()  # raises for unpaired surrogates
    return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; raises `ValueError` if a key contains a character that `CONTROL` matches."""
    if any(CONTROL.search(key) for key, _ in pairs):
        raise ValueError
    return dict(pairs)


def _are_conditions(text: str) -> bool:
    number = lambda mean: type(mean) in (int, float) and abs(mean) <= LARGEST_FLOAT
    return all(isinstance(by, dict) and all(map(number, by.values())) for by in json.loads(text).values())


def _depth(text: str) -> int:
    """Levels of nesting of valid JSON text; 0 if it has too few brackets to exceed `DEEPEST_JSON`."""
    if text.count("{") + text.count("[") <= DEEPEST_JSON:
        return 0
    deepest = depth = 0
    for bracket in re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _sha256(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", str(value)):
        raise ValueError
    return str(value)


def _str(value: Any) -> str:
    if not isinstance(value, str) or CONTROL.search(value):
        raise ValueError
    return value


_PARSERS = {"str": _str, "int": _int, "float": _float, "bool": _bool, "json": _json, "sha256": _sha256}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same text for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
