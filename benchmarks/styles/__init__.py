"""Four ways to write the same training. Each module has a `Runner(cell, seeds)` with:

compile(): build and compile everything and take one step.
run(steps): so many steps of every seed; the seconds they took.
"""
