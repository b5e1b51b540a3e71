"""Definitions of task, model, protocol and metric, and the registries of tasks and models.

Imports only `nmbench.support`. Authors of models and tasks use the public names of `nmbench`; most of them come from here.
"""

__all__ = [
    "catalog",
    "fingerprints",
    "frozen_sets",
    "input_weights",
    "metrics",
    "model",
    "parameters",
    "plugin_files",
    "plugins",
    "protocol",
    "registration",
    "registry",
    "specs",
    "task",
    "tuning_record",
    "unroll",
]
