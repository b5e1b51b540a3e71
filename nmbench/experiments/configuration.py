"""The configuration of a run: everything that determines it, as one type.

A row stores its configuration as JSON, and the run id ends in a hash of that JSON. A configuration is enough to resolve a
run again (`Configuration.request`), to write it as a command (`Configuration.to_argv`) and to compare it with the
configuration to which the installed nmbench resolves it today (`Configuration.differences`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nmbench.contracts.task import LOSSES, SQUARED_ERROR
from nmbench.experiments.request import LARGEST, Request
from nmbench.results import schema
from nmbench.results.config_json import flatten
from nmbench.support.errors import NmbenchError

# Entries that no flag of `nmbench run` sets: code, data, the task's loss and settings of JAX. A user can choose all others.
FINGERPRINTS = (
    "engine",
    "model_sha256",
    "task_version",
    "testset_sha256",
    "validation_sha256",
    "training_sha256",
    "x64",
    "jax_settings",
    "loss",
)
# Larger integers overflow in JAX and in sizes.
LARGEST_INTEGER = (1 << 63) - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """Everything that determines a run.

    Attributes:
      engine: version of the training engine.
      model: registered name.
      model_sha256: fingerprint of the model's source (`nmbench.contracts.fingerprints`).
      hparams: all hyperparameters, including the free size.
      budget: parameter budget, None if the sizes were given.
      task, task_version: registered name and version.
      testset_sha256: hash of the frozen test set.
      validation_sha256, training_sha256: hashes of the sets by name.
      protocol: name, phases with their learning rates, `validate_every`, `selection` and `loss_limit`; plain data.
      learning_rate: the run's learning rate; phases may use multiples of it.
      tuning_trials: number of tuning runs, 0 if the learning rate was not tuned.
      data_seed: seed of the training data.
      seed: seed of the initial parameters.
      x64: whether JAX uses 64-bit floats.
      remat: whether the gradient recomputes activations, which changes rounding.
      jax_settings: settings of JAX that change random numbers or rounding, where they differ from those that nmbench trains
        with (`nmbench.results.provenance.jax_settings`).
      loss: the task's loss.
    """

    engine: int
    model: str
    model_sha256: str
    hparams: Mapping[str, Any]
    budget: int | None
    task: str
    task_version: int
    testset_sha256: str
    validation_sha256: Mapping[str, str]
    training_sha256: Mapping[str, str]
    protocol: Mapping[str, Any]
    learning_rate: float
    tuning_trials: int
    data_seed: int
    seed: int
    x64: bool
    remat: bool = False
    jax_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loss: str = SQUARED_ERROR

    @property
    def run_id(self) -> str:
        """`MODEL.TASK.PROTOCOL.sSEED.KEY`; the key is a hash of the JSON."""
        key = hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
        return f"{self.model}.{self.task}.{self.protocol_name}.s{self.seed}.{key}"

    @property
    def protocol_name(self) -> str:
        return self.protocol["name"]

    @property
    def phases(self) -> list[dict[str, Any]]:
        """The phases of training as plain data."""
        return self.protocol["phases"]

    @property
    def steps(self) -> int:
        """Number of training steps of all phases together."""
        return sum(phase["steps"] for phase in self.phases)

    def with_seed(self, seed: int) -> Configuration:
        """The configuration of another run of the same experiment."""
        return dataclasses.replace(self, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain data. `remat`, `jax_settings` and `loss` are omitted where they have their default, for older run ids."""
        entries = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, default in (("remat", False), ("jax_settings", {}), ("loss", SQUARED_ERROR)):
            if entries[name] == default:
                del entries[name]
        return entries

    def to_json(self) -> str:
        """Canonical JSON, as in the column `config_json` of a row: sorted keys, no spaces."""
        return schema.canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Configuration:
        """The inverse of `to_dict`.

        Raises:
          NmbenchError: an entry is missing, has the wrong type or is out of range, or the entries describe a model trained
            elsewhere.
        """
        _check(entries)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: entries[name] for name in names if name in entries})

    @classmethod
    def from_json(cls, text: str) -> Configuration:
        """The inverse of `to_json`; raises `NmbenchError` as `from_dict` does."""
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NmbenchError(f"config_json is not JSON: {error}") from None
        if not isinstance(entries, dict):
            raise NmbenchError("config_json is not a JSON object")
        return cls.from_dict(entries)

    def request(self) -> Request:
        """The request that resolves to this configuration if `resolve` also receives its learning rate.

        The request gives all sizes, so no size is solved again. It keeps the budget as their target.
        """
        return Request(
            model=self.model,
            task=self.task,
            budget=self.budget,
            hparams=dict(self.hparams),
            protocol=self.protocol_name,
            steps=self.steps,
            data_seed=self.data_seed,
            allow_budget_miss=True,
            remat=self.remat,
        )

    def to_argv(self) -> list[str]:
        """Flags of `nmbench run` that train this run. They do not rely on the defaults of the model and the task.

        A tuned learning rate is tuned again. `x64` has no flag: set the environment variable JAX_ENABLE_X64.

        Raises:
          NmbenchError: a hyperparameter has a value that a flag cannot carry.
        """
        return [*self.request().to_argv(), *self.learning_rate_argv(), f"--first_seed={self.seed}", "--seeds=1"]

    def learning_rate_argv(self) -> list[str]:
        """`--tune` if the learning rate was tuned, otherwise `--learning_rate` with its value."""
        return ["--tune"] if self.tuning_trials else [f"--learning_rate={self.learning_rate!r}"]

    def asks_for_the_same(self, other: Configuration) -> bool:
        """Whether the two agree in everything that a flag can set, except the seed; see `FINGERPRINTS`."""
        mine, theirs = (
            {name: value for name, value in c.to_dict().items() if name not in (*FINGERPRINTS, "seed")}
            for c in (self, other)
        )
        return schema.canonical_json(mine) == schema.canonical_json(theirs)

    def differences(self, other: Configuration) -> dict[str, tuple[Any, Any]]:
        """Entries in which two configurations differ: dotted name to (value in `self`, value in `other`)."""
        mine, theirs = (flatten(json.loads(c.to_json())) for c in (self, other))
        return {
            name: (mine.get(name), theirs.get(name))
            for name in sorted(mine.keys() | theirs.keys())
            # Compared as JSON text, so that 1, 1.0 and true differ, as they do in the run id.
            if schema.canonical_json(mine.get(name)) != schema.canonical_json(theirs.get(name))
        }


