"""Sweeps: a grid of cells, each trained in a process of its own, on this machine or by a scheduler."""
