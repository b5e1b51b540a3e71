"""The models that come with nmbench, one file each, and their tuning records in `tuned/`.

The files are scanned for calls of `register_baseline`. Models import the public names of `nmbench` and the helper modules
beside them. The names of helper modules start with `_`.
"""
