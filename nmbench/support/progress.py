"""A progress bar on stderr with loss and remaining time. It is not shown if stderr is not a terminal."""

from __future__ import annotations

import os
import sys

import numpy as np
import tqdm


class Progress:
    """A context manager. Call it with the number of steps done and the losses `[runs]` to update the bar.

    Args:
      label: description shown before the bar.
      steps: total number of steps; with 0 no bar is shown.
      first: number of steps that a resumed run has done before.
    """

    def __init__(self, label: str, steps: int, first: int = 0):
        # disable=None: tqdm is silent unless stderr is a terminal.
        quiet = None if steps else True
        # Some containers report a terminal of 0 columns, in which tqdm would draw nothing.
        width = None if _columns() else 100
        self._bar = tqdm.tqdm(total=steps, initial=first, desc=label, unit="step", disable=quiet, leave=False, ncols=width)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def __call__(self, step: int, losses: np.ndarray) -> None:
        finite = losses[np.isfinite(losses)]
        if finite.size:
            self._bar.set_postfix_str(f"loss median {np.median(finite):.3g}, best {finite.min():.3g}", refresh=False)
        self._bar.update(step - self._bar.n)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # not a terminal
        return 0
