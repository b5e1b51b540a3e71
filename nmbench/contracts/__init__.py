"""What a task, a model, a protocol and a metric are, and the registries of tasks and models.

Imports only `nmbench.support`. Authors of models and tasks use the public names of `nmbench`, most of which come from here.
"""

__all__ = [
    "catalog",
    "fingerprints",
    "frozen_sets",
    "input_weights",
    "metrics",
    "model",
    "parameters",
    "plugins",
    "protocol",
    "registration",
    "registry",
    "specs",
    "task",
    "tuning_record",
    "unroll",
]
