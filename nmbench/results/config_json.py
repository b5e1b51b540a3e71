"""The column `config_json` of a row: the part that all seeds share, differences between configurations, and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from nmbench.contracts import fingerprints
from nmbench.contracts.catalog import BASELINES
from nmbench.results.schema import canonical_json
from nmbench.support.errors import printable

# Parts of a configuration that belong to a single run.
RUN_ONLY = ("seed", "predictions_sha256")
# Parts of a configuration that describe the code and not the user's request.
CODE = ("engine", "model_sha256")
_DEEPEST = 20


def shared_config(text: str) -> str:
    """The configuration (JSON) without the parts that belong to a single run, as canonical JSON: equal for all seeds."""
    return _without(text, RUN_ONLY)


def requested_config(text: str) -> str:
    """The configuration (JSON) without the parts that describe the code, as canonical JSON."""
    return _without(text, CODE)


def _without(text: str, parts: Sequence[str]) -> str:
    return canonical_json({name: value for name, value in json.loads(text).items() if name not in parts})


def has_default_hparams(config: str, task: str, protocol: str) -> bool:
    """Whether a configuration (JSON) has the default hyperparameters of its model; False if this is not registered."""
    entries = json.loads(config)
    if entries.get("model") not in BASELINES:
        return False
    given, defaults = entries.get("hparams", {}), BASELINES.get(entries["model"]).defaults(task, protocol)
    return all(given.get(name) == value for name, value in defaults.items())


def has_current_source(config: str) -> bool:
    """Whether a configuration (JSON) names the present source of its model; False if this is not registered."""
    entries = json.loads(config)
    if entries.get("model") not in BASELINES:
        return False
    try:
        return entries.get("model_sha256") == fingerprints.of_module(BASELINES.get(entries["model"]).path)
    except OSError:  # registered in a notebook, or the file is gone
        return False


class SharedConfigs:
    """`shared_config` of many rows. Texts that differ only in their seed are parsed once."""

    def __init__(self):
        self._parsed: dict[str, str] = {}

    def of(self, text: str, seed: int) -> str:
        """Return `shared_config(text)`. seed: the seed of the row."""
        before, found, after = text.partition(f'"seed":{seed}')
        # `"seed":` cannot occur inside a JSON string. If it occurs once, texts that differ in its number share a result.
        once = bool(found) and after[:1] in (",", "}") and text.count('"seed":') == 1
        key = f'{before}"seed":{after}'
        if once and key in self._parsed:
            return self._parsed[key]
        shared = shared_config(text)
        if once and json.loads(text).get("seed") == seed:
            self._parsed[key] = shared
        return shared


def labels(model: str, configs: Sequence[str]) -> dict[str, str]:
    """Map each configuration (JSON) to a label.

    A single configuration is labelled with the model's name. With several, up to six differing settings follow in brackets:
    hyperparameters if these differ, otherwise other settings. If labels would be equal, every label also has a number.
    """
    if len(configs) == 1:
        return {configs[0]: model}
    flat = {config: flatten(json.loads(config)) for config in configs}
    names = sorted({n for f in flat.values() for n in f if len({repr(g.get(n)) for g in flat.values()}) > 1})
    shown = [n for n in names if n.startswith("hparams.")] or names
    made = {}
    for config, values in flat.items():
        details = " ".join(f"{n.split('.')[-1]}={short(values.get(n))}" for n in shown[:6])
        made[config] = f"{model} [{details}]"
    if len(set(made.values())) == len(made):
        return made
    return {config: f"{label[:-1]} #{i}]" for i, (config, label) in enumerate(made.items(), start=1)}


def is_numbered(label: str) -> bool:
    """Whether the label ends in a number that `labels` added. Such labels cannot be matched across tables."""
    return re.search(r" #\d+\]$", label) is not None


def changes(before: str, after: str) -> str:
    """Differences between two configurations (JSON), such as "hparams.N 5 -> 9, ..."; "" if they are equal."""
    if before == after:
        return ""
    a, b = flatten(json.loads(before)), flatten(json.loads(after))
    names = [name for name in sorted({*a, *b}) if repr(a.get(name)) != repr(b.get(name))]
    return ", ".join(f"{name} {short(a.get(name))} -> {short(b.get(name))}" for name in names)


def flatten(config: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested dicts and lists as one dict with dotted names; parts below 20 levels of nesting become JSON text."""
    if not isinstance(config, dict | list) or (prefix and not config):
        return {prefix.rstrip("."): config}
    if depth == _DEEPEST:
        return {prefix.rstrip("."): canonical_json(config)}
    parts = config if isinstance(config, dict) else dict(enumerate(config))
    return {name: v for k, part in parts.items() for name, v in flatten(part, f"{prefix}{k}.", depth + 1).items()}


def short(value: Any) -> str:
    """Text of a value of a configuration; texts of more than twelve characters are cut to eight."""
    text = f"{value:g}" if isinstance(value, float) else printable(str(value))
    return text if len(text) <= 12 else text[:8]
