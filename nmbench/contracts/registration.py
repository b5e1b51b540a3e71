"""The functions that add models and tasks to the registries: `register_baseline` and `register_task`."""

from __future__ import annotations

import inspect
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from nmbench.contracts import class_targets
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.input_weights import InputWeights
from nmbench.contracts.metrics import Metric
from nmbench.contracts.model import INPUT_WEIGHTS, Baseline
from nmbench.contracts.parameters import Predicate
from nmbench.contracts.protocol import Protocol
from nmbench.contracts.registry import call_site
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.contracts.task import FixedData, Sampler, Task
from nmbench.support.errors import NmbenchError, one_line


def register_baseline(
    name: str,
    *,
    free_size: str,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    learning_rates: Mapping[str, float] | None = None,
    input_weights: Mapping[str, InputWeights] | None = None,
    partitions: Mapping[str, Predicate] | None = None,
    citation: str = "",
    tags: tuple[str, ...] = (),
    summary: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that adds a model to the registry.

    It decorates a factory: a subclass of `Core` or of `hk.RNNCore`, or a function that returns a pair `(init, apply)`. The
    factory is called with the task's `SequenceSpec` and hyperparameters by name. Its signature declares the hyperparameters:
    the free size has no default; every other one has a default, and the type of the default is its type.

    Args:
      name: name in commands and results. Write it as a literal, so that models can be listed without importing the module.
      free_size: the integer hyperparameter that is adjusted to a parameter budget.
      settings: hyperparameters by "task" or "task/protocol"; the latter take precedence. For example, `settings={"my_task":
        {"K": 4}, "my_task/paper": {"K": 8, "N": 100}}` gives K = 4 on my_task, but K = 8 and N = 100 under its protocol
        paper. A free size in it counts only if the protocol uses published sizes.
      learning_rates: learning rates by "task/protocol", where a publication or tuning gives one.
      input_weights: "parameter" or "module|parameter" to the inputs that this parameter multiplies (see `InputWeights`).
      partitions: name to predicate on (module, parameter), for phases that train part of the parameters.
      citation, tags: shown by `list` and `describe`.
      summary: one line; by default the first line of the factory's docstring.

    Raises:
      NmbenchError: the name is taken or malformed, the signature is not as described above, `settings` do not match it, or
        `partitions` contains "learned" or "input_weights".
    """
    origin, path = call_site()
    if not (input_weights is None or _is_dict_of(InputWeights)(input_weights)):
        raise NmbenchError(f'{origin}: input_weights must be a dict such as {{"B": nmbench.InputWeights()}}')
    weights, parts = dict(input_weights or {}), dict(partitions or {})
    for reserved in {"learned", INPUT_WEIGHTS} & set(parts):
        raise NmbenchError(
            f"{origin}: the partition {reserved!r} is made by nmbench (input_weights= defines 'input_weights'); rename yours"
        )
    if weights:
        parts[INPUT_WEIGHTS] = lambda module, name: name in weights or f"{module}|{name}" in weights

    def decorate(factory: Callable[..., Any]) -> Callable[..., Any]:
        hparams = _declared_hparams(factory, free_size, origin)
        baseline = Baseline(
            name=name,
            factory=factory,
            free_size=free_size,
            hparams=hparams,
            settings=settings or {},
            learning_rates=learning_rates or {},
            input_weights=weights,
            partitions=parts,
            citation=citation,
            tags=tuple(tags),
            summary=summary or (inspect.getdoc(factory) or "").split("\n")[0],
            origin=origin,
            path=path,
        )
        for key, rate in baseline.learning_rates.items():
            if key.count("/") != 1:
                raise NmbenchError(
                    f"{origin}: learning_rates[{key!r}]: the key must be 'task/protocol', such as "
                    f"'{key.split('/')[0]}/matched'"
                )
            if not 0 < rate < math.inf:
                raise NmbenchError(f"{origin}: learning_rates[{key!r}] is {rate!r}, but must be a finite number above 0")
        for key, values in baseline.settings.items():
            with one_line(f"{origin}: settings[{key!r}]"):
                checked = baseline.check_hparams(values)
                for n, value in values.items():
                    if isinstance(value, str) and value != checked[n]:
                        raise NmbenchError(f"{origin}: settings[{key!r}]: {n} is the text {value!r}; write {checked[n]!r}")
        BASELINES.register(name, baseline, origin=origin, tags=tags, summary=baseline.summary)
        return factory

    return decorate


def _declared_hparams(factory: Callable[..., Any], free_size: str, origin: str) -> dict[str, Any]:
    parameters = list(inspect.signature(factory).parameters.values())
    if not parameters:
        raise NmbenchError(f"{origin}: a model's factory must take the task's spec first, then hyperparameters by name")
    declared = {p.name: p.default for p in parameters[1:] if p.kind is not p.VAR_KEYWORD and p.name != "name"}
    if free_size not in declared:
        raise NmbenchError(f"{origin}: the free size {free_size!r} is not an argument of {factory.__name__}")
    without = [n for n, default in declared.items() if default is inspect.Parameter.empty and n != free_size]
    if without:
        raise NmbenchError(f"{origin}: give {', '.join(without)} a default; only the free size {free_size!r} has none")
    hparams = {n: default for n, default in declared.items() if n != free_size}
    for n, default in hparams.items():
        if not isinstance(default, bool | int | float | str) or (isinstance(default, float) and not math.isfinite(default)):
            raise NmbenchError(
                f"{origin}: the default of {n} is {default!r}; a hyperparameter is a number, True, False or text: rows "
                f"record it, and --hparams sets it"
            )
    return hparams


def register_task(name: str, **attributes: Any) -> Task:
    """Make a `Task` and add it to the registry; call it at the top level of a module.

    Args:
      name: name in commands and results. Write it as a literal, so that tasks can be listed without importing the module.
      **attributes: the attributes of `Task` other than `path`; `sets_folder` is by default `testsets/` beside the calling
        file.

    Raises:
      NmbenchError: the name is taken or malformed, or the value of an attribute is invalid or of another type.
      TypeError: an attribute is missing or unknown.
    """
    origin, path = call_site()
    attributes.setdefault("sets_folder", pathlib.Path(path).resolve().parent / "testsets")
    attributes["sets_folder"] = pathlib.Path(attributes["sets_folder"])
    for key, (fits, needed) in _NEEDED.items():
        if key in attributes and not fits(attributes[key]):
            given = " ".join(repr(attributes[key]).split())
            given = given if len(given) <= 80 else f"{given[:77]}..."
            raise NmbenchError(f"{origin}: task {name!r}: {key} must be {needed}; got {given}")
    task = class_targets.converted(Task(name=name, path=path, **attributes))
    TASKS.register(name, task, origin=origin, tags=task.tags, summary=task.summary)
    return task


def _is_dict_of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(isinstance(one, kinds) for one in value.values())


def _is_tuple_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple | list) and all(isinstance(one, kind) for one in value)


def _is_spec(value: Any) -> bool:
    if not isinstance(value, SequenceSpec) or not isinstance(value.outputs, ArraySpec):
        return False
    leaves = lambda node: [leaf for one in node.values() for leaf in leaves(one)] if isinstance(node, Mapping) else [node]
    return isinstance(value.inputs, Mapping) and all(isinstance(leaf, ArraySpec) for leaf in leaves(value.inputs))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Attributes of a task: the test of a value, and what is needed.
_NEEDED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "version": (_is_whole, "a whole number such as 1"),
    "default_budget": (_is_whole, "a whole number such as 500"),
    "spec": (_is_spec, 'SequenceSpec(steps=..., inputs={"name": ArraySpec(...)}, outputs=ArraySpec(...))'),
    "training": (_is_dict_of(Sampler, FixedData), 'a dict such as {"train": nmbench.Sampler(sample)}'),
    "set_sizes": (
        lambda value: isinstance(value, Mapping) and all(_is_whole(size) and size > 0 for size in value.values()),
        'a dict of positive whole numbers such as {"validation": 200, "test": 500}',
    ),
    "draw_set": (callable, "a function of the name of a set"),
    "unpack": (callable, "a function of the arrays of a set"),
    "metrics": (_is_tuple_of(Metric), "a tuple such as (Metric(...),)"),
    "protocols": (_is_tuple_of(Protocol), "a tuple such as (Protocol(...),)"),
    "references": (
        lambda value: isinstance(value, Mapping) and all(map(callable, value.values())),
        'a dict of functions such as {"chance": lambda arrays: ...}',
    ),
    "epochs": (lambda value: value is None or callable(value), "a function of the arrays of a set and a trial"),
}
