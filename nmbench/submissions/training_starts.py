"""Does the submitted training curve of each seed begin as this seed begins here?

Rounding needs hundreds of steps to turn one run into another. After the first validation interval (250 steps under
`matched`), the mean training loss and the validation loss of a seed are often still the same to five digits on
every processor, while those of two different seeds differ in the third. So the first point of a training curve identifies
its seed on any machine, at about 2.5% of the cost of training. Seeds that were chosen among others and renumbered, and
curves of another model, another learning rate or other data, do not begin like the seeds that they claim to be.

Some seeds lose their identity sooner. They are found by training each seed twice, the second time with a learning rate that
is larger by a millionth: a seed is *steady* if its two runs stay much closer to each other than to all other seeds. Only
steady seeds are judged. Each must be closest to itself, and a few exceptions are allowed.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# A seed is steady if its nudged run is so many times closer to it than the next seed.
MARGIN = 10.0
# Share of the steady seeds that must be recognised, and the number of steady seeds below which there is no verdict.
RECOGNISED, FEWEST = 0.8, 5


@dataclasses.dataclass(frozen=True)
class Starts:
    """What was found.

    Attributes:
      steady: `[n]` booleans, which seeds can be judged.
      recognised: `[n]` booleans, of which seeds the submitted curve begins like the seed here.
    """

    steady: np.ndarray
    recognised: np.ndarray

    @property
    def judged(self) -> int:
        return int(self.steady.sum())

    @property
    def matches(self) -> int:
        """Number of steady seeds that were recognised."""
        return int((self.steady & self.recognised).sum())

    @property
    def passed(self) -> bool:
        """Whether enough steady seeds were recognised, or there are too few for a verdict."""
        return self.judged < FEWEST or self.matches >= RECOGNISED * self.judged


def compare(submitted: np.ndarray, here: np.ndarray, nudged: np.ndarray) -> Starts:
    """Compare the first points of training curves, seed by seed.

    Args:
      submitted: `[n, 2]`, training and validation loss of the first point of each submitted curve.
      here, nudged: `[n, 2]`, those of the same seeds trained here, as configured and with a nudged learning rate. NaN in
        any of them means that the seed is not steady.
    """
    usable = np.isfinite(here).all(1) & np.isfinite(nudged).all(1)
    scale = np.std(here[usable], axis=0) if usable.any() else np.ones(2)
    scale = np.where(scale > 0, scale, 1.0)
    distance = lambda a, b: np.abs((a[:, None] - b[None]) / scale).max(axis=2)
    others = distance(here, here)
    np.fill_diagonal(others, np.inf)
    others[:, ~usable] = np.inf
    nearest = others.min(axis=1)
    steady = usable & (np.diagonal(distance(nudged, here)) * MARGIN < nearest)
    found = distance(np.nan_to_num(submitted, nan=np.inf), here)
    found[:, ~usable] = np.inf
    recognised = usable & (found.argmin(axis=1) == np.arange(len(here))) & np.isfinite(found.min(axis=1))
    return Starts(steady, recognised)
