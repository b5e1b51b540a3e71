"""Progress on stderr: a bar with loss and remaining time in a terminal or a notebook, else a line every half minute."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import tqdm

WIDEST = 100
LINE_EVERY_S = 30.0
_LONGEST_LABEL = 24  # in a bar
_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"


class Progress:
    """A context manager. Call it with the number of steps done and the losses `[runs]` to report them.

    Args:
      label: description shown before the bar.
      steps: total number of steps; with 0 nothing is shown.
      first: number of steps that a resumed run has done before.
    """

    def __init__(self, label: str, steps: int, first: int = 0):
        self._label, self._steps, self._said = label, steps, time.monotonic()
        # Step and time of the first report of these runs, after the program is compiled.
        self._first: tuple[int, float] | None = None
        self._last = 0
        # disable=None: no bar unless stderr is a terminal; a notebook shows it too. In a terminal of 0 columns, which some
        # containers report, tqdm would draw nothing.
        self._bar = tqdm.tqdm(
            total=steps,
            initial=first,
            desc=label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 3]}...",
            disable=(False if _in_notebook() else None) if steps else True,
            leave=False,
            bar_format=_FORMAT,
            ncols=min(_columns() or WIDEST, WIDEST),
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def __call__(self, step: int, losses: np.ndarray) -> None:
        now = time.monotonic()
        if self._first is None or step < self._last:  # the first report, or the next runs begin
            self._first = step, now
        self._last = step
        finite = losses[np.isfinite(losses)]
        loss = f"loss {np.median(finite):.3g} (best {finite.min():.3g})" if finite.size else ""
        if not self._bar.disable:
            if loss:
                self._bar.set_postfix_str(loss, refresh=False)
            self._bar.update(step - self._bar.n)
        elif self._steps and now - self._said >= LINE_EVERY_S:
            self._said = now
            done = step - self._first[0]
            left = (now - self._first[1]) * (self._steps - step) / done if done > 0 else None
            parts = [f"{self._label}: step {step} of {self._steps}", loss, "" if left is None else about(left)]
            print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)


def about(seconds: float) -> str:
    """Remaining time in words, such as "about 20 s left"."""
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    minutes = seconds / 60
    return f"about {minutes / 60:.1f} h left" if minutes >= 90 else f"about {round(minutes)} min left"


def _in_notebook() -> bool:
    """Whether stderr is shown below a cell of a notebook."""
    return type(sys.stderr).__module__.startswith("ipykernel.")


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # not a terminal
        return 0
