"""A model as the rules see it: sized for tasks, traced, and run, each once."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.input_weights import check_new_inputs
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.parameters import flatten, is_learned, unflatten
from nmbench.contracts.protocol import Protocol
from nmbench.contracts.specs import SequenceSpec
from nmbench.contracts.task import Task
from nmbench.experiments import resolution, running, sizing
from nmbench.experiments.request import Request
from nmbench.results import schema
from nmbench.results.store import PARAMS, Store
from nmbench.support.errors import NmbenchError
from nmbench.training.parameter_files import load_params
from nmbench.training.prediction import predictor

SMOKE = "smoke"
TRIALS = 4
# Tried where no size meets the budget: what is judged then is the model at some size.
_SOME_SIZES = (8, 4, 2, 1, 16, 32, 64)


def _once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a method of a subject returns for a task and other arguments."""

    @functools.wraps(method)
    def kept(self, task: Task, *args: Any) -> Any:
        key = method.__name__, task.name, *args
        if key not in self._kept:
            self._kept[key] = method(self, task, *args)
        return self._kept[key]

    return kept


class ModelUnderTest:
    """A registered model, the tasks whose specs it has to fit, and those of them that it is run on.

    Args:
      baseline: the model.
      tasks: looked at through abstract shapes, which costs little.
      probed: run and trained for a few steps.
    """

    def __init__(self, baseline: Baseline, tasks: Sequence[Task], probed: Sequence[Task]):
        self.baseline, self.tasks, self.probed = baseline, tuple(tasks), tuple(probed)
        self._kept: dict[Any, Any] = {}

    @classmethod
    def of(cls, model: str, tasks: Sequence[str] = ()) -> ModelUnderTest:
        """By registered names. Without `tasks`, all of them, and the one with the shortest trials is run.

        Raises:
          NmbenchError: an unknown name.
        """
        baseline = BASELINES.get(model)
        found = [TASKS.get(name) for name in tasks or [entry.name for entry in TASKS.entries()]]
        return cls(baseline, found, found if tasks else [min(found, key=lambda task: task.spec.steps)])

    @property
    def kinds(self) -> list[Task]:
        """One task for each kind of spec: a model is built from no more than that and its hyperparameters."""
        return list({repr(task.spec): task for task in reversed(self.tasks)}.values())[::-1]

    @_once
    def sized(self, task: Task, protocol: str = "") -> sizing.Sizing:
        """Hyperparameters at the task's budget, or closest to it, or of some size (target None) if there is no closest."""
        hparams = self.baseline.defaults(task.name, protocol or task.protocols[0].name)
        hparams.pop(self.baseline.free_size, None)
        key = repr((task.spec, sorted(hparams.items()), task.default_budget))
        if key not in self._kept:
            self._kept[key] = self._size(task, hparams)
        return self._kept[key]

    def _size(self, task: Task, hparams: dict[str, Any]) -> sizing.Sizing:
        try:
            return sizing.size_to_budget(self.baseline, task.spec, hparams, task.default_budget, allow_miss=True)
        except NmbenchError as error:
            refusal = error
        for size in _SOME_SIZES:
            try:
                return sizing.given_sizes(self.baseline, task.spec, {**hparams, self.baseline.free_size: size}, None)
            except NmbenchError as error:
                refusal = error
        raise refusal

    def rebuilt(self, task: Task) -> Model:
        """The pair of functions, made anew."""
        return self.baseline.build(task.spec, self.sized(task).hparams)

    @_once
    def model(self, task: Task) -> Model:
        return self.rebuilt(task)

    def shapes(self, task: Task) -> dict[str, jax.ShapeDtypeStruct]:
        """Abstract parameters by name."""
        return flatten(jax.eval_shape(self.model(task).init, jax.random.key(0)))

    @_once
    def params(self, task: Task, seed: int = 0) -> Any:
        return jax.jit(self.model(task).init)(jax.random.key(seed))

    def outputs(self, task: Task, inputs: Any) -> np.ndarray:
        """What the model of seed 0 answers, `[T, B, O]`."""
        return np.asarray(self._apply(task)(self.params(task), inputs))

    @_once
    def _apply(self, task: Task) -> Callable[[Any, Any], jax.Array]:
        return jax.jit(self.model(task).apply)

    def lacks(self, task: Task, protocol: Protocol) -> str:
        """What the model lacks for a protocol's staged training, "" for nothing."""
        try:
            for phase in protocol.phases_for(self.baseline.name, self.baseline.partitions):
                assert isinstance(phase.partition, str)
                self.baseline.partition(phase.partition)
                check_new_inputs(self.baseline.name, self.baseline.input_weights, task.spec, phase.new_inputs)
        except NmbenchError as error:
            return str(error)
        return ""

    @_once
    def smoke_run(self, task: Task) -> tuple[dict[str, Any], float | None]:
        """(row, value that its stored parameters give) of a short training run in a folder that is gone afterwards."""
        return smoke_run(
            self.baseline.name, task, {self.baseline.free_size: self.sized(task).hparams[self.baseline.free_size]}
        )


