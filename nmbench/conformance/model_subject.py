"""A model under test: it is sized, built and initialised once per task, for all rules."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.input_weights import check_new_inputs
from nmbench.contracts.model import Baseline, Core, Model, UnsuitableModelError
from nmbench.contracts.parameters import flatten, is_learned, unflatten
from nmbench.contracts.protocol import Protocol
from nmbench.contracts.specs import SequenceSpec
from nmbench.contracts.task import Task
from nmbench.contracts.unroll import DICT_HINT
from nmbench.experiments import contract_checks, resolution, running, sizing
from nmbench.experiments.request import Request
from nmbench.results import csv_files
from nmbench.results.store import PARAMS, Store
from nmbench.support.errors import NmbenchError, did_you_mean
from nmbench.training.parameter_files import load_params
from nmbench.training.prediction import predictor

SMOKE = "smoke"
TRIALS = 4
# Sizes to try if sizing to the budget fails, so that the other rules can still run.
_SOME_SIZES = (8, 4, 2, 1, 16, 32, 64)


def _once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Cache the results of a method by task and other arguments."""

    @functools.wraps(method)
    def kept(self, task: Task, *args: Any) -> Any:
        key = method.__name__, task.name, *args
        if key not in self._kept:
            self._kept[key] = method(self, task, *args)
        return self._kept[key]

    return kept


class ModelUnderTest:
    """A registered model and the tasks to check it on.

    Args:
      baseline: the model.
      tasks: tasks for which it must have the right shapes; nothing is computed on them.
      probed: tasks on which it is run, and trained for a few steps.
    """

    def __init__(self, baseline: Baseline, tasks: Sequence[Task], probed: Sequence[Task]):
        self.baseline, self.tasks, self.probed = baseline, tuple(tasks), tuple(probed)
        self._kept: dict[Any, Any] = {}

    @classmethod
    def of(cls, model: str, tasks: Sequence[str] = ()) -> ModelUnderTest:
        """Create from registered names.

        By default the tasks are all tasks, and the probed task is the one with the shortest trials.

        Raises:
          NmbenchError: unknown name.
        """
        baseline = BASELINES.get(model)
        found = [TASKS.get(name) for name in tasks or [entry.name for entry in TASKS.entries()]]
        return cls(baseline, found, found if tasks else [min(found, key=lambda task: task.spec.steps)])

    @property
    def kinds(self) -> list[Task]:
        """One task for each spec and hyperparameters: a model depends on a task only through these."""
        settings = lambda task: sorted(self.baseline.defaults(task.name, task.protocols[0].name).items())
        return list({repr((task.spec, settings(task))): task for task in reversed(self.tasks)}.values())[::-1]

    @property
    def has_steps(self) -> bool:
        """Whether nmbench unrolls the model over steps; a pair of functions does so itself."""
        factory = self.baseline.factory
        return isinstance(factory, type) and issubclass(factory, (Core, hk.RNNCore))

    @_once
    def sized(self, task: Task, protocol: str = "") -> sizing.Sizing:
        """Hyperparameters closest to the task's budget; if sizing fails, of any size that the model accepts (target None).

        Raises:
          NmbenchError: the model accepts none of the sizes tried.
        """
        hparams = self.baseline.defaults(task.name, protocol or task.protocols[0].name)
        hparams.pop(self.baseline.free_size, None)
        key = repr((task.spec, sorted(hparams.items()), task.default_budget))
        if key not in self._kept:
            self._kept[key] = self._size(task, hparams)
        return self._kept[key]

    def _size(self, task: Task, hparams: dict[str, Any]) -> sizing.Sizing:
        try:
            return sizing.size_to_budget(self.baseline, task.spec, hparams, task.default_budget, allow_miss=True)
        except UnsuitableModelError:
            raise
        except NmbenchError as error:
            refusal = error
        for size in _SOME_SIZES:
            try:
                return sizing.given_sizes(self.baseline, task.spec, {**hparams, self.baseline.free_size: size}, None)
            except NmbenchError as error:
                refusal = error
        raise refusal

    def rebuilt(self, task: Task) -> Model:
        """Build the pair of functions again."""
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
        """Outputs `[T, B, O]` of the model with parameters close to those of seed 0, none of which is 0."""
        return np.asarray(self._apply(task)(perturbed(self.params(task)), inputs))

    @_once
    def _apply(self, task: Task) -> Callable[[Any, Any], jax.Array]:
        return jax.jit(self.model(task).apply)

    def lacks(self, task: Task, protocol: Protocol) -> str:
        """The error if the model lacks a partition or input weights that a protocol needs, "" otherwise."""
        try:
            for phase in protocol.phases_for(self.baseline.name, self.baseline.partitions):
                self.baseline.partition(phase.partition)
                check_new_inputs(self.baseline.name, self.baseline.input_weights, task.spec, phase.new_inputs)
        except NmbenchError as error:
            return str(error)
        return ""

    @_once
    def smoke_run(self, task: Task) -> tuple[dict[str, Any], float | None]:
        """Train for a few steps; see `smoke_run` below for the result."""
        return smoke_run(
            self.baseline.name, task, {self.baseline.free_size: self.sized(task).hparams[self.baseline.free_size]}
        )


