"""Reports: tables, ladders, comparisons, sentences, pictures of trials, captions, snapshots and the leaderboard page.

Imports `training`, `results`, `contracts` and `support`, and names no model or task. Other rooms may import the listed
modules.
"""

__all__ = [
    "axes",
    "board_snapshots",
    "captions",
    "comparison",
    "files",
    "ladder_figures",
    "leaderboard",
    "model_styles",
    "overview",
    "page",
    "pictures",
    "sentences",
    "tables",
    "text",
    "trials",
    "tuning_figures",
]
