"""Experiments: request -> configuration -> runs -> rows. Sizing, tuning, running, recording, and doing a row again.

May import: training, results, contracts, support. Public: `request` (Request), `configuration` (Configuration), `resolution`
(resolve), `experiment` (Experiment), `running` (plan, run_seeds), `tuning`, `loading` (load_run), `row_commands`, ...
"""

__all__ = [
    "configuration",
    "experiment",
    "loading",
    "recording",
    "reproduction",
    "request",
    "resolution",
    "resuming",
    "row_commands",
    "running",
    "sizing",
    "tuning",
]