def smoke_run(model: str, task: Task, hparams: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
    """Train one seed for a few steps in a temporary folder, and compute the primary metric from its stored parameters.

    If the task has no protocol "smoke", the first protocol is used, with ten steps per phase.

    Args:
      model: registered name.
      task: the task.
      hparams: hyperparameters, including the free size.

    Returns:
      The row, and the primary metric; None if the status of the row is not ok.
    """
    by_name = {protocol.name: protocol for protocol in task.protocols}
    protocol = by_name.get(SMOKE, task.protocols[0])
    request = Request(
        model=model,
        task=task.name,
        protocol=protocol.name,
        hparams=hparams,
        steps=None if SMOKE in by_name else 10 * len(protocol.phases_by_model.get(model, protocol.phases)),
        devices=1,
    )
    experiment = resolution.resolve(request)
    with tempfile.TemporaryDirectory(prefix="nmbench-") as folder:
        store = Store(folder)
        store.prepare()
        running.run_seeds(experiment, [0], store)
        store.collect()
        (row,) = csv_files.read_csv(store.csv)
        if row["status"] != "ok":
            return row, None
        frozen = task.frozen("test")
        params = load_params(store.runs / row["run_id"] / PARAMS, jax.eval_shape(experiment.model.init, jax.random.key(0)))
        again = predictor(resolution.resolve(request).model, task, frozen)(params)
        return row, task.evaluate(again, frozen.arrays)["values"][task.primary.name]


def how_to_build(error: str) -> str:
    """Advice on an error of a factory."""
    if DICT_HINT in error:
        return "join the inputs first"
    for kind, advice in contract_checks.ADVICE.items():
        if kind in error:
            return advice
    if "shape" in error or "free size" in error or "parameters" in error:
        return "take sizes from spec.input_size and spec.output_size; accept some free size up to 64"
    return "mend the code that the message names"


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """max |one - two| / max(1, max |one|) over finite entries; infinity if an entry is finite in only one of the arrays."""
    if (np.isfinite(one) != np.isfinite(two)).any():
        return np.inf
    both = np.isfinite(one)
    if not both.any():
        return 0.0
    return float(np.abs(one - two)[both].max() / max(1.0, np.abs(one[both]).max()))


def unknown_names(baseline: Baseline) -> Iterator[str]:
    """Keys of the arguments `settings` and `learning_rates` that have no effect, because they name no task or protocol."""
    for argument in ("settings", "learning_rates"):
        for key in getattr(baseline, argument):
            task, _, protocol = key.partition("/")
            if task not in TASKS:
                unknown = f"task {task!r}{did_you_mean(task, [entry.name for entry in TASKS.entries()])}"
            elif protocol not in ("", *(known := [one.name for one in TASKS.get(task).protocols])):
                unknown = f"protocol {protocol!r} of {task}{did_you_mean(protocol, known)}"
            else:
                continue
            yield f"{argument}[{key!r}] has no effect: there is no {unknown}"


def random_inputs(spec: SequenceSpec, trials: int = TRIALS, seed: int = 0) -> Any:
    """Standard normal inputs, leaves `[T, trials, C]`."""
    random, dtype = np.random.RandomState(seed), jnp.result_type(float)
    return tree.map_structure(lambda a: random.standard_normal(a.shape).astype(dtype), spec.zeros(trials))


def perturbed(params: Any, by: float = 0.01) -> Any:
    """Parameters with Gaussian noise of this standard deviation added to the learned ones."""
    random, flat = np.random.RandomState(0), flatten(params)
    noisy = {
        name: leaf + by * random.standard_normal(leaf.shape).astype(leaf.dtype) if is_learned(*name.rsplit("|", 1)) else leaf
        for name, leaf in flat.items()
    }
    return unflatten(params, noisy)


def programs(jaxpr: Any) -> Iterator[Any]:
    """A closed jaxpr and all jaxprs inside it."""
    yield jaxpr
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                if hasattr(part, "eqns") or hasattr(part, "jaxpr"):
                    yield from programs(part)


def trace_of(function: Callable[..., Any], *args: Any) -> tuple[str, list[bytes]]:
    """The program of a function, as text and constants. All traces of a pure function are equal."""
    closed = jax.make_jaxpr(lambda *a: function(*a))(*args)  # a new lambda, because JAX caches traces by function
    constants = [np.asarray(c).tobytes() for part in programs(closed) for c in getattr(part, "consts", ()) if _plain(c)]
    return re.sub(r"0x[0-9a-f]+", "", str(closed)), constants


def _plain(constant: Any) -> bool:
    return hasattr(constant, "dtype") and not jnp.issubdtype(constant.dtype, jax.dtypes.prng_key)
