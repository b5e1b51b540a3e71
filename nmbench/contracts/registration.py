"""How models and tasks enter the registries: `register_baseline` and `register_task`."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.input_weights import InputWeights
from nmbench.contracts.model import INPUT_WEIGHTS, Baseline
from nmbench.contracts.parameters import Predicate
from nmbench.contracts.registry import call_site
from nmbench.contracts.task import Task
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
    """Decorator that adds a model to the registry. See `Baseline` for the arguments.

    The factory is called with the task's `SequenceSpec`, then hyperparameters by name. Its signature declares them: the
    free size has no default, all others have one, and that default's type is the hyperparameter's type.

    Raises:
      NmbenchError: the name is taken or malformed, or the signature does not fit.
    """
    origin, path = call_site()
    weights, parts = dict(input_weights or {}), dict(partitions or {})
    for reserved in {"learned", INPUT_WEIGHTS} & set(parts):
        raise NmbenchError(f"{origin}: the partition {reserved!r} is made by nmbench; give input_weights= for the latter")
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
        for key, values in baseline.settings.items():
            with one_line(f"{origin}: settings[{key!r}]"):
                baseline.check_hparams(values)
        BASELINES.register(name, baseline, origin=origin, tags=baseline.tags, summary=baseline.summary)
        return factory

    return decorate


def _declared_hparams(factory: Callable[..., Any], free_size: str, origin: str) -> dict[str, Any]:
    parameters = list(inspect.signature(factory).parameters.values())
    if not parameters:
        raise NmbenchError(f"{origin}: a model's factory takes the task's spec first, then hyperparameters by name")
    declared = {p.name: p.default for p in parameters[1:] if p.kind is not p.VAR_KEYWORD and p.name != "name"}
    if free_size not in declared:
        raise NmbenchError(f"{origin}: the free size {free_size!r} is not an argument of {factory.__name__}")
    bare = [n for n, default in declared.items() if default is inspect.Parameter.empty and n != free_size]
    if bare:
        raise NmbenchError(f"{origin}: give {', '.join(bare)} a default; only the free size {free_size!r} goes without")
    return {n: default for n, default in declared.items() if n != free_size}


def register_task(name: str, **attributes: Any) -> Task:
    """Make a `Task` and add it to the registry; call it at the top level of a module.

    Args:
      name: a literal, so that listing tasks need not import the module.
      **attributes: the attributes of `Task`.

    Raises:
      NmbenchError: the name is taken or malformed, or an attribute is not acceptable.
    """
    origin, path = call_site()
    attributes.setdefault("sets_folder", pathlib.Path(path).resolve().parent / "testsets")
    task = Task(name=name, **attributes)
    TASKS.register(name, task, origin=origin, tags=task.tags, summary=task.summary)
    return task
