"""The command that trains the run of a row again, and whether it gives the row's run id today."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.experiment import LearningRate
from nmbench.experiments.loading import resolve_again
from nmbench.experiments.request import Request
from nmbench.experiments.resolution import resolve
from nmbench.results.config_json import shared_config, short
from nmbench.results.schema import EXTERNAL
from nmbench.support.errors import NmbenchError

# Folders of the models and tasks that come with nmbench. For any other, the command names the file that registers it.
_SHIPPED = ("baselines/", "tasks/")
_EXTERNAL = "Trained outside nmbench, which only scored the predictions. No command of nmbench trains this model."
_TUNED = "The command first chooses the learning rate again, as it was chosen for this row."
# Number of seeds that `nmbench run` trains by default.
_SEEDS = 10


def command_of(configuration: Configuration, *, seeds: range | None = None, plugins: Sequence[str] = ()) -> str:
    """A short shell command `python -m nmbench.run ...` that trains a run with this configuration.

    The command omits every flag that does not change what the others resolve to. It contains `--tune` if the learning rate
    was tuned and is not the default one.

    Args:
      configuration: the configuration of a run.
      seeds: seeds that the command trains; by default the run's own seed.
      plugins: files that register the model or the task.

    Raises:
      NmbenchError: a hyperparameter has a value that a flag cannot carry.
    """
    seeds = range(configuration.seed, configuration.seed + 1) if seeds is None else seeds
    configuration.to_argv()  # raises if no command can express the configuration
    return _command(configuration, *_shortest(configuration), seeds, plugins)


def _command(configuration: Configuration, request: Request, rate_given: bool, seeds: range, plugins: Sequence[str]) -> str:
    words = ["JAX_ENABLE_X64=true"] if configuration.x64 else []
    words += ["python", "-m", "nmbench.run", *(f"--plugin={path}" for path in plugins), *request.to_argv()]
    words += [f"--first_seed={seeds.start}"] if seeds.start else []
    words += [f"--seeds={len(seeds)}"] if len(seeds) != _SEEDS else []
    words += configuration.learning_rate_argv() if rate_given else []
    return " ".join(word if word.startswith("JAX_") else shlex.quote(word) for word in words)


def _shortest(configuration: Configuration) -> tuple[Request, bool]:
    """The request without values that change nothing, and whether the command must give the learning rate."""
    full = configuration.request()
    request, rate_given = full, True
    if not _resolves_to(configuration, request, rate_given):
        # The model or the task is unknown here, or resolves to something else today, so nothing can be omitted.
        return request, True
    if _resolves_to(configuration, request, False):
        rate_given = False
    for shorter in _shorter_requests(full):
        candidate = dataclasses.replace(request, **shorter(request))
        if candidate != request and _resolves_to(configuration, candidate, rate_given):
            request = candidate
    return request, rate_given


def _shorter_requests(full: Request) -> Iterator[Any]:
    """Functions from a request to the changes that shorten it, in the order in which they are tried."""
    yield lambda request: {"allow_budget_miss": False}
    yield lambda request: {"steps": None}
    # All hyperparameters at once, then one by one: most are defaults, and the free size follows from the budget.
    yield lambda request: {"hparams": {}, "budget": None}
    yield lambda request: {"hparams": {}}
    for name in full.hparams:
        yield lambda request, name=name: {"hparams": {k: v for k, v in request.hparams.items() if k != name}}
    yield lambda request: {"budget": None}
    yield lambda request: {"allow_budget_miss": False}
    yield lambda request: {"protocol": None}


def _resolves_to(configuration: Configuration, request: Request, rate_given: bool) -> bool:
    rate = LearningRate(configuration.learning_rate, configuration.tuning_trials, {}) if rate_given else None
    try:
        return resolve(request, rate).configuration(configuration.seed).asks_for_the_same(configuration)
    except NmbenchError:
        return False


@dataclasses.dataclass(frozen=True)
class RowCommand:
    """The command that trains the runs of one experiment again.

    Attributes:
      configuration: the configuration of one of its runs, None if no command trains it.
      plugins: files that the command must name.
      exact: whether the command gives the run id of the row today.
      note: a sentence for the reader, such as the reason why the command is not exact; "" for none.
    """

    configuration: Configuration | None
    plugins: tuple[str, ...]
    exact: bool
    note: str

    def command(self, first_seed: int, seeds: int = 1) -> str:
        """A shell command that trains this number of seeds; "" if no command does."""
        if self.configuration is None:
            return ""
        seeds_of_command = range(first_seed, first_seed + seeds)
        return _command(self.configuration, *self._shortest, seeds_of_command, self.plugins)

    @functools.cached_property
    def _shortest(self) -> tuple[Request, bool]:
        """The same for all seeds."""
        assert self.configuration is not None
        self.configuration.to_argv()  # raises if no command can express the configuration
        return _shortest(self.configuration)


class RowCommands:
    """Finds the commands of rows. Every configuration is resolved once.

    Args:
      plugins: files given with --plugin, as the commands should name them.
    """

    def __init__(self, plugins: Sequence[str] = ()):
        self._plugins = tuple(plugins)
        self._found: dict[tuple[str, str], RowCommand] = {}

    def of(self, row: Mapping[str, Any]) -> RowCommand:
        """The command for `row`, a valid result row. Nothing is trained or written."""
        if row["protocol"] == EXTERNAL:
            return RowCommand(None, (), False, _EXTERNAL)
        key = shared_config(row["config_json"]), row["model_origin"]
        if key not in self._found:
            self._found[key] = self._find(row["config_json"], row["model_origin"])
        return self._found[key]

    def _find(self, config_json: str, origin: str) -> RowCommand:
        try:
            configuration = Configuration.from_json(config_json)
            configuration.to_argv()
        except NmbenchError as error:
            return RowCommand(None, (), False, f"No command trains this run: {error}.")
        plugins = self._needed(configuration, origin.rsplit(":", 1)[0])
        try:
            today = resolve_again(configuration).configuration(configuration.seed)
        except NmbenchError as error:
            return RowCommand(configuration, plugins, False, f"This version of nmbench refuses the command: {error}.")
        changed = configuration.differences(today)
        changed.pop("x64", None)  # a setting of the whole process
        if changed:
            return RowCommand(
                configuration, plugins, False, f"With this version the command trains another run: {_listed(changed)}."
            )
        return RowCommand(configuration, plugins, True, _TUNED if "--tune" in command_of(configuration) else "")

    def _needed(self, configuration: Configuration, origin: str) -> tuple[str, ...]:
        names = ((BASELINES, configuration.model), (TASKS, configuration.task))
        registered = [registry.entry(name).origin for registry, name in names if name in registry]
        if all(file.startswith(_SHIPPED) for file in (*registered, origin)):
            return ()
        return self._plugins if configuration.model in BASELINES else (origin,)


def _listed(changed: Mapping[str, tuple[Any, Any]]) -> str:
    parts = [f"{name} {short(then)} -> {short(now)}" for name, (then, now) in changed.items()]
    return ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
