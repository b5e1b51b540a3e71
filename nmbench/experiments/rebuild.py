"""From a row's configuration back to what was asked for: the request, the cell, the command.

A row's `config_json` is all that determines its run. The cell rebuilt from it has the same run id as long as nothing that
the configuration names has changed: the engine, the model's file, the task's data, the protocol.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution, sizing
from nmbench.experiments.experiment import Experiment, Tuning
from nmbench.experiments.request import Request
from nmbench.results import schema
from nmbench.results.experiment_rows import flatten
from nmbench.support.errors import NmbenchError


def request_from(config: Mapping[str, Any]) -> Request:
    """The request that resolves to this configuration, given its learning rate (see `tuning_from`).

    Sizes are given outright, so nothing is solved again; the budget stays recorded as their target.

    Raises:
      NmbenchError: not a configuration that `Experiment.config` makes, as that of a model trained elsewhere.
    """
    _check(config)
    return Request(
        model=config["model"],
        task=config["task"],
        budget=config["budget"],
        hparams=dict(config["hparams"]),
        protocol=config["protocol"]["name"],
        steps=sum(phase["steps"] for phase in config["protocol"]["phases"]),
        data_seed=config["data_seed"],
        allow_budget_miss=True,
        remat=config.get("remat", False),
    )


def tuning_from(config: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> Tuning:
    """The learning rate of this configuration; `record` says how it was chosen, where that is known."""
    _check(config)
    return Tuning(config["learning_rate"], config["tuning_trials"], dict(record or {"source": "the row"}))


def cell_from(config: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> Experiment:
    """The cell that this configuration describes, as `nmbench.experiments.experiment.resolve` makes it today.

    Raises:
      NmbenchError: not a configuration of a run, or it cannot be resolved (any more).
    """
    return resolution.resolve(request_from(config), tuning_from(config, record))


def differences(config: Mapping[str, Any], cell: Experiment) -> dict[str, tuple[Any, Any]]:
    """Entries of the configuration, by dotted name, in which `cell` is another now: name to (then, now)."""
    now = json.loads(schema.canonical_json(cell.config(config["seed"])))
    then, today = flatten(config), flatten(now)
    return {
        name: (then.get(name), today.get(name))
        for name in sorted(then.keys() | today.keys())
        # Text, so that 1 and 1.0 and true are three different things, as they are to the run id.
        if schema.canonical_json(then.get(name)) != schema.canonical_json(today.get(name))
    }


def command_of(config: Mapping[str, Any], *, seeds: range | None = None, plugins: Sequence[str] = ()) -> str:
    """The `python -m nmbench.run ...` line whose run has this configuration's run id.

    Flags whose default says the same are left out where the task and the model are known here; nothing is left out
    otherwise. A rate that was tuned in a results folder is tuned again (`--tune`).

    Args:
      config: `config_json` of a row, parsed.
      seeds: first to last seed of the command, the row's own by default.
      plugins: files that register the model or the task.

    Raises:
      NmbenchError: not a configuration of a run, as that of a model trained elsewhere.
    """
    request = request_from(config)
    seeds = range(config["seed"], config["seed"] + 1) if seeds is None else seeds
    known = _Known(request, config)
    flags: dict[str, Any] = {"model": request.model, "task": request.task}
    if not known.protocol:
        flags["protocol"] = request.protocol
    hparams = {name: value for name, value in request.hparams.items() if name not in known.hparams}
    if not known.budget:
        flags["budget"] = request.budget
    if hparams:
        flags["hparams"] = ",".join(f"{name}={_value(name, value)}" for name, value in hparams.items())
    if not known.steps:
        flags["steps"] = request.steps
    if not known.rate and not config["tuning_trials"]:
        flags["learning_rate"] = repr(config["learning_rate"])
    flags["data_seed"] = request.data_seed or None
    flags["first_seed"] = seeds.start or None
    flags["seeds"] = None if len(seeds) == 10 else len(seeds)
    words = ["JAX_ENABLE_X64=true"] if config["x64"] else []
    words += ["python", "-m", "nmbench.run", *(f"--plugin={path}" for path in plugins)]
    words += [f"--{name}={value}" for name, value in flags.items() if value is not None]
    switches = {
        "tune": not known.rate and config["tuning_trials"] > 0,
        "remat": request.remat,
        "allow_budget_miss": known.misses_budget,
    }
    words += [f"--{name}" for name, on in switches.items() if on]
    return " ".join(word if word.startswith("JAX_") else shlex.quote(word) for word in words)


def _value(name: str, value: Any) -> str:
    text = str(value)
    if not text or text != text.strip() or "," in text:
        raise NmbenchError(f"the value {text!r} of {name} cannot be given with --hparams")
    return text


class _Known:
    """What the defaults of a request's task and model say already; nothing of what is not registered here.

    Attributes:
      protocol, budget, steps, rate: whether the default is what the configuration has.
      hparams: names of those that need not be given.
      misses_budget: whether the size is too far from the budget to be accepted without being told.
    """

    def __init__(self, request: Request, config: Mapping[str, Any]):
        self.protocol = self.steps = self.rate = self.misses_budget = False
        self.budget = request.budget is None
        self.hparams: set[str] = set()
        try:
            task, baseline = TASKS.get(request.task), BASELINES.get(request.model)
            protocol = task.protocol(request.protocol or "")
            # Names that the model does not have (any more) are for `run` to refuse.
            baseline.check_hparams(request.hparams)
        except NmbenchError:
            return
        self.protocol = protocol is task.protocols[0]
        phases = protocol.phases_for(baseline.name, baseline.partitions)
        self.steps = sum(phase.steps for phase in phases) == request.steps
        rate = resolution.known_rate(baseline, task, protocol)
        self.rate = (rate.rate, rate.trials) == (config["learning_rate"], config["tuning_trials"])
        free, defaults = baseline.free_size, baseline.defaults(task.name, protocol.name)
        self.hparams = {name for name, value in request.hparams.items() if name in defaults and defaults[name] == value}
        published = protocol.sizes == "published" and free in defaults
        if request.budget is None:
            # Unless the default is a published size, it must be said that sizes are given.
            self.hparams -= set() if published else {free}
            return
        self.hparams.discard(free)
        if free in request.hparams and self._solved(request, baseline, task, defaults) == request.hparams[free]:
            self.hparams.add(free)
        self.budget = request.budget == task.default_budget and free in self.hparams and not published
        try:
            sizing.check_deviation(baseline, sizing.given_sizes(baseline, task.spec, request.hparams, request.budget), False)
        except NmbenchError:
            self.misses_budget = True

    @staticmethod
    def _solved(request: Request, baseline, task, defaults) -> int | None:
        """The free size that the budget leads to, None if there is none."""
        try:
            sized = sizing.size_to_budget(
                baseline, task.spec, {**defaults, **request.hparams}, request.budget or task.default_budget, allow_miss=True
            )
        except NmbenchError:
            return None
        return sized.hparams[baseline.free_size]


_KINDS = {
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


def _check(config: Mapping[str, Any]) -> None:
    """Raise `NmbenchError` unless `config` has the entries of `Experiment.config`, each of its kind."""
    if "predictions_sha256" in config and "protocol" not in config:
        raise NmbenchError("this row is of a model trained elsewhere: its configuration does not say how to train it")
    for name, kind in _KINDS.items():
        value = config.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise NmbenchError(f"config_json is not that of a run: its {name!r} is {str(value)[:40]!r}")
    budget, remat = config.get("budget"), config.get("remat", False)
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
        raise NmbenchError(f"config_json is not that of a run: its 'budget' is {str(budget)[:40]!r}")
    if not isinstance(remat, bool):
        raise NmbenchError(f"config_json is not that of a run: its 'remat' is {str(remat)[:40]!r}")
    phases = config["protocol"].get("phases")
    whole = lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0
    if (
        not isinstance(config["protocol"].get("name"), str)
        or not isinstance(phases, list)
        or not phases
        or not all(isinstance(p, dict) and whole(p.get("steps")) for p in phases)
    ):
        raise NmbenchError("config_json is not that of a run: its 'protocol' needs a name and phases with their steps")
    try:
        schema.canonical_json(config)
    except (ValueError, RecursionError):
        raise NmbenchError("config_json is not that of a run: it holds a number that is not finite") from None
    if not config["learning_rate"] > 0 or not all(0 <= config[name] < 1 << 31 for name in ("seed", "data_seed")):
        raise NmbenchError("config_json is not that of a run: its rate or one of its seeds is out of range")