def smoke_run(model: str, task: Task, hparams: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
    """See `ModelUnderTest.smoke_run`. A task without a protocol "smoke" is trained by its first, for ten steps a phase."""
    known = {protocol.name: protocol for protocol in task.protocols}
    protocol = known.get(SMOKE, task.protocols[0])
    request = Request(
        model=model,
        task=task.name,
        protocol=protocol.name,
        hparams=hparams,
        steps=None if SMOKE in known else 10 * len(protocol.phases_by_model.get(model, protocol.phases)),
        devices=1,
    )
    cell = resolution.resolve(request)
    with tempfile.TemporaryDirectory(prefix="nmbench-") as folder:
        store = Store(folder)
        store.prepare()
        running.run_seeds(cell, [0], store)
        store.collect()
        (row,) = schema.read_csv(store.csv)
        if row["status"] != "ok":
            return row, None
        frozen = task.frozen("test")
        params = load_params(store.runs / row["run_id"] / PARAMS, jax.eval_shape(cell.model.init, jax.random.key(0)))
        again = predictor(resolution.resolve(request).model, task, frozen)(params)
        return row, task.evaluate(again, frozen.arrays)["values"][task.primary.name]


def random_inputs(spec: SequenceSpec, trials: int = TRIALS, seed: int = 0) -> Any:
    """Standard normal inputs, leaves `[T, trials, C]`."""
    random, dtype = np.random.RandomState(seed), jnp.result_type(float)
    return tree.map_structure(lambda a: random.standard_normal(a.shape).astype(dtype), spec.zeros(trials))


def perturbed(params: Any, by: float = 0.01) -> Any:
    """Learned parameters with noise of this standard deviation on them."""
    random, flat = np.random.RandomState(0), flatten(params)
    noisy = {
        name: leaf + by * random.standard_normal(leaf.shape).astype(leaf.dtype) if is_learned(*name.rsplit("|", 1)) else leaf
        for name, leaf in flat.items()
    }
    return unflatten(params, noisy)


def programs(jaxpr: Any) -> Iterator[Any]:
    """A closed jaxpr and all that lie in it."""
    yield jaxpr
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                if hasattr(part, "eqns") or hasattr(part, "jaxpr"):
                    yield from programs(part)


def trace_of(function: Callable[..., Any], *args: Any) -> tuple[str, list[bytes]]:
    """What a function computes, as text and constants: equal for two traces of a function that is a function."""
    closed = jax.make_jaxpr(lambda *a: function(*a))(*args)  # JAX remembers traces by function: this one is new
    constants = [np.asarray(c).tobytes() for part in programs(closed) for c in getattr(part, "consts", ()) if _plain(c)]
    return re.sub(r"0x[0-9a-f]+", "", str(closed)), constants


def _plain(constant: Any) -> bool:
    return hasattr(constant, "dtype") and not jnp.issubdtype(constant.dtype, jax.dtypes.prng_key)
