"""The figures of the publication and its supplement, drawn from the runs of a results folder.

May import `paper.runs`, `paper.theory` and the rooms below `paper`, but not the ledger. Public: `gallery` (the list of
figures) and `drawing` (finds or trains the runs, draws them, writes the files).
"""

__all__ = ["drawing", "gallery"]
