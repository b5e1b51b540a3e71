"""Experiments, from a request to result rows: sizing, tuning, training, recording and reproduction.

May import: training, results, contracts, support. Public: `request` (Request), `configuration` (Configuration), `resolution`
(resolve), `experiment` (Experiment), `running` (plan, run_seeds), `loading` (load_run) and the other modules listed below.
"""

__all__ = [
    "configuration",
    "contract_checks",
    "experiment",
    "loading",
    "plugin_loading",
    "recording",
    "reproduction",
    "request",
    "resolution",
    "resuming",
    "row_commands",
    "running",
    "session",
    "sizing",
    "train",
    "tuning",
]
