"""Size a model to a parameter budget from abstract shapes, without computing any parameter."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from nmbench.contracts.model import Baseline, UnsuitableModelError
from nmbench.contracts.parameters import flatten, is_learned
from nmbench.contracts.specs import SequenceSpec
from nmbench.experiments.contract_checks import one_line_of
from nmbench.support.errors import NmbenchError

TOLERANCE = 0.05
LARGEST_SIZE = 1 << 20
# More learned parameters would not fit into memory; the number was probably mistyped.
MOST_PARAMETERS = 100_000_000


@dataclasses.dataclass(frozen=True)
class Sizing:
    """A full set of hyperparameters and its number of parameters.

    Attributes:
      hparams: all hyperparameters, including the free size.
      target: the budget, None if the sizes were given.
      actual: number of learned parameters.
    """

    hparams: dict[str, Any]
    target: int | None
    actual: int

    @property
    def deviation(self) -> float | None:
        """(actual - target) / target, None without a target."""
        return None if self.target is None else (self.actual - self.target) / self.target


def shapes(baseline: Baseline, spec: SequenceSpec, hparams: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter, including fixed ones: "module|parameter" to shape. Nothing is computed.

    Raises:
      NmbenchError: the model refuses these hyperparameters.
    """
    return shapes_of(baseline.build(spec, hparams).init, baseline, hparams)


def shapes_of(init: Callable[[Any], Any], baseline: Baseline, hparams: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter that `init` makes; see `shapes`."""
    with one_line_of(baseline, f"model {baseline.name!r} with {dict(hparams)}"):
        tree = jax.eval_shape(init, jax.random.key(0))
    return {name: tuple(leaf.shape) for name, leaf in flatten(tree).items()}


def count(parameter_shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Number of learned parameters: all numbers except those whose name marks them as fixed."""
    return sum(math.prod(shape) for name, shape in parameter_shapes.items() if is_learned(*name.rsplit("|", 1)))


def counter(baseline: Baseline, spec: SequenceSpec, hparams: Mapping[str, Any]) -> Callable[[int], int]:
    """A function from the free size to the number of learned parameters. It caches counts and refusals."""

    @functools.cache
    def answer(size: int) -> int | NmbenchError:
        try:
            return count(shapes(baseline, spec, {**hparams, baseline.free_size: size}))
        except NmbenchError as error:
            return error

    return lambda size: _value(answer(size))


def _value(answer: int | NmbenchError) -> int:
    if isinstance(answer, NmbenchError):
        raise answer
    return answer


def size_to_budget(
    baseline: Baseline,
    spec: SequenceSpec,
    hparams: Mapping[str, Any],
    budget: int,
    allow_miss: bool = False,
    counted: Callable[[int], int] | None = None,
) -> Sizing:
    """Solve the free size so that the learned parameters come closest to `budget`.

    The number of parameters must not decrease as the free size grows, because bisection relies on it.

    Args:
      baseline: the model.
      spec: inputs and outputs of the task.
      hparams: all other hyperparameters; a free size in them is ignored.
      budget: number of learned parameters.
      allow_miss: accept a size more than 5% off the budget.
      counted: the result of `counter` for these arguments, if the caller has it.

    Raises:
      NmbenchError: the closest size is more than 5% off the budget and `allow_miss` is False, the model accepts none of
        the sizes that are tried (1 to 8 and powers of two up to 256), no size up to `LARGEST_SIZE` reaches the budget, or
        the budget is above `MOST_PARAMETERS`.
    """
    if budget > MOST_PARAMETERS:
        raise NmbenchError(f"a budget of {budget} is too large; nmbench trains models of up to {MOST_PARAMETERS} parameters")
    free = baseline.free_size
    fixed = {k: v for k, v in hparams.items() if k != free}
    counted = counted or counter(baseline, spec, hparams)
    low, high = _around(baseline, counted, budget)
    if counted(low) > budget * (1 + TOLERANCE) and not allow_miss:
        raise NmbenchError(
            f"a budget of {budget} is too small for {baseline.name}: its smallest size, {free}={low}, has {counted(low)} "
            f"parameters; choose a budget of {_least_budget(counted(low))} or more, fix smaller sizes with --hparams of "
            f"nmbench run, or pass --allow_budget_miss"
        )
    best = min((low, high), key=lambda size: abs(counted(size) - budget))
    sizing = Sizing({**fixed, free: best}, budget, counted(best))
    check_deviation(baseline, sizing, allow_miss, lambda: suiting_budget([(baseline, counted)], budget))
    return sizing


def suiting_budget(counters: Sequence[tuple[Baseline, Callable[[int], int]]], budget: int) -> int | None:
    """The budget closest to `budget` for which every model has a size within 5%; None if none is from half to twice of it.

    Args:
      counters: models, each with the result of `counter` for the task.
      budget: the budget to stay close to.
    """
    found = []
    for choose, upwards in ((min, False), (max, True)):
        nearest, moved = 0, budget
        with contextlib.suppress(NmbenchError):  # a model accepts no size, or none of so many parameters
            while nearest != moved and budget / 2 <= moved <= 2 * budget:
                nearest = moved
                moved = choose(_next_suiting(baseline, counted, nearest, upwards) for baseline, counted in counters)
            found += [moved] if nearest == moved else []
    return min(found, key=lambda one: abs(one - budget), default=None)


def _next_suiting(baseline: Baseline, counted: Callable[[int], int], budget: int, upwards: bool) -> int:
    """The first budget from `budget` on, upwards or downwards, for which a model has a size within 5%; 0 if none has."""
    low, high = (counted(size) for size in _around(baseline, counted, budget))
    if _suits(low, budget) or _suits(high, budget):
        return budget
    if upwards:
        return _least_budget(high)
    most = math.floor(low / (1 - TOLERANCE))
    return 0 if low > budget else most if _suits(low, most) else most - 1


def _least_budget(parameters: int) -> int:
    """The smallest budget that this many parameters suit."""
    least = math.ceil(parameters / (1 + TOLERANCE))
    return least if _suits(parameters, least) else least + 1


def _suits(parameters: int, budget: int) -> bool:
    return abs((parameters - budget) / budget) <= TOLERANCE


def _around(baseline: Baseline, counted: Callable[[int], int], budget: int) -> tuple[int, int]:
    """Two neighbouring free sizes with `counted(low) <= budget <= counted(high)`, or the smallest size twice.

    Raises:
      NmbenchError: no size is accepted, or no size up to `LARGEST_SIZE` reaches the budget.
    """
    low = _smallest(counted)
    counted = _with_hint(baseline, counted, low)
    high = low if counted(low) >= budget else _guess(counted, low, budget)
    # The guess only saves evaluations; the result does not depend on it.
    if high > low + 1 and counted(high) >= budget and counted(high - 1) < budget:
        low = high - 1
    while high > low and counted(high) < budget:
        low, high = high, 2 * high
        if high > LARGEST_SIZE:
            raise NmbenchError(f"no {baseline.free_size} up to {LARGEST_SIZE} gives {baseline.name} {budget} parameters")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) < budget else (low, middle)
    return low, high


