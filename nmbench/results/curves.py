"""Training curves of run folders."""

from __future__ import annotations

import csv
import math
import pathlib

import numpy as np

from nmbench.results.store import CURVE
from nmbench.support.errors import NmbenchError

_COLUMNS = ["step", "train_loss", "validation_loss"]


def read_curve(folder: pathlib.Path) -> np.ndarray:
    """`[P, 3]`: step, training loss since the previous point, validation loss; infinite and missing losses are NaN.

    Raises:
      NmbenchError: the run folder has no curve, or an invalid one.
    """
    path = folder / CURVE
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        points = [[float(value) for value in line] for line in lines[1:]]
        if not points or lines[0] != _COLUMNS or any(len(point) != 3 for point in points):
            raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
    except FileNotFoundError:
        raise NmbenchError(f"the folder of {folder.name} has no {CURVE}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise NmbenchError(f"{CURVE} of {folder.name} cannot be read: {error}") from None
    array = np.array(points)
    return np.where(np.isfinite(array), array, math.nan)
