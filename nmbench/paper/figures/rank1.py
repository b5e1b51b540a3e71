"""Rank-1 theory compared with a trained network (3B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmbench.paper.runs import Found

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK = "mwg_rank1"


def signal_and_state(found: Found) -> Figure:
    """Main text Fig. 3B: s, w and output of the network and by the theory; a column per interval (first test trial)."""
    from nmbench.paper.theory import plot, trained

    ((run, *_),) = found.values()
    network = trained.load(run.row["run_id"], run.results)
    return plot.signal_and_state(network, trained.traces(network))
