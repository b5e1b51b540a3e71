"""The command that makes a row again: flags of `nmbench.run` found from the row, and proven by resolving them."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nmbench import experiment, tuning
from nmbench.catalog import BASELINES, TASKS
from nmbench.errors import NmbenchError
from nmbench.results.cells import flatten, shared_config, short
from nmbench.results.schema import EXTERNAL
from nmbench.sizing import TOLERANCE

# Where models and tasks lie that come with nmbench; any other needs the file that registers it.
_SHIPPED = ("baselines/", "tasks/")
# Fields of a configuration that flags decide; the others follow from the code and the data that are there.
_SET_BY_FLAGS = ("hparams", "budget", "learning_rate", "tuning_trials", "protocol")
_ELSEWHERE = "Trained outside nmbench, which has only scored the predictions: no command of nmbench trains it."


@dataclasses.dataclass(frozen=True)
class Rerun:
    """How to make rows of one configuration again.

    Attributes:
      words: the command without its seeds, ready for a shell; "" where there is none.
      exact: whether resolving it here gives the configuration of the row, and so its run id.
      note: what there is to know, above all why it is not exact; "" for nothing.
    """

    words: str
    exact: bool
    note: str

    def command(self, first_seed: int, seeds: int = 1) -> str:
        """One line for a shell that trains so many seeds; "" where there is none."""
        return f"{self.words} --first_seed={first_seed} --seeds={seeds}" if self.words else ""


class Reruns:
    """Commands of rows, each configuration resolved once.

    Args:
      plugins: files given with --plugin, as the commands should name them.
    """

    def __init__(self, plugins: Sequence[str] = ()):
        self._plugins = tuple(f"--plugin={plugin}" for plugin in plugins)
        self._known: dict[tuple, Rerun] = {}

    def of(self, row: Mapping[str, Any]) -> Rerun:
        """The command that makes `row`, a valid result row, again. Nothing is trained and nothing written."""
        if row["protocol"] == EXTERNAL:
            return Rerun("", False, _ELSEWHERE)
        key = shared_config(row["config_json"]), row["model_origin"], row["tuning_json"], row["params_dev"]
        if key not in self._known:
            try:
                self._known[key] = self._find(json.loads(key[0]), row)
            except NmbenchError as error:  # a value that no flag can hold, or a module that fails to import
                self._known[key] = Rerun("", False, f"No command gives it: {error}.")
            except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
                self._known[key] = Rerun("", False, "Its configuration is not one that nmbench.run writes.")
        return self._known[key]

    def _find(self, config: dict[str, Any], row: Mapping[str, Any]) -> Rerun:
        environment = ["JAX_ENABLE_X64=true"] if config["x64"] else []
        origin = row["model_origin"].rsplit(":", 1)[0]
        registered = [r.entry(config[r.kind]).origin for r in (BASELINES, TASKS) if config[r.kind] in r]
        if all(place.startswith(_SHIPPED) for place in (*registered, origin)):
            plugins = ()
        else:
            plugins = self._plugins if config["model"] in BASELINES else (f"--plugin={origin}",)

        def made(asked: _Asked, note: str, exact: bool) -> Rerun:
            words = ["python", "-m", "nmbench.run", *plugins, *asked.flags()]
            return Rerun(" ".join([*environment, *map(shlex.quote, words)]), exact, note)

        note = ""
        asked = everything = _everything(config, row)
        for asked in _shortest_first(everything, config):
            try:
                asked, got = _completed(asked, everything, config)
                different = _differences(config, got)
                if not different:
                    tuned = "It first chooses the learning rate again, as it was chosen for this row." if asked.tune else ""
                    return made(asked, tuned, True)
            except NmbenchError as error:
                note = f"This nmbench refuses it: {error}."
                continue
            note = f"With this nmbench it makes another run: {different}."
            if not any(config[name] != got[name] for name in _SET_BY_FLAGS):
                break
        return made(asked, note, False)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A request, and whether the learning rate is tuned; trials: number of runs that tuning takes."""

    request: experiment.Request
    tune: bool
    rate: float
    trials: int

    def flags(self) -> Iterator[str]:
        asked = self.request
        yield f"--model={asked.model}"
        yield f"--task={asked.task}"
        yield f"--protocol={asked.protocol}"
        if asked.budget is not None:
            yield f"--budget={asked.budget}"
        if asked.hparams:
            yield "--hparams=" + ",".join(f"{name}={_value(name, value)}" for name, value in asked.hparams.items())
        if asked.learning_rate is not None:
            yield f"--learning_rate={asked.learning_rate!r}"
        if asked.steps is not None:
            yield f"--steps={asked.steps}"
        if asked.data_seed:
            yield f"--data_seed={asked.data_seed}"
        yield from (["--tune"] if self.tune else []) + (["--remat"] if asked.remat else [])
        yield from ["--allow_budget_miss"] if asked.allow_budget_miss else []

    def config(self) -> dict[str, Any]:
        """What it resolves to, without a seed. Raises `NmbenchError` where this nmbench refuses it."""
        tuned = experiment.Tuning(self.rate, self.trials, {}) if self.tune else None
        cell = experiment.resolve(self.request, tuned)
        if self.tune:
            tuning.check(cell)
        return json.loads(shared_config(json.dumps(cell.config(seed=0))))


