"""What a trained network does inside, as functions on any model and run folder.

  network = analysis.load("results", run_id)                      a trained network
  states = analysis.record(network)                               s, z, x, y of all test trials, each [T, B, features]
  analysis.principal_components(states["x"], 3)                   components and explained variance
  analysis.fixed_points(network, {"sensory": np.zeros(3)})        fixed and slow points under a constant input
  analysis.ablate_gates(network)                                  each gate held at 0, and what that does to the metrics
  analysis.dimensionality(states["x"]), analysis.effective_rank(W)

A model of your own says what it has inside with `register_observer`; without that, its states are seen as its scan carries
them.
"""

from nmbench.analysis.ablation import Ablation, ablate_gates, hold_gate
from nmbench.analysis.components import Components, principal_components
from nmbench.analysis.fixed_points import FixedPoints, find_fixed_points, fixed_points
from nmbench.analysis.network import Network, load
from nmbench.analysis.observers import Observer, register_observer
from nmbench.analysis.rank import dimensionality, effective_rank, participation_ratio
from nmbench.analysis.states import record

__all__ = [
    "Ablation",
    "Components",
    "FixedPoints",
    "Network",
    "Observer",
    "ablate_gates",
    "dimensionality",
    "effective_rank",
    "find_fixed_points",
    "fixed_points",
    "hold_gate",
    "load",
    "participation_ratio",
    "principal_components",
    "record",
    "register_observer",
]
