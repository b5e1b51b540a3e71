"""The publication: its theory, its figures and the ledger of its claims. The only room that names models and tasks.

May import every room below it (sweeps and down), but no command. Public: `theory`, `figures` and `ledger`, each a folder
with its own list of modules, and `runs` (the finished runs that figures show).
"""

__all__ = ["figures", "ledger", "runs", "theory"]