def _value(name: str, value: Any) -> str:
    text = str(value)
    if not text or text != text.strip() or "," in text:
        raise NmbenchError(f"the value {text!r} of {name} cannot be given with --hparams")
    return text


def _everything(config: Mapping[str, Any], row: Mapping[str, Any]) -> _Asked:
    """The request that leaves nothing to defaults."""
    trials = config["tuning_trials"]
    request = experiment.Request(
        model=str(config["model"]),
        task=str(config["task"]),
        budget=config["budget"],
        hparams=dict(config["hparams"]),
        protocol=str(config["protocol"]["name"]),
        learning_rate=None if trials else float(config["learning_rate"]),
        steps=sum(phase["steps"] for phase in config["protocol"]["phases"]),
        data_seed=config["data_seed"],
        allow_budget_miss=abs(row["params_dev"] or 0.0) > TOLERANCE,
        remat=bool(config.get("remat")),
    )
    return _Asked(request, bool(trials), float(config["learning_rate"]), trials)


def _shortest_first(everything: _Asked, config: Mapping[str, Any]) -> Iterator[_Asked]:
    """What may do with fewer flags: sizes from defaults, from the budget, from some hyperparameters, from all of them."""
    asked = everything.request
    bare = dataclasses.replace(asked, budget=None, hparams={}, learning_rate=None, steps=None)
    yield dataclasses.replace(everything, request=bare, tune=False)
    for hparams in ({}, _unusual(config), asked.hparams):
        request = dataclasses.replace(bare, budget=asked.budget, hparams=hparams)
        yield dataclasses.replace(everything, request=request, tune=False)
    yield everything


def _unusual(config: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters that are not the model's defaults; the free size only where no budget solves it."""
    if config["model"] not in BASELINES:
        return {}
    baseline = BASELINES.get(config["model"])
    usual = baseline.defaults(config["task"], config["protocol"]["name"])
    solved = None if config["budget"] is None else baseline.free_size
    return {k: v for k, v in config["hparams"].items() if k != solved and (k not in usual or usual[k] != v)}


def _completed(asked: _Asked, everything: _Asked, config: Mapping[str, Any]) -> tuple[_Asked, dict[str, Any]]:
    """`asked` with a learning rate and steps where its defaults are not those of `config`, and what it resolves to."""
    got, request = asked.config(), asked.request
    if any(got[name] != config[name] for name in ("learning_rate", "tuning_trials")):
        request = dataclasses.replace(request, learning_rate=everything.request.learning_rate)
        asked = dataclasses.replace(asked, tune=everything.tune)
    if sum(phase["steps"] for phase in got["protocol"]["phases"]) != everything.request.steps:
        request = dataclasses.replace(request, steps=everything.request.steps)
    if request == asked.request and got["tuning_trials"] == config["tuning_trials"]:
        return asked, got
    asked = dataclasses.replace(asked, request=request)
    return asked, asked.config()


def _differences(config: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    """What differs, but for x64, which is set for the whole process; "" for nothing."""
    before, after = ({k: v for k, v in flatten(c).items() if k != "x64"} for c in (config, got))
    names = [n for n in sorted({*before, *after}) if repr(before.get(n)) != repr(after.get(n))]
    parts = [f"{name} {short(before.get(name))} -> {short(after.get(name))}" for name in names]
    return ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
