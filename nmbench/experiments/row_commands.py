"""How a row is made again: its command, and whether this nmbench still gives the row's run id."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import rebuild
from nmbench.results.experiment_rows import shared_config, short
from nmbench.results.schema import EXTERNAL
from nmbench.support.errors import NmbenchError

# Where models and tasks lie that come with nmbench; any other needs the file that registers it.
_SHIPPED = ("baselines/", "tasks/")
_ELSEWHERE = "Trained outside nmbench, which has only scored the predictions: no command of nmbench trains it."
_TUNED = "It first chooses the learning rate again, as it was chosen for this row."


@dataclasses.dataclass(frozen=True)
class Rerun:
    """How to make rows of one configuration again.

    Attributes:
      config: the configuration, with some seed; None where no command makes it.
      plugins: files that the command has to name.
      exact: whether resolving it here gives the configuration of the row, and so its run id.
      note: what there is to know, above all why it is not exact; "" for nothing.
    """

    config: Mapping[str, Any] | None
    plugins: tuple[str, ...]
    exact: bool
    note: str

    def command(self, first_seed: int, seeds: int = 1) -> str:
        """One line for a shell that trains so many seeds; "" where there is none."""
        if self.config is None:
            return ""
        return rebuild.command_of(self.config, seeds=range(first_seed, first_seed + seeds), plugins=self.plugins)


class Reruns:
    """Commands of rows, each configuration resolved once.

    Args:
      plugins: files given with --plugin, as the commands should name them.
    """

    def __init__(self, plugins: Sequence[str] = ()):
        self._plugins = tuple(plugins)
        self._known: dict[tuple[str, str], Rerun] = {}

    def of(self, row: Mapping[str, Any]) -> Rerun:
        """How `row`, a valid result row, is made again. Nothing is trained and nothing written."""
        if row["protocol"] == EXTERNAL:
            return Rerun(None, (), False, _ELSEWHERE)
        key = shared_config(row["config_json"]), row["model_origin"]
        if key not in self._known:
            self._known[key] = self._find(json.loads(row["config_json"]), row["model_origin"])
        return self._known[key]

    def _find(self, config: dict[str, Any], origin: str) -> Rerun:
        try:
            rebuild.command_of(config)
        except NmbenchError as error:
            return Rerun(None, (), False, f"No command makes it: {error}.")
        plugins = self._needed(config, origin.rsplit(":", 1)[0])
        try:
            changed = rebuild.differences(config, rebuild.cell_from(config))
        except NmbenchError as error:
            return Rerun(config, plugins, False, f"This nmbench refuses it: {error}.")
        changed.pop("x64", None)  # set for the whole process
        if changed:
            return Rerun(config, plugins, False, f"With this nmbench it makes another run: {_listed(changed)}.")
        return Rerun(config, plugins, True, _TUNED if "--tune" in rebuild.command_of(config) else "")

    def _needed(self, config: Mapping[str, Any], origin: str) -> tuple[str, ...]:
        registered = [r.entry(config[r.kind]).origin for r in (BASELINES, TASKS) if config[r.kind] in r]
        if all(place.startswith(_SHIPPED) for place in (*registered, origin)):
            return ()
        return self._plugins if config["model"] in BASELINES else (origin,)


def _listed(changed: Mapping[str, tuple[Any, Any]]) -> str:
    parts = [f"{name} {short(then)} -> {short(now)}" for name, (then, now) in changed.items()]
    return ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
