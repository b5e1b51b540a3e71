"""The model contract.

The trainer works on a pair of pure functions, `Model(init, apply)`. `register_baseline` accepts three kinds of models:

* a subclass of `Core`: an input map, a step and a readout; this kind trains fastest;
* a subclass of `hk.RNNCore` that maps `[B, C]` to `[B, O]` at each step;
* any callable `(spec, **hparams) -> (init, apply)`, for models of other frameworks such as Flax or Equinox.

The inputs of a task are a dict of arrays, for example `{"sensory": [T, B, 3], "context": [T, B, 4]}`, also if there is only
one. `nmbench.concat_inputs(inputs)` joins them to one array `[T, B, C]`, and `Core.concat` does so inside a `Core`. An
`hk.RNNCore` receives the joined array.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import json
import math
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from nmbench.contracts import tuning_record, unroll
from nmbench.contracts.input_weights import InputWeights
from nmbench.contracts.parameters import FIXED_PREFIX, Predicate, is_learned
from nmbench.contracts.specs import SequenceSpec
from nmbench.contracts.unroll import concat_inputs
from nmbench.support.errors import NmbenchError, did_you_mean, one_line

INPUT_WEIGHTS = "input_weights"


# What to register instead of a function that returns a core or another module of Haiku; `nmbench.check` shows it.
_CORE_HOLDER = """register a class that holds it:
@nmbench.register_baseline({name!r}, free_size={free_size!r})
class Model(hk.RNNCore):
    def __init__(self, spec, {signature}):
        super().__init__()
        self.core = {function}(spec, {arguments})  # your function, without its decorator

    def initial_state(self, batch_size):
        return self.core.initial_state(batch_size)

    def __call__(self, u, state):
        return self.core(u, state)"""
_MODULE_HOLDER = """register a function that returns (init, apply):
@nmbench.register_baseline({name!r}, free_size={free_size!r})
def model(spec, {signature}):
    apply = lambda inputs: {function}(spec, {arguments})(nmbench.concat_inputs(inputs))
    init, apply = hk.without_apply_rng(hk.transform(apply))
    return lambda key: init(key, spec.zeros(1)), apply"""


class UnsuitableModelError(NmbenchError):
    """The factory of a model is of no kind that `register_baseline` accepts, whatever its hyperparameters.

    Args:
      message: one line.
      fix: how to fix it, possibly lines of code.
    """

    def __init__(self, message: str, fix: str):
        super().__init__(message)
        self.fix = fix


class Model(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: `key -> params`, a pytree of arrays (a two-level dict for Haiku).
      apply: `(params, inputs) -> outputs`; inputs are a dict as in the task's spec with leaves `[T, B, C]` (see
        `nmbench.concat_inputs`), outputs `[T, B, O]`.
    """

    init: Callable[[Any], Any]
    apply: Callable[[Any, Any], Any]


class Core(hk.Module):  # Haiku's metaclass derives from ABCMeta
    """A recurrent network in three parts: input map, step and readout. Inside, trials are columns: `[features, B]`.

    Make the parameters in `__init__` with `learned` and `fixed`, after calling `super().__init__(spec)`. Quantities that
    `__init__` derives from them, such as an orthonormalised factor, are computed once per forward pass, not once per step.
    """

    def __init__(self, spec: SequenceSpec, name: str | None = None):
        super().__init__(name=name)
        self.spec = spec
        self._lines: dict[str, int] = {}

    def learned(self, name: str, shape: tuple[int, ...], stddev: float) -> jax.Array:
        """A trained parameter, initialised from N(0, stddev^2). The name must be used only once."""
        if name.startswith(FIXED_PREFIX):
            raise NmbenchError(f"{type(self).__name__} learns {name!r}, but names that start with {FIXED_PREFIX} are fixed")
        self._check_name(name)
        dtype = jnp.result_type(float)
        return hk.get_parameter(name, shape, dtype, hk.initializers.RandomNormal(stddev))

    def fixed(self, name: str, shape: tuple[int, ...], stddev: float) -> jax.Array:
        """Numbers drawn once per seed from N(0, stddev^2). Stored with the parameters, but neither trained nor counted."""
        self._check_name(name)
        dtype = jnp.result_type(float)
        value = hk.get_parameter(FIXED_PREFIX + name, shape, dtype, hk.initializers.RandomNormal(stddev))
        return jax.lax.stop_gradient(value)

    def _check_name(self, name: str) -> None:
        """Raise `NmbenchError` if a parameter of this name has been made: Haiku would return the same one.

        The same line may make it again in `input_map`, `step` and `readout`, which may be traced several times, but not in
        `__init__`: there it is a loop.
        """
        line = _line_of_caller()
        first = self._lines.get(name)
        if first is not None and (first != line or self._is_being_made()):
            where = f"in line {first} and again in line {line}" if first != line else f"several times in line {line}"
            raise NmbenchError(
                f"{type(self).__name__} makes a parameter {name!r} {where}; name every parameter differently (in a loop "
                f'f"{name}{{i}}"); to use one twice, keep it in an attribute'
            )
        self._lines[name] = line

    def _is_being_made(self) -> bool:
        """Whether `__init__` of this module is running."""
        frame = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if code.co_name == "__init__" and code.co_argcount and frame.f_locals.get(code.co_varnames[0]) is self:
                return True
            frame = frame.f_back
        return False

    @abc.abstractmethod
    def input_map(self, inputs: Any) -> Any:
        """Map the whole input sequence, leaves `[T, C, B]`, to the inputs of all steps, leaves `[T, ..., B]`."""

    @abc.abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """State before the first step, leaves `[features, batch_size]`."""

    @abc.abstractmethod
    def step(self, state: Any, v_t: Any) -> Any:
        """The next state from the current state and the mapped input of this step, `v_t`; leaves `[..., B]`."""

    @abc.abstractmethod
    def readout(self, states: Any) -> jax.Array:
        """Map the states after each step, leaves `[T, features, B]`, to outputs `[T, O, B]`.

        Like `input_map`, it must treat all steps alike: with `--remat` both receive one segment of a trial at a time.
        """

    @staticmethod
    def concat(inputs: Any) -> jax.Array:
        """All inputs of a task, leaves `[T, C_i, B]`, as one array `[T, C, B]` (see `nmbench.concat_inputs`)."""
        return concat_inputs(inputs, axis=1)


