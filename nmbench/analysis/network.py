"""A trained network: a model with its parameters, read from a run folder or put together by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from nmbench.contracts.model import Baseline, Core
from nmbench.contracts.specs import SequenceSpec
from nmbench.experiments import rebuild, reproduction
from nmbench.results.provenance import uses_x64
from nmbench.results.store import PARAMS
from nmbench.support.errors import NmbenchError
from nmbench.training.parameter_files import load_params

if TYPE_CHECKING:
    from nmbench.contracts.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A model of a definite size with parameters.

    Attributes:
      baseline: the registered model.
      spec: of its inputs and outputs.
      hparams: all hyperparameters, the free size among them.
      params: parameter tree of `baseline.build(spec, hparams)`.
      task: what it was trained on, None if that is not known.
      row: its result row, None if it has none.
    """

    baseline: Baseline
    spec: SequenceSpec
    hparams: Mapping[str, Any]
    params: Any
    task: Task | None = None
    row: Mapping[str, Any] | None = None
    _compiled: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_core(self) -> bool:
        """Whether the model is a `Core`, whose inside can be observed."""
        return isinstance(self.baseline.factory, type) and issubclass(self.baseline.factory, Core)

    def apply(self, inputs: Any) -> np.ndarray:
        """Outputs `[T, B, O]` on inputs of the spec, leaves `[T, B, channels]`."""
        return np.asarray(self.compiled(_answer)(self.params, floats(inputs)))

    def with_params(self, params: Any) -> Network:
        """The same model with other parameters and without a row; what is compiled for one serves both."""
        other = dataclasses.replace(self, params=params, row=None)
        object.__setattr__(other, "_compiled", self._compiled)
        return other

    def compiled(self, make: Callable[[Network], Callable[..., Any]]) -> Callable[..., Any]:
        """`make(self)` compiled, once for all networks that differ in parameters alone: `(params, ...) -> ...`."""
        if make not in self._compiled:
            self._compiled[make] = jax.jit(make(self))
        return self._compiled[make]

    def with_module(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A pure function `(params, *args) -> function(module, *args)`, with the model's Haiku module made from `params`."""
        module = lambda *args: function(self.baseline.factory(self.spec, **self.hparams), *args)
        return hk.without_apply_rng(hk.transform(module)).apply


def _answer(network: Network) -> Callable[[Any, Any], Any]:
    return network.baseline.build(network.spec, network.hparams).apply


def floats(values: Any) -> Any:
    """All leaves as arrays of the default floating-point type."""
    return tree.map_structure(lambda a: np.asarray(a, jnp.result_type(float)), values)


def load(results_dir: str, run_id: str) -> Network:
    """The trained network of a run.

    If the model's file or the engine is not what it was, the network is taken only if it still scores what its row says.

    Args:
      results_dir: folder with `runs/`.
      run_id: the run's name, as in the column `run_id`, or `FILE.csv:N` or `FILE.csv#RUN_ID`.

    Raises:
      NmbenchError: no such run, it did not end well, its parameters are not there, its task or protocol are no longer what
        they were, or its model now computes something else.
    """
    row, folder = reproduction.find(run_id, [results_dir], results_dir)
    run_id, config = row["run_id"], reproduction.config_of(row)
    if row["status"] != "ok":
        raise NmbenchError(f"{run_id} has status {row['status']!r}: it left no network to analyse")
    if folder is None:
        raise NmbenchError(f"the parameters of {run_id} are not in {results_dir}: it has no runs/{run_id}/{PARAMS}")
    rebuild.request_from(config)
    if config["x64"] != uses_x64():
        flag = str(config["x64"]).lower()
        raise NmbenchError(f"{run_id} was trained in another precision; set JAX_ENABLE_X64={flag} to load it")
    cell = rebuild.cell_from(config)
    remarks = reproduction.check(row, config, cell)
    if remarks:
        now = reproduction.score_again(cell, row, folder)
        if not reproduction.Reproduction(row["value"], now, reproduction.SCORED_ELSEWHERE).reproduced:
            raise NmbenchError(
                f"{run_id}: {'; '.join(remarks)}, and it no longer scores {row['value']:.6g} but {now:.6g}; "
                f"analyse it with the nmbench it was trained with"
            )
    params = load_params(folder / PARAMS, jax.eval_shape(cell.model.init, jax.random.key(0)))
    return Network(
        baseline=cell.baseline, spec=cell.task.spec, hparams=cell.sizing.hparams, params=params, task=cell.task, row=row
    )
