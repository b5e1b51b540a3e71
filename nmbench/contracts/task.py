"""The task contract.

A task says what goes in and out (`spec`), how training batches are made on the device (`training`), how its frozen sets
were drawn with NumPy (`draw_set`) and how they become model inputs (`unpack`), and how answers are judged (`metrics`).
"""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tree

from nmbench.contracts import fingerprints, frozen_sets
from nmbench.contracts.metrics import Metric
from nmbench.contracts.protocol import EXTERNAL, Protocol
from nmbench.contracts.specs import SequenceSpec
from nmbench.support.errors import NmbenchError, did_you_mean


class Batch(NamedTuple):
    """Trials, time-major.

    inputs: structure of the task's spec, leaves `[T, B, channels]`.
    targets: `[T, B, O]`.
    mask: broadcastable to targets; the loss and the error metrics weigh by it.
    """

    inputs: Any
    targets: Any
    mask: Any


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Training data drawn afresh at every step, on the device.

    Attributes:
      sample: pure JAX function `(key, batch_size) -> Batch`.
    """

    sample: Callable[[Any, int], Batch]

    def arrays(self) -> Any:
        return ()

    def fingerprint(self) -> str:
        """Fingerprint of the module that defines `sample`: trials that cannot be listed are identified by their code."""
        return fingerprints.of_module(inspect.getfile(inspect.unwrap(self.sample)))

    def draw(self, arrays: Any, key: Any, batch_size: int) -> Batch:
        del arrays
        if batch_size < 1:
            raise NmbenchError("this task draws fresh trials: its phases need a batch_size of at least 1")
        return self.sample(key, batch_size)


@dataclasses.dataclass(frozen=True)
class FixedData:
    """A fixed training set: the whole of it at every step, or `batch_size` trials drawn with replacement.

    Attributes:
      make: returns the Batch of all trials as NumPy arrays, the same at every call.
    """

    make: Callable[[], Batch]

    def arrays(self) -> Batch:
        batch = self.make()
        shape = (*np.shape(batch.mask)[:1], np.shape(batch.targets)[1], *np.shape(batch.mask)[2:])
        return batch._replace(mask=np.broadcast_to(batch.mask, shape))

    def fingerprint(self) -> str:
        """sha256 of all trials (see `nmbench.contracts.frozen_sets.digest`)."""
        leaves = tree.flatten_with_path(self.make()._asdict())
        return frozen_sets.digest({"/".join(map(str, path)): np.asarray(leaf) for path, leaf in leaves})

    def draw(self, arrays: Batch, key: Any, batch_size: int) -> Batch:
        import jax

        if batch_size == 0:
            return arrays
        index = jax.random.randint(key, (batch_size,), 0, arrays.targets.shape[1])
        return jax.tree.map(lambda a: a[:, index], arrays)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task of the benchmark. See the module docstring; register with `nmbench.register_task`.

    Attributes:
      name, version: any change of bytes, mask or metric raises the version.
      summary, citation, tags: for `list` and `describe`.
      spec: inputs and outputs.
      training: name to `Sampler` or `FixedData`; protocols refer to these names.
      draw_set: `split -> flat dict of NumPy arrays`, the generator of the frozen sets; deterministic.
      set_sizes: split to number of trials; must hold "validation" and "test".
      unpack: `arrays of a frozen set -> Batch` (NumPy).
      metrics: the primary one first.
      default_budget: number of learned parameters.
      protocols: "matched" first: the default.
      references: label to `arrays -> predictions [T, B, O]`: rows of the leaderboard that need no training.
      epochs: `(arrays of a frozen set, trial) -> [(name, first step, step after the last)]`, for pictures.
      sets_folder: where the frozen sets lie; by default `testsets/` beside the file that registers the task.
    """

    name: str
    version: int
    summary: str
    citation: str
    spec: SequenceSpec
    training: Mapping[str, Sampler | FixedData]
    draw_set: Callable[[str], dict[str, np.ndarray]]
    set_sizes: Mapping[str, int]
    unpack: Callable[[Mapping[str, np.ndarray]], Batch]
    metrics: tuple[Metric, ...]
    default_budget: int
    protocols: tuple[Protocol, ...]
    tags: tuple[str, ...] = ()
    references: Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = dataclasses.field(default_factory=dict)
    epochs: Callable[[Mapping[str, np.ndarray], int], list[tuple[str, int, int]]] | None = None
    sets_folder: pathlib.Path | None = None

    def __post_init__(self):
        if self.version < 1 or not self.metrics or not self.protocols:
            raise NmbenchError(f"task {self.name!r} needs a version >= 1, a metric and a protocol")
        if any(protocol.name == EXTERNAL for protocol in self.protocols):
            raise NmbenchError(f"task {self.name!r}: the protocol {EXTERNAL!r} is that of models trained elsewhere")
        if not {"validation", "test"} <= set(self.set_sizes):
            raise NmbenchError(f"task {self.name!r} needs a validation and a test set")

    @property
    def primary(self) -> Metric:
        return self.metrics[0]

    def protocol(self, name: str) -> Protocol:
        """The protocol called `name`; raises `NmbenchError` with a suggestion."""
        known = {p.name: p for p in self.protocols}
        if name not in known:
            raise NmbenchError(f"task {self.name!r} has no protocol {name!r}{did_you_mean(name, known)}")
        return known[name]

    def frozen(self, split: str) -> frozen_sets.FrozenSet:
        """Load and verify a frozen set; raises `NmbenchError` when it is missing or its hash differs."""
        assert self.sets_folder is not None
        return frozen_sets.load(self.sets_folder, self.name, self.version, split)

    def evaluate(self, predictions: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """All metrics of `predictions [T, B, O]` on a set.

        Returns:
          "values": metric to mean; "per_trial": metric to `[B]` float64; "conditions": metric to label to mean.
        """
        self.spec.validate_outputs(predictions, np.shape(self.unpack(arrays).targets)[1])
        per_trial = {m.name: np.asarray(m.per_trial(predictions, arrays), np.float64) for m in self.metrics}
        return {
            "values": {m.name: m.mean(per_trial[m.name], arrays) for m in self.metrics},
            "per_trial": per_trial,
            "conditions": {m.name: m.by_condition(per_trial[m.name], arrays) for m in self.metrics if m.conditions},
        }
