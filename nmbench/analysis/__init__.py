"""Analysis of trained networks, for any model.

  network = nmbench.load_network(run_id)                          a trained network
  states = analysis.record(network)                               states and outputs, name to [T, B, features]
  analysis.principal_components(states["x"], 3)                   components and explained variance
  analysis.fixed_points(network, {"sensory": np.zeros(3)})        fixed and slow points under a constant input
  analysis.ablate_gates(network)                                  metrics with each gate held at 0
  analysis.modulation(network)                                    signals, gains or efficacies over time, with their meaning
  analysis.dimensionality(states["x"]), analysis.effective_rank(W)

By default, the state that a model carries is recorded. An observer (`register_observer`) adds the states and signals of the
model's equations.

May import: experiments and the rooms below it. The module `observers` imports only `nmbench.support.errors`, so that models
can import it. Public: `loading`, `observers` and the names below, which load on first use.
"""

import importlib

_PUBLIC = {
    "Ablation": "ablation",
    "Components": "components",
    "FixedPoints": "fixed_point_search",
    "Modulation": "modulation_over_time",
    "Network": "network",
    "Observer": "observers",
    "ablate_gates": "ablation",
    "count_gates": "ablation",
    "dimensionality": "rank",
    "effective_rank": "rank",
    "find_fixed_points": "fixed_point_search",
    "fixed_points": "fixed_point_search",
    "hold_gate": "ablation",
    "modulation": "modulation_over_time",
    "participation_ratio": "rank",
    "principal_components": "components",
    "record": "states",
    "register_observer": "observers",
}

__all__ = ["loading", "observers", *_PUBLIC]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"nmbench.analysis.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'nmbench.analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