def _line_of_caller() -> int:
    """The line of the code that calls a method of `Core`, past the functions in which Haiku and JAX wrap methods."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_CALLERS):
        frame = frame.f_back
    return frame.f_lineno


_NOT_CALLERS = (__file__, contextlib.__file__, *(str(*library.__path__) for library in (hk, jax)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """A registered model, of any size.

    Attributes:
      name, summary, tags, citation: shown by `list` and `describe`.
      factory: class or function, called with `(spec, **hparams)`.
      free_size: the integer hyperparameter that is adjusted to a parameter budget.
      hparams: the other hyperparameters with their defaults, from the factory's signature.
      settings: hyperparameters by "task" or "task/protocol"; the latter take precedence (see `register_baseline`).
      learning_rates: learning rates by "task/protocol", where a publication or tuning gives one.
      input_weights: "parameter" or "module|parameter" to the inputs that this parameter multiplies. These parameters form
        the partition "input_weights".
      partitions: name to predicate on (module, parameter), for phases that train part of the parameters.
      origin: "path:line" of the registration, for messages.
      path: the file that registers the model.
    """

    name: str
    factory: Callable[..., Any]
    free_size: str
    hparams: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    learning_rates: Mapping[str, float]
    input_weights: Mapping[str, InputWeights]
    partitions: Mapping[str, Predicate]
    citation: str
    tags: tuple[str, ...]
    summary: str
    origin: str
    path: str

    def defaults(self, task: str, protocol: str) -> dict[str, Any]:
        """Hyperparameters for a task and a protocol, with the free size only if `settings` gives it."""
        return {**self.hparams, **self.settings.get(task, {}), **self.settings.get(f"{task}/{protocol}", {})}

    def tuned(self, task: str, protocol: str) -> dict[str, Any] | None:
        """The tuning record beside the model's file (`tuned/MODEL.TASK.PROTOCOL.json`), None if there is no such file.

        Raises:
          NmbenchError: the file cannot be read, is not a tuning record, or is that of another model, task or protocol.
        """
        file = pathlib.Path(self.path).parent / "tuned" / f"{self.name}.{task}.{protocol}.json"
        try:
            record = tuning_record.check(json.loads(file.read_text(encoding="utf-8")))
            for entry, name in (("model", self.name), ("task", task), ("protocol", protocol)):
                if record[entry] != name:
                    raise ValueError(f"{entry!r} is {record[entry]!r}, not {name!r}")
            return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise NmbenchError(f"cannot read the tuning record {file}: {error}") from error

    def partition(self, name: str) -> Predicate:
        """Predicate of a partition. Every model has the partition "learned": all parameters except the fixed ones.

        Raises:
          NmbenchError: the model has no such partition.
        """
        if name == "learned":
            return is_learned
        if name not in self.partitions:
            names = ["learned", *self.partitions]
            declare = "input_weights={...}" if name == INPUT_WEIGHTS else f'partitions={{"{name}": ...}}'
            raise NmbenchError(
                f"model {self.name!r} has no partition {name!r}, which this protocol trains{did_you_mean(name, names)}; "
                f"your own model can declare it with register_baseline({declare})"
            )
        chosen = self.partitions[name]
        return lambda module, parameter: is_learned(module, parameter) and chosen(module, parameter)

    def check_hparams(self, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """Convert hyperparameters to their declared types; a value may be text from a flag.

        Raises:
          NmbenchError: an unknown name, or a value that cannot be converted.
        """
        defaults = {self.free_size: 0, **self.hparams}
        checked = {}
        for name, value in hparams.items():
            if name not in defaults:
                raise NmbenchError(f"model {self.name!r} has no hyperparameter {name!r}{did_you_mean(name, defaults)}")
            checked[name] = _coerce(f"{self.name}.{name}", value, defaults[name])
        return checked

    def build(self, spec: SequenceSpec, hparams: Mapping[str, Any], remat: bool = False) -> Model:
        """Make the pair of pure functions for a task.

        Args:
          spec: inputs and outputs of the task.
          hparams: values of all hyperparameters.
          remat: whether the gradient recomputes activations instead of keeping them all (see `nmbench.contracts.unroll`).

        Raises:
          NmbenchError: a factory function fails or does not return a pair (init, apply), or `remat` is used with such a
            function. The constructor of a `Core` or an `hk.RNNCore` runs later, in `init` and `apply`.
        """
        factory = self.factory
        if isinstance(factory, type) and issubclass(factory, Core):
            return _haiku_pair(factory, functools.partial(unroll.unroll_core, remat=remat), spec, dict(hparams))
        if isinstance(factory, type) and issubclass(factory, hk.RNNCore):
            return _haiku_pair(factory, functools.partial(unroll.unroll_rnn_core, remat=remat), spec, dict(hparams))
        if remat:
            raise NmbenchError(
                f"--remat works with a Core or an hk.RNNCore; {self.name!r} has its own apply: use jax.checkpoint there"
            )
        try:
            with one_line(f"model {self.name!r} with {dict(hparams)}"):
                pair = factory(spec, **hparams)
        except NmbenchError as error:
            if "hk.transform" in str(error):  # Haiku refuses to make a module outside of it
                self._refuse_module(spec, hparams, error)
            raise
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(callable(f) for f in pair)):
            kinds = "a subclass of nmbench.Core or of hk.RNNCore, or a function that returns (init, apply)"
            raise UnsuitableModelError(f"{self.origin}: {self.name!r} must be {kinds}", f"register {kinds}")
        return Model(*pair)

    def _refuse_module(self, spec: SequenceSpec, hparams: Mapping[str, Any], error: NmbenchError) -> None:
        """Raise `UnsuitableModelError` if the factory returns a module of Haiku."""
        made: list[Any] = []
        try:
            jax.eval_shape(hk.transform(lambda: made.append(self.factory(spec, **hparams))).init, jax.random.key(0))
        except Exception:  # the factory fails for another reason, which `error` gives
            return
        if not isinstance(made[0], hk.Module):
            return
        kind = f"the module {type(made[0]).__name__}"
        holder = _CORE_HOLDER if isinstance(made[0], hk.RNNCore) else _MODULE_HOLDER
        if isinstance(made[0], Core):
            holder = f"apply the decorator to the class {type(made[0]).__name__} itself"
        fix = holder.format(
            name=self.name,
            free_size=self.free_size,
            signature=", ".join([f"{self.free_size}: int", *(f"{key}={value!r}" for key, value in self.hparams.items())]),
            function=getattr(self.factory, "__name__", "function"),
            arguments=", ".join(f"{key}={key}" for key in (self.free_size, *self.hparams)),
        )
        raise UnsuitableModelError(
            f"{self.origin}: {self.name!r} is a function that returns {kind} of Haiku, but it must be a subclass of "
            f"nmbench.Core or of hk.RNNCore, or return (init, apply); `nmbench check` shows the code to write",
            fix,
        ) from error


def _haiku_pair(factory, unroller, spec: SequenceSpec, hparams: dict[str, Any]) -> Model:
    def forward(inputs):
        return unroller(factory(spec, **hparams), inputs)

    transformed = hk.without_apply_rng(hk.transform(forward))

    def init(key):
        return transformed.init(key, spec.zeros(batch=1, steps=1))

    return Model(init, transformed.apply)


def _coerce(label: str, value: Any, default: Any) -> Any:
    """`value`, which may be text from a flag, as the type of `default`; raises `NmbenchError` if that is impossible."""
    kind = type(default)
    text = str(value).strip()
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() in words:
            return words[text.lower()]
    elif kind is str:
        return text
    elif kind in (int, float):
        try:
            number = kind(text)
            if math.isfinite(number):
                return number
        except (ValueError, OverflowError):
            pass
    wanted = {int: "a whole number", float: "a finite number", bool: "true or false"}[kind]
    raise NmbenchError(f"{label} must be {wanted}, got {text!r}")
