"""The models that come with nmbench, one file each, found by their `register_baseline` calls; tuning records in `tuned/`.

Models import the public names of `nmbench` and the helper modules beside them, whose names start with `_`.
"""
