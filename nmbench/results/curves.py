"""Training curves of run folders."""

from __future__ import annotations

import csv
import math
import pathlib

import numpy as np

from nmbench.results.store import CURVE, CURVE_COLUMNS
from nmbench.support import files
from nmbench.support.errors import NmbenchError


def read_curve(folder: pathlib.Path) -> np.ndarray:
    """Read the training curve of a run folder.

    Returns:
      `[P, 3]` for `P` points: step, mean training loss since the previous point, validation loss. Values that are not finite
      become NaN.

    Raises:
      NmbenchError: the run folder has no curve, or an invalid one.
    """
    path = folder / CURVE
    try:
        files.check_regular(path)
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        points = [[float(value) for value in line] for line in lines[1:]]
        if not points or tuple(lines[0]) != CURVE_COLUMNS or any(len(point) != 3 for point in points):
            raise ValueError(f"it must have the columns {', '.join(CURVE_COLUMNS)} and at least one point")
    except FileNotFoundError:
        raise NmbenchError(f"the folder of {folder.name} has no {CURVE}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise NmbenchError(f"{CURVE} of {folder.name} cannot be read: {error}") from None
    array = np.array(points)
    return np.where(np.isfinite(array), array, math.nan)
