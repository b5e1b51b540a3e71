"""Result rows: schema, storage, statistics, rankings and comparisons.

Imports `contracts` and `support`. The listed modules may be imported from other rooms.
"""

__all__ = [
    "columns",
    "comparison",
    "config_json",
    "csv_files",
    "curves",
    "experiment_rows",
    "ladders",
    "overall",
    "provenance",
    "ranking",
    "schema",
    "significance",
    "statistics",
    "store",
]
