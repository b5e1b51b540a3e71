"""The task contract.

A task defines its inputs and outputs (`spec`), its training data (`training`), the NumPy generator of its frozen sets
(`draw_set`), the conversion of these sets to inputs and targets (`unpack`), and the `metrics` of predictions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tree

from nmbench.contracts import fingerprints, frozen_sets, plugin_files
from nmbench.contracts.metrics import Metric
from nmbench.contracts.protocol import EXTERNAL, Protocol
from nmbench.contracts.specs import SequenceSpec
from nmbench.support.errors import NmbenchError, did_you_mean

# The default comes first.
LOSSES = ("squared_error", "cross_entropy")
SQUARED_ERROR, CROSS_ENTROPY = LOSSES


class Batch(NamedTuple):
    """A batch of trials, time-major.

    Attributes:
      inputs: a dict, nested as in the task's spec, leaves `[T, B, channels]`.
      targets: `[T, B, O]`. For the loss "cross_entropy" the right classes, integers `[T, B]` from 0 to O - 1, and -1 where
        no class is right; or `[T, B, O]`, 1 for the right class and 0 elsewhere, which `register_task` makes of integers.
      mask: weights of the errors in the loss and in error metrics; broadcastable to `[T, B, O]`.
    """

    inputs: Any
    targets: Any
    mask: Any


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Training data that are drawn on the device, new at every step.

    Attributes:
      sample: pure JAX function `(key, batch_size) -> Batch`.
    """

    sample: Callable[[Any, int], Batch]

    def arrays(self) -> Any:
        """The arrays that `draw` needs on the device: none."""
        return ()

    def fingerprint(self) -> str:
        """Fingerprint of the module that defines `sample` (see `nmbench.contracts.fingerprints.of_module`).

        Raises:
          NmbenchError: `sample` is not defined in a file.
        """
        try:
            return fingerprints.of_imported(self._file())
        except (TypeError, OSError) as error:
            raise NmbenchError(
                f"training data are drawn by {self.sample!r}, which is not defined in a file, so a row could not record the "
                f"code that drew them; define sample(key, batch_size) at the top level of a .py file"
            ) from error

    def __post_init__(self):
        with contextlib.suppress(TypeError, OSError):  # not in a file
            fingerprints.remember(self._file())

    def _file(self) -> str:
        """The file that defines `sample`; raises `TypeError` if there is none."""
        function: Any = inspect.unwrap(self.sample)
        while isinstance(function, functools.partial):
            function = inspect.unwrap(function.func)
        return inspect.getfile(function if inspect.isroutine(function) else type(function))

    def draw(self, arrays: Any, key: Any, batch_size: int) -> Batch:
        """A batch of `batch_size` new trials; raises `NmbenchError` if `batch_size` is below 1."""
        del arrays
        if batch_size < 1:
            raise NmbenchError("this task draws new trials at every step: its phases need a batch_size of at least 1")
        return self.sample(key, batch_size)


