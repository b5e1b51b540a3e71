"""The tasks that come with nmbench, one file per family, found by their `register_task` calls; frozen sets in `testsets/`.

Tasks import the public names of `nmbench` and the helper modules beside them, whose names start with `_`.
"""
