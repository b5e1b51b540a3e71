"""Exchange with other frameworks: export of a task's data, and result rows from predictions of models trained elsewhere.

It imports experiments and the rooms below it. Its modules are `exported_sets` and `external_rows`.
"""

__all__ = ["exported_sets", "external_rows"]
