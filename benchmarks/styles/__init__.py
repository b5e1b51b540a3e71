"""Four styles of the same training. Each module has a class `Runner(experiment, seeds)` with two methods:

compile(): builds and compiles everything and takes one step.
run(steps): takes this number of steps for every seed and returns the time in seconds.
"""
