"""Exchange with other frameworks: export of a task's data, and result rows for models trained elsewhere.

May import: experiments and the rooms below it. Public: `exported_sets` (check, export) and `external_rows` (read_run,
make_row, check_conflicts).
"""

__all__ = ["exported_sets", "external_rows"]