@dataclasses.dataclass(frozen=True)
class FixedData:
    """A fixed training set. Each step uses all trials, or `batch_size` trials drawn with replacement.

    Attributes:
      make: function that returns all trials as a `Batch` of NumPy arrays, with the same values at every call.
    """

    make: Callable[[], Batch]

    def arrays(self) -> Batch:
        """The arrays that `draw` needs on the device: all trials, and a mask for each of them, `[T or 1, B, O or 1]`."""
        batch = self.make()
        if np.ndim(batch.mask) != 3:
            raise NmbenchError(
                f"the mask of a training set has shape {np.shape(batch.mask)}, but needs three axes, as [T, 1, 1] has"
            )
        shape = (*np.shape(batch.mask)[:1], np.shape(batch.targets)[1], *np.shape(batch.mask)[2:])
        return batch._replace(mask=np.broadcast_to(batch.mask, shape))

    def fingerprint(self) -> str:
        """sha256 of all trials (see `nmbench.contracts.frozen_sets.digest`), computed at the first call."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        leaves = tree.flatten_with_path(self.make()._asdict())
        return frozen_sets.digest({"/".join(map(str, path)): np.asarray(leaf) for path, leaf in leaves})

    def draw(self, arrays: Batch, key: Any, batch_size: int) -> Batch:
        """`batch_size` trials of `arrays`, drawn with replacement; all of them if `batch_size` is 0."""
        import jax

        if batch_size == 0:
            return arrays
        index = jax.random.randint(key, (batch_size,), 0, arrays.targets.shape[1])
        return jax.tree.map(lambda a: a[:, index], arrays)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task of the benchmark, made by `nmbench.register_task`.

    Attributes:
      name: name in commands and results.
      version: integer, at least 1; raise it at any change of data, mask, loss or metrics.
      summary, citation, tags: shown by `list` and `describe`.
      spec: inputs and outputs. Models receive a dict of arrays with the names of `spec.inputs`, which
        `nmbench.concat_inputs` joins to one array.
      training: name to `Sampler` or `FixedData`; phases refer to these names.
      draw_set: `split -> flat dict of NumPy arrays`, the deterministic generator of the frozen sets.
      set_sizes: split to number of trials; must contain "validation" and "test".
      unpack: `arrays of a frozen set -> Batch` (NumPy). The arrays are read-only.
      metrics: the primary one first.
      default_budget: default parameter budget, the number of learned parameters.
      protocols: the default one, "matched", first.
      references: label to `arrays -> predictions [T, B, O]`: predictions without training, shown in the leaderboard.
      epochs: `(arrays of a frozen set, trial) -> [(name, first step, step after the last)]`, for plots.
      loss: the training and validation loss, one of `LOSSES`: "squared_error", or "cross_entropy" for decisions, where the
        outputs are the logits of classes (see `nmbench.accuracy` for a metric).
      path: the file that registers the task, for messages.
      sets_folder: folder of the frozen sets; the default of `register_task` is `testsets/` beside the calling file.
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
    sets_folder: pathlib.Path
    tags: tuple[str, ...] = ()
    references: Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = dataclasses.field(default_factory=dict)
    epochs: Callable[[Mapping[str, np.ndarray], int], list[tuple[str, int, int]]] | None = None
    loss: str = SQUARED_ERROR
    path: str = ""

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise NmbenchError(f"task {self.name!r}: unknown loss {self.loss!r}{did_you_mean(str(self.loss), LOSSES)}")
        if self.version < 1 or not self.metrics or not self.protocols:
            raise NmbenchError(f"task {self.name!r} needs a version >= 1, at least one metric and at least one protocol")
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise NmbenchError(f"task {self.name!r}: two metrics are named {twice!r}; give each a name of its own")
        if any(protocol.name == EXTERNAL for protocol in self.protocols):
            raise NmbenchError(f"task {self.name!r}: the protocol {EXTERNAL!r} is reserved for models trained elsewhere")
        if not {"validation", "test"} <= set(self.set_sizes):
            raise NmbenchError(f"task {self.name!r} needs a validation and a test set")

    @property
    def primary(self) -> Metric:
        """The metric that ranks models."""
        return self.metrics[0]

    def protocol(self, name: str) -> Protocol:
        """The protocol called `name`; if there is none, raises `NmbenchError` with a suggestion."""
        by_name = {p.name: p for p in self.protocols}
        if name not in by_name:
            raise NmbenchError(f"task {self.name!r} has no protocol {name!r}{did_you_mean(name, by_name)}")
        return by_name[name]

    def frozen(self, split: str) -> frozen_sets.FrozenSet:
        """Load and verify a frozen set; raises `NmbenchError` if it is missing or unreadable, or if its hash differs."""
        flags = plugin_files.flag(self.path)
        return frozen_sets.load(self.sets_folder, self.name, self.version, split, flags)

    def smallest_error(self) -> float:
        """What a smaller value of the primary metric counts as when logarithms are compared (`Metric.smallest_error`)."""
        return self.primary.smallest_error(self.frozen("test").arrays, self.set_sizes["test"])

    def evaluate(
        self,
        predictions: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        earlier: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Compute all metrics of predictions on a frozen set.

        Args:
          predictions: `[T, B, O]`.
          arrays: arrays of the set, with B trials.
          earlier: predictions `[T, B, O]` with the parameters of earlier stages of training, by name of the stage. Without
            them, `predictions` count for all trials, and there is no metric "NAME.STAGE".

        Returns:
          A dict with "values": metric to mean; "per_trial": metric to `[B]` float64; "conditions": metric to label to mean.

        Raises:
          NmbenchError: predictions have another shape, or the set has no trial in the subset of a metric.
        """
        earlier, trials = earlier or {}, np.shape(self.unpack(arrays).targets)[1]
        for one in (predictions, *earlier.values()):
            self.spec.validate_outputs(one, trials)
        predictions, earlier = _read_only(predictions), {stage: _read_only(one) for stage, one in earlier.items()}
        per_trial: dict[str, np.ndarray] = {}
        metrics: dict[str, Metric] = {}
        for m in self.metrics:
            at_stage = {
                stage: np.asarray(m.per_trial(earlier[stage], arrays), np.float64)
                for stage in dict.fromkeys((*m.earlier, *m.stages))
                if stage in earlier
            }
            numbers = np.asarray(m.per_trial(predictions, arrays), np.float64)
            for stage, trials_of in m.earlier.items():
                if stage in at_stage:
                    numbers = np.where(trials_of(arrays), at_stage[stage], numbers)
            per_trial[m.name], metrics[m.name] = numbers, m
            for stage in (s for s in m.stages if s in at_stage):
                name = f"{m.name}.{stage}"
                per_trial[name], metrics[name] = at_stage[stage], m
        return {
            "values": {name: m.mean(per_trial[name], arrays) for name, m in metrics.items()},
            "per_trial": per_trial,
            "conditions": {name: m.by_condition(per_trial[name], arrays) for name, m in metrics.items() if m.conditions},
        }


def _read_only(predictions: np.ndarray) -> np.ndarray:
    """A read-only view, so that no metric changes what the next one judges."""
    view = np.asarray(predictions).view()
    view.setflags(write=False)
    return view
