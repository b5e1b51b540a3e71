"""Result rows: schema, storage, statistics, rankings and comparisons.

Imports `contracts` and `support`. Other rooms may import the listed modules.
"""

__all__ = [
    "columns",
    "comparison",
    "config_json",
    "csv_files",
    "curves",
    "experiment_rows",
    "frames",
    "ladders",
    "overall",
    "packs",
    "per_trial",
    "power",
    "provenance",
    "ranking",
    "ranking_frame",
    "schema",
    "significance",
    "statistics",
    "store",
    "tuned_intervals",
    "verification",
]
