"""Submissions: folders with a model, its rows and its parameters, made by `nmbench submit` and checked by `nmbench verify`.

May import: exchange, conformance, experiments and the rooms below them. Other rooms may import the listed modules. Only the
process that `isolation` starts imports the file of a submitted model.
"""

__all__ = [
    "about",
    "asking",
    "board_seeds",
    "distribution_test",
    "folder",
    "isolation",
    "making",
    "model_source",
    "retraining",
    "verifying",
]
