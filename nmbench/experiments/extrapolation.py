"""Parameter counts of many sizes from few: the dimensions of a network's parameters grow linearly with its free size.

The first sizes are counted as `nmbench.experiments.sizing` does, but for initialisers, which are not asked. Once three of them show
every dimension of every parameter to be linear, and a larger one confirms it, others are computed. A model that is not so is
counted size by size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nmbench.contracts.model import Baseline, skeleton
from nmbench.contracts.specs import SequenceSpec
from nmbench.experiments import sizing
from nmbench.support.errors import NmbenchError

Shapes = Mapping[str, tuple[int, ...]]


def counter(baseline: Baseline, spec: SequenceSpec, hparams: Mapping[str, Any], proven: set[str]) -> Callable[[int], int]:
    """As `nmbench.experiments.sizing.counter`, several times faster where many sizes are asked for.

    `proven`: names of models whose skeletons have been seen to be all of them; the counter adds to it.
    """
    exact = sizing.counter(baseline, spec, hparams)
    look = lambda size: _shapes(baseline, spec, {**hparams, baseline.free_size: size})

    def confirm(predicted: int, size: int) -> bool:
        try:
            right = predicted == (sizing.count(look(size)) if baseline.name in proven else exact(size))
        except NmbenchError:
            return False
        proven.update({baseline.name} if right else ())
        return right

    return _Counter(look, confirm, exact)


class _Counter:
    """Free size to number of learned parameters.

    Args:
      shapes: shapes of the parameters at a size; raises `NmbenchError` where it is refused.
      confirm: whether a predicted count is right for a size.
      exact: counts a size for certain.
    """

    def __init__(self, shapes: Callable[[int], Shapes], confirm: Callable[[int, int], bool], exact: Callable[[int], int]):
        self._shapes, self._confirm, self._exact = shapes, confirm, exact
        self._seen: dict[int, Shapes | NmbenchError] = {}
        self._confirmed: bool | None = None  # whether all is linear, None while that is not known

    def __call__(self, size: int) -> int:
        if self._confirmed is False:
            return self._exact(size)
        base = self._base()
        if size in self._seen or len(base) < 3:
            return self._look(size)
        predicted = _extrapolated([self._accepted(i) for i in base], base[0], size)
        if predicted is not None and self._confirmed is None and size > base[-1]:
            # At a size of the order of those that matter: some layers grow only up to a bound.
            self._confirmed = self._confirm(sizing.count(predicted), size)
        if predicted is None or not self._confirmed:
            self._confirmed = False
            return self._exact(size)
        return sizing.count(predicted)

    def _base(self) -> list[int]:
        """The first three sizes in a row that the model accepts, as far as they have been seen."""
        accepted = [size for size in sorted(self._seen) if not isinstance(self._seen[size], NmbenchError)]
        three = accepted[:3]
        return three if len(three) == 3 and three[2] - three[0] == 2 else []

    def _accepted(self, size: int) -> Shapes:
        shapes = self._seen[size]
        assert not isinstance(shapes, NmbenchError)
        return shapes

    def _look(self, size: int) -> int:
        if size not in self._seen:
            try:
                self._seen[size] = self._shapes(size)
            except NmbenchError as error:
                self._seen[size] = error
        shapes = self._seen[size]
        if isinstance(shapes, NmbenchError):
            raise shapes
        return sizing.count(shapes)


def _shapes(baseline: Baseline, spec: SequenceSpec, hparams: Mapping[str, Any]) -> Shapes:
    return sizing.shapes_of(skeleton(baseline, spec, hparams), baseline, hparams)


def _extrapolated(three: list[Shapes], first: int, size: int) -> Shapes | None:
    """Shapes at `size` from those at `first`, `first + 1` and `first + 2`; None where a dimension is not linear."""
    a, b, c = three
    if not (a.keys() == b.keys() == c.keys()):
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    for name in a:
        if not (len(a[name]) == len(b[name]) == len(c[name])):
            return None
        if any(z - y != y - x for x, y, z in zip(a[name], b[name], c[name])):
            return None
        shapes[name] = tuple(x + (size - first) * (y - x) for x, y in zip(a[name], b[name]))
    return shapes
