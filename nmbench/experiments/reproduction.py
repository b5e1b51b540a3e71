"""Compare the value of a row with the value of the same run, trained or scored again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nmbench.results import provenance

# Rows that agree in all of these columns should be equal to the last bit. The commit is included because a sum in another
# order, in the engine or in a module that a model imports, can change that bit.
SURROUNDINGS = (
    "nmbench_version",
    "git_sha",
    "git_dirty",
    "python_version",
    "jax_version",
    "jaxlib_version",
    "haiku_version",
    "optax_version",
    "numpy_version",
    "platform",
    "device_kind",
    "processor",
    "prng_impl",
    "xla_flags",
)
# Relative differences that are accepted in other surroundings; see `nmbench.reproduce`.
TRAINED_ELSEWHERE, SCORED_ELSEWHERE = 0.5, 1e-3


def surroundings(row: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Versions and settings in which this process differs from the row's: name to (row, here)."""
    here = provenance.describe()
    comparable = lambda name, value: _without_devices(value or "") if name == "xla_flags" else value or None
    pairs = {name: (comparable(name, row[name]), comparable(name, here[name])) for name in SURROUNDINGS}
    then, now = json.loads(row["config_json"]).get("jax_settings", {}), provenance.jax_settings()
    # The other settings of JAX are columns.
    for name in ("threefry_partitionable", "default_matmul_precision", "random_seed_offset"):
        pairs[f"jax_{name}"] = then.get(name, "default"), now.get(name, "default")
    differs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    # Two checkouts with changes need not have the same ones.
    return differs | ({"git_dirty": (True, True)} if row["git_dirty"] and here["git_dirty"] else {})


def _without_devices(flags: str) -> str:
    """XLA flags without the number of devices, because no result depends on it."""
    return " ".join(flag for flag in flags.split() if "xla_force_host_platform_device_count" not in flag)


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """The row's value and the new one.

    Attributes:
      then, now: value of the row and new value; None if the run diverged.
      tolerance: largest accepted relative difference.
    """

    then: float | None
    now: float | None
    tolerance: float

    @property
    def difference(self) -> float:
        """|now - then| / max(|now|, |then|); 1 if only one of them diverged, 0 if both did."""
        if self.then is None or self.now is None:
            return float(self.then is not self.now)
        largest = max(abs(self.then), abs(self.now))
        return abs(self.now - self.then) / largest if largest and math.isfinite(largest) else float(self.now != self.then)

    @property
    def reproduced(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        if not self.reproduced:
            return f"NOT reproduced: {self.difference:.3g} is more than {self.tolerance:g}"
        if self.then is None:
            return "reproduced: it diverges again"
        return "reproduced exactly" if self.then == self.now else f"reproduced within the tolerance of {self.tolerance:g}"


def number(value: float | None) -> str:
    """A value with all its digits; "diverged" for None or a value that is not finite."""
    return "diverged" if value is None or not np.isfinite(value) else repr(value)


def tolerance(train: bool, elsewhere: bool) -> float:
    """The accepted relative difference if the user gives none; see `nmbench.reproduce`.

    Args:
      train: whether the run was trained again, not only scored.
      elsewhere: whether the surroundings differ from those of the row.
    """
    if train:
        return TRAINED_ELSEWHERE if elsewhere else 0.0
    return SCORED_ELSEWHERE if elsewhere else 0.0