_TYPES: dict[str, Any] = {
    "engine": int,
    "model": str,
    "model_sha256": str,
    "hparams": dict,
    "task": str,
    "task_version": int,
    "testset_sha256": str,
    "validation_sha256": dict,
    "training_sha256": dict,
    "protocol": dict,
    "learning_rate": (int, float),
    "tuning_trials": int,
    "data_seed": int,
    "seed": int,
    "x64": bool,
}


def _check(entries: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` unless the entries form a configuration, with valid types and values."""
    if "predictions_sha256" in entries and "protocol" not in entries:
        raise NmbenchError("this row belongs to a model trained elsewhere: its configuration does not say how to train it")

    def fail(name: str, found: Any = None) -> None:
        found = entries.get(name) if found is None else found
        what = f"is {str(found)[:40]!r}" if found is not None or name in entries else "is missing"
        raise NmbenchError(f"config_json is not the configuration of a run: {name!r} {what}")

    for name, kind in _TYPES.items():
        value = entries.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            fail(name)
    if "budget" not in entries or not (entries["budget"] is None or _positive(entries["budget"])):
        fail("budget")
    if not isinstance(entries.get("remat", False), bool):
        fail("remat")
    if not isinstance(entries.get("jax_settings", {}), dict):
        fail("jax_settings")
    if entries.get("loss", SQUARED_ERROR) not in LOSSES:
        fail("loss")
    if not entries["hparams"] or not all(
        isinstance(value, bool | int | float | str) for value in entries["hparams"].values()
    ):
        fail("hparams")
    phases = entries["protocol"].get("phases")
    if not isinstance(entries["protocol"].get("name"), str) or not isinstance(phases, list) or not phases:
        fail("protocol")
    if not all(isinstance(phase, dict) and _positive(phase.get("steps")) for phase in phases):
        fail("protocol")
    try:
        schema.canonical_json(entries)
    except (ValueError, RecursionError):
        raise NmbenchError("config_json is not the configuration of a run: it holds a number that is not finite") from None
    for name, value in flatten(entries).items():
        if isinstance(value, int | float) and abs(value) > (
            LARGEST_INTEGER if isinstance(value, int) else schema.LARGEST_FLOAT
        ):
            fail(name, value)
    if not entries["learning_rate"] > 0:
        fail("learning_rate")
    for name in ("seed", "data_seed"):
        if not 0 <= entries[name] <= LARGEST:
            fail(name)


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
