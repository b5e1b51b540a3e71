"""Figures of the Element Finder: states by element and by query (S5, S6), test errors (5B), validation curves (5C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nmbench.paper.figures import style
from nmbench.paper.runs import Found, curve, networks, task_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nmbench.contracts.task import Task

TASK = "element_finder"
MODELS = ("nmrnn", "lrrnn", "rnn", "lstm")
TRIALS = 100
VALUES, QUERY = (-10, -5, 0, 5, 10), 10
QUERIES, VALUE = (0, 5, 10, 15, 20), 5


def by_value(found: Found) -> Figure:
    """Supplement Fig. 5: s, x and y for query 10 and five values of the queried element."""
    return _states(found, [(QUERY, value) for value in VALUES], [f"element {value}" for value in VALUES])


def by_query(found: Found) -> Figure:
    """Supplement Fig. 6: s, x and y for five queries; the queried element is 5."""
    return _states(found, [(query, VALUE) for query in QUERIES], [f"query {query}" for query in QUERIES])


def errors(found: Found) -> Figure:
    """Main text Fig. 5B: test error by model."""
    figure, axes = style.panels(1, 1, 4.6, 3.0)
    axis = axes[0, 0]
    for i, (need, runs) in enumerate(found.items()):
        values, lost = np.array([(run.metric("mse"), run.lost) for run in runs]).T
        style.strip(axis, i, values, style.model(need.model), lost=lost > 0)
    chance = task_of(found).primary.floor
    axis.axhline(chance, color=style.MUTED, linewidth=0.8, linestyle="--", zorder=0)
    axis.text(len(found) - 0.45, chance, "chance", fontsize=7, va="bottom", ha="right", color=style.MUTED)
    style.logarithmic(axis)
    style.name_models(axis, {need.model: len(runs) for need, runs in found.items()})
    axis.set_ylabel("test mean squared error")
    return figure


def curves(found: Found) -> Figure:
    """Main text Fig. 5C: validation error during training; thin lines are seeds, bold lines their median."""
    figure, axes = style.panels(1, 1, 5.4, 3.2)
    axis = axes[0, 0]
    for need, runs in found.items():
        all_curves = [curve(run) for run in runs]
        steps = np.unique(np.concatenate([points[:, 0] for points in all_curves]))
        losses = np.full((len(runs), len(steps)), np.nan)
        for line, points in zip(losses, all_curves, strict=True):
            line[np.searchsorted(steps, points[:, 0])] = points[:, 1]
        look = style.model(need.model)
        style.seeds_and_median(axis, steps, losses, look.colour, look.marker)
    style.logarithmic(axis)
    axis.set_xlabel("training step")
    axis.set_ylabel("validation mean squared error")
    looks = {f"{need.model}, n = {len(runs)}": style.model(need.model) for need, runs in found.items()}
    line = {"linewidth": style.BOLD, "markersize": 6}
    style.legend(figure, {name: {"color": look.colour, "marker": look.marker, **line} for name, look in looks.items()})
    return figure


def _states(found: Found, conditions: Sequence[tuple[int, int]], labels: Sequence[str]) -> Figure:
    """All components of s, x and y over time, a row per condition: mean over trials, standard error shaded."""
    from nmbench.analysis import record

    (runs,) = found.values()
    (network,) = networks(runs[:1])
    task = task_of(found)
    figure, axes = style.panels(len(conditions), 3, 2.5, sharex=True, sharey="col")
    for row, (query, value) in zip(axes, conditions, strict=True):
        recorded = record(network, trials(task, query, value))
        for axis, name in zip(row, ("s", "x", "y"), strict=True):
            _mean_and_error(axis, recorded[name])
            # Step 0 shows the query, step q + 1 shows element q.
            axis.axvline(query + 1, color=style.GUIDE, linewidth=1.0, linestyle="--")
    style.name_panels(axes, labels, ["s(t)", "x(t)", "y(t)"])
    entries: dict[str, Any] = {
        "mean of 100 trials": {"color": style.INK, "linewidth": 1.0},
        "standard error": {"color": style.BAND, "linewidth": 5, "alpha": 0.5},
        "queried element": {"color": style.GUIDE, "linestyle": "--"},
    }
    style.legend(figure, entries)
    return figure


def trials(task: Task, query: int, value: int) -> Any:
    """Inputs of `TRIALS` test trials, changed to this query and this value of the queried element."""
    arrays = {name: np.array(array[..., :TRIALS]) for name, array in task.frozen("test").arrays.items()}
    arrays["query"][:] = query
    arrays["elements"][query] = value
    return task.unpack(arrays).inputs


def _mean_and_error(axis: Any, values: np.ndarray) -> None:
    """Plot mean and standard error over trials of values `[T, B, features]`."""
    mean, steps = values.mean(axis=1), np.arange(len(values))
    error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    for k in range(values.shape[-1]):
        axis.fill_between(
            steps, mean[:, k] - error[:, k], mean[:, k] + error[:, k], color=style.BAND, alpha=0.5, linewidth=0
        )
        axis.plot(steps, mean[:, k], color=style.INK, linewidth=0.8)
