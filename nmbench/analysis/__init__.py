"""Analysis of trained networks: functions on any model and run folder.

  network = analysis.load("results", run_id)                      a trained network
  states = analysis.record(network)                               s, z, x, y on all test trials, each [T, B, features]
  analysis.principal_components(states["x"], 3)                   components and explained variance
  analysis.fixed_points(network, {"sensory": np.zeros(3)})        fixed and slow points under a constant input
  analysis.ablate_gates(network)                                  hold each gate at 0 and compute the metrics
  analysis.dimensionality(states["x"]), analysis.effective_rank(W)

Without an observer, a model shows its carried state; `register_observer` adds the states and signals of its equations.
This room imports experiments and the rooms below it; `observers` alone imports no more than errors, so that models can
import it. The names below load on first use.
"""

import importlib

_PUBLIC = {
    "Ablation": "ablation",
    "Components": "components",
    "FixedPoints": "fixed_point_search",
    "Network": "network",
    "Observer": "observers",
    "ablate_gates": "ablation",
    "count_gates": "ablation",
    "dimensionality": "rank",
    "effective_rank": "rank",
    "find_fixed_points": "fixed_point_search",
    "fixed_points": "fixed_point_search",
    "hold_gate": "ablation",
    "load": "loading",
    "participation_ratio": "rank",
    "principal_components": "components",
    "record": "states",
    "register_observer": "observers",
}

__all__ = ["observers", *_PUBLIC]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"nmbench.analysis.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'nmbench.analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
