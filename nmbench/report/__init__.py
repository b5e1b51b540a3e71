"""Reports: tables, ladders, comparisons, pictures of trials and the leaderboard page.

Imports `training`, `results`, `contracts` and `support`, and names no model or task. The listed modules may be imported from
other rooms.
"""

__all__ = ["comparison", "files", "ladder_figures", "leaderboard", "page", "tables", "text", "trials"]