def _with_hint(baseline: Baseline, counted: Callable[[int], int], low: int) -> Callable[[int], int]:
    """`counted` with a hint in the message if the model refuses a size that the user has not chosen."""

    def tried(size: int) -> int:
        try:
            return counted(size)
        except NmbenchError as error:
            raise NmbenchError(
                f"{error}; to meet a budget, a model must accept every {baseline.free_size} from {low} on; "
                f"--hparams={baseline.free_size}=... gives a fixed size"
            ) from error

    return tried


def given_sizes(
    baseline: Baseline,
    spec: SequenceSpec,
    hparams: Mapping[str, Any],
    budget: int | None,
    counted: Callable[[int], int] | None = None,
) -> Sizing:
    """Count the parameters of a model with a given free size; `budget`, if any, is recorded as the target.

    `counted` is the result of `counter` for these arguments, if the caller has it.

    Raises:
      NmbenchError: the free size is below 1 or too large, or the model refuses the hyperparameters.
    """
    size = hparams[baseline.free_size]
    if size < 1:
        raise NmbenchError(f"{baseline.name}.{baseline.free_size} must be at least 1, got {size}")
    counted = counted or counter(baseline, spec, hparams)
    if size > LARGEST_SIZE:
        raise NmbenchError(f"{baseline.name}.{baseline.free_size}={size} is too large; the largest is {LARGEST_SIZE}")
    if counted(size) > MOST_PARAMETERS:
        raise NmbenchError(
            f"{baseline.name}.{baseline.free_size}={size} gives {counted(size)} parameters; nmbench trains models of up to "
            f"{MOST_PARAMETERS}"
        )
    return Sizing(dict(hparams), budget, counted(size))


def check_deviation(
    baseline: Baseline, sizing: Sizing, allow_miss: bool, suiting: Callable[[], int | None] = lambda: None
) -> None:
    """Raise `NmbenchError` if the size is more than 5% off its target and that is not allowed.

    `suiting` gives a budget for the message; without one, the message names the number of parameters as budget.
    """
    off = sizing.deviation
    if off is None or allow_miss or abs(off) <= TOLERANCE:
        return
    free = baseline.free_size
    other = suiting() or sizing.actual
    raise NmbenchError(
        f"{baseline.name} with {free}={sizing.hparams[free]} has {sizing.actual} parameters, {off:+.1%} off the budget of "
        f"{sizing.target}, more than the {TOLERANCE:.0%} allowed; choose a budget of {other} (such rows have a table of "
        f"their own), fix other sizes with --hparams of nmbench run, or pass --allow_budget_miss"
    )


def _guess(counted: Callable[[int], int], low: int, budget: int) -> int:
    """The first size above `low` that reaches `budget` if the count is quadratic in the size, as for most networks."""
    first, second, third = (counted(low + i) for i in range(3))
    bend = third - 2 * second + first
    slope = second - first - bend / 2  # count(low + d) = first + slope d + bend d^2 / 2
    if bend > 0:
        steps = (math.sqrt(slope**2 + 2 * bend * (budget - first)) - slope) / bend
    else:
        steps = (budget - first) / slope if slope > 0 else 1.0
    # If a size reaches the budget exactly, rounding must not give the next size.
    return low + max(1, min(math.ceil(steps - 1e-9), LARGEST_SIZE - low))


def _smallest(counted: Callable[[int], int]) -> int:
    """The smallest free size that the model accepts, for example N = K if a model needs N >= K; raises `NmbenchError`.

    A broken model refuses every size, and each try takes a while: above 8, only powers of two are tried, and then, if one is
    accepted, the sizes between it and the last one that was refused.
    """
    refused, refusal = 0, None
    for size in (*range(1, 9), 16, 32, 64, 128, 256):
        try:
            counted(size)
        except UnsuitableModelError:
            raise
        except NmbenchError as error:
            refused, refusal = size, error
        else:
            break
    else:
        assert refusal is not None
        raise refusal
    while size - refused > 1:
        middle = (size + refused) // 2
        try:
            counted(middle)
        except NmbenchError:
            refused = middle
        else:
            size = middle
    return size
