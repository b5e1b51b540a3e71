"""The figures of the publication and its supplement, drawn from run folders.

The engine knows no task and no model by name; this package does, because the figures are about some of them. `figures.py`
lists them with what they need, `runs.py` finds that in a results folder or trains it, `style.py` is how all of them look.
The others draw, one per task: `rank1.py`, `timing.py`, `context.py`, `selection.py`.
"""
