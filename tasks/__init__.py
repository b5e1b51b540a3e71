"""The tasks that come with nmbench, one file per family, and their frozen sets in `testsets/`.

The files are scanned for calls of `register_task`. Tasks import the public names of `nmbench` and the helper modules
beside them. The names of helper modules start with `_`.
"""
