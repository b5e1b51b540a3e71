"""Rank-1 theory compared with a trained network (3B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nmbench.paper.figures import style
from nmbench.paper.runs import Found

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK = "mwg_rank1"
NETWORK, PREDICTED, EXACT = style.model("nmrnn_linear").colour, style.colour(0), style.INK


def signal_and_state(found: Found) -> Figure:
    """Main text Fig. 3B: s, w and output of the network and by the theory; a column per interval (first test trial)."""
    from nmbench.paper.theory import trained

    ((run, *_),) = found.values()
    network = trained.load(run.row["run_id"], run.results)
    traces = trained.traces(network)
    output = network.network.run(network.inputs).y[..., 0]
    labels = np.unique(network.conditions)
    figure, axes = style.panels(3, len(labels), 2.3, 1.4, sharex=True, sharey="row")
    for column, label in zip(axes.T, labels, strict=True):
        trial = int(np.flatnonzero(network.conditions == label)[0])
        # Predictions from the target are shown where the target changes; those from the output, where s affects the output.
        moves, identifiable = (np.where(where[:, trial], 1.0, np.nan) for where in (traces.moves, traces.identifiable))
        for axis, own, target in ((column[0], traces.s, traces.target_s), (column[1], traces.w, traces.target_w)):
            axis.plot(own[:, trial], color=NETWORK, linewidth=style.BOLD, alpha=0.6)
            axis.plot(moves * target[:, trial], color=PREDICTED, linewidth=1.4)
        column[0].plot(identifiable * traces.own_s[:, trial], color=EXACT, linewidth=0.9, linestyle=":")
        column[2].plot(output[:, trial], color=NETWORK, linewidth=style.BOLD, alpha=0.6)
        column[2].plot(network.targets[:, trial, 0], color=PREDICTED, linewidth=1.2, linestyle="--")
    # No sigmoid produces a signal outside (0, 1).
    axes[0, 0].set_ylim(-0.1, 1.1)
    style.name_panels(axes, ["s(t)", "w(t)", "output"], [f"{network.condition} {label}" for label in labels])
    entries = {
        "network": {"color": NETWORK, "linewidth": style.BOLD, "alpha": 0.6},
        "theory, from the target's ramp": {"color": PREDICTED, "linewidth": 1.4},
        "theory, from the network's output": {"color": EXACT, "linestyle": ":"},
        "target": {"color": PREDICTED, "linestyle": "--", "linewidth": 1.2},
    }
    style.legend(figure, entries)
    return figure
