"""Numerics of the supplement's theory in float64: Proposition 1 and the exact signal of rank-1 networks.

May import report and the rooms below it, but nothing else of `paper`. Public: `network`, `semilinear` (Proposition 1),
`rank1` (the signal), `synthetic` (random networks), `trained` (networks of run folders), `report` (tables) and `plot`.
"""

__all__ = ["network", "plot", "rank1", "report", "semilinear", "synthetic", "trained"]
